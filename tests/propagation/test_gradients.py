"""Gradient norms against autograd and against what is known on paper; horizons of scalar maps."""

import numpy as np
import pytest
import scipy.sparse
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import dynet

RANDOM = np.random.default_rng(0)


def linear(a):
    return dynet.zoo.linear_map([[a]])


def network(n=10, g=1.5, as_torch=False):
    random = np.random.default_rng(1)
    weights = [random.standard_normal((n, n)) * g / np.sqrt(n), random.standard_normal((n, 2)) * 0.3]
    return dynet.networks.tanh_rnn(*(map(torch.as_tensor, weights) if as_torch else weights))


def test_gradients_are_those_of_autograd():
    net, inputs = network(as_torch=True), torch.as_tensor(RANDOM.standard_normal((3, 25, 2)))
    target = torch.as_tensor(RANDOM.standard_normal(10))
    ds = dynet.gradient_norms(
        net, None, 20, inputs=inputs, n_transient=5, loss=lambda x: (((x - target) ** 2).sum() / 2, x - target)
    )
    x = torch.zeros(3, 10, dtype=torch.float64)
    states = []
    for t in range(25):
        x = x.requires_grad_() if t == 0 else x
        states.append(x)
        x = net.step(float(t), x, inputs[:, t], net.params)
    states.append(x)
    gradients = torch.autograd.grad(((x - target) ** 2).sum() / 2, states)
    expected = torch.stack(gradients[::-1]).norm(dim=-1).log().T[:, :21]
    np.testing.assert_allclose(ds.log_gradient_norm, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("a", [0.3, 1e-3, 7.0, 1e4])
def test_vanishing_and_exploding_beyond_all_numbers(a):
    ds = dynet.gradient_norms(dynet.Map.from_jacobians(np.full((400, 1, 1), a)), None, 400, loss=np.array([2.0]))
    np.testing.assert_allclose(ds.log_gradient_norm, np.log(2) + np.arange(401) * np.log(a), rtol=1e-12)


def test_periodic_gradients():
    # a cycle of two states: the gradient grows by 4 and shrinks by 4 in turn, for all times
    ds = dynet.gradient_norms(dynet.Map.from_jacobians(np.tile([[[4.0]], [[0.25]]], (500, 1, 1))), None, 1000)
    np.testing.assert_allclose(ds.log_gradient_norm, np.tile([0, -np.log(4)], 501)[:1001], atol=1e-12)
    horizon = dynet.gradient_horizon(ds).horizon
    assert np.isposinf(horizon).all()


def test_rotations_keep_every_gradient():
    angle = 0.3
    R = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    ds = dynet.gradient_norms(dynet.zoo.linear_map(R), [1.0, 0.0], 300, loss=np.array([3.0, 4.0]))
    np.testing.assert_allclose(ds.log_gradient_norm, np.log(5.0), atol=1e-12)


def test_without_a_loss_it_is_the_mean_square_over_all_of_them():
    net, inputs = network(), RANDOM.standard_normal((12, 2))
    ds = dynet.gradient_norms(net, None, 12, inputs=inputs)
    values = dynet.singular_values(net, None, 12, inputs=inputs, horizons=[12]).log_singular_value
    np.testing.assert_allclose(ds.log_gradient_norm[-1], 0.5 * np.log(np.exp(2 * values).mean()), rtol=1e-10)
    ones = [dynet.gradient_norms(net, None, 12, inputs=inputs, loss=row).log_gradient_norm for row in np.eye(10)]
    of_all = 0.5 * np.log(np.mean(np.exp(2 * np.array(ones)), axis=0))
    np.testing.assert_allclose(ds.log_gradient_norm, of_all, rtol=1e-10, atol=1e-14)


def test_losses_at_several_times():
    net, inputs = network(), RANDOM.standard_normal((2, 30, 2))
    ds = dynet.gradient_norms(net, None, 30, inputs=inputs, n_lags=8, every=6, loss=np.ones(10))
    assert ds.log_gradient_norm.dims == ("sequence", "end", "lag")
    np.testing.assert_array_equal(ds.end, [8, 14, 20, 26])
    for end in (8, 26):
        alone = dynet.gradient_norms(net, None, end, inputs=inputs[:, :end], n_lags=end, loss=np.ones(10))
        np.testing.assert_allclose(ds.log_gradient_norm.sel(end=end), alone.log_gradient_norm[:, :9], rtol=1e-10)
    np.testing.assert_allclose(ds.mean_log_gradient_norm, ds.log_gradient_norm.mean(["sequence", "end"]))
    assert (ds.standard_error[1:] > 0).all()


def test_every_kind_of_jacobian_and_batches():
    W = RANDOM.standard_normal((5, 5))
    plain = dynet.gradient_norms(dynet.zoo.linear_map(W), np.ones(5), 9, loss=np.arange(5.0))
    made = {
        "sparse": scipy.sparse.csr_array(W),
        "LinearOperator": scipy.sparse.linalg.aslinearoperator(W),
        "operator": dynet.networks.tanh_rnn(W).jac(0.0, np.zeros(5), np.zeros(0), dynet.networks.tanh_rnn(W).params),
    }
    for name, J in made.items():
        system = dynet.Map(lambda t, x, u, p: W @ x, lambda t, x, u, p, J=J: J)
        found = dynet.gradient_norms(system, np.ones((2, 5)), 9, loss=np.arange(5.0)).log_gradient_norm
        for s in range(2):
            np.testing.assert_allclose(found[s], plain.log_gradient_norm, rtol=1e-12, err_msg=name)


def test_flows_and_lstms_go_backwards_through_their_operators():
    random = np.random.default_rng(3)
    lstm = dynet.networks.lstm(random.standard_normal((16, 4)), random.standard_normal((16, 2)))
    flow = dynet.zoo.lorenz63().to_map(0.02)
    for system, options in ((lstm, {"inputs": random.standard_normal((10, 2))}), (flow, {})):
        x0 = random.standard_normal(8 if options else 3)
        loss = random.standard_normal(x0.size)
        ds = dynet.gradient_norms(system, x0, 10, loss=loss, **options)
        states = dynet.simulate(system, x0, 10, **options).state.values
        g = loss
        for t in range(9, -1, -1):
            u = options["inputs"][t] if options else np.zeros(0)
            g = system.linearize(t * system.dt, states[t], u, system.params)[1].assemble().T @ g
        np.testing.assert_allclose(ds.log_gradient_norm[-1], np.log(np.linalg.norm(g)), rtol=1e-10)


def test_float32_agrees_to_its_precision():
    w = network().params[0]
    single = dynet.networks.tanh_rnn(torch.as_tensor(w.W_hh).float(), torch.as_tensor(w.W_xh).float())
    inputs = RANDOM.standard_normal((60, 2))
    ds = dynet.gradient_norms(single, None, 60, inputs=inputs, loss=np.ones(10))
    expected = dynet.gradient_norms(network(), None, 60, inputs=inputs, loss=np.ones(10))
    assert ds.attrs["dtype"] == "float32"
    np.testing.assert_allclose(ds.log_gradient_norm, expected.log_gradient_norm, atol=1e-3)


def test_a_gradient_that_is_cut_off():
    dead = dynet.networks.relu_rnn(np.eye(2), b=[-1.0, -1.0])
    ds = dynet.gradient_norms(dead, [3.0, 3.0], 6)
    # two steps alive at the start, dead at the end: nothing arrives
    assert np.isneginf(ds.log_gradient_norm[-1])
    assert not np.isnan(ds.log_gradient_norm).any()
    horizon = dynet.gradient_horizon(ds).horizon
    assert 0 < float(horizon.sel(fate="vanishing")) <= 6
    assert float(ds.standard_error[-1]) == 0.0


@given(a=st.floats(0.05, 0.9), level=st.sampled_from(["float32 eps", "bfloat16 eps", "float64 eps", 1e-3, 0.3]))
def test_horizon_of_a_scalar_map(a, level):
    eps = {"float32 eps": 2.0**-23, "bfloat16 eps": 2.0**-7, "float64 eps": 2.0**-52}.get(level, level)
    n_steps = int(np.log(eps) / np.log(a)) + 2
    for base, fate, other in ((a, "vanishing", "exploding"), (1 / a, "exploding", "vanishing")):
        ds = dynet.gradient_norms(dynet.Map.from_jacobians(np.full((n_steps, 1, 1), base)), None, n_steps)
        found = dynet.gradient_horizon(ds, level=level)
        np.testing.assert_allclose(found.horizon.sel(fate=fate), np.log(eps) / np.log(a), rtol=1e-9)
        assert np.isposinf(found.horizon.sel(fate=other))
        np.testing.assert_allclose(found.median_horizon.sel(fate=fate), found.horizon.sel(fate=fate))


@pytest.mark.parametrize(("name", "dtype"), [("float16", torch.float16), ("bfloat16", torch.bfloat16),
                                             ("float32", torch.float32), ("float64", torch.float64)])  # fmt: skip
def test_levels_are_those_of_the_dtypes(name, dtype):
    info = torch.finfo(dtype)
    ds = dynet.gradient_norms(linear(0.5), [1.0], 3)
    relative = dynet.gradient_horizon(ds, level=f"{name} eps").attrs
    np.testing.assert_allclose(relative["log_vanished"], np.log(info.eps))
    absolute = dynet.gradient_horizon(ds, level=f"{name} tiny").attrs
    np.testing.assert_allclose(absolute["log_vanished"], np.log(info.tiny))
    np.testing.assert_allclose(absolute["log_exploded"], np.log(info.max))


def test_the_smallest_normal_number_is_not_relative():
    ds = dynet.gradient_norms(linear(0.5), [1.0], 200, loss=np.array([2.0**-100]))
    assert float(dynet.gradient_horizon(ds, level="float32 tiny").horizon[0]) == pytest.approx(26)
    assert float(dynet.gradient_horizon(ds, level="float32 eps").horizon[0]) == pytest.approx(23)


def test_a_run_that_is_too_short_does_not_tell():
    ds = dynet.gradient_norms(linear(0.9), [1.0], 100)
    found = dynet.gradient_horizon(ds)  # 151 steps
    assert np.isposinf(found.horizon).all()
    assert found.attrs["n_lags"] == 100


def test_median_and_quartiles_over_sequences():
    rates = np.array([0.5, 0.25, 0.125, 1.0])
    J = np.broadcast_to(rates[:, None, None, None], (4, 40, 1, 1))
    ds = dynet.gradient_norms(dynet.Map.from_jacobians(J), None, 40)
    found = dynet.gradient_horizon(ds).sel(fate="vanishing")
    np.testing.assert_allclose(found.horizon, [23, 11.5, 23 / 3, np.inf])
    np.testing.assert_allclose(found.median_horizon, 11.5)
    np.testing.assert_allclose(found.quartile, [23 / 3, 23])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: dynet.gradient_norms(linear(0.5), [1.0], 10, n_lags=11), ["n_lags=11", "10"]),
        (lambda: dynet.gradient_norms(linear(0.5), [1.0], 10, every=0), ["every=0"]),
        (lambda: dynet.gradient_norms(linear(0.5), [1.0], 10, loss=np.ones(2)), ["loss", "(1,)"]),
        (lambda: dynet.gradient_norms(linear(0.5), [1.0], 10, loss=[np.nan]), ["loss", "finite"]),
        (lambda: dynet.gradient_norms(linear(0.5), [1.0], 10, loss=lambda x: x), ["pair"]),
        (lambda: dynet.gradient_norms(linear(0.5), [1.0], 10, loss=lambda x: (0, x[:0])), ["derivative", "(1,)"]),
        (lambda: dynet.gradient_horizon(xr.Dataset()), ["gradients", "gradient_norms"]),
        (
            lambda: dynet.gradient_horizon(dynet.gradient_norms(linear(0.5), [1.0], 3), level="float32"),
            ["level=", "float32 eps", "float32 tiny"],
        ),
        (lambda: dynet.gradient_horizon(dynet.gradient_norms(linear(0.5), [1.0], 3), level=1.5), ["level=1.5"]),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(dynet.InputError) as error:
        call()
    for word in words:
        assert word in str(error.value)


def test_copies_of_a_sequence_make_the_mean_no_surer():
    net = dynet.networks.random_tanh(5, 1.5, W_xh=np.ones((5, 1)), rng=0)
    inputs = np.repeat(np.random.default_rng(0).standard_normal((1, 20, 1)), 4, axis=0)
    assert np.isposinf(dynet.gradient_norms(net, None, 20, inputs=inputs).standard_error[1:]).all()
