"""The probe: right Jacobians pass, wrong ones do not, and kinks are no fault."""

import numpy as np
import pytest

import dynet

A = np.array([[0.0, 2.0, 0.0], [-1.0, 0.5, 1.0], [0.3, 0.0, 1.0]])


def step(t, x, u, p):
    return np.sin(A @ x) + t * x + (u.sum() if u.size else 0.0)


def jacobian(t, x, u, p):
    return np.cos(A @ x)[:, None] * A + t * np.eye(3)


@pytest.mark.parametrize("scale", [1e-9, 1e-6, 1.0, 1e6])
def test_the_right_jacobian_passes_at_any_size_of_the_state(scale):
    system = dynet.Map(
        lambda t, x, u, p: scale * step(t, x / scale, u, p), lambda t, x, u, p: jacobian(t, x / scale, u, p)
    )
    assert dynet.check_jacobian(system, scale * np.array([0.3, -0.2, 0.9])) < 1e-4


def test_units_of_very_different_sizes_are_probed_each_in_its_own():
    sizes = np.array([1e-8, 1.0, 1e8])
    right = lambda t, x, u, p: sizes[:, None] * jacobian(t, x / sizes, u, p) / sizes  # noqa: E731
    good = dynet.Map(lambda t, x, u, p: sizes * step(t, x / sizes, u, p), right)
    x = sizes * np.array([0.3, -0.2, 0.9])
    assert dynet.check_jacobian(good, x) < 1e-4


@pytest.mark.parametrize(
    "wrong",
    [
        lambda t, x, u, p: jacobian(t, x, u, p).T,
        lambda t, x, u, p: -jacobian(t, x, u, p),
        lambda t, x, u, p: 1.01 * jacobian(t, x, u, p),
        lambda t, x, u, p: jacobian(t + 0.1, x, u, p),
        lambda t, x, u, p: np.zeros((3, 3)),
    ],
    ids=["transposed", "negative", "scaled", "late", "zero"],
)
def test_a_wrong_jacobian_is_refused(wrong):
    x = [0.3, -0.2, 0.9]
    with pytest.raises(dynet.InputError, match="transposed"):
        dynet.check_jacobian(dynet.Map(step, wrong), x, t=0.5)
    with pytest.raises(dynet.InputError, match="check=False"):
        dynet.lyapunov_spectrum(
            dynet.Map(lambda t, x, u, p: step(0.5, x, u, p), lambda t, x, u, p: wrong(0.5, x, u, p)), x, 5
        )


def test_check_false_takes_the_jacobian_as_it_is():
    system = dynet.Map(lambda t, x, u, p: 0.5 * x, lambda t, x, u, p: np.diag([2.0, 3.0]))
    ds = dynet.lyapunov_spectrum(system, [1.0, 1.0], 10, initial_frame=np.eye(2), check=False)
    np.testing.assert_allclose(ds.lyapunov_exponent, np.log([2.0, 3.0]), rtol=1e-14)
    assert ds.attrs["check"] == "False"


def test_the_probe_never_changes_a_number():
    runs = [
        dynet.lyapunov_spectrum(dynet.Map(step, jacobian), [0.3, -0.2, 0.9], 30, check=c, rng=4) for c in (True, False)
    ]
    np.testing.assert_array_equal(*(run.growth for run in runs))


def test_a_jump_of_the_step_at_the_start_is_no_fault():
    tent = dynet.zoo.skew_tent(0.3)
    assert dynet.check_jacobian(tent, [0.3]) < 1e-6
    relu = dynet.networks.relu_rnn(np.array([[1.0, -2.0], [0.5, 1.0]]))
    assert dynet.check_jacobian(relu, [0.0, 0.0]) < 1e-6


def test_a_flow_is_probed_by_its_field():
    assert dynet.check_jacobian(dynet.zoo.lorenz63(), [1, 2, 3]) < 1e-8
    with pytest.raises(dynet.InputError, match="transposed"):
        dynet.check_jacobian(dynet.Flow(step, lambda t, x, u, p: jacobian(t, x, u, p).T), [0.3, -0.2, 0.9])


def test_inputs_and_time_reach_the_step():
    seen = []

    def watching(t, x, u, p):
        seen.append((t, u.tolist(), p))
        return 0.5 * x

    dynet.check_jacobian(dynet.Map(watching, lambda t, x, u, p: 0.5 * np.eye(2), params=7), [1.0, 2.0], u=[3.0], t=9.0)
    assert all(entry == (9.0, [3.0], 7) for entry in seen)


def test_several_states_are_probed_at_once_for_batches():
    net = dynet.networks.tanh_rnn(A)
    assert dynet.check_jacobian(net, np.linspace(-1, 1, 12).reshape(4, 3)) < 1e-8


def test_float32_is_judged_by_its_own_rounding():
    net = dynet.networks.tanh_rnn(A.astype(np.float32))
    assert dynet.check_jacobian(net, np.array([0.3, -0.2, 0.9], np.float32)) < 5e-2
    transposed = dynet.Map(
        net.step, lambda t, x, u, p: net.jac(t, x, u, p).transpose(), params=net.params, like=net.like
    )
    with pytest.raises(dynet.InputError):
        dynet.check_jacobian(transposed, np.array([0.3, -0.2, 0.9], np.float32))
