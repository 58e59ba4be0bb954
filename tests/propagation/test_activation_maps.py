"""Maps over gain and saturation, and eigenvalues of the recurrent Jacobian, where both are known."""

import numpy as np
import pytest

import dynet
from dynet.propagation.activation_maps import GAINS, SATURATIONS


def test_map_of_one_unit_is_known_on_paper():
    ds = dynet.jacobian_map([[0.9]], n=[5.0, 8.0], s=[0.3], n_samples=400, n_steps=100, rng=1)
    assert float(ds.lyapunov_exponent[0, 0]) == pytest.approx(-0.4334959424, abs=1e-9)
    # |W| times the mean slope over the pre-activations, which are uniform in (-4.5, 4.5)
    expected = 0.9 * np.array([dynet.gamma_mean_slope(n, 0.3, 4.5) for n in (5.0, 8.0)])
    assert (np.abs(ds.jacobian_norm[:, 0] - expected) < 4 * ds.jacobian_norm_error[:, 0]).all()
    np.testing.assert_allclose(ds.rms_gain, ds.jacobian_norm)


def test_norms_are_those_of_dense_matrices():
    W = np.random.default_rng(0).standard_normal((6, 6))
    b = np.linspace(-1, 1, 6)
    ds = dynet.jacobian_map(
        W, b, n=[1.0, 5.0], s=[0.5, 1.0], n_samples=5, n_starts=3, n_steps=10, half_width=2.0, rng=3
    )
    states = np.random.default_rng(3).uniform(-2, 2, (5, 6))
    for n in (1.0, 5.0):
        for s in (0.5, 1.0):
            slopes = dynet.gamma_activation(states @ W.T + b, n, s, derivative="x")
            J = slopes[:, :, None] * W
            cell = ds.sel(gain=n, saturation=s)
            assert float(cell.jacobian_norm) == pytest.approx(np.linalg.norm(J, 2, axis=(1, 2)).mean(), rel=1e-12)
            rms = np.linalg.norm(J, axis=(1, 2)).mean() / np.sqrt(6)
            assert float(cell.rms_gain) == pytest.approx(rms, rel=1e-12)


def test_norms_stay_below_their_bounds_on_the_papers_grid():
    assert (len(GAINS), GAINS[0], GAINS[1], GAINS[-1]) == (17, 1.0, 1.25, 20.0)
    assert SATURATIONS == (0.0, 0.25, 0.5, 0.75, 1.0)
    W = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    ds = dynet.jacobian_map(W, n=GAINS[::4], s=SATURATIONS[::2], n_samples=4, n_steps=5, n_transient=0)
    bound = dynet.gamma_slope_bound(ds.gain, ds.saturation)
    assert (ds.jacobian_norm <= bound + 1e-12).all()
    assert (ds.rms_gain <= ds.jacobian_norm + 1e-12).all()


def test_diverging_networks_are_marked():
    ds = dynet.jacobian_map(1e3 * np.eye(2), n=[5.0], s=[0.0, 1.0], n_steps=100)
    assert ds.status.values.tolist() == [[1, 0]]
    assert np.isnan(ds.lyapunov_exponent[0, 0])
    assert "not finite" in str(ds.message[0, 0].values)
    assert ds.jacobian_norm[0, 0] > 0
    slower = dynet.jacobian_map(2.0 * np.eye(2), n=[5.0], s=[0.0], n_steps=100)
    assert slower.status.item() == 2
    assert "without end" in slower.message.item()
    assert slower.lyapunov_exponent.item() == pytest.approx(np.log(2.0), abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"W_hh": np.ones((2, 3))}, "square"),
        ({"n": [0.0, 1.0]}, "positive gains"),
        ({"s": [0.5, 1.5]}, r"s=1\.5"),
        ({"n": np.ones((2, 2))}, "several"),
        ({"half_width": -1.0, "n_samples": 0}, "half_width=-1.0.*\n.*n_samples=0"),
        ({"b": np.ones(5)}, "b="),
    ],
)
def test_bad_maps_are_named(arguments, words):
    with pytest.raises(dynet.InputError, match=words):
        dynet.jacobian_map(**({"W_hh": np.eye(2)} | arguments))


@pytest.mark.parametrize("kind", ["gamma", "adaptive", "tanh"])
def test_eigenvalues_are_those_of_the_dense_matrix(kind):
    random = np.random.default_rng(0)
    W = random.standard_normal((4, 4))
    controller = {"W_ag": [0.5], "W_gg": [[0.4]], "W_gn": [0.5], "b_n": 4.0, "W_gs": [0.1], "b_s": 0.6}
    system = {
        "gamma": lambda: dynet.networks.gamma_rnn(W, n=5.0, s=0.7),
        "tanh": lambda: dynet.networks.tanh_rnn(W),
        "adaptive": lambda: dynet.networks.adaptive_rnn(W, **controller),
    }[kind]()  # fmt: skip
    x0 = random.standard_normal((2, system.like.size)) / 2
    ds = dynet.recurrent_eigenvalues(system, x0, 7, n_transient=2, every=3)
    assert ds.eigenvalue.dims == ("sequence", "time", "index")
    assert ds.time.values.tolist() == [2.0, 5.0, 8.0]
    run = dynet.simulate(system, x0, 10).state
    for sequence in range(2):
        for time in (2, 5, 8):
            # at fixed n and s: the Jacobian of the activities alone
            h, after = run[sequence, time, :4].values, run[sequence, time + 1, :4].values
            if kind == "tanh":
                slopes = 1 - after**2
            elif kind == "gamma":
                slopes = dynet.gamma_activation(W @ h, 5.0, 0.7, derivative="x")
            else:
                g = run[sequence, time + 1, 4:].values
                slopes = [
                    dynet.gamma_activation((W @ h)[i], 4 + 0.5 * g[i], 0.6 + 0.1 * g[i], derivative="x")
                    for i in range(4)
                ]
            expected = np.linalg.eigvals(np.array(slopes)[:, None] * W)
            found = ds.eigenvalue.sel(sequence=sequence, time=time).values
            np.testing.assert_allclose(np.poly(found), np.poly(expected), rtol=0, atol=1e-10)
            assert (np.diff(np.abs(found)) <= 1e-12).all()
    np.testing.assert_allclose(np.poly(ds.weight_eigenvalue.values), np.poly(np.linalg.eigvals(W)), atol=1e-10)


def test_eigenvalues_of_other_systems_are_refused():
    with pytest.raises(dynet.InputError, match="LSTM"):
        dynet.recurrent_eigenvalues(dynet.networks.lstm(np.zeros((4, 1))), np.zeros(2), 3)
    with pytest.raises(dynet.InputError, match="one layer"):
        dynet.recurrent_eigenvalues(dynet.zoo.henon(), [0.1, 0.1], 3)
    with pytest.raises(dynet.InputError, match="every=0"):
        dynet.recurrent_eigenvalues(dynet.networks.tanh_rnn(np.eye(2)), np.zeros(2), 3, every=0)
