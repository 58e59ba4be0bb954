"""gamma for numba users: the numbers of gamma_activation, in compiled steps and on arrays."""

import numba
import numpy as np
import pytest

import dynet


@pytest.mark.parametrize("n", [1e-2, 1.0, 50.0])
def test_compiled_gamma_is_gamma_activation(n):
    x = np.linspace(-300, 300, 2001)
    s = np.array([[0.0], [0.3], [1.0]])
    np.testing.assert_allclose(dynet.compiled_gamma(x, n, s), dynet.gamma_activation(x, n, s), rtol=1e-12, atol=1e-300)
    slope = dynet.gamma_activation(x, n, s, derivative="x")
    np.testing.assert_allclose(dynet.compiled_gamma_slope(x, n, s), slope, rtol=1e-10, atol=1e-290)


@pytest.mark.slow
def test_compiled_steps_may_call_it():
    gamma, slope = dynet.compiled_gamma, dynet.compiled_gamma_slope

    @numba.njit
    def step(t, x, u, p):
        return gamma(p @ x, 5.0, 0.3)

    @numba.njit
    def jac(t, x, u, p):
        return slope(p @ x, 5.0, 0.3).reshape(-1, 1) * p

    ds = dynet.lyapunov_spectrum(dynet.Map(step, jac, params=np.array([[0.9]])), [0.5], 100, n_transient=200)
    assert ds.attrs["engine"] == "compiled"
    assert float(ds.final_state[0, 0]) == pytest.approx(0.7994169560, abs=1e-10)
    assert float(ds.lyapunov_exponent[0]) == pytest.approx(-0.4334959424, abs=1e-10)
