import numpy as np
import pytest
import torch

import dynet
from dynet import cli


@pytest.fixture
def lstm():
    torch.manual_seed(0)
    return torch.nn.LSTM(2, 3, num_layers=2, dtype=torch.float64)


@pytest.fixture
def inputs(tmp_path):
    array = np.random.default_rng(0).standard_normal((4, 30, 2))
    path = tmp_path / "inputs.npy"
    np.save(path, array)
    return path


def failed(capsys, *arguments):
    """Run a command that must fail; return its message."""
    assert cli.main([str(a) for a in arguments]) == 2
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return printed.err


def test_spectrum_of_a_saved_network_is_that_of_the_module(lstm, inputs, tmp_path, capsys):
    torch.save(lstm.state_dict(), tmp_path / "w.pt")
    out = tmp_path / "new" / "folder"
    arguments = ["spectrum", tmp_path / "w.pt", "--inputs", inputs, "--transient", 5, "--out", out]
    assert cli.main([str(a) for a in arguments]) == 0
    printed = capsys.readouterr().out
    assert "LSTM, 2 layers of 3 units, 2 inputs" in printed
    written = dynet.load(out / "spectrum.nc")
    from dynet.torch import from_module

    direct = dynet.lyapunov_spectrum(from_module(lstm), None, 25, inputs=np.load(inputs), n_transient=5)
    np.testing.assert_array_equal(written.lyapunov_exponent, direct.lyapunov_exponent)
    assert f"{float(direct.lyapunov_exponent[0]):+.4f} ± {float(direct.standard_error[0]):.4f}" in printed
    assert (out / "spectrum.png").read_bytes().startswith(b"\x89PNG")


def test_a_relu_network_needs_its_nonlinearity_named(inputs, tmp_path, capsys):
    torch.save(torch.nn.RNN(2, 3, nonlinearity="relu").state_dict(), tmp_path / "rnn.pt")
    message = failed(capsys, "spectrum", tmp_path / "rnn.pt", "--inputs", inputs, "--out", tmp_path)
    assert "--nonlinearity" in message
    assert "nonlinearity=" not in message
    arguments = ["spectrum", tmp_path / "rnn.pt", "--inputs", inputs, "--out", tmp_path, "--nonlinearity", "relu"]
    assert cli.main([str(a) for a in arguments]) == 0
    assert "relu RNN" in capsys.readouterr().out


def test_files_that_cannot_be_used_are_named(lstm, inputs, tmp_path, capsys):
    torch.save(lstm.state_dict(), tmp_path / "w.pt")
    (tmp_path / "bad.npy").write_bytes(b"no array")
    (tmp_path / "bad.pt").write_bytes(b"no weights")
    np.save(tmp_path / "flat.npy", np.zeros(5))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "wide.npy", np.zeros((30, 5)))
    (tmp_path / "file").write_text("in the way")
    w, out = tmp_path / "w.pt", ("--out", tmp_path)
    assert "no such file" in failed(capsys, "spectrum", w, "--inputs", tmp_path / "none.npy", *out)
    assert "not a readable .npy" in failed(capsys, "spectrum", w, "--inputs", tmp_path / "bad.npy", *out)
    assert "(time, channel)" in failed(capsys, "spectrum", w, "--inputs", tmp_path / "flat.npy", *out)
    assert "not a readable .npy" in failed(capsys, "spectrum", w, "--inputs", tmp_path / "objects.npy", *out)
    assert "reads 2 channels" in failed(capsys, "spectrum", w, "--inputs", tmp_path / "wide.npy", *out)
    assert "bad.pt" in failed(capsys, "spectrum", tmp_path / "bad.pt", "--inputs", inputs, *out)
    assert "none.pt" in failed(capsys, "spectrum", tmp_path / "none.pt", "--inputs", inputs, *out)
    assert "--transient=30" in failed(capsys, "spectrum", w, "--inputs", inputs, "--transient", 30, *out)
    message = failed(capsys, "spectrum", w, "--inputs", inputs, "--out", tmp_path / "file" / "below")
    assert "--out" in message
    assert "cannot write" in message


def test_the_demo_trains_and_writes_both_files(tmp_path, capsys):
    assert cli.main(["demo", "--epochs", "2", "--units", "4", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for words in (
        "before training",
        "after training",
        "largest exponent",
        "zero exponents",
        "memory time (steps)",
        "±",
    ):
        assert words in printed
    written = dynet.load(tmp_path / "spectrum.nc")
    assert written.checkpoint.values.tolist() == ["before training", "after training"]
    assert written.sizes["exponent"] == 8
    # 64 pixels a digit, of which 16 are the transient
    assert written.attrs["n_steps"] + written.attrs["n_transient"] == 64
    assert (tmp_path / "spectrum.png").stat().st_size > 10_000


def test_the_demo_refuses_sizes_of_zero(tmp_path, capsys):
    assert "--epochs=0" in failed(capsys, "demo", "--epochs", 0, "--out", tmp_path)


@pytest.mark.parametrize(("rate", "word"), [(-0.05, "stable"), (0.05, "chaotic")])
def test_the_sentence_says_what_the_largest_exponent_means(rate, word):
    system = dynet.zoo.linear_map(np.diag(np.exp([rate, -1.0])))
    ds = dynet.lyapunov_spectrum(system, [0.0, 0.0], 100, initial_frame=np.eye(2))
    sentence = cli.spectrum_sentence(ds)
    assert word in sentence
    assert " 20 steps" in sentence
