"""Driven systems whose convergence, exponents and statistics are known on paper."""

import numpy as np
import pytest

import dynet


def driven_linear(A):
    n = A.shape[0]
    return dynet.Map(lambda t, x, u, p: x @ p.T + u, lambda t, x, u, p: p, params=A, vectorized=True, like=np.zeros(n))


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def test_a_contracting_linear_system_forgets_at_exactly_its_rate():
    Q = np.linalg.qr(noise(5, 5))[0]
    ds = dynet.echo_state(driven_linear(0.8 * Q), noise(3, 250, 5), n_starts=16)
    assert (ds.verdict == "converges").all()
    np.testing.assert_array_equal(ds.n_groups, 1)
    np.testing.assert_allclose(ds.rate, np.log(0.8), atol=1e-6)
    np.testing.assert_allclose(ds.lyapunov_exponent, np.log(0.8), atol=1e-12)
    assert (np.abs(ds.rate - np.log(0.8)) < 10 * ds.rate_standard_error + 1e-9).all()
    # every distance falls alike, whatever the input
    seen = ds.distance.isel(time=slice(0, 60))
    np.testing.assert_allclose(seen, seen[:, :1] * 0.8 ** np.arange(60), rtol=1e-8)
    np.testing.assert_allclose(ds.within_variance, ds.distance**2 / 2, rtol=1e-12)


def test_a_general_linear_system_forgets_at_the_rate_of_its_largest_eigenvalue():
    A = np.array([[0.9, 5.0, 1.0], [0.0, 0.5, -2.0], [0.0, 0.0, -0.3]])
    ds = dynet.echo_state(driven_linear(A), noise(300, 3), n_starts=8, rng=2)
    np.testing.assert_allclose(ds.rate, np.log(0.9), atol=1e-5)
    assert ds.distance.values[0].argmax() > 0  # after a transient growth


def test_an_expanding_linear_system_does_not_converge():
    ds = dynet.echo_state(driven_linear(1.1 * np.eye(2)), noise(100, 2), n_starts=4)
    assert ds.verdict == "does not"
    np.testing.assert_allclose(ds.rate, np.log(1.1), atol=1e-9)
    assert ds.n_groups == 4


def test_strong_inputs_make_a_chaotic_network_converge():
    n = 60
    verdicts = []
    for strength in (0.05, 3.0):
        net = dynet.networks.random_tanh(n, 2.0, W_xh=strength * np.eye(n), rng=1)
        ds = dynet.echo_state(net, noise(400, n), n_starts=32, n_transient=50)
        verdicts.append(str(ds.verdict.values[0]))
        if strength == 3.0:
            error = np.hypot(ds.rate_standard_error, ds.standard_error)
            assert abs(float(ds.rate[0] - ds.lyapunov_exponent[0])) < 4 * error
            assert (ds.within_variance[:, -1] < 1e-20).all()
        else:
            assert ds.lyapunov_exponent > 0
            assert ds.n_groups == 32
    assert verdicts == ["does not", "converges"]


def test_several_attractors_are_told_by_their_number():
    # two uncoupled bistable units, hardly driven: four states, each stable
    net = dynet.networks.tanh_rnn(2 * np.eye(2), np.ones((2, 1)))
    ds = dynet.echo_state(net, 0.01 * noise(200, 1))
    assert ds.verdict == "does not"
    assert ds.n_groups == 4
    assert ds.lyapunov_exponent < -1


def test_what_is_not_seen_is_undecided():
    # algebraic: distances fall as the inverse root of time
    slow = dynet.networks.tanh_rnn(np.eye(1), np.ones((1, 1)))
    assert dynet.echo_state(slow, np.zeros((300, 1))).verdict == "undecided"
    short = driven_linear(0.9 * np.eye(2))
    assert dynet.echo_state(short, noise(40, 2)).verdict == "undecided"
    assert dynet.echo_state(short, noise(40, 2), tolerance=0.1).verdict == "converges"


def test_forgetting_in_one_step_has_an_infinite_rate():
    ds = dynet.echo_state(driven_linear(np.zeros((2, 2))), noise(20, 2), n_starts=3)
    assert ds.verdict == "converges"
    assert ds.rate == -np.inf
    assert ds.rate_standard_error == 0
    assert ds.lyapunov_exponent == -np.inf
    assert ds.standard_error == 0


def test_variance_between_inputs_is_that_of_the_linear_response():
    # x' = a x + u: variance of x under white input is 1 / (1 - a^2)
    a, S = 0.6, 150
    ds = dynet.echo_state(driven_linear(np.array([[a]])), noise(S, 40, 1), n_starts=4)
    expected = (1 - a**80) / (1 - a**2)
    np.testing.assert_allclose(ds.between_variance[-1], expected, rtol=4 * np.sqrt(2 / S))
    assert np.isnan(dynet.echo_state(driven_linear(np.array([[a]])), noise(30, 1), n_starts=3).between_variance).all()


