"""The monitor: right numbers, a training that does not notice it, and rows that survive."""

import json
import random
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib import pyplot
from torch import nn

import dynet
from dynet.errors import InputError
from dynet.torch import LyapunovMonitor, from_module
from dynet.torch.journal import Journal
from dynet.torch.recorded import looked_up, recorded

TOKENS = torch.randint(0, 7, (6, 30), generator=torch.Generator().manual_seed(3))


class Model(nn.Module):
    """Dropout and batch norm: a forward pass in training mode is random and changes it."""

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.embedding = nn.Embedding(7, 4)
            self.rnn = nn.LSTM(4, 6, num_layers=2, dropout=0.3, batch_first=True)
            self.drop = nn.Dropout(0.5)
            self.norm = nn.BatchNorm1d(6)
            self.head = nn.Linear(6, 2)

    def encode(self, tokens):
        return self.drop(self.embedding(tokens))

    def forward(self, tokens):
        return self.head(self.norm(self.rnn(self.encode(tokens))[0][:, -1]))


def monitor_of(model, **options):
    settings = {"submodule": "rnn", "encode": model.encode, "n_exponents": 4, "n_transient": 5, **options}
    return LyapunovMonitor(model, TOKENS, **settings)


def trained(watch, n_epochs=4, **options):
    """Train with torch's, numpy's and Python's global random numbers all in use."""
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    model = Model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    monitor = monitor_of(model, **options) if watch else None
    losses, modes = [], []
    for epoch in range(n_epochs):
        model.train()
        model.norm.eval()  # a mode of its own
        tokens = torch.randint(0, 7, (8, 9))
        labels = torch.tensor([random.randrange(2) + np.random.randint(1) for _ in range(8)])  # noqa: NPY002
        loss = nn.functional.cross_entropy(model(tokens), labels)
        optimizer.zero_grad()
        loss.backward()
        if monitor is not None:
            before = {name: p.grad.clone() for name, p in model.named_parameters()}
            monitor.step(epoch, loss=loss)
            assert all(torch.equal(p.grad, before[name]) for name, p in model.named_parameters())
        modes.append([part.training for part in model.modules()])
        optimizer.step()
        losses.append(float(loss.detach()))
    return model, monitor, losses, modes


def test_a_training_does_not_notice_it():
    plain, _, losses, modes = trained(False)
    watched, monitor, watched_losses, watched_modes = trained(True)
    assert losses == watched_losses
    assert modes == watched_modes
    ours, theirs = plain.state_dict(), watched.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert all(p.requires_grad for p in watched.parameters())
    assert monitor.dataset.sizes["epoch"] == 4
    assert (monitor.dataset.message == "").all()


def test_rows_are_the_spectra_of_the_model_as_it_was():
    model, monitor, losses, _ = trained(True)
    np.testing.assert_array_equal(monitor.dataset.loss, np.float64(losses))
    monitor.step(9)
    row = monitor.dataset.sel(epoch=9)
    model.eval()
    system = from_module(model, submodule="rnn", encode=model.encode)
    expected = dynet.lyapunov_spectrum(
        system, None, 25, inputs=TOKENS, n_exponents=4, n_transient=5, qr_interval=2, frame="qr"
    )
    np.testing.assert_allclose(row.lyapunov_exponent, expected.lyapunov_exponent, atol=1e-5)
    np.testing.assert_allclose(row.standard_error, expected.standard_error, atol=1e-5)
    values = row.lyapunov_exponent.values
    assert float(row.largest) == values.max()
    assert float(row["mean"]) == pytest.approx(values.mean())
    assert float(row.variance) == pytest.approx(values.var())
    assert float(row.n_zero) == dynet.count_zero_exponents(expected)
    for name, parameter in model.named_parameters():
        assert float(row.gradient_norm.sel(parameter=name)) == pytest.approx(float(parameter.grad.norm()), rel=1e-6)
    assert np.isnan(row.loss)


def test_errors_of_mean_and_variance_are_their_scatter_over_sequences():
    model = nn.GRU(1, 5, batch_first=True, dtype=torch.float64)
    inputs = np.random.default_rng(0).standard_normal((40, 30, 1))
    monitor = LyapunovMonitor(model, inputs)
    monitor.step(0)
    spectrum = dynet.lyapunov_spectrum(from_module(model), None, 30, inputs=inputs)
    rates = spectrum.sequence_exponent.values
    (row,) = monitor.dataset.transpose("epoch", ...).sel(epoch=[0]).to_dict()["data_vars"]["mean_error"]["data"]
    assert row == pytest.approx(rates.mean(axis=1).std(ddof=1) / np.sqrt(40), rel=0.03)
    # sequence by sequence the variance would be biased: it is linearised about the mean spectrum
    mean = rates.mean(axis=0)
    slopes = 2 * (mean - mean.mean()) / 5
    expected = (rates @ slopes).std(ddof=1) / np.sqrt(40)
    assert float(monitor.dataset.variance_error[0]) == pytest.approx(expected, rel=0.03)
    assert monitor.dataset.sizes["exponent"] == 5  # all there are


