"""Lyapunov exponents of driven networks and of LSTMs while they learn, after Vogt et al. (2022).

    python tutorials/runs/text_lstm.py                    # the small settings: two minutes, files of its own
    python tutorials/runs/text_lstm.py --kept             # the kept file: 25 minutes on one core
    python tutorials/runs/text_lstm.py --full             # the sizes of the paper

The kept and the full settings read War and Peace and motion capture from the folder that DYNET_DATA names. The work is
done part by part; a run that is stopped goes on with the same command, and ``--only`` takes some parts.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from scipy.optimize import brentq
from threadpoolctl import threadpool_limits

import dynet
from dynet.tasks import Characters, MotionCapture
from dynet.torch import LyapunovMonitor, SequenceModel, evaluate, from_module, train

#: The kept file.
KEPT_FILE = Path(__file__).with_suffix(".nc")
#: The state whose exponents are taken: h at given memories, as in the paper, or (h, c).
STATES = ("hidden", "full")


@dataclass(frozen=True)
class Settings:
    """One training and the spectra that are taken meanwhile.

    ``n_batches`` of None is a whole pass through the data; ``recorded`` are the epochs whose whole spectra are kept.
    All ``seeds`` are used at ``scale`` and ``learning_rate``, the first ``n_repeats`` of them at the others.
    """

    task: str = "text"
    source: str | None = None
    n_units: int = 24
    batch_size: int = 32
    n_batches: int | None = 20
    n_epochs: int = 8
    recorded: tuple[int, ...] = (0, 1, 2, 4, 8)
    decay_from: int | None = None
    n_sequences: int = 10
    n_transient: int = 25
    n_counted: int = 100
    scale: float = 0.08
    learning_rate: float = 0.003
    scales: tuple[float, ...] = (0.64,)
    learning_rates: tuple[float, ...] = ()
    seeds: tuple[int, ...] = (0,)
    n_repeats: int = 1

    def cells(self) -> list[tuple[float, float, int]]:
        """Return (scale of the weights, learning rate, seed) of every training: one of the three varies at a time."""
        cells = [(self.scale, self.learning_rate, seed) for seed in self.seeds]
        for seed in self.seeds[: self.n_repeats]:
            cells += [(scale, self.learning_rate, seed) for scale in self.scales]
            cells += [(self.scale, rate, seed) for rate in self.learning_rates]
        return cells


@dataclass(frozen=True)
class Driven:
    """The driven networks of figures 1 and 2."""

    n_units: int = 100
    n_steps: int = 1_000
    n_networks: int = 1
    gains: tuple[float, float] = (1.0, 2.5)


@dataclass(frozen=True)
class Experiment:
    """All parts together."""

    text: Settings
    motion: Settings
    driven: Driven
    intervals: tuple[int, ...] = (1, 2, 3, 5, 10, 20, 50, 100)
    #: Units of the layer, and how often iteration and spectra take turns.
    costs: tuple[tuple[int, int], ...] = ((24, 3),)


SMALL = Experiment(
    Settings(),
    Settings(
        task="motion",
        n_units=16,
        batch_size=250,
        n_batches=8,
        n_epochs=4,
        recorded=(0, 1, 4),
        n_counted=24,
        learning_rate=0.01,
    ),
    Driven(),
)
KEPT = Experiment(
    Settings(
        source="war_and_peace",
        n_units=64,
        n_batches=80,
        n_epochs=10,
        recorded=(0, 1, 2, 4, 7, 10),
        scales=(0.02, 0.16, 0.32, 0.64),
        learning_rates=(0.0003, 0.001, 0.01),
        seeds=(0, 1, 2),
        n_repeats=2,
    ),
    Settings(
        task="motion",
        source="cmu_mocap",
        n_units=48,
        batch_size=250,
        n_batches=None,
        n_epochs=10,
        recorded=(0, 10),
        n_counted=75,
        scale=0.2,
        learning_rate=0.01,
        scales=(0.05, 0.1, 0.3, 0.4, 0.5),
        seeds=(0, 1, 2),
    ),
    Driven(n_units=200, n_steps=1_500, n_networks=4),
    costs=((64, 3), (128, 3), (512, 1)),
)
FULL = Experiment(
    dataclasses.replace(
        KEPT.text,
        n_units=512,
        batch_size=100,
        n_batches=None,
        n_epochs=40,
        recorded=(0, 1, 2, 4, 10, 20, 40),
        decay_from=10,
    ),
    dataclasses.replace(KEPT.motion, n_units=256, n_epochs=40, recorded=(0, 1, 4, 40), learning_rate=0.05),
    KEPT.driven,
    costs=((512, 3),),
)


# Figures 1 and 2: driven networks


def driven_network(gain: float, n_units: int, rng: int) -> dynet.Map:
    """Return ``x' = gain W tanh(x) + u``, the vanilla network in its pre-activations, an input for each unit."""
    return dynet.networks.random_tanh(n_units, gain, W_xh=np.eye(n_units), rng=rng)


