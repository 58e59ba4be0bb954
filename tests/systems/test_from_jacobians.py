"""Recorded Jacobians as a system: order, sequences, limits."""

import pickle

import numpy as np
import pytest

import dynet

from_jacobians = dynet.Map.from_jacobians


def test_the_product_is_taken_in_the_order_of_time():
    random = np.random.default_rng(3)
    J = random.standard_normal((5, 3, 3))
    ds = dynet.lyapunov_spectrum(from_jacobians(J), None, 5, initial_frame=np.eye(3))
    product = J[4] @ J[3] @ J[2] @ J[1] @ J[0]
    growth = np.log(np.abs(np.diag(np.linalg.qr(product)[1])))
    np.testing.assert_allclose(ds.growth.sum("time")[0], growth, rtol=0, atol=1e-11)
    reversed_order = np.log(np.abs(np.diag(np.linalg.qr(J[0] @ J[1] @ J[2] @ J[3] @ J[4])[1])))
    assert np.abs(reversed_order - growth).max() > 0.1


def test_sequences_are_run_each_on_its_own():
    J = np.random.default_rng(3).standard_normal((4, 6, 3, 3))
    together = dynet.lyapunov_spectrum(from_jacobians(J), None, 6)
    for s in range(4):
        alone = dynet.lyapunov_spectrum(from_jacobians(J[s]), None, 6)
        np.testing.assert_allclose(together.sequence_exponent[s], alone.lyapunov_exponent, rtol=0, atol=1e-13)
    np.testing.assert_allclose(together.lyapunov_exponent, together.sequence_exponent.mean("sequence"), atol=1e-15)


def test_time_is_measured_in_the_given_unit():
    J = np.broadcast_to(np.diag([2.0, 0.5]), (7, 2, 2))
    ds = dynet.lyapunov_spectrum(from_jacobians(J, dt=0.1, time_unit="ms"), None, 7, initial_frame=np.eye(2))
    np.testing.assert_allclose(ds.lyapunov_exponent, np.log([2, 0.5]) / 0.1, rtol=1e-13)
    assert ds.lyapunov_exponent.attrs["units"] == "nat / ms"
    np.testing.assert_allclose(ds.time[-1], 0.7)


@pytest.mark.parametrize("dt", [0.1, 1 / 3, 7e-5, 1e6])
def test_every_step_finds_its_own_jacobian_whatever_dt(dt):
    # rounding of k * dt must never fetch a neighbour
    factors = np.exp(np.random.default_rng(0).standard_normal(3000))
    ds = dynet.lyapunov_spectrum(from_jacobians(factors[:, None, None], dt=dt), None, 3000, n_transient=0)
    expected = np.add.reduceat(np.log(factors), np.r_[0, np.cumsum(np.round(ds.duration[0] / dt).astype(int))[:-1]])
    np.testing.assert_allclose(ds.growth[0, :, 0], expected, rtol=0, atol=1e-11)


def test_integers_lists_and_float32_are_taken_as_they_are():
    listed = dynet.lyapunov_spectrum(from_jacobians([[[2, 1], [1, 1]]] * 30), None, 30, n_transient=0)
    assert listed.attrs["dtype"] == "float64"
    single = dynet.lyapunov_spectrum(from_jacobians(np.full((9, 1, 1), 3, np.float32)), None, 9)
    assert single.attrs["dtype"] == "float32"
    np.testing.assert_allclose(single.lyapunov_exponent, np.log(3), rtol=1e-6)


def test_torch_tensors_are_taken_where_they_live():
    torch = pytest.importorskip("torch")
    J = np.random.default_rng(3).standard_normal((2, 6, 3, 3))
    a = dynet.lyapunov_spectrum(from_jacobians(torch.asarray(J)), None, 6)
    b = dynet.lyapunov_spectrum(from_jacobians(J), None, 6)
    assert a.attrs["engine"] == "array (torch)"
    np.testing.assert_allclose(a.growth, b.growth, rtol=0, atol=1e-12)


def test_recorded_jacobians_survive_pickling():
    system = from_jacobians(np.random.default_rng(3).standard_normal((6, 3, 3)))
    again = pickle.loads(pickle.dumps(system))
    np.testing.assert_array_equal(
        dynet.lyapunov_spectrum(again, None, 6).growth, dynet.lyapunov_spectrum(system, None, 6).growth
    )


@pytest.mark.parametrize(
    ("J", "words"),
    [
        (np.eye(3), ["J=", "(3, 3)", "linear_map"]),
        (np.zeros((4, 2, 3)), ["J=", "(4, 2, 3)", "(time, n, n)"]),
        (np.zeros((0, 2, 2)), ["J="]),
        (np.zeros((1, 2, 3, 4, 4)), ["J=", "(sequence, time, n, n)"]),
        ([[[1.0, 2.0], [3.0]]], ["J=", "rectangular"]),
        ([[["a"]]], ["J=", "numbers"]),
        (np.ones((3, 2, 2)) * 1j, ["J=", "complex"]),
        (np.array([np.eye(2), [[1.0, np.nan], [0, 1]]]), ["J=", "[1 0 1]", "not finite"]),
    ],
)
def test_what_is_no_sequence_of_jacobians_is_refused(J, words):
    with pytest.raises(dynet.InputError) as caught:
        from_jacobians(J)
    for word in words:
        assert word in str(caught.value)


def test_more_steps_or_sequences_than_recorded_are_refused():
    system = from_jacobians(np.ones((2, 5, 1, 1)))
    with pytest.raises(dynet.InputError, match=r"holds 5 steps.*= 6"):
        dynet.lyapunov_spectrum(system, None, 4, n_transient=2)
    with pytest.raises(dynet.InputError, match=r"3 sequences.*2 sequences.*equal numbers"):
        dynet.lyapunov_spectrum(system, np.ones((3, 1)), 5)