def test_inputs_are_encoded_anew_at_every_step():
    model = Model()
    monitor = monitor_of(model)
    monitor.step(0)
    monitor.step(1)
    with torch.no_grad():
        model.embedding.weight.mul_(3.0)
    monitor.step(2)
    rows = monitor.dataset.lyapunov_exponent.values
    np.testing.assert_array_equal(rows[0], rows[1])
    assert np.abs(rows[2] - rows[1]).max() > 1e-3


def test_later_changes_of_the_inputs_do_not_reach_it():
    model = nn.RNN(1, 4)
    for inputs in (torch.ones(6, 20, 1), np.ones((6, 20, 1))):
        monitor = LyapunovMonitor(model, inputs)
        monitor.step(0)
        inputs *= -5
        monitor.step(1)
        rows = monitor.dataset.lyapunov_exponent.values
        np.testing.assert_array_equal(rows[0], rows[1])


def test_every_counts_epochs():
    monitor = LyapunovMonitor(nn.RNN(1, 4), torch.ones(20, 1), every=5)
    for epoch in range(1, 13):
        monitor.step(epoch)
    assert monitor.dataset.epoch.values.tolist() == [5, 10]


def test_latest_is_flat_and_of_floats():
    _, monitor, losses, _ = trained(True)
    assert LyapunovMonitor(nn.RNN(1, 4), torch.ones(20, 1)).latest == {}
    latest = monitor.latest
    assert all(type(value) is float for value in latest.values())
    assert latest["epoch"] == 3.0
    assert latest["loss"] == losses[-1]
    assert latest["largest"] == float(monitor.dataset.largest[-1])
    assert latest["lyapunov_exponent_2"] == float(monitor.dataset.lyapunov_exponent[-1, 1])
    assert latest["gradient_norm/head.bias"] > 0


def test_gradients_that_are_missing_sparse_or_in_half_precision():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(7, 3, sparse=True)
            self.core = nn.RNN(3, 4, batch_first=True)
            self.narrow = nn.Parameter(torch.full((4,), 300.0, dtype=torch.float16))

    model = Odd()
    model.core(model.embedding(TOKENS[:, :3]))[0].sum().backward()
    model.narrow.grad = torch.full((4,), 6e4, dtype=torch.float16)  # the sum of squares is beyond float16
    model.core.bias_hh_l0.grad = None
    monitor = LyapunovMonitor(model, TOKENS, submodule="core", encode=model.embedding)
    monitor.step(0)
    norms = monitor.dataset.gradient_norm.isel(epoch=0)
    dense = model.embedding.weight.grad.to_dense()
    assert float(norms.sel(parameter="embedding.weight")) == pytest.approx(float(dense.norm()), rel=1e-6)
    assert float(norms.sel(parameter="narrow")) == pytest.approx(1.2e5, rel=1e-3)
    assert np.isnan(norms.sel(parameter="core.bias_hh_l0"))


def test_the_table_tells_the_last_epoch_and_the_change():
    model = nn.RNN(1, 6, dtype=torch.float64)
    monitor = LyapunovMonitor(model, np.random.default_rng(0).standard_normal((8, 40, 1)), n_exponents=3)
    for epoch in (2, 4):
        monitor.step(epoch)
        with torch.no_grad():
            model.weight_hh_l0.mul_(1.5)
    ds, table = monitor.dataset, dynet.summary(monitor.dataset).set_index("quantity")
    assert table.value["largest exponent, epoch 4"] == float(ds.largest[1])
    change = table.loc["its change since epoch 2"]
    assert change.value == pytest.approx(float(ds.largest[1] - ds.largest[0]))
    assert change.standard_error == pytest.approx(float(np.hypot(*ds.largest_error.values)))
    assert change.lower < change.value < change.upper
    assert table.value["variance of 3 exponents, epoch 4"] == float(ds.variance[1])
    with pytest.raises(InputError, match="lyapunov_spectrum"):
        dynet.kaplan_yorke_dimension(ds)


