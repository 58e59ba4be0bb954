"""Direct sums: the spectrum and the Jacobian of the parts, in every array library."""

import pickle

import numpy as np
import pytest
import torch

import dynet
from dynet.errors import InputError
from dynet.systems.operators import assemble, transpose

direct_sum = dynet.networks.direct_sum


def test_exponents_are_those_of_the_parts():
    A, B = np.array([[2.0, 1.0], [0.0, 0.5]]), np.array([[0.25]])
    both = direct_sum(dynet.zoo.linear_map(A), dynet.zoo.linear_map(B))
    ds = dynet.lyapunov_spectrum(both, [1.0, 1.0, 1.0], 300, n_transient=60)
    np.testing.assert_allclose(ds.lyapunov_exponent, np.log([2.0, 0.5, 0.25]), atol=1e-10)
    assert ds.unit.values.tolist() == ["0.0", "0.1", "1.0"]
    assert both.units["system"] == [0, 0, 1]


@pytest.mark.parametrize("batch", [(), (4,)])
def test_a_flow_is_that_of_the_block_diagonal_network(batch):
    theta = [0.3, 0.7, 1.1]
    parts = direct_sum(*(dynet.networks.rotation_rnn(1.4, angle, form="flow") for angle in theta))
    whole = dynet.networks.rotation_rnn(1.4, theta, form="flow")
    x = np.random.default_rng(0).standard_normal((*batch, 6))
    u = x[..., :0]
    np.testing.assert_allclose(parts.rhs(0.0, x, u, parts.params), whole.rhs(0.0, x, u, whole.params), rtol=1e-14)
    J, K = parts.jac(0.0, x, u, parts.params), assemble(whole.jac(0.0, x, u, whole.params))
    np.testing.assert_allclose(assemble(J), K, rtol=1e-13)
    np.testing.assert_allclose(assemble(transpose(J)), np.swapaxes(K, -1, -2), rtol=1e-13)
    assert parts.vectorized
    pickle.loads(pickle.dumps(parts))


def test_compiled_parts_and_tensors():
    mixed = direct_sum(dynet.zoo.stuart_landau(0.3, 1.5), dynet.networks.rate_network(np.diag([0.5])))
    dynet.check_jacobian(mixed, [0.4, 0.2, 0.1])
    W = torch.eye(2, dtype=torch.float64)
    net = direct_sum(dynet.networks.tanh_rnn(0.5 * W), dynet.networks.tanh_rnn(0.25 * W))
    x0, frame = torch.zeros(4, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
    ds = dynet.lyapunov_spectrum(net, x0, 50, initial_frame=frame)
    np.testing.assert_allclose(np.exp(ds.lyapunov_exponent), [0.5, 0.5, 0.25, 0.25])


def test_bad_input():
    henon, flow = dynet.zoo.henon(), dynet.zoo.rossler()
    for systems, message in (
        ((), "systems=\\(\\): give dynet.Map or dynet.Flow"),
        ((1,), "give dynet.Map or dynet.Flow"),
        ((henon, flow), "systems\\[1\\]='Flow': give systems of one kind"),
        ((henon, flow.to_map(0.1)), "differ in dt \\(0.1, 1.0\\).*\n.*time_unit"),
        ((dynet.Map(lambda t, x, u, p: x, "finite_difference"),), "systems\\[0\\] does not tell how many units"),
        ((dynet.Map(lambda t, x, u, p: x),), "systems\\[0\\] has no Jacobian"),
    ):
        with pytest.raises(InputError, match=message):
            direct_sum(*systems)


@pytest.mark.parametrize("form", ["torch", "gated-product", "paper"])
def test_a_continuous_gru_without_gates_is_the_tanh_network_at_half_gain_and_double_time(form):
    W = np.concatenate([np.zeros((4, 2)), 2 * dynet.networks.rotation_rnn(1.5, 0.5).params[0].W_hh])
    flow = dynet.networks.gru_flow(W, form=form)
    pair, x = dynet.networks.rotation_rnn(1.5, 0.5, form="flow"), np.array([0.8, -0.3])
    half = pair.rhs(0.0, x, x[:0], pair.params) / 2
    np.testing.assert_allclose(flow.rhs(0.0, x, x[:0], flow.params), half, rtol=1e-13)
    if form == "torch":
        cycle = dynet.find_limit_cycle(flow, [0.97, 0.5], period_guess=23.7)
        np.testing.assert_allclose(cycle.period, 23.674026366978, rtol=1e-12)
