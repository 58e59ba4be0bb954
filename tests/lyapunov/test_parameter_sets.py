"""Sequences with parameters of their own: each does what the system with these parameters does."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

import dynet
from dynet.lyapunov.lane_engine import LaneEngine
from tests.compiled_systems import network_jac, network_step

spectrum = dynet.lyapunov_spectrum
networks, zoo = dynet.networks, dynet.zoo


@njit
def tent_step(t, x, u, p):
    return (p * min(x[0], 1.0 - x[0]),)


@njit
def tent_jac(t, x, u, p):
    return ((p if x[0] < 0.5 else -p,),)


@njit
def nested_step(t, x, u, p):
    return np.tanh(p[0][0] * x[0] - x[1] + p[1]), np.tanh(x[0] + p[0][1] * x[1])


@njit
def nested_jac(t, x, u, p):
    a, b = np.tanh(p[0][0] * x[0] - x[1] + p[1]), np.tanh(x[0] + p[0][1] * x[1])
    return (p[0][0] * (1 - a * a), -(1 - a * a)), (1 - b * b, p[0][1] * (1 - b * b))


def by_hand(t, x, u, p):
    return np.array([1 - p["a"] * x[0] ** 2 + x[1], p["b"] * x[0]])


def jac_by_hand(t, x, u, p):
    return np.array([[-2 * p["a"] * x[0], 1.0], [p["b"], 0.0]])


def check(system, x0, n_steps, sets, one_by_one, **options):
    """Compare a run of many sets with the runs of each; return it."""
    ds = spectrum(system, x0, n_steps, params=sets, **options)
    assert ds.sizes["sequence"] == len(one_by_one)
    for s in range(0, len(one_by_one), 3):
        start = x0[s] if np.ndim(x0) == 2 else x0
        alone = spectrum(system.with_params(one_by_one[s]), start, n_steps, **options)
        np.testing.assert_array_equal(ds.final_state[s], alone.final_state[0])
        np.testing.assert_allclose(ds.growth[s], alone.growth[0], rtol=0, atol=1e-12 * n_steps)
    return ds


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), S=st.integers(2, 40), n_steps=st.integers(1, 80), both=st.booleans())
def test_named_entries_vary_and_the_others_are_shared(seed, S, n_steps, both):
    random = np.random.default_rng(seed)
    a, b = random.uniform(1.0, 1.3, S), random.uniform(0.2, 0.3, S) if both else np.full(S, 0.3)
    system, x0 = zoo.henon(), 0.05 * random.uniform(-1, 1, (S, 2))
    kind = type(system.params)
    one_by_one = [kind(float(a[s]), float(b[s])) for s in range(S)]
    options = {"qr_interval": 2, "n_transient": 5, "check": False}
    ds = check(system, x0, n_steps, {"a": a, "b": b} if both else {"a": a}, one_by_one, **options)
    whole = spectrum(system, x0, n_steps, params=kind(a, b if both else 0.3), **options)
    np.testing.assert_array_equal(ds.growth, whole.growth)
    np.testing.assert_array_equal(ds["a"], a)
    assert ("b" in ds.coords) == both
    assert ds.attrs["sequences"] == "parameter sets"


def test_sets_of_a_flow_are_lanes(monkeypatch):
    made = []
    original = LaneEngine.__init__
    monkeypatch.setattr(LaneEngine, "__init__", lambda self, problem: (made.append(self), original(self, problem))[1])
    flow, rho = zoo.lorenz63(), np.linspace(20.0, 40.0, 33)
    one_by_one = [flow.params._replace(rho=float(r)) for r in rho]
    ds = check(flow.to_map(0.01), [1.0, 2.0, 20.0], 200, {"rho": rho}, one_by_one, qr_interval=1)
    assert len(made) == 1
    # Lorenz: the sum of the exponents does not depend on rho
    np.testing.assert_allclose(ds.sequence_exponent.sum("exponent"), -41 / 3, rtol=0, atol=1e-3)


def test_the_exponent_of_every_tent_map_is_the_logarithm_of_its_slope():
    slopes = np.linspace(1.1, 1.9, 50)
    ds = spectrum(dynet.Map(tent_step, tent_jac, params=1.5), [0.3], 2_000, params=slopes)
    np.testing.assert_allclose(ds.sequence_exponent[:, 0], np.log(slopes), rtol=0, atol=1e-12)


@pytest.mark.parametrize("S", [3, 17])
def test_tuples_in_tuples_are_stacked_entry_by_entry(S):
    random = np.random.default_rng(S)
    gain, leak, bias = random.uniform(1, 2, S), random.uniform(0, 1, S), 0.1
    system = dynet.Map(nested_step, nested_jac, params=((1.5, 0.5), 0.2))
    one_by_one = [((float(gain[s]), float(leak[s])), bias) for s in range(S)]
    check(system, random.standard_normal((S, 2)), 60, ((gain, leak), bias), one_by_one)


@pytest.mark.parametrize("n", [3, 9])
def test_whole_matrices_are_sets_too(n):
    W = np.random.default_rng(n).normal(0, 1.5 / np.sqrt(n), (10, n, n))
    system = dynet.Map(network_step, network_jac, params=W[0])
    check(system, 0.1 * np.arange(n), 30, W, list(W))


def test_dicts_of_python_functions_vary_by_name():
    system = dynet.Map(by_hand, jac_by_hand, params={"a": 1.4, "b": 0.3})
    a = np.array([1.0, 1.2, 1.4])
    ds = check(system, [0.1, 0.1], 30, {"a": a}, [{"a": float(v), "b": 0.3} for v in a])
    np.testing.assert_array_equal(ds["a"], a)


def test_networks_for_batches_take_sets_of_weights():
    random = np.random.default_rng(1)
    W = random.normal(0, 0.6, (4, 5, 5))
    net = networks.tanh_rnn(W[0])
    assert net.vectorized

    def stacked(*entries):
        if isinstance(entries[0], tuple):
            parts = [stacked(*group) for group in zip(*entries, strict=True)]
            return type(entries[0])(*parts) if hasattr(entries[0], "_fields") else tuple(parts)
        return None if entries[0] is None else np.stack(entries)

    each = [networks.tanh_rnn(w).params for w in W]
    x0 = random.standard_normal(5)
    ds = spectrum(net, x0, 40, params=stacked(*each))
    for s in range(4):
        alone = spectrum(networks.tanh_rnn(W[s]), x0, 40)
        np.testing.assert_allclose(ds.growth[s], alone.growth[0], rtol=0, atol=1e-9)


def test_sets_in_chunks_of_time_and_of_unequal_length():
    a = np.array([1.1, 1.2, 1.3, 1.4])
    options = {"n_transient": 50, "initial_frame": np.array([[1.0, 0.3], [0.2, 1.0]])}
    one = spectrum(zoo.henon(), [0.1, 0.1], 3_000, params={"a": a}, **options)
    many = spectrum(zoo.henon(), [0.1, 0.1], 3_000, params={"a": a}, time_chunks=10, **options)
    np.testing.assert_array_equal(many.final_state, one.final_state)
    np.testing.assert_allclose(many.growth, one.growth, rtol=0, atol=1e-7)

    @njit
    def step(t, x, u, p):
        return (p * np.tanh(x[0]) + u[0],)

    @njit
    def jac(t, x, u, p):
        y = np.tanh(x[0])
        return ((p * (1 - y * y),),)

    inputs = np.random.default_rng(0).standard_normal((3, 400, 1))
    p, lengths = np.array([0.5, 0.8, 1.5]), [400, 250, 250]
    ds = spectrum(dynet.Map(step, jac, params=1.0), [0.1], 400, params=p, inputs=inputs, lengths=lengths)
    for s in range(3):
        system = dynet.Map(step, jac, params=float(p[s]))
        alone = spectrum(system, [0.1], lengths[s], inputs=inputs[s, : lengths[s]])
        np.testing.assert_allclose(ds.sequence_exponent[s], alone.lyapunov_exponent, rtol=0, atol=1e-10)


class Three(NamedTuple):
    """Parameters that a result has names for already."""

    time: float
    exponent: float
    gain: float


def test_names_that_a_result_has_already_are_left_to_it():
    @njit
    def step(t, x, u, p):
        return (p.gain * p.time * np.tanh(x[0]),)

    @njit
    def jac(t, x, u, p):
        y = np.tanh(x[0])
        return ((p.gain * p.time * (1 - y * y),),)

    sets = {"time": np.ones(9), "gain": np.linspace(0.1, 0.9, 9)}
    ds = spectrum(dynet.Map(step, jac, params=Three(1.0, 2.0, 0.5)), [0.5], 3_000, params=sets, n_transient=100)
    assert ds["time"].dims == ("time",)
    np.testing.assert_array_equal(ds["gain"], sets["gain"])
    np.testing.assert_allclose(ds.sequence_exponent[:, 0], np.log(sets["gain"]), rtol=0, atol=1e-4)


def test_a_set_that_diverges_is_named():
    a = np.linspace(1.0, 1.4, 12)
    a[7] = 5.0
    with pytest.raises(dynet.DivergenceError, match="of sequence 7") as together:
        spectrum(zoo.henon(), [0.5, 0.1], 200, params={"a": a})
    with pytest.raises(dynet.DivergenceError) as alone:
        spectrum(zoo.henon(a=5.0), [0.5, 0.1], 200)
    assert (together.value.step, together.value.unit) == (alone.value.step, alone.value.unit)


def test_another_set_or_number_of_sets_compiles_nothing():
    from dynet.kernels.lanes import LANE_BLOCKS

    def compiled():
        return sum(len(loop.signatures) for loop in LANE_BLOCKS.values())

    spectrum(zoo.henon(), [0.1, 0.1], 20, params={"a": np.linspace(1, 1.2, 9)})
    before = compiled()
    spectrum(zoo.henon(), np.full((30, 2), 0.1), 50, params={"a": np.linspace(1, 1.3, 30), "b": np.full(30, 0.2)})
    spectrum(zoo.henon(), [0.1, 0.1], 50, params={"b": np.arange(1, 10) // 8 / 4})
    assert compiled() == before > 0


@pytest.mark.parametrize(
    ("params", "x0", "message"),
    [
        ({"c": [1.0, 2.0]}, [0.1, 0.1], "the parameters have a, b"),
        ({"a": 1.2}, [0.1, 0.1], "no entry has an axis more than in the system: .*with_params"),
        ({"a": [1.0, 1.1], "b": [0.1, 0.2, 0.3]}, [0.1, 0.1], "params.a has 2, params.b has 3 sets"),
        (
            {"a": np.ones((2, 2))},
            [0.1, 0.1],
            r"params.a=array of shape \(2, 2\): give an entry for each set, \(set,\)",
        ),
        ({"a": ["x", "y"]}, [0.1, 0.1], "params.a="),
        ((1.0,), [0.1, 0.1], "give the 2 entries of the system's parameters"),
        ({"a": [1.0, 1.1, 1.2]}, np.full((2, 2), 0.1), "params has 3 sets, but there are 2 sequences"),
    ],
)
def test_what_is_no_set_of_parameters_is_said(params, x0, message):
    with pytest.raises(dynet.InputError, match=message):
        spectrum(zoo.henon(), x0, 10, params=params)


def test_recorded_jacobians_have_no_sets():
    system = dynet.Map.from_jacobians(np.ones((10, 1, 1)))
    with pytest.raises(dynet.InputError, match="recorded Jacobians"):
        spectrum(system, None, 10, params=np.ones((3, 10, 1, 1)))


def test_a_checkpoint_belongs_to_its_sets(tmp_path):
    a = np.linspace(1.0, 1.4, 9)
    path = tmp_path / "run.npz"
    one = spectrum(zoo.henon(), [0.1, 0.1], 300, params={"a": a}, checkpoint=path)
    again = spectrum(zoo.henon(), [0.1, 0.1], 300, params={"a": a}, checkpoint=path)
    np.testing.assert_array_equal(one.growth, again.growth)
    with pytest.raises(dynet.InputError, match="parameter sets"):
        spectrum(zoo.henon(), [0.1, 0.1], 300, params={"a": np.append(a[:-1], 1.39)}, checkpoint=path)