def white_input(n_units: int, n_steps: int, rng: int) -> np.ndarray:
    """Return noise (time, unit) so strong that the mean field of large networks is marginal at a gain of 1.5."""
    sigma = float(dynet.theory.transition(1.5).critical_sigma)
    return sigma * np.random.default_rng(rng).standard_normal((n_steps, n_units))


def leading_exponent(gain: float, inputs: np.ndarray, rng: int, n_transient: int = 200) -> xr.Dataset:
    """Return the leading exponent of a driven network."""
    n_units = inputs.shape[1]
    network = driven_network(gain, n_units, rng)
    n_steps = len(inputs) - n_transient
    return dynet.lyapunov_spectrum(
        network, np.zeros(n_units), n_steps, inputs=inputs, n_transient=n_transient, n_exponents=1
    )


def critical_gain(inputs: np.ndarray, rng: int, bounds: tuple[float, float] = (1.0, 2.5)) -> tuple[float, float]:
    """Return the gain at which the leading exponent is zero, and its standard error.

    Weights and input are the same at every gain, so that the estimate is a function of the gain alone and a root can be
    found; its error is that of the exponent divided by the slope.
    """

    def exponent(gain: float) -> float:
        return float(leading_exponent(gain, inputs, rng).lyapunov_exponent[0])

    gain = float(brentq(exponent, *bounds, xtol=1e-3))
    slope = (exponent(1.1 * gain) - exponent(0.9 * gain)) / (0.2 * gain)
    return gain, float(leading_exponent(gain, inputs, rng).standard_error[0]) / slope


def driven_part(settings: Driven) -> xr.Dataset:
    """Return critical gains of several networks, and of the first one spectra and distances in three regimes."""
    roots = []
    for rng in range(settings.n_networks):
        inputs = white_input(settings.n_units, settings.n_steps + 200, rng)
        roots.append(critical_gain(inputs, rng))
    gains = [settings.gains[0], roots[0][0], settings.gains[1]]
    inputs = white_input(settings.n_units, settings.n_steps + 200, 0)
    spectra, echoes = [], []
    for gain in gains:
        network = driven_network(gain, settings.n_units, 0)
        x0 = np.zeros(settings.n_units)
        spectra.append(dynet.lyapunov_spectrum(network, x0, settings.n_steps, inputs=inputs, n_transient=200))
        echoes.append(dynet.echo_state(network, inputs[:1_000], n_starts=16).isel(sequence=0))
    times = echoes[0].time.values[::10]
    return labelled(
        {
            "critical_gain": (
                ("network",),
                [gain for gain, _ in roots],
                "gain at which the leading exponent is zero",
                "1",
            ),
            "critical_gain_error": (("network",), [error for _, error in roots], "its standard error", "1"),
            "gain": (("regime",), gains, "gain", "1"),
            "driven_exponent": (("regime", "driven_index"), [ds.lyapunov_exponent for ds in spectra], *EXPONENT),
            "driven_error": (("regime", "driven_index"), [ds.standard_error for ds in spectra], *ERROR),
            "distance": (
                ("regime", "driven_time"),
                [ds.distance.values[::10] for ds in echoes],
                "distance of two starts under one input",
                "1",
            ),
            "n_groups": (
                ("regime",),
                [int(ds.n_groups) for ds in echoes],
                "different states that are left at the end",
                "1",
            ),
        },
        {"regime": ["stable", "marginal", "chaotic"], "driven_time": times},
        {"driven_units": settings.n_units, "driven_steps": settings.n_steps, "mean_field_gain": 1.5},
    )


