"""The command line: ``dynet demo`` and ``dynet spectrum``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import dynet
from dynet.errors import DynetError, InputError
from dynet.lyapunov.dimension import count_zero_exponents, kaplan_yorke_dimension, memory_time

DEMO_TRANSIENT = 16
DEMO_SEQUENCES = 24


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status (2 for input that cannot be used)."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (DynetError, ImportError) as error:
        print(f"dynet {options.command}: {in_flags(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"dynet {options.command}: interrupted; nothing was written", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dynet", description="The dynamics of neural networks.")
    parser.add_argument("--version", action="version", version=f"dynet {dynet.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="train a small LSTM on handwritten digits and show what training does to its exponents",
        description="Train an LSTM on handwritten digits read pixel by pixel (64 steps) and compute its driven "
        "Lyapunov spectrum before and after.",
    )
    demo.add_argument("--out", default="dynet-demo", help="folder for spectrum.nc and spectrum.png (%(default)s)")
    demo.add_argument("--units", type=int, default=32, help="units of the LSTM (%(default)s)")
    demo.add_argument("--epochs", type=int, default=60, help="epochs of training (%(default)s)")
    demo.add_argument("--seed", type=int, default=0, help="seed of weights, split and batches (%(default)s)")
    demo.set_defaults(run=run_demo)

    spectrum = commands.add_parser(
        "spectrum",
        help="Lyapunov spectrum of a saved state_dict, driven by inputs from a file",
        description="Compute the driven Lyapunov spectrum of a recurrent network saved as a state_dict.",
    )
    spectrum.add_argument("weights", metavar="WEIGHTS", help="state_dict: .pt, .pth or .safetensors")
    spectrum.add_argument(
        "--inputs", required=True, metavar="FILE.npy", help="(time, channel) or (sequence, time, channel)"
    )
    spectrum.add_argument("--prefix", help="which network of the state_dict, such as 'encoder.rnn.'")
    spectrum.add_argument("--nonlinearity", choices=("tanh", "relu"), help="of an nn.RNN, whose weights do not tell")
    spectrum.add_argument("--exponents", type=int, help="how many of the leading exponents (all)")
    spectrum.add_argument("--transient", type=int, default=0, help="steps not counted (%(default)s)")
    spectrum.add_argument("--out", default=".", help="folder for spectrum.nc and spectrum.png (%(default)s)")
    spectrum.set_defaults(run=run_spectrum)
    return parser


#: How messages name arguments in Python, and how the command line does.
FLAGS = {
    'nonlinearity="tanh" or "relu"': "--nonlinearity tanh or --nonlinearity relu",
    'nonlinearity="tanh"': "--nonlinearity tanh",
    'nonlinearity="relu"': "--nonlinearity relu",
    "nonlinearity=": "--nonlinearity ",
    "pass prefix=": "pass --prefix with one of them",
    "prefix=": "--prefix ",
    "n_exponents=": "--exponents=",
    "(n_exponents)": "(--exponents)",
    "source=": "WEIGHTS=",
    "inputs has": "--inputs has",
}


def in_flags(message: str) -> str:
    """Return a message with Python's names of arguments replaced by flags."""
    for name, flag in FLAGS.items():
        message = message.replace(name, flag)
    return message