def test_one_by_one_is_the_same_as_all_at_once():
    W, X = noise(4, 4), noise(4, 2, seed=1)
    fast = dynet.networks.tanh_rnn(W, X)
    slow = dynet.Map(lambda t, x, u, p: np.tanh(W @ x + X @ u), jac="finite_difference")
    inputs = noise(30, 2, seed=2)
    starts = noise(5, 4, seed=3)
    both = [dynet.echo_state(system, inputs, x0=starts) for system in (fast, slow)]
    np.testing.assert_allclose(both[0].distance, both[1].distance, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(both[0].lyapunov_exponent, both[1].lyapunov_exponent, rtol=1e-6)
    by_hand = [dynet.simulate(fast, start, 30, inputs=inputs).state.values for start in starts]
    pairs = [np.linalg.norm(a - b, axis=1) ** 2 for i, a in enumerate(by_hand) for b in by_hand[:i]]
    np.testing.assert_allclose(both[0].distance[0], np.sqrt(np.mean(pairs, axis=0)), rtol=1e-9, atol=1e-13)


def test_models_that_encode_their_inputs_read_tokens():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    embedding, rnn = torch.nn.Embedding(5, 3), torch.nn.RNN(3, 4, batch_first=True)
    tokens = np.random.default_rng(0).integers(0, 5, (2, 80))
    model = dynet.torch.from_module(rnn, encode=embedding, dtype="float64")
    plain = dynet.torch.from_module(rnn, dtype="float64")
    rows = embedding(torch.as_tensor(tokens)).detach().double()
    for one, other in (
        (dynet.echo_state(model, tokens, n_starts=3), dynet.echo_state(plain, rows, n_starts=3)),
        (dynet.input_gain(model, tokens, [0.5]), dynet.input_gain(plain, rows, [0.5])),
    ):
        assert one.sizes["sequence"] == 2
        np.testing.assert_allclose(one.lyapunov_exponent, other.lyapunov_exponent, rtol=1e-6)


def test_frozen_memories_have_one_trajectory():
    hidden = dynet.networks.lstm(np.ones((4, 1)), np.ones((4, 1)), state="hidden")
    with pytest.raises(dynet.InputError, match="memories"):
        dynet.echo_state(hidden, np.zeros((10, 1)))


def test_divergence_names_the_start():
    cubic = dynet.Map(lambda t, x, u, p: x**3 + u, lambda t, x, u, p: np.diag(3 * x**2), like=np.zeros(1))
    with pytest.raises(dynet.DivergenceError) as caught, np.errstate(over="ignore"):
        dynet.echo_state(cubic, np.zeros((40, 1)), x0=[[0.1], [0.2], [3.0]])
    assert caught.value.sequence == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_starts": 1, "spread": 0.0, "tolerance": 2.0}, "n_starts=1.*\n.*spread=0.0.*\n.*tolerance=2.0"),
        ({"x0": np.zeros(3)}, "2 units"),
        ({"x0": np.zeros((1, 2))}, "at least two"),
        ({"x0": [np.nan, 0.0]}, "not finite"),
        ({"n_transient": 30}, "more than n_transient"),
        ({"rng": "a"}, "rng='a'"),
        ({"inputs": None}, "inputs=None"),
        ({"inputs": np.zeros(30)}, "inputs=array"),
        ({"inputs": [[1.0], [1.0, 2.0]]}, "rectangular"),
        ({"inputs": np.zeros((0, 30, 2))}, "at least one sequence"),
        ({"inputs": np.full((30, 2), np.inf)}, "not finite"),
    ],
)
def test_bad_input(options, message):
    arguments = {"inputs": np.zeros((30, 2)), **options}
    with pytest.raises(dynet.InputError, match=message):
        dynet.echo_state(driven_linear(np.eye(2)), **arguments)
    if "inputs" not in options:
        return
    with pytest.raises(dynet.InputError, match="inputs"):
        dynet.input_gain(driven_linear(np.eye(2)), arguments["inputs"], [1.0])


def test_flows_are_sent_to_their_map():
    flow = dynet.networks.rate_network(np.eye(2), np.ones((2, 1)))
    with pytest.raises(dynet.InputError, match="to_map"):
        dynet.echo_state(flow, np.zeros((10, 1)))
    assert dynet.echo_state(flow.to_map(0.5), np.zeros((10, 1)), n_starts=2).time[-1] == 5.0


