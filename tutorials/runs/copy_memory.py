"""Copy memory, learned from three kinds of first weights, after the slides of Sokół and Park.

    python tutorials/runs/copy_memory.py                  # the small settings: a minute, files of its own
    python tutorials/runs/copy_memory.py --kept           # the kept file: ten minutes on one core
    python tutorials/runs/copy_memory.py --full           # delays of 100 and more, trained to the end: days

First a rate is chosen for each cell and each initialisation out of the same few, then the networks are trained, each
with a seed of its own. Every training is a call of a sweep: a run that is stopped goes on with the same command.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr

import dynet
from dynet.tasks import CopyMemory
from dynet.torch import SequenceModel, evaluate, limit_cycle_, orthogonal_, train

KEPT_FILE = Path(__file__).with_suffix(".nc")
INITIALISATIONS = ("default", "orthogonal", "limit cycle")
#: What an attractor is called by `dynet.classify_attractor`; a torus has any number of zero exponents.
KINDS = ("fixed point", "periodic orbit", "torus", "continuous attractor", "chaos", "marginal", "unknown", "other")
#: Delays at which a trained network is tested, as multiples of the longest it was trained at.
FACTORS = (0.5, 1.0, 1.5, 2.0, 4.0)
#: The input channel of "nothing".
BLANK = 0
N_BLANKS = 500


@dataclass(frozen=True)
class Experiment:
    """A cell, the task that it learns, and for how many steps of the optimiser."""

    cell: str
    delay: int | tuple[int, int]
    n_recall: int
    n_updates: int

    def task(self, settings: Settings, n_updates: int | None = None) -> CopyMemory:
        """Return the task; its epochs are short, so that there are curves."""
        n_train = settings.batch_size * min(settings.updates_per_epoch, n_updates or self.n_updates)
        return CopyMemory(self.delay, n_recall=self.n_recall, n_train=n_train, n_validation=100, n_test=500)


@dataclass(frozen=True)
class Settings:
    """All trainings of a run. Rates are searched for "tanh" and "GRU"; the last experiment takes those of the GRU."""

    experiments: dict[str, Experiment]
    n_units: int = 64
    batch_size: int = 32
    updates_per_epoch: int = 25
    n_updates_search: int = 100
    rates: tuple[float, ...] = (3e-3, 1e-2, 3e-2)
    n_repeats: int = 5
    n_starts: int = 1
    n_steps: int = 2_000


SMALL = Settings(
    {
        "tanh": Experiment("tanh", 10, 3, 150),
        "GRU": Experiment("gru", 10, 3, 150),
        "GRU, random delay": Experiment("gru", (6, 10), 2, 150),
    },
    n_units=32,
    n_updates_search=50,
    n_repeats=2,
    n_steps=1_000,
)
KEPT = Settings(
    {
        "tanh": Experiment("tanh", 20, 2, 600),
        "GRU": Experiment("gru", 50, 2, 600),
        "GRU, random delay": Experiment("gru", (25, 50), 2, 600),
    },
    n_updates_search=200,
    rates=(1e-3, 3e-3, 1e-2, 3e-2),
)
FULL = Settings(
    {
        "tanh": Experiment("tanh", 100, 10, 50_000),
        "GRU": Experiment("gru", 100, 10, 50_000),
        "GRU, random delay": Experiment("gru", (100, 120), 10, 50_000),
    },
    n_units=128,
    updates_per_epoch=500,
    n_updates_search=5_000,
    rates=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
    n_repeats=10,
    n_starts=10,
    n_steps=20_000,
)


def make_model(
    cell: str, initialisation: str, task: CopyMemory, n_units: int, rng: np.random.Generator
) -> SequenceModel:
    """Return a network of tanh units or a GRU; initialisations differ in the recurrent weights (and biases) alone."""
    model = SequenceModel(cell, task.n_channels, n_units, task.n_outputs, every_step=True, rng=rng)
    if initialisation == "orthogonal":
        for gate in model.core.weight_hh_l0.chunk(1 if cell == "tanh" else 3):
            orthogonal_(gate, "haar", rng=rng)
    elif initialisation == "limit cycle":
        limit_cycle_(model.core, rng=rng)
    return model


def train_once(
    cell: str, initialisation: str, rate: float, rng: np.random.Generator, *, settings: Settings
) -> xr.Dataset:
    """Train one network for a while, for the choice of a rate."""
    experiment = settings.experiments[cell]
    task = experiment.task(settings, settings.n_updates_search)
    model = make_model(experiment.cell, initialisation, task, settings.n_units, rng)
    return trained(model, task, settings, settings.n_updates_search, rate, rng)[["validation_loss"]]


def learn(
    initialisation: str,
    rng: np.random.Generator,
    *,
    experiment: Experiment,
    settings: Settings,
    rates: dict[str, float],
    folder: str | None = None,
) -> xr.Dataset:
    """Train one network, test it, and look at its dynamics before and after."""
    task, rate = experiment.task(settings), rates[initialisation]
    model = make_model(experiment.cell, initialisation, task, settings.n_units, rng)
    before = {f"{name}_before": variable for name, variable in oscillation(model, task).items() if name != "blank"}
    result = trained(model, task, settings, experiment.n_updates, rate, rng, folder)
    result = result[["loss", "validation_loss", "metric", "gradient_norm", "duration"]]
    result["gradient_norm"] = result["gradient_norm"].sel(parameter="core.weight_hh_l0", drop=True)
    reached = evaluate(model, task, split="test")
    result = result.assign(test_loss=reached["loss"], test_accuracy=reached["metric"], chosen_rate=rate)
    result = result.assign(before | oscillation(model, task)).assign(accuracy_at_delays(model, task))
    return result.assign(attractors(model, task, settings))


def trained(
    model: SequenceModel,
    task: CopyMemory,
    settings: Settings,
    n_updates: int,
    rate: float,
    rng: np.random.Generator,
    folder: str | None = None,
) -> xr.Dataset:
    """Train a model; with a folder, a training that was stopped goes on."""
    place = "-".join(map(str, rng.bit_generator.seed_seq.spawn_key))
    return train(
        model,
        task,
        n_epochs=n_updates // min(settings.updates_per_epoch, n_updates),
        batch_size=settings.batch_size,
        learning_rate=rate,
        schedule="cosine",
        clip=1.0,
        n_threads=1,
        rng=rng,
        checkpoint=folder and Path(folder) / f"{place}.pt",
    )


def system_of(model: SequenceModel) -> dynet.Map:
    """Return the core of a model as one of dynet's own networks, which are compiled."""
    core = model.core
    names = ("weight_hh_l0", "weight_ih_l0", "bias_hh_l0", "bias_ih_l0")
    W_hh, W_xh, b_hh, b_xh = (getattr(core, name).detach().double().numpy() for name in names)
    if isinstance(core, torch.nn.GRU):
        return dynet.networks.gru(W_hh, W_xh, b_hh, b_xh)
    return dynet.networks.tanh_rnn(W_hh, W_xh, b_hh + b_xh)