# Figures 3 and 4: training


class Part:
    """A task whose epochs are the first batches of its own; ``None`` takes all of them."""

    splits = ("train", "validation")

    def __init__(self, task: Any, n_train: int | None, n_validation: int | None) -> None:
        self.task, self.loss, self.metric = task, task.loss, task.metric
        self.lengths = {"train": n_train, "validation": n_validation}

    def batches(self, split: str, batch_size: int, rng: Any = None) -> Iterator[Any]:
        """Yield an epoch of a split, each epoch of training from another place in the data."""
        yield from islice(self.task.batches(split, batch_size, rng), self.lengths[split])


def make_task(settings: Settings) -> tuple[Any, np.ndarray]:
    """Return the task, and the sequences of its test split that drive the spectra."""
    n_steps = settings.n_transient + settings.n_counted
    whole: Any
    longer: Any
    if settings.task == "text":
        whole = Characters(settings.source)
        longer = Characters(settings.source, n_steps=n_steps, vocabulary=whole.vocabulary)
        batch = next(longer.batches("test", settings.n_sequences))
        return Part(whole, settings.n_batches, 3), batch.inputs
    whole = MotionCapture(settings.source)
    longer = MotionCapture(settings.source, n_steps=n_steps)
    sequences = np.concatenate([batch.inputs for batch in longer.batches("test", 256)])
    rows = np.linspace(0, len(sequences) - 1, settings.n_sequences).astype(int)
    return Part(whole, settings.n_batches, None), sequences[rows]


def make_model(task: Part, n_units: int, scale: float, rng: int) -> SequenceModel:
    """Return one LSTM layer without biases, its weights uniform in (-scale, scale); characters enter one-hot."""
    n_tokens = getattr(task.task, "n_tokens", None)
    encoder = None if n_tokens is None else torch.nn.Embedding.from_pretrained(torch.eye(n_tokens))
    n_channels = n_tokens or task.task.n_channels
    core = torch.nn.LSTM(n_channels, n_units, bias=False, batch_first=True)
    generator = torch.Generator().manual_seed(rng)
    for weight in core.parameters():
        torch.nn.init.uniform_(weight, -scale, scale, generator=generator)
    return SequenceModel(core, n_channels, n_units, task.task.n_outputs, every_step=True, encoder=encoder, rng=rng)


def spectrum(model: SequenceModel, inputs: np.ndarray, state: str, n_transient: int) -> xr.Dataset:
    """Return all exponents of the LSTM: of its full state (h, c), or of h alone at given memories, as in the paper."""
    system = from_module(model, submodule="core", encode=model.encoder, state=state, dtype="float64")
    return dynet.lyapunov_spectrum(system, None, inputs.shape[1] - n_transient, inputs=inputs, n_transient=n_transient)


def decay(optimizer: torch.optim.Optimizer, n_batches: int, *, n_epochs: int, begin: int) -> Any:
    """Return the paper's schedule: the rate falls by a factor of 0.95 in every epoch after the first ``begin``."""
    length = n_batches / n_epochs
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda batch: 0.95 ** max(0, int(batch / length) - begin + 1))