def test_a_network_that_forgets_at_once_has_a_row_too():
    model = nn.RNN(1, 3, nonlinearity="relu")
    with torch.no_grad():
        model.bias_hh_l0.fill_(-100.0)
    monitor = LyapunovMonitor(model, torch.ones(6, 20, 1))
    monitor.step(0)
    assert np.isneginf(monitor.dataset.lyapunov_exponent).all()
    assert np.isneginf(monitor.dataset.largest).all()
    assert float(monitor.dataset.n_zero[0]) == 0
    assert str(monitor.dataset.message[0].values) == ""
    assert "every perturbation dies at once" in dynet.summary(monitor.dataset).verdict.tolist()
    dynet.plot.training_spectra(monitor.dataset)
    pyplot.close("all")


class TestItNeverStopsATraining:
    def test_weights_that_diverged(self):
        model = Model()
        monitor = monitor_of(model)
        monitor.step(0, loss=1.0)
        with torch.no_grad():
            model.rnn.weight_hh_l0[0, 0] = torch.nan
        with pytest.warns(UserWarning, match=r"epoch 1: the spectrum failed with InputError: .*not finite"):
            monitor.step(1, loss=2.0)
        last = monitor.dataset.sel(epoch=1)
        assert np.isnan(last.lyapunov_exponent).all()
        assert np.isnan(last.largest)
        assert float(last.loss) == 2.0
        assert "not finite" in str(last.message.values)
        assert (monitor.dataset.sel(epoch=0).message == "").all()
        assert all(part.training for part in model.modules())
        table = dynet.summary(monitor.dataset).set_index("quantity")
        assert table.value["epochs that failed"] == 1
        assert "largest exponent, epoch 0" in table.index

    def test_scalars_that_are_no_numbers_epochs_that_are_none_and_names_that_are_taken(self):
        monitor = LyapunovMonitor(nn.RNN(1, 4), torch.ones(20, 1))
        with pytest.warns(UserWarning, match=r"scalar loss failed.*scalar mean failed.*another"):
            monitor.step(0, loss="high", mean=1.0, accuracy=torch.tensor(0.5))
        assert float(monitor.dataset.accuracy[0]) == 0.5
        assert np.isfinite(monitor.dataset.largest).all()
        with pytest.warns(UserWarning, match="epoch first: the row failed"):
            monitor.step("first")
        assert monitor.dataset.sizes["epoch"] == 1

    def test_a_disk_that_fails_for_a_while(self, tmp_path, monkeypatch):
        path = tmp_path / "rows.jsonl"
        monitor = LyapunovMonitor(nn.RNN(1, 4), torch.ones(20, 1), path=path)
        monitor.step(0)

        def full(handle):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("dynet.torch.journal.os.fsync", full)
            with pytest.warns(UserWarning, match="epoch 1: the row failed.*No space left"):
                monitor.step(1)
            assert LyapunovMonitor.load(path).epoch.values.tolist() == [0]
        monitor.step(2)
        xr.testing.assert_identical(LyapunovMonitor.load(path), monitor.dataset)
        assert monitor.dataset.epoch.values.tolist() == [0, 1, 2]

    def test_errors_can_be_asked_for_or_be_silent(self):
        model = nn.RNN(1, 4)
        loud, silent = (LyapunovMonitor(model, torch.ones(20, 1), on_error=way) for way in ("raise", "ignore"))
        with torch.no_grad():
            model.weight_hh_l0[0, 0] = torch.inf
        with pytest.raises(InputError, match="not finite"):
            loud.step(0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            silent.step(0)
        assert "not finite" in str(silent.dataset.message[0].values)

    def test_ctrl_c_passes_and_leaves_the_model_as_it_was(self, monkeypatch):
        model = Model()
        monitor = monitor_of(model)

        def interrupted(*arguments, **settings):
            raise KeyboardInterrupt

        monkeypatch.setattr("dynet.torch.monitor.make_problem", interrupted)
        with pytest.raises(KeyboardInterrupt):
            monitor.step(0)
        assert all(part.training for part in model.modules())


class TestItsFile:
    def test_it_comes_back_identical_at_every_moment(self, tmp_path):
        path = tmp_path / "rows.jsonl"
        monitor = LyapunovMonitor(nn.RNN(1, 4, nonlinearity="relu"), torch.ones(6, 20, 1), path=path)
        xr.testing.assert_identical(LyapunovMonitor.load(path), monitor.dataset)
        assert monitor.dataset.sizes["epoch"] == 0
        for epoch in range(3):
            monitor.step(epoch, loss=0.1 / 3)
            xr.testing.assert_identical(LyapunovMonitor.load(str(path)), monitor.dataset)
        saved = dynet.load(dynet.save(monitor.dataset, tmp_path / "rows.nc"))
        xr.testing.assert_identical(saved, monitor.dataset)
        dynet.load(dynet.save(monitor.dataset.isel(epoch=[]), tmp_path / "none.nc"))

    @pytest.mark.parametrize("cut", [1, 40, 10**6])
    def test_a_crash_costs_at_most_the_line_it_cut_and_the_training_goes_on(self, cut, tmp_path):
        path, model = tmp_path / "rows.jsonl", nn.RNN(1, 4)
        monitor = LyapunovMonitor(model, torch.ones(20, 1), path=path)
        for epoch in range(3):
            monitor.step(epoch)
        content = path.read_bytes()
        last = content[:-1].rfind(b"\n") + 1
        path.write_bytes(content[: max(last + 1, len(content) - cut)])
        assert LyapunovMonitor.load(path).epoch.values.tolist() == [0, 1]
        again = LyapunovMonitor(model, torch.ones(20, 1), path=path)
        again.step(2)
        again.step(3)
        assert LyapunovMonitor.load(path).epoch.values.tolist() == [0, 1, 2, 3]
        xr.testing.assert_identical(LyapunovMonitor.load(path), again.dataset)

    def test_going_back_to_a_checkpoint_takes_later_rows_back(self, tmp_path):
        path, model = tmp_path / "rows.jsonl", nn.RNN(1, 4)
        first = LyapunovMonitor(model, torch.ones(20, 1), path=path)
        for epoch in range(5):
            first.step(epoch, loss=1.0)
        again = LyapunovMonitor(model, torch.ones(20, 1), path=path)
        again.step(2, loss=2.0)
        for ds in (again.dataset, LyapunovMonitor.load(path)):
            assert ds.epoch.values.tolist() == [0, 1, 2]
            assert ds.loss.values.tolist() == [1.0, 1.0, 2.0]
        assert path.read_text().count("\n") == 7  # nothing is lost from the file

    def test_a_row_that_is_repeated_takes_nothing_back(self, tmp_path):
        # a training that goes on after it was killed begins with the same step(0) once more
        path, model = tmp_path / "rows.jsonl", nn.RNN(1, 4)
        for epochs in ((0, 1, 2), (0, 3)):
            monitor = LyapunovMonitor(model, torch.ones(20, 1), path=path)
            for epoch in epochs:
                monitor.step(epoch)
                assert monitor.latest["epoch"] == epoch
        for ds in (monitor.dataset, LyapunovMonitor.load(path)):
            assert ds.epoch.values.tolist() == [0, 1, 2, 3]
        with torch.no_grad():
            model.weight_hh_l0[0, 0] = torch.nan
        for _ in range(2):  # what is not known may be different
            with pytest.warns(UserWarning, match="epoch 1"):
                monitor.step(1)
            with pytest.warns(UserWarning, match="epoch 2"):
                monitor.step(2)
        with pytest.warns(UserWarning, match="epoch 1"):
            monitor.step(1)
        assert LyapunovMonitor.load(path).epoch.values.tolist() == [0, 1]

    def test_files_of_something_else_are_refused(self, tmp_path):
        path, model = tmp_path / "rows.jsonl", nn.RNN(1, 4)
        LyapunovMonitor(model, torch.ones(20, 1), path=path)
        with pytest.raises(InputError, match=r"n_transient \(0 in the file, 3 here\)"):
            LyapunovMonitor(model, torch.ones(20, 1), path=path, n_transient=3)
        with pytest.raises(InputError, match="inputs_sha256"):
            LyapunovMonitor(model, torch.zeros(20, 1), path=path)
        path.write_text(path.read_text() + "nonsense\n" + json.dumps({"epoch": 1}) + "\n")
        with pytest.raises(InputError, match="line 2 is damaged"):
            LyapunovMonitor.load(path)
        path.write_text("hello\n")
        for attempt in (LyapunovMonitor.load, lambda p: LyapunovMonitor(model, torch.ones(20, 1), path=p)):
            with pytest.raises(InputError, match="not a file of a LyapunovMonitor"):
                attempt(path)
        assert path.read_text() == "hello\n"

    def test_folders_and_files_that_are_not_there(self, tmp_path):
        with pytest.raises(InputError, match="cannot be written"):
            LyapunovMonitor(nn.RNN(1, 4), torch.ones(20, 1), path=tmp_path / "nowhere" / "rows.jsonl")
        with pytest.raises(InputError, match="cannot be written"):
            Journal({}, tmp_path)
        with pytest.raises(InputError, match="no such file"):
            LyapunovMonitor.load(tmp_path / "rows.jsonl")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_exponents": 0}, "n_exponents=0"),
        ({"every": 0}, "every=0"),
        ({"on_error": "stop"}, "on_error='stop'"),
        ({"dtype": "int8"}, "dtype='int8'"),
        ({"n_transient": 30}, "n_transient=30.*30 rows"),
        ({"submodule": "lstm"}, "submodule='lstm'"),
        ({"encode": None}, "inputs"),
        ({"encode": lambda tokens: tokens}, "encode gave"),
    ],
)
def test_bad_arguments_are_named_before_the_training(options, words):
    with pytest.raises(InputError, match=words):
        monitor_of(Model(), **options)