def test_exponents_against_gain_are_those_of_each_gain():
    n, gains = 20, [0.0, 0.7, -2.0]
    net = dynet.networks.random_tanh(n, 1.5, W_xh=np.ones((n, 1)), rng=2)
    inputs = noise(6, 200, 1)
    ds = dynet.input_gain(net, inputs, gains, n_transient=50, n_exponents=2, rng=3, x0=np.ones(n))
    for gain in gains:
        one = dynet.lyapunov_spectrum(net, np.ones(n), 150, inputs=gain * inputs, n_transient=50, n_exponents=2, rng=3)
        for name in ("lyapunov_exponent", "standard_error", "sequence_exponent"):
            np.testing.assert_array_equal(ds[name].sel(gain=gain), one[name])
    assert ds.sequence_exponent.dims == ("gain", "sequence", "exponent")


def test_exponents_against_gain_follow_the_mean_field():
    n = 200
    net = dynet.networks.random_tanh(n, 2.0, W_xh=np.eye(n), rng=3)
    gains = [0.5, 1.3, 2.0]
    ds = dynet.input_gain(net, noise(300, n), gains, n_transient=60).isel(exponent=0)
    line = dynet.theory.mean_field(2.0, gains).lyapunov_exponent.values
    assert (np.abs(ds.lyapunov_exponent - line) < 3 * ds.standard_error + 3 / n).all()
    assert (np.diff(ds.lyapunov_exponent) < 0).all()


@pytest.mark.parametrize("gains", [[], [1.0, 1.0], 2.0, [np.nan], "a"])
def test_gains_that_cannot_be_used(gains):
    with pytest.raises(dynet.InputError, match="gains"):
        dynet.input_gain(driven_linear(np.eye(2)), np.zeros((30, 2)), gains)


def test_variance_of_exponents_is_put_where_it_comes_from():
    # growth of every step: ln |u|. Sequences of one law differ by their length alone
    system = dynet.Map(
        lambda t, x, u, p: u * x, lambda t, x, u, p: u[..., None] * np.ones((1, 1)), vectorized=True, like=np.zeros(1)
    )
    alike = np.exp(noise(60, 200, 1))
    shifted = np.exp(noise(60, 1, 1, seed=5)) * alike
    for inputs, low, high in ((alike, 0.6, 1.6), (shifted, 100, 400)):
        spectrum = dynet.lyapunov_spectrum(system, np.zeros(1), 200, inputs=inputs, check=False)
        ds = dynet.variance_components(spectrum)
        assert low < float(ds.ratio[0]) < high  # 200 steps: 1 + 1 / (1 / 200)
    np.testing.assert_allclose(ds.between_variance, 1.0, rtol=0.4)
    np.testing.assert_allclose(ds.within_variance, 1 / 200, rtol=0.4)
    with pytest.raises(dynet.InputError, match="one sequence"):
        dynet.variance_components(dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 50))


def test_one_run_told_many_times_says_nothing_of_inputs():
    net = dynet.networks.random_tanh(8, 1.5, W_xh=np.eye(8), rng=0)
    rows = np.repeat(noise(1, 80, 8), 4, axis=0)
    ds = dynet.variance_components(dynet.lyapunov_spectrum(net, None, 80, inputs=rows, n_exponents=2))
    np.testing.assert_array_equal(ds.ratio, 0.0)
    np.testing.assert_array_equal(ds.standard_error, np.inf)
    assert ds.attrs["n_identical"] == 2
    # constant growth is the same in all sequences and all of their blocks
    linear = dynet.lyapunov_spectrum(driven_linear(0.5 * np.eye(2)), None, 80, inputs=noise(4, 80, 2))
    np.testing.assert_array_equal(dynet.variance_components(linear).ratio, 1.0)


def test_results_come_back_from_files(tmp_path):
    system, inputs = driven_linear(0.5 * np.eye(2)), noise(2, 60, 2)
    results = (dynet.echo_state(system, inputs, n_starts=3), dynet.input_gain(system, inputs, [0.5, 1.0]))
    for ds in results:
        assert dynet.load(dynet.save(ds, tmp_path / "a.nc")).identical(ds)


def test_starts_that_are_all_the_same_prove_nothing():
    net = dynet.networks.random_tanh(10, 2.5, W_xh=np.ones((10, 1)), rng=0)
    with pytest.raises(dynet.InputError, match="all the same"):
        dynet.echo_state(net, np.zeros((20, 1)), x0=np.ones((4, 10)))


def test_a_gain_of_zero_needs_a_start():
    net = dynet.networks.random_tanh(10, 2.5, W_xh=np.ones((10, 1)), rng=0)
    with pytest.raises(dynet.InputError, match="often a fixed point"):
        dynet.input_gain(net, np.ones((20, 1)), [0.0, 1.0])