def train_cell(
    settings: Settings,
    scale: float,
    learning_rate: float,
    seed: int,
    *,
    weights: Path | None = None,
    after: Callable[[int, SequenceModel], None] | None = None,
) -> xr.Dataset:
    """Train one network and return losses by epoch, with the spectra of both states at the recorded epochs.

    ``weights`` is a file that the trained weights are written to; ``after(epoch, model)`` is called at each epoch.
    """
    task, inputs = make_task(settings)
    model = make_model(task, settings.n_units, scale, seed)
    monitor = LyapunovMonitor(
        model, inputs, submodule="core", encode=model.encoder, n_exponents=8, n_transient=settings.n_transient
    )
    spectra: dict[str, list[xr.Dataset]] = {state: [] for state in STATES}

    def record(epoch: int) -> None:
        if epoch in settings.recorded:
            for state in STATES:
                spectra[state].append(spectrum(model, inputs, state, settings.n_transient))
        if after is not None:
            after(epoch, model)

    first = evaluate(model, task)
    monitor.step(0, loss=np.nan, validation_loss=first["loss"])
    record(0)
    schedule: Any = "constant"
    if settings.decay_from is not None:
        schedule = partial(decay, n_epochs=settings.n_epochs, begin=settings.decay_from)
    train(
        model,
        task,
        n_epochs=settings.n_epochs,
        batch_size=settings.batch_size,
        learning_rate=learning_rate,
        schedule=schedule,
        monitor=monitor,
        after_epoch=lambda row: record(row["epoch"]),
        n_threads=1,
        rng=seed,
    )
    if weights is not None:
        torch.save(model.state_dict(), weights)
    recorded = monitor.dataset
    variables: dict[str, Any] = {
        "loss": (("epoch",), recorded.loss.values, "training loss, mean over the epoch", "nat"),
        "validation_loss": (("epoch",), recorded.validation_loss.values, "loss on the validation split", "nat"),
        "leading": (
            ("epoch",),
            recorded.largest.values,
            "largest exponent of the full state, by the monitor",
            "nat / step",
        ),
        "leading_error": (("epoch",), recorded.largest_error.values, *ERROR),
    }
    for state in STATES:
        dims = ("recorded", f"{state}_index")
        variables[f"{state}_exponent"] = (dims, [ds.lyapunov_exponent for ds in spectra[state]], *EXPONENT)
        variables[f"{state}_error"] = (dims, [ds.standard_error for ds in spectra[state]], *ERROR)
        means = [mean_exponent(ds) for ds in spectra[state]]
        variables[f"{state}_mean"] = (
            ("recorded",),
            [mean for mean, _ in means],
            "mean of the finite exponents",
            "nat / step",
        )
        variables[f"{state}_mean_error"] = (("recorded",), [error for _, error in means], *ERROR)
    coords = {"epoch": recorded.epoch.values, "recorded": list(settings.recorded)}
    return labelled(variables, coords, {}).assign_coords(scale=scale, learning_rate=learning_rate, seed=seed)


def mean_exponent(ds: xr.Dataset) -> tuple[float, float]:
    """Return the mean of the finite exponents, and its standard error from the scatter of sequences."""
    finite = np.isfinite(ds.sequence_exponent).all("sequence").values
    means = ds.sequence_exponent.values[:, finite].mean(axis=1)
    return float(means.mean()), float(means.std(ddof=1) / np.sqrt(len(means)))


# Figure 6: the interval between factorisations


def jacobians(model: SequenceModel, inputs: np.ndarray, state: str) -> np.ndarray:
    """Return the Jacobians (sequence, time, n, n) of an LSTM along its run; those of h are a corner of them."""
    system = from_module(model, submodule="core", encode=model.encoder, dtype="float64")
    states = dynet.simulate(system, None, inputs.shape[1], inputs=inputs).state.values
    n = states.shape[-1] if state == "full" else states.shape[-1] // 2
    encoded = torch.as_tensor(inputs) if model.encoder is None else model.encoder(torch.as_tensor(inputs))
    rows = encoded.detach().double()
    identity = torch.eye(states.shape[-1], dtype=torch.float64)[:, :n]
    J = [
        [
            (system.linearize(float(t), torch.from_numpy(states[s, t]), rows[s, t], system.params)[1] @ identity)[
                :n
            ].numpy()
            for t in range(inputs.shape[1])
        ]
        for s in range(len(inputs))
    ]
    return np.array(J)