def test_things_that_are_no_models_or_inputs():
    with pytest.raises(InputError, match=r"torch\.nn\.Module"):
        LyapunovMonitor(lambda x: x, torch.ones(20, 1))
    for inputs in ([[1.0], [1.0, 2.0]], None, "text", torch.ones(20), torch.ones(20, 3)):
        with pytest.raises(InputError, match="inputs"):
            LyapunovMonitor(nn.RNN(1, 4), inputs)


CORES = {
    "tanh": lambda: nn.RNN(2, 5),
    "relu": lambda: nn.RNN(2, 5, nonlinearity="relu"),
    "gru": lambda: nn.GRU(2, 5, bias=False),
    "lstm": lambda: nn.LSTM(2, 5),
    "cell": lambda: nn.LSTMCell(2, 5),
}


@pytest.mark.parametrize("shape", [(3, 12, 2), (1, 12, 2), (12, 2)])
@pytest.mark.parametrize("kind", CORES)
def test_recorded_runs_are_the_runs_themselves(kind, shape, monkeypatch):
    monkeypatch.setattr("dynet.torch.carried._NUMBERS_TOGETHER", 250)  # a few steps
    module = CORES[kind]().double()
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(0.2, 0.5, generator=torch.Generator().manual_seed(0))
    inputs = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    system = from_module(module)
    fast = recorded(system, inputs)
    assert hasattr(fast.linearize, "carry")
    # what stands in for it where the tensors live on a device
    names = {"tanh": "rnn_tanh", "relu": "rnn_relu", "cell": "lstm"}
    device = replace(system, linearize=looked_up(system, names.get(kind, kind), inputs.reshape(-1, 12, 2)))
    settings = {"inputs": inputs, "n_transient": 3, "n_exponents": 2, "qr_interval": 2, "frame": "qr", "check": False}
    theirs = dynet.lyapunov_spectrum(system, None, 9, **settings)
    x, u = system.like, inputs.reshape(-1, 12, 2)[0, 0]
    for other in (fast, device):
        ours = dynet.lyapunov_spectrum(other, None, 9, **settings)
        np.testing.assert_allclose(ours.final_state, theirs.final_state, atol=1e-14)
        np.testing.assert_allclose(ours.growth, theirs.growth, atol=1e-12)
        if len(shape) == 2:
            W = torch.randn(len(x), 3, dtype=torch.float64)
            transposed = (s.linearize(0.0, x, u, system.params)[1].transpose() @ W for s in (other, system))
            np.testing.assert_allclose(*transposed, atol=1e-14)