def run_demo(options: argparse.Namespace) -> None:
    """Train, measure before and after, print, and write both files."""
    for name in ("units", "epochs"):
        if getattr(options, name) < 1:
            raise InputError(f"--{name}={getattr(options, name)}: give a whole number of at least 1")
    folder = writable_folder(options.out)
    from tqdm import tqdm

    from dynet.tasks import SequentialImages
    from dynet.torch import SequenceModel, evaluate, train

    task = SequentialImages("digits", validation_share=0.0, rng=options.seed)
    model = SequenceModel("lstm", task.n_channels, options.units, task.n_outputs, rng=options.seed)
    probes = task.test.inputs[:DEMO_SEQUENCES]

    def measure() -> xr.Dataset:
        return dynet.lyapunov_spectrum(
            model.system(),
            None,
            task.n_steps - DEMO_TRANSIENT,
            inputs=probes,
            n_transient=DEMO_TRANSIENT,
        )

    print(
        f"LSTM of {options.units} units reading {task.n_steps} pixels a digit, "
        f"{len(task.train.targets)} digits to learn, {len(task.test.targets)} to test"
    )
    results = {"before training": measure()}
    shares = {"before training": evaluate(model, task, split="test")["metric"]}
    with tqdm(total=options.epochs, desc="training", unit="epoch", mininterval=0.5) as bar:

        def show(row: dict[str, Any]) -> None:
            bar.set_postfix(loss=f"{row['loss']:.2f}")
            bar.update()

        train(
            model,
            task,
            n_epochs=options.epochs,
            learning_rate=0.01,
            schedule="one_cycle",
            n_threads=1,
            rng=options.seed,
            after_epoch=show,
        )
    results["after training"] = measure()
    shares["after training"] = evaluate(model, task, split="test")["metric"]

    print()
    print(table(results, {"test accuracy": {name: f"{100 * share:.0f} %" for name, share in shares.items()}}))
    print()
    print(demo_sentence(results["before training"], results["after training"]))
    together = xr.concat(
        list(results.values()), dim=xr.Variable("checkpoint", list(results)), combine_attrs="drop_conflicts"
    )
    _write(folder, together, results, f"LSTM on digits, {options.units} units, driven by test digits")


def run_spectrum(options: argparse.Namespace) -> None:
    """Load weights and inputs, print the table, and write both files."""
    folder = writable_folder(options.out)
    from dynet.torch import from_state_dict

    inputs = read_inputs(options.inputs)
    system = from_state_dict(options.weights, prefix=options.prefix, nonlinearity=options.nonlinearity)
    print(f"found {getattr(system.step, 'description', 'a recurrent network')}")
    n_steps = inputs.shape[-2] - options.transient
    if options.transient < 0 or n_steps < 1:
        raise InputError(
            f"--transient={options.transient}: the inputs have {inputs.shape[-2]} steps; give 0 to "
            f"{inputs.shape[-2] - 1}"
        )
    result = dynet.lyapunov_spectrum(
        system,
        None,
        n_steps,
        inputs=inputs,
        n_exponents=options.exponents,
        n_transient=options.transient,
        progress=True,
    )
    print(table({"spectrum": result}))
    print()
    print(spectrum_sentence(result))
    _write(folder, result, result, Path(options.weights).name)


def read_inputs(path: str) -> np.ndarray:
    """Return the array of a .npy file (never a pickle)."""
    source = Path(path)
    if not source.is_file():
        raise InputError(f"--inputs={path}: there is no such file")
    try:
        array = np.load(source, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"--inputs={path}: not a readable .npy file of numbers ({error})") from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"--inputs={path}: holds several arrays: save one with numpy.save")
    if array.ndim not in (2, 3) or array.size == 0:
        raise InputError(
            f"--inputs={path}: array of shape {array.shape}: give (time, channel) or (sequence, time, channel)"
        )
    return array


def writable_folder(path: str) -> Path:
    """Return the folder, made if needed, after a trial write: not to fail at the end of long work."""
    import tempfile

    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise InputError(
            f"--out={path}: cannot write into this folder ({error.strerror or error}): give another one"
        ) from error


def _write(folder: Path, result: xr.Dataset, drawn: Any, title: str) -> None:
    from matplotlib.figure import Figure

    written = dynet.save(result, folder / "spectrum.nc")
    figure = Figure(figsize=(6.4, 4.0), layout="constrained", dpi=150)
    axes = dynet.plot.spectrum(drawn, ax=figure.add_subplot())
    axes.set_title(title, loc="left", fontsize="medium")
    picture = folder / "spectrum.png"
    figure.savefig(picture)
    print(f"\nwrote {written} and {picture}")


