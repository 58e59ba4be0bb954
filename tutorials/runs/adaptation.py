"""Networks with fixed, learned and adaptive activations on permuted sequential digits, as in Geadah et al. (2024).

    python tutorials/runs/adaptation.py                        # small networks for a few epochs: half a minute
    python tutorials/runs/adaptation.py --kept                 # what adaptation.nc holds: ten minutes of one core
    python tutorials/runs/adaptation.py --full --folder DATA   # the paper's settings: days without a GPU

Every core and seed is a cell of a sweep: it trains one network, drives it, and reads its units. Cells are kept in a
folder beside the result, checkpoints in the middle of a training too, so that a stopped run goes on with the same
command.

The full setting keeps the activations of 784 steps for the gradient: for the adaptive network, 400 units with 50
controller states each at a batch of 128, one array of 128 x 400 x 50 numbers a step and a bit more: about 10 GB.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

import dynet
from dynet.tasks import SequentialImages, contrast, noise_drive, step_drive
from dynet.torch import AdaptiveRNN, SequenceModel, evaluate, matched_units, orthogonal_, train

#: What `--kept` made, and the adaptive network of its first seed.
KEPT_FILE = Path(__file__).with_name("adaptation.nc")
KEPT_WEIGHTS = Path(__file__).with_name("adaptation_adaptive.pt")

CORES = {"relu": "RNN + ReLU", "gamma": "RNN + γ", "adaptive": "adaptive", "lstm": "LSTM", "gru": "GRU"}
#: Cores whose units have one pre-activation to which a drive can be added; the paper leaves the others out too.
DRIVEN = ("relu", "gamma", "adaptive")
NETWORKS = ("frozen", "frozen with drive", "full", "not adapted")
WIRINGS = ("network", "isolated")
SIGNALS = ("activity", "gain", "saturation")

LONG_NAMES = {
    "accuracy": "share of test images told right",
    "step_accuracy": "the same under a step drive of all units",
    "held_accuracy": "the same under a step drive, with n and s of each step as without the drive",
    "noise_accuracy": "the same under a noisy drive of all units",
    "contrast_accuracy": "the same under a sinusoidal contrast, mean over phases",
    "turned_accuracy": "the same on images turned by 45 degrees, before and after n and s have learned them",
    "largest_activity": "largest activity of a unit after 500 steps without images",
    "order": "fractional order of the response to a step",
    "order_without_gain": "fractional order by the paper's method, without a gain",
    "order_delta_aic": "AIC of exponential adaptation less that of the fractional order",
}
UNITS = dict.fromkeys(
    ("lyapunov_exponent", "standard_error", "adaptive_lyapunov_exponent", "adaptive_standard_error"), "nat / step"
) | {"seconds": "s", "loss": "nat"}


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is trained, for how long, and what is measured."""

    dataset: str = "digits"
    folder: str | None = None
    units: int = 24  # of the adaptive network; the others get as many parameters
    controller: int = 8
    epochs: int = 4
    rate: float = 5e-3
    gated_epochs: int = 4  # of LSTM and GRU, which learn more slowly
    gated_rate: float = 1e-2
    schedule: str = "cosine"
    batch: int = 64
    seeds: int = 1
    amplitudes: tuple[float, ...] = (0.0, 0.1, 1.0, 10.0)  # of step and noise
    contrasts: tuple[float, ...] = (0.0, 0.5, 1.0)
    phases: int = 2
    levels: tuple[float, ...] = (1.0, 10.0)  # of the drive of single units
    drives: tuple[float, ...] = (0.0, 1.0)  # under which exponents are measured
    n_steps: int = 100  # of an exponent
    transfer_epochs: int = 2
    transfer_rate: float = 1e-2