def test_half_the_digits_are_enough_for_leading_exponents():
    """A trained LSTM in float32: what is lost is far below the standard error, at every epoch."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.LSTM(1, 32, batch_first=True))
    head = nn.Linear(32, 1)
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=0.01)
    inputs = torch.randn(10, 100, 1, generator=torch.Generator().manual_seed(1))
    options = {"submodule": "0", "n_exponents": 16, "n_transient": 10}
    half = LyapunovMonitor(model, inputs, **options)
    whole = LyapunovMonitor(model, inputs, dtype="float64", **options)
    for epoch in range(3):
        for _ in range(15):  # remember the sign of five steps ago
            given = torch.randn(20, 30, 1)
            told = head(model(given)[0])[:, 5:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(told, (given[:, :-5, 0] > 0).float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        half.step(epoch)
        whole.step(epoch)
    assert half.dataset.attrs["dtype"] == "float32"
    difference = np.abs(half.dataset.lyapunov_exponent - whole.dataset.lyapunov_exponent)
    assert float((difference / whole.dataset.standard_error).max()) < 0.01


def test_what_cannot_be_recorded_is_run_as_it_is():
    inputs = torch.ones(4, 10, 2, dtype=torch.float64)
    for system in (
        from_module(nn.LSTM(2, 3, num_layers=2).double()),
        from_module(nn.LSTM(2, 3).double(), state="hidden"),
        dynet.zoo.henon(),
    ):
        assert recorded(system, inputs) is system