def plain_exponents(J: np.ndarray, interval: int, dtype: str = "float64") -> np.ndarray:
    """Return the exponents (sequence, exponent) by the paper's algorithm 2: a factorisation every so many steps."""
    matrices = J.astype(dtype)
    _, T, n, _ = J.shape
    growth = np.zeros((len(J), n))
    for s, product in enumerate(matrices):
        Q = np.eye(n, dtype=dtype)
        for t in range(T):
            Q = product[t] @ Q
            if (t + 1) % interval == 0 or t + 1 == T:
                Q, R = np.linalg.qr(Q)
                with np.errstate(divide="ignore"):
                    growth[s] += np.log(np.abs(np.diag(R)).astype(float))
    return growth / T


def interval_part(
    model: SequenceModel, inputs: np.ndarray, intervals: tuple[int, ...], state: str = "hidden"
) -> xr.Dataset:
    """Return exponents against the interval: of the plain algorithm in both precisions, and of dynet."""
    J = jacobians(model, inputs, state)
    precisions = ("float64", "float32")
    plain = np.empty((2, len(intervals), J.shape[-1]))
    guarded, used = np.empty(plain.shape[1:]), []
    seconds = np.empty((2, len(intervals)))
    with threadpool_limits(1):
        for row, dtype in enumerate(precisions):
            for column, interval in enumerate(intervals):
                begun = time.process_time()
                plain[row, column] = plain_exponents(J, interval, dtype).mean(axis=0)
                seconds[row, column] = (time.process_time() - begun) / J[..., 0, 0].size
        for column, interval in enumerate(intervals):
            ds = dynet.lyapunov_spectrum(
                dynet.Map.from_jacobians(J),
                None,
                J.shape[1],
                qr_interval=interval,
                frame="qr",
                initial_frame=np.eye(J.shape[-1]),
            )
            guarded[column] = ds.lyapunov_exponent
            used.append(ds.attrs["qr_interval"])
    return labelled(
        {
            "plain_exponent": (("precision", "interval", "interval_index"), plain, *EXPONENT),
            "guarded_exponent": (("interval", "interval_index"), guarded, *EXPONENT),
            "used_interval": (("interval",), used, "interval that was used in the end", "step"),
            "seconds": (
                ("precision", "interval"),
                seconds,
                "processor time of a step of a sequence, plain algorithm",
                "s",
            ),
        },
        {"precision": list(precisions), "interval": list(intervals)},
        {},
    )


# Table 1: what a spectrum costs


def cost_part(n_units: int, rounds: int, *, n_tokens: int = 82) -> xr.Dataset:
    """Return processor times of a training iteration (100 sequences of 100 steps) and of spectra (10 sequences)."""
    torch.manual_seed(0)
    core = torch.nn.LSTM(n_tokens, n_units, bias=False, batch_first=True)
    one_hot = torch.nn.Embedding.from_pretrained(torch.eye(n_tokens))
    model = SequenceModel(core, n_tokens, n_units, n_tokens, every_step=True, encoder=one_hot)
    optimizer = torch.optim.Adam(core.parameters())
    text = torch.randint(n_tokens, (100, 101))

    def iteration() -> None:
        optimizer.zero_grad()
        outputs = model(text[:, :-1])
        torch.nn.functional.cross_entropy(outputs.flatten(0, 1), text[:, 1:].flatten()).backward()
        optimizer.step()

    sides: dict[str, Callable[[], object]] = {"iteration": iteration}
    for state in STATES:
        sides[state] = partial(spectrum, model, text[:10, :-1].numpy(), state, 0)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    iteration()
    with threadpool_limits(1):
        for _ in range(rounds):
            for name, work in sides.items():
                begun = time.process_time()
                work()
                seconds[name].append(time.process_time() - begun)
    return labelled(
        {"processor_time": (("round", "side"), np.array(list(seconds.values())).T, "processor time, one thread", "s")},
        {"side": list(sides), "round": range(1, rounds + 1)},
        {},
    ).assign_coords(cost_units=n_units)


# The file


EXPONENT = ("Lyapunov exponent", "nat / step")
ERROR = ("standard error", "nat / step")


def labelled(variables: dict[str, Any], coords: dict[str, Any], attrs: dict[str, Any]) -> xr.Dataset:
    """Return a Dataset of ``name -> (dims, values, long_name, units)``."""
    data = {
        name: (dims, np.asarray(values), {"long_name": text, "units": units})
        for name, (dims, values, text, units) in variables.items()
    }
    return xr.Dataset(data, coords, attrs)