def delay_states(model: SequenceModel, task: CopyMemory, n: int, n_blanks: int, rng: np.random.Generator) -> np.ndarray:
    """Return states (sequence, time, unit) after the last of random symbols and after each of some blanks."""
    symbols = rng.integers(1, task.n_symbols + 1, (n, task.n_recall))
    read = np.concatenate([symbols, np.full((n, n_blanks), BLANK)], axis=1)
    with torch.no_grad():
        states, _ = model.core(torch.from_numpy(np.eye(task.n_channels, dtype=np.float32)[read]))
    return states.numpy()[:, task.n_recall - 1 :]


def oscillation(model: SequenceModel, task: CopyMemory) -> dict[str, xr.Variable]:
    """Return how fast the state moves while blanks are read, and how often units turn back in the delay itself.

    ``speed(blank)`` is the change of a unit with one more blank, the root mean square over units and sequences;
    ``turns`` is the share of the delay's steps in which a unit's change has another sign than in the step before.
    """
    moves = np.diff(delay_states(model, task, 16, N_BLANKS, np.random.default_rng(0)), axis=1)
    within = moves[:, : task.delay[0] - 1]
    turns = (within[:, 1:] * within[:, :-1] < 0).mean()
    shown = np.unique(np.geomspace(1, N_BLANKS, 40).round().astype(int))
    speed = np.sqrt((moves**2).mean(axis=(0, 2), dtype=np.float64))[shown - 1]
    return {
        "blank": xr.Variable("blank", shown, {"long_name": "blanks read after the symbols", "units": "1"}),
        "speed": xr.Variable("blank", speed, {"long_name": "change of a unit in a step", "units": "1"}),
        "turns": xr.Variable((), turns, {"long_name": "share of steps in which a unit turns back", "units": "1"}),
    }


def accuracy_at_delays(model: SequenceModel, task: CopyMemory, factors: tuple[float, ...] = FACTORS) -> xr.Dataset:
    """Return the share of symbols that are said rightly after delays that were not trained."""
    reached = []
    for factor in factors:
        longer = CopyMemory(round(factor * task.delay[1]), n_recall=task.n_recall, n_test=200)
        reached.append(evaluate(model, longer, split="test")["metric"])
    attrs = {"long_name": "share of symbols said rightly", "units": "1"}
    return xr.Dataset({"accuracy_at": ("factor", reached, attrs)}, {"factor": list(factors)})


