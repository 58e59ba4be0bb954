"""Weights of units, layers and parts in covariant vectors."""

import numpy as np
import pytest

import dynet

participation = dynet.vector_participation
RANDOM = np.random.default_rng(0)
LSTM = dynet.networks.lstm(
    [RANDOM.standard_normal((12, 3)), RANDOM.standard_normal((12, 3))],
    [RANDOM.standard_normal((12, 2)), RANDOM.standard_normal((12, 3))],
)
VECTORS = dynet.covariant_vectors(LSTM, None, 60, inputs=RANDOM.standard_normal((2, 160, 2)), n_transient=50)


@pytest.mark.parametrize(("by", "names"), [("part", ["h", "c"]), ("layer", [0, 1]), ("unit", None)])
def test_weights_are_sums_of_squares_and_sum_to_one(by, names):
    result = participation(VECTORS, by)
    np.testing.assert_allclose(result.weight.sum(by), 1.0, rtol=0, atol=1e-12)
    if names is not None:
        assert result[by].values.tolist() == names
    squares = (VECTORS.covariant_vector**2).mean(("sequence", "time"))
    for name in result[by].values:
        expected = squares.values[VECTORS[by].values == name].sum(axis=0)
        np.testing.assert_allclose(result.weight.sel({by: name}), expected, rtol=1e-12)
    assert np.isfinite(result.standard_error).all()


def test_vectors_of_the_upper_layer_have_no_weight_in_the_lower():
    # two layers: the upper one's own directions stay in it, those of the lower one reach up
    n = 3
    lower, upper, between = (RANDOM.standard_normal((n, n)) for _ in range(3))
    lower = np.linalg.qr(lower)[0] @ np.diag([1.3, 0.9, 0.6]) @ np.linalg.qr(lower)[0].T
    upper = np.linalg.qr(upper)[0] @ np.diag([1.1, 0.75, 0.5]) @ np.linalg.qr(upper)[0].T
    A = np.block([[lower, np.zeros((n, n))], [between, upper]])
    system = dynet.Map(
        lambda t, x, u, p: p @ x,
        lambda t, x, u, p: p,
        params=A,
        units={"unit": list("abcdef"), "layer": ["lower"] * n + ["upper"] * n},
    )
    ds = dynet.covariant_vectors(system, np.full(6, 1e-9), 5, n_transient=200)
    weight = participation(ds, "layer").weight.sel(layer="lower")
    np.testing.assert_allclose(weight[[1, 3, 5]], 0.0, rtol=0, atol=1e-12)
    assert (weight[[0, 2, 4]] > 1e-3).all()


def test_the_number_of_units_that_take_part():
    ds = dynet.covariant_vectors(dynet.zoo.linear_map(np.diag([2.0, 1.0, 0.5])), [1e-9] * 3, 4, n_transient=60)
    np.testing.assert_allclose(participation(ds).participation_number, 1.0, rtol=1e-9)
    H = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
    ds = dynet.covariant_vectors(
        dynet.zoo.linear_map(H @ np.diag([2.0, 1.0, 0.5, 0.25]) @ H.T), [1e-9] * 4, 4, n_transient=60
    )
    np.testing.assert_allclose(participation(ds).participation_number, 4.0, rtol=1e-9)
    np.testing.assert_allclose(participation(ds).weight, 0.25, rtol=1e-9)


def test_lost_vectors_weigh_nothing():
    relu = dynet.networks.relu_rnn(np.diag([0.5, 0.5]), b=[1.0, -1.0])
    result = participation(dynet.covariant_vectors(relu, [1.0, 1.0], 20, n_transient=20))
    np.testing.assert_allclose(result.weight, [[1.0, 0.0], [0.0, 0.0]], rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.participation_number, [1.0, 0.0])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: participation(None), ["result='NoneType'", "dynet.covariant_vectors"]),
        (lambda: participation(VECTORS.isel(time=0)), ["whole"]),
        (lambda: participation(VECTORS, "area"), ["by='area'", "unit", "layer", "part"]),
        (lambda: participation(VECTORS, "time"), ["by='time'"]),
    ],
)
def test_what_cannot_be_used_is_named(call, words):
    with pytest.raises(dynet.InputError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