def table(results: dict[str, xr.Dataset], extra: dict[str, dict[str, str]] | None = None) -> str:
    """Return quantities in rows, results in columns, each number with its error."""
    rows: dict[str, list[str]] = {}
    for name, result in results.items():
        for quantity, text in described(result).items():
            rows.setdefault(quantity, []).append(text)
        for quantity, texts in (extra or {}).items():
            rows.setdefault(quantity, []).append(texts[name])
    header = ["", *results]
    lines = [header, *([quantity, *texts] for quantity, texts in rows.items())]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    out = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    out.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*out, "(± standard error, 68 %; [ ] 95 % interval)"])


def described(result: xr.Dataset) -> dict[str, str]:
    """Return the numbers of the table as text: value ± standard error, or a 95 % interval."""
    quantities = dynet.summary(result).set_index("quantity")
    largest = quantities.loc["largest exponent"]
    mean = quantities.iloc[1]
    few, many = (count_zero_exponents(result, level=level) for level in (0.68, 0.997))
    told = bool((np.isfinite(result["standard_error"]) | result["below_resolution"]).all())
    memory = memory_time(result)
    low, high = memory["interval"].values
    try:
        dimension = kaplan_yorke_dimension(result)
        dimension_text = f"{float(dimension['dimension']):.3g} ± {float(dimension['standard_error']):.2g}"
    except InputError:
        dimension_text = "needs more exponents"
    lost = int(result["below_resolution"].sum())
    return {
        "largest exponent": f"{largest.value:+.4f} ± {largest.standard_error:.4f}",
        str(mean.name): f"{mean.value:+.4f} ± {mean.standard_error:.4f}",
        "zero exponents": f"{count_zero_exponents(result)} [{few}, {many}]" if told else "unknown: too few steps",
        "Kaplan-Yorke dimension": dimension_text,
        "memory time (steps)": f"{float(memory['memory_time']):.3g} [{low:.3g}, {high:.3g}]",
        **({"exponents that are -inf": str(lost)} if lost else {}),
    }


def spectrum_sentence(result: xr.Dataset) -> str:
    """Return in one sentence what a spectrum means."""
    memory = memory_time(result)
    low, high = memory["interval"].values
    value = float(memory["memory_time"])
    exponent = float(result["lyapunov_exponent"].max())
    if np.isfinite(high):
        return (
            f"Driven by these inputs the network is stable: a perturbation of its state fades to 1/e in about "
            f"{value:.3g} steps (95 % interval {low:.3g} to {high:.3g})."
        )
    if np.isfinite(low):
        return (
            "Driven by these inputs the slowest perturbation neither clearly fades nor clearly grows: the largest "
            f"exponent {exponent:+.4f} is zero within its error; longer inputs would tell."
        )
    return (
        f"Driven by these inputs the network is chaotic: a small perturbation grows by a factor e in about "
        f"{1 / exponent:.3g} steps, so it does not settle on a response of its own."
    )


def demo_sentence(before: xr.Dataset, after: xr.Dataset) -> str:
    """Return in one sentence what training did to the memory."""
    pair = {"before": before, "after": after}
    difference = dynet.compare(pair)["interval"].sel(exponent=1).isel(comparison=0)
    lower, upper = float(difference.sel(bound="lower")), float(difference.sel(bound="upper"))
    times = {name: float(memory_time(result)["memory_time"]) for name, result in pair.items()}
    words = {name: f"{time:.3g} steps" if np.isfinite(time) else "no end" for name, time in times.items()}
    if lower > 0:
        change = "Training lengthened the memory"
    elif upper < 0:
        change = "Training shortened the memory"
    else:
        change = "Training left the memory as it was, within the error"
    return (
        f"{change}: a perturbation of the LSTM's state used to fade to 1/e in {words['before']} and now does so "
        f"in {words['after']} (a digit takes 64; paired change of the largest exponent {lower:+.4f} to {upper:+.4f})."
    )


if __name__ == "__main__":
    sys.exit(main())