def attractors(model: SequenceModel, task: CopyMemory, settings: Settings) -> xr.Dataset:
    """Return which attractors a network comes to that reads blanks for ever, starting from loaded memories.

    ``kind_share(kind)`` of the starts; ``leading_exponent(start)`` and its ``leading_error``.
    """
    n = settings.n_starts
    starts = delay_states(model, task, n, 1, np.random.default_rng(1))[:, 0].astype(np.float64)
    still = system_of(model).with_input(np.eye(task.n_channels)[BLANK])
    found = dynet.classify_attractor(still, starts, settings.n_steps, n_exponents=settings.n_units // 2 + 1)
    share = np.zeros(len(KINDS))
    for label, part in zip(found.label.values, found.share.values, strict=True):
        name = "periodic orbit" if label.startswith("period-") else "torus" if label.endswith("-torus") else str(label)
        share[KINDS.index(name if name in KINDS else "other")] += part
    of_start = found.sel(attractor=found.attractor_of_start, exponent=1)
    return xr.Dataset(
        {
            "kind_share": ("kind", share, {"long_name": "share of starts", "units": "1"}),
            "leading_exponent": ("start", of_start.lyapunov_exponent.values, found.lyapunov_exponent.attrs),
            "leading_error": ("start", of_start.standard_error.values, found.standard_error.attrs),
        },
        {"kind": list(KINDS)},
    )


def choose_rates(settings: Settings, store: Path | None = None, progress: bool = False) -> xr.Dataset:
    """Return the losses that each rate leads to in short trainings, ``search_loss(cell, initialisation, rate)``."""
    grid = {"cell": ["tanh", "GRU"], "initialisation": list(INITIALISATIONS), "rate": list(settings.rates)}
    found = dynet.sweep(partial(train_once, settings=settings), grid, rng=1, store=store, progress=progress)
    refuse_errors(found)
    last = found.validation_loss.isel(epoch=-1, repeat=0, drop=True)
    return last.assign_attrs(long_name="validation loss after a short training", units="nat").to_dataset(
        name="search_loss"
    )


def best_rates(search: xr.Dataset) -> dict[str, dict[str, float]]:
    """Return the rate of the lowest loss by cell and initialisation; trainings that failed count as infinite."""
    best = search.search_loss.fillna(np.inf).idxmin("rate")
    return {
        str(cell): {str(name): float(best.sel(cell=cell, initialisation=name)) for name in best.initialisation.values}
        for cell in best.cell.values
    }


def refuse_errors(result: xr.Dataset) -> None:
    """Raise if a call failed for another reason than that its numbers diverged."""
    messages = result.message.values[result.status.values == 3]
    if messages.size:
        raise RuntimeError(str(messages.ravel()[0]))


def run(settings: Settings, folder: Path | None = None, progress: bool = False) -> xr.Dataset:
    """Choose rates, train all networks, and return everything in one Dataset; with a folder, go on from there."""
    search = choose_rates(settings, folder and folder / "search.zarr", progress)
    rates = best_rates(search)
    results = []
    for name, experiment in settings.experiments.items():
        own = folder and folder / name.replace(", ", "_").replace(" ", "_")
        if own:
            own.mkdir(parents=True, exist_ok=True)
        function = partial(
            learn,
            experiment=experiment,
            settings=dataclasses.replace(settings, experiments={}),
            rates=rates["tanh" if experiment.cell == "tanh" else "GRU"],
            folder=own and str(own),
        )
        one = dynet.sweep(
            function,
            {"initialisation": list(INITIALISATIONS)},
            n_repeats=settings.n_repeats,
            store=own and own.with_suffix(".zarr"),
            progress=progress,
        )
        refuse_errors(one)
        results.append(one.drop_vars("message"))
    names = pd.Index(list(settings.experiments), name="experiment")
    result = xr.concat(results, names, join="outer", combine_attrs="drop_conflicts")
    baselines = [experiment.task(settings).baseline for experiment in settings.experiments.values()]
    attrs = {"long_name": "loss of an answer without memory", "units": "nat"}
    result = result.assign(baseline=("experiment", baselines, attrs)).merge(search)
    kept = {name: result.attrs[name] for name in ("optimizer", "schedule", "clip", "sweep_rng", "dynet_version")}
    result.attrs = {"title": "copy memory from three kinds of first weights", **kept}
    result.attrs["settings"] = json.dumps(dataclasses.asdict(settings))
    return result


def main() -> None:
    """Read the options, run or go on, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--kept", action="store_true", help="the settings of the kept file")
    size.add_argument("--full", action="store_true", help="delays of 100 and more")
    parser.add_argument("--out", type=Path, default=Path("copy_memory.nc"))
    options = parser.parse_args()
    settings = KEPT if options.kept else FULL if options.full else SMALL
    torch.set_num_threads(1)
    result = run(settings, options.out.with_suffix(""), progress=True)
    size = " --kept" if options.kept else " --full" if options.full else ""
    result.attrs["command"] = f"python tutorials/runs/copy_memory.py{size}"
    result.attrs["torch_version"] = str(torch.__version__)
    dynet.save(result, options.out)
    print(result.test_accuracy.mean("repeat").to_pandas().round(3))


if __name__ == "__main__":
    main()