def parts_of(experiment: Experiment, folder: Path) -> dict[str, Callable[[], xr.Dataset]]:
    """Return every part by its name."""
    parts: dict[str, Callable[[], xr.Dataset]] = {"driven": partial(driven_part, experiment.driven)}
    for settings in (experiment.text, experiment.motion):
        for number, cell in enumerate(settings.cells()):
            name = f"{settings.task}_{number}"
            parts[name] = partial(train_cell, settings, *cell, weights=folder / f"{name}.pt")
    for n_units, rounds in experiment.costs:
        parts[f"cost_{n_units}"] = partial(cost_part, n_units, rounds)

    def interval() -> xr.Dataset:
        settings = experiment.text
        task, inputs = make_task(settings)
        model = make_model(task, settings.n_units, *settings.cells()[0][::2])
        model.load_state_dict(torch.load(folder / "text_0.pt", weights_only=True))
        return interval_part(model, inputs[:, : settings.n_counted], experiment.intervals)

    parts["interval"] = interval
    return parts


def assembled(experiment: Experiment, results: dict[str, xr.Dataset]) -> xr.Dataset:
    """Return all parts as one Dataset; trainings along ``run`` and ``motion_run``."""

    def family(name: str, dim: str) -> xr.Dataset:
        members = [ds for key, ds in results.items() if key.startswith(f"{name}_")]
        return xr.concat(members, dim, join="outer", combine_attrs="drop")

    text, motion = family("text", "run"), family("motion", "run")
    motion = motion.rename(
        {name: f"motion_{name}" for name in [*motion.variables, *motion.dims] if name != "precision"}
    )
    whole = xr.merge(
        [results["driven"], text, motion, family("cost", "cost_units"), results["interval"]],
        combine_attrs="drop_conflicts",
    )
    for name, variable in whole.data_vars.items():
        if variable.dtype == float:
            whole[name] = variable.astype(np.float32)
    return whole


def main() -> None:
    """Do the parts that are not done, and keep the result when all of them are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--kept", action="store_true", help="the settings of the kept file")
    sizes.add_argument("--full", action="store_true", help="the sizes of the paper")
    parser.add_argument("--only", nargs="*", metavar="PART", help="do these parts alone")
    parser.add_argument("--out", type=Path, default=Path("text_lstm.nc"))
    options = parser.parse_args()
    name = "KEPT" if options.kept else "FULL" if options.full else "SMALL"
    experiment = {"KEPT": KEPT, "FULL": FULL, "SMALL": SMALL}[name]
    folder = options.out.with_suffix(f".{name.lower()}")
    folder.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    parts = parts_of(experiment, folder)
    for part in options.only or parts:
        path = folder / f"{part}.nc"
        if not path.exists():
            begun = time.process_time()
            result = parts[part]()
            result.attrs["processor_seconds"] = time.process_time() - begun
            dynet.save(result, path)
            print(f"{part}: {time.process_time() - begun:.0f} s", flush=True)
    missing = [part for part in parts if not (folder / f"{part}.nc").exists()]
    if missing:
        print("left to do:", *missing)
        return
    results = {part: dynet.load(folder / f"{part}.nc") for part in parts}
    whole = assembled(experiment, results)
    arguments = [argument for argument in sys.argv[1:] if argument != "--only" and argument not in parts]
    whole.attrs.update(
        title=f"Lyapunov exponents of driven networks and of LSTMs while they learn, {name}",
        references="Vogt et al. (2022) doi:10.3389/fams.2022.818799",
        command="python " + shlex.join(["tutorials/runs/text_lstm.py", *arguments]),
        processor_seconds=sum(ds.attrs["processor_seconds"] for ds in results.values()),
        dynet_version=dynet.__version__,
        torch_version=str(torch.__version__),
        **{f"{kind}_settings": repr(getattr(experiment, kind)) for kind in ("text", "motion", "driven")},
    )
    print(f"{dynet.save(whole, options.out)}: {options.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