SMALL = Setting()
#: The rate of LSTM and GRU is the better one of 3e-3 and 1e-2 on the validation images, that of the others 3e-3.
KEPT = Setting(
    units=64,
    controller=12,
    epochs=32,
    rate=3e-3,
    gated_epochs=60,
    gated_rate=1e-2,
    seeds=3,
    amplitudes=(0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
    contrasts=(0.0, 0.25, 0.5, 0.75, 1.0),
    phases=4,
    levels=(1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0),
    drives=(0.0, 0.1, 0.3, 1.0, 3.0, 10.0),
    n_steps=300,
    transfer_epochs=10,
)
#: What the paper says (sections 5.2 and 5.3); how long drives last it does not say.
FULL = dataclasses.replace(
    KEPT,
    dataset="mnist",
    units=400,
    controller=50,
    epochs=100,
    rate=1e-4,
    gated_epochs=100,
    gated_rate=1e-4,
    schedule="constant",
    batch=128,
    seeds=5,
)


def make_task(setting: Setting, seed: int, angle: float = 0.0) -> SequentialImages:
    """Return the images of a seed: it draws the split and the order of the pixels."""
    return SequentialImages(setting.dataset, folder=setting.folder, permute=True, angle=angle, rng=seed)


def make_model(core: str, n_units: int, controller: int, *, n_channels: int = 1, seed: int = 0) -> SequenceModel:
    """Return a network; recurrent weights of the first three kinds are orthogonal as those of Henaff et al."""
    made: Any = AdaptiveRNN(n_channels, n_units, controller, batch_first=True) if core == "adaptive" else core
    model = SequenceModel(made, n_channels, n_units, 10, rng=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if core == "adaptive":
            model.core.reset_parameters()
        elif core == "gamma":
            orthogonal_(model.core.W_hh)
        elif core == "relu":  # with the input weights and biases of the other two
            orthogonal_(model.core.weight_hh_l0)
            torch.nn.init.xavier_uniform_(model.core.weight_ih_l0)
            for bias in (model.core.bias_ih_l0, model.core.bias_hh_l0):
                torch.nn.init.zeros_(bias)
    return model


def kept_network() -> SequenceModel:
    """Return the adaptive network of the kept run's first seed."""
    model = make_model("adaptive", KEPT.units, KEPT.controller)
    model.load_state_dict(torch.load(KEPT_WEIGHTS, weights_only=True))
    return model


def n_parameters(model: torch.nn.Module) -> int:
    """Return how many numbers a model learns."""
    return sum(parameter.numel() for parameter in model.parameters())


def units_of(core: str, setting: Setting) -> int:
    """Return the units with which a core has as many parameters as the adaptive network, within 2 %."""
    if core == "adaptive":
        return setting.units
    aim = n_parameters(make_model("adaptive", setting.units, setting.controller))
    return matched_units(lambda n_units: SequenceModel(core, 1, n_units, 10), aim)


class Perturbed:
    """A task whose inputs go through a function first."""

    def __init__(self, task: SequentialImages, change: Callable[[np.ndarray], np.ndarray]) -> None:
        self.task, self.change = task, change
        self.loss, self.metric, self.splits = task.loss, task.metric, task.splits

    def batches(self, split: str, batch_size: int, rng: np.random.Generator) -> Iterator[Any]:
        """Yield batches as the task does."""
        for batch in self.task.batches(split, batch_size, rng):
            yield batch._replace(inputs=self.change(batch.inputs).astype(np.float32))


def of_pre_activations(model: SequenceModel, core: str, setting: Setting) -> tuple[SequenceModel, np.ndarray]:
    """Return the same network, reading what its input weights make of inputs, and these weights (unit, channel).

    A drive that is added to its inputs is added to the pre-activations of the units.
    """
    weights = dict(model.state_dict())
    name = "core.weight_ih_l0" if core == "relu" else "core.W_xh"
    W_xh = weights[name]
    weights[name] = torch.eye(len(W_xh))
    twin = make_model(core, len(W_xh), setting.controller, n_channels=len(W_xh))
    twin.load_state_dict(weights)
    return twin, W_xh.numpy()


def accuracy(model: torch.nn.Module, task: Any) -> float:
    """Return the share of test images that are told right; NaN if a gain leaves the range of the activation."""
    try:
        return evaluate(model, task, split="test")["metric"]
    except dynet.InputError:
        return np.nan


@torch.no_grad()
def held_accuracy(model: SequenceModel, task: SequentialImages, xi: float, *, start: int, stop: int) -> float:
    """Return the accuracy under a step drive of adaptive units whose controllers know nothing of it.

    Gains and saturations are at every step those that the same image brings about without the drive.
    """
    w = model.core
    pre_activations = torch.from_numpy(task.test.inputs) @ w.W_xh.T + w.b
    undriven = driven = torch.zeros_like(pre_activations[:, 0])
    g = driven.new_zeros(*driven.shape, w.controller_size)
    for t in range(task.n_steps):
        a = pre_activations[:, t] + undriven @ w.W_hh.T
        g = torch.tanh(a[..., None] * w.W_ag + g @ w.W_gg.T + w.b_g)
        n, s = g @ w.W_gn + w.b_n, g @ w.W_gs + w.b_s
        undriven = dynet.gamma_activation(a, n, s)
        a = pre_activations[:, t] + driven @ w.W_hh.T
        driven = dynet.gamma_activation(a + xi * (start <= t < stop), n, s)
    return float(task.metric(model.readout(driven).numpy(), task.test.targets))


def robustness(model: SequenceModel, core: str, task: SequentialImages, setting: Setting) -> dict[str, Any]:
    """Return accuracies under a step and a noisy drive of all units, and under a sinusoidal contrast of the input.

    Drives last for a quarter of the sequence, from its first quarter on; the noise has a standard deviation of a
    quarter of its mean. The contrast has a period of a quarter of the sequence; its phases are averaged over.
    """
    T = task.n_steps
    window = {"start": T // 4, "stop": T // 2}
    found: dict[str, Any] = {}
    if core in DRIVEN:
        twin, W_xh = of_pre_activations(model, core, setting)

        def driven(drive: Callable[[np.ndarray], np.ndarray]) -> float:
            return accuracy(twin, Perturbed(task, lambda x: drive(x @ W_xh.T)))

        steps = [driven(partial(step_drive, amplitude=xi, **window)) for xi in setting.amplitudes]
        noises = [
            driven(partial(noise_drive, mean=xi, standard_deviation=xi / 4, rng=0, **window))
            for xi in setting.amplitudes
        ]
        if core == "adaptive":
            held = [held_accuracy(model, task, xi, **window) for xi in setting.amplitudes]
            found["held_accuracy"] = ("amplitude", held)
        found["step_accuracy"] = ("amplitude", steps)
        found["noise_accuracy"] = ("amplitude", noises)
    phases = 2 * np.pi * np.arange(setting.phases) / setting.phases

    def seen(A: float, phase: float) -> float:
        return accuracy(model, Perturbed(task, partial(contrast, amplitude=A, period=T / 4, phase=phase)))

    found["contrast_accuracy"] = ("contrast", [np.mean([seen(A, p) for p in phases]) for A in setting.contrasts])
    return found


def largest_activity(model: SequenceModel, core: str, setting: Setting) -> list[float]:
    """Return the largest activity of any unit after 500 steps without images, under each constant drive."""
    system = model.system()
    n_units = units_of(core, setting)
    found = []
    for xi in setting.drives:
        driven = dynet.networks.with_drive(system, xi)
        try:
            path = dynet.simulate(driven, np.zeros(driven.like.shape[-1]), 500, inputs=np.zeros((500, 1)))
        except dynet.DivergenceError:
            found.append(np.inf)
        else:
            found.append(float(abs(path.state[-1, :n_units]).max()))
    return found


def exponents(model: SequenceModel, core: str, setting: Setting) -> dict[str, Any]:
    """Return largest exponents without images, under constant drives of all units where there can be one."""
    system = model.system()
    inputs = np.zeros((200 + setting.n_steps, 1))
    found: dict[str, Any] = {}
    if core in DRIVEN:
        found["largest_activity"] = ("drive", largest_activity(model, core, setting))
    if core == "adaptive":
        ds = dynet.adaptive_exponents(system, n_steps=setting.n_steps, drive=setting.drives, inputs=inputs)
        for name in ("lyapunov_exponent", "standard_error"):
            found[f"adaptive_{name}"] = (("drive", "network"), ds[name].isel(exponent=0).values)
        return found
    values = np.full((2, len(setting.drives)), np.nan)
    for i, xi in enumerate(setting.drives):
        if core not in DRIVEN and xi:
            continue
        driven = dynet.networks.with_drive(system, xi) if xi else system
        start = np.zeros(driven.like.shape[-1])
        try:
            ds = dynet.lyapunov_spectrum(driven, start, setting.n_steps, n_exponents=1, n_transient=200, inputs=inputs)
        except dynet.DivergenceError:
            continue
        values[:, i] = ds.lyapunov_exponent[0], ds.standard_error[0]
    found["lyapunov_exponent"], found["standard_error"] = ("drive", values[0]), ("drive", values[1])
    return found


def single_units(model: SequenceModel, setting: Setting) -> dict[str, Any]:
    """Return what the adaptive units do under noise of several levels, and under steps, in the network and isolated.

    The noise is that of `dynet.gain_scaling_stimulus`, its settled gains are means over its second half. Steps follow
    100 steps of rest and last for 300.
    """
    wirings = {"network": model.system(), "isolated": dynet.networks.isolated(model.system())}
    noise = dynet.gain_scaling_stimulus(setting.levels)
    settled = slice(noise.sizes["time"] // 2, 2 * noise.sizes["time"] // 3)
    level = np.array(setting.levels)[:, None]
    steps = np.concatenate([0 * level.repeat(100, 1), level.repeat(300, 1)], axis=1)
    shape = (len(WIRINGS), len(setting.levels))
    n_neurons = setting.units
    steady = np.full((2, *shape, n_neurons), np.nan)
    orders = {name: np.full((len(SIGNALS), *shape, n_neurons), np.nan) for name in ("order", "paper", "aic")}
    for w, system in enumerate(wirings.values()):
        for i in range(len(setting.levels)):
            try:
                trace = _trace(system, noise.values[i])
                for j, name in enumerate(("gain", "saturation")):
                    steady[j, w, i] = trace[name].isel(time=settled).mean("time")
                trace = _trace(system, steps[i])
            except dynet.DivergenceError:
                continue
            for j, name in enumerate(SIGNALS):
                fit = dynet.fractional_order(trace[name], steps[i])
                orders["order"][j, w, i] = fit.order
                orders["aic"][j, w, i] = fit.delta_aic.sel(model="exponential")
                orders["paper"][j, w, i] = dynet.fractional_order(trace[name], steps[i], method="paper").order
    by_unit = ("wiring", "level", "neuron")
    return {
        "settled_gain": (by_unit, steady[0]),
        "settled_saturation": (by_unit, steady[1]),
        "order": (("signal", *by_unit), orders["order"]),
        "order_without_gain": (("signal", *by_unit), orders["paper"]),
        "order_delta_aic": (("signal", *by_unit), orders["aic"]),
    }


def _trace(system: Any, drive: np.ndarray) -> xr.Dataset:
    return dynet.adaptation_trace(system, drive=drive, inputs=np.zeros((len(drive), 1)))


def transfer(model: SequenceModel, setting: Setting, seed: int) -> dict[str, Any]:
    """Return the accuracy on images turned by 45 degrees, before and after only n and s have learned them."""
    turned = make_task(setting, seed, angle=45.0)
    before = accuracy(model, turned)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in ("core.n", "core.s"))
    train(
        model, turned, n_epochs=setting.transfer_epochs, batch_size=setting.batch,
        learning_rate=setting.transfer_rate, n_threads=1, rng=seed,
    )  # fmt: skip
    return {"turned_accuracy": ("moment", [before, accuracy(model, turned)]), **_spread(model, "transfer")}


def _spread(model: SequenceModel, when: str) -> dict[str, Any]:
    """Return the standard deviations of n and s over the units."""
    return {f"{name}_spread_{when}": float(getattr(model.core, name).detach().std()) for name in ("n", "s")}


def train_core(
    core: str, seed: int, setting: Setting, checkpoint: Path | None = None
) -> tuple[SequenceModel, xr.Dataset]:
    """Return a trained network and its history."""
    task = make_task(setting, seed)
    model = make_model(core, units_of(core, setting), setting.controller, seed=seed)
    driven = core in DRIVEN
    history = train(
        model, task, n_epochs=setting.epochs if driven else setting.gated_epochs, batch_size=setting.batch,
        learning_rate=setting.rate if driven else setting.gated_rate,
        schedule=setting.schedule, n_threads=1, rng=seed, checkpoint=checkpoint,
    )  # fmt: skip
    return model, history


def cell(core: str, seed: int, rng: Any = None, *, setting: Setting = SMALL, folder: Path | None = None) -> xr.Dataset:
    """Train one network and return all that is measured of it; ``folder`` keeps checkpoint and weights."""
    torch.set_num_threads(1)
    checkpoint = None if folder is None else folder / f"{core}-{seed}.checkpoint.pt"
    model, history = train_core(core, seed, setting, checkpoint)
    if folder is not None:
        torch.save(model.state_dict(), folder / f"{core}-{seed}.pt")
    task = make_task(setting, seed)
    found: dict[str, Any] = {
        "accuracy": accuracy(model, task),
        "n_parameters": float(n_parameters(model)),
        "seconds": float(history.duration.sum()),
        "loss": ("epoch", history.loss.values),
        "validation_accuracy": ("epoch", history.metric.values),
        **robustness(model, core, task, setting),
        **exponents(model, core, setting),
    }
    if core in DRIVEN:
        weights = model.state_dict()
        W_hh = weights["core.weight_hh_l0" if core == "relu" else "core.W_hh"].double().numpy()
        found["eigenvalue_modulus"] = ("unit", np.sort(np.abs(np.linalg.eigvals(W_hh)))[::-1])
    if core == "adaptive":
        found |= single_units(model, setting)
    if core == "gamma":
        untrained = make_model(core, units_of(core, setting), setting.controller, seed=seed)
        found |= _spread(untrained, "before") | _spread(model, "trained") | transfer(model, setting, seed)
    coords: dict[str, Any] = {
        "epoch": history.epoch.values,
        "amplitude": list(setting.amplitudes),
        "contrast": list(setting.contrasts),
        "drive": list(setting.drives),
    }
    if core == "adaptive":
        coords |= {"network": list(NETWORKS), "wiring": list(WIRINGS), "signal": list(SIGNALS)}
        coords["level"] = list(setting.levels)
    if core == "gamma":
        coords["moment"] = ["before", "after"]
    return xr.Dataset(found, coords=coords)


def run(setting: Setting = SMALL, *, folder: Path | None = None, progress: bool = False) -> xr.Dataset:
    """Train all cores with all seeds; with a folder a stopped run goes on."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    result = dynet.sweep(
        partial(cell, setting=setting, folder=folder),
        {"seed": list(range(setting.seeds)), "core": list(CORES)},
        store=None if folder is None else folder / "cells.zarr",
        progress=progress,
    )
    return result.isel(repeat=0, drop=True).transpose("core", "seed", ...)


def tidy(result: xr.Dataset) -> xr.Dataset:
    """Return a result to be kept: in single precision, without the dimension of cores where only one has numbers."""
    found = {}
    for name, values in result.drop_vars("message").data_vars.items():
        has = values.notnull().any([dim for dim in values.dims if dim != "core"])
        if has.sum() == 1:
            core = str(has.core[has].item())
            values = values.sel(core=core, drop=True).assign_attrs(core=core)
        found[name] = values.astype("float32" if values.dtype.kind == "f" else values.dtype)
        found[name].attrs |= {"long_name": LONG_NAMES.get(name, name.replace("_", " ")), "units": UNITS.get(name, "1")}
    return xr.Dataset(found)


def main() -> None:
    """Read the options, run or go on, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the paper's settings instead of the small ones")
    parser.add_argument("--kept", action="store_true", help="the settings of the file that is kept")
    parser.add_argument("--folder", help="where mnist/ is; DYNET_DATA if not given")
    kinds = {"units": int, "controller": int, "epochs": int, "rate": float, "batch": int, "seeds": int}
    for name, kind in kinds.items():
        parser.add_argument(f"--{name}", type=kind)
    parser.add_argument("--out", type=Path, default=Path("adaptation.nc"))
    options = parser.parse_args()
    setting = FULL if options.full else KEPT if options.kept else SMALL
    given = {k: v for k, v in vars(options).items() if k not in ("full", "kept", "out") and v is not None}
    setting = dataclasses.replace(setting, **given)
    folder = options.out.with_suffix("")
    result = run(setting, folder=folder, progress=True)
    for name, message in result.message.stack(cell=("core", "seed")).groupby("cell"):
        if message.item():
            print(name, message.item())
    result = tidy(result)
    used = {name: value for name, value in dataclasses.asdict(setting).items() if value is not None}
    result.attrs = {
        "title": "Networks with fixed, learned and adaptive activations on permuted sequential digits",
        "command": "python " + shlex.join(["tutorials/runs/adaptation.py", *sys.argv[1:]]),
        "versions": f"dynet {version('dynet-analysis')}, torch {torch.__version__}",
        **{name: str(value) if isinstance(value, tuple) else value for name, value in used.items()},
    }
    dynet.save(result, options.out)
    shutil.copyfile(folder / "adaptive-0.pt", options.out.with_name(f"{options.out.stem}_adaptive.pt"))
    print(result.accuracy.to_pandas().T.describe().round(4))


if __name__ == "__main__":
    main()
