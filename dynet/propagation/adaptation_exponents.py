"""The largest exponent of adaptive networks, which is several things: of held gains, and of all of the state."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from dynet._labels import EXPONENT_UNITS, dataset
from dynet._progress import progress_bar
from dynet._validate import Faults
from dynet.adaptation.traces import adaptation_trace
from dynet.errors import DivergenceError
from dynet.kernels.namespace import move_like, namespace, to_numpy
from dynet.lyapunov.covariant import covariant_vectors
from dynet.lyapunov.participation import vector_participation
from dynet.lyapunov.spectrum import lyapunov_spectrum
from dynet.propagation.activation_maps import STATUS, status_of, unbounded
from dynet.systems.adaptive_networks import frozen_controllers, require_adaptive, with_drive
from dynet.systems.arguments import encoded
from dynet.systems.map import Map
from dynet.typing import ArrayLike, Rng

__all__ = ["adaptive_exponents"]

NETWORKS = ("frozen", "frozen with drive", "full", "not adapted")
PARTS = ("h", "g")
#: Numbers of covariant vectors that are kept at a time.
_MOST_NUMBERS = 2**22


def adaptive_exponents(
    system: Map,
    x0: ArrayLike | None = None,
    n_steps: int = 1000,
    *,
    drive: ArrayLike = 0.0,
    n_exponents: int = 1,
    n_transient: int = 200,
    inputs: ArrayLike | None = None,
    rng: Rng = None,
    progress: bool = False,
) -> xr.Dataset:
    r"""Return the leading exponents of adaptive units under a step drive: of held gains, and of the full state.

    After ``n_transient`` steps under the drive the controllers have gains n and saturations s. Four networks are told
    apart by name:

    - "frozen": these n and s held, the drive gone (the object of Geadah et al. 2024);
    - "frozen with drive": the same under the drive;
    - "full": the state (h, g), whose controllers go on, under the drive;
    - "not adapted": under the drive, but with the n and s held that the controllers have without it.

    Parameters
    ----------
    system : Map
        Adaptive units, from `dynet.networks.adaptive_rnn` or `dynet.torch.from_module`.
    x0 : array (n,), optional
        Start (h, g), at which the drive begins; zeros if not given.
    n_steps : int, default 1000
        Steps over which growth is counted.
    drive : float or array (drive,), default 0.0
        Constants xi added to the pre-activations of all units.
    n_exponents : int, default 1
        How many exponents of each network.
    n_transient : int, default 200
        Steps before, of the controllers and once more of each network.
    inputs : array (time, channel), optional
        Input of every step, ``n_transient + n_steps`` rows, the same for all networks.
    rng : Generator or int, optional
        Source of the random frames; None means ``default_rng(0)``.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    xarray.Dataset
        ``lyapunov_exponent(drive, network, exponent)`` and its ``standard_error``;
        ``weight(drive, network, exponent, part)``, the part of the activities h and of the controllers g in each
        covariant vector, and its ``weight_error``; ``controller_exponent(drive, neuron)``, at which the controller of
        each neuron forgets perturbations when its input is given; ``gain(drive, neuron)`` and
        ``saturation(drive, neuron)``, those that are held; ``status(drive, network)``: 0, 1 if the state overflows (the
        exponents are NaN), 2 if it grows without end but has not yet overflowed; ``message`` tells more.

    Raises
    ------
    InputError
        If the system has no adaptive units, or an argument cannot be used.
    DivergenceError
        If the network diverges, or a gain is no longer positive, before anything is held.

    Warns
    -----
    UserWarning
        If saturations that are held are outside [0, 1].

    Notes
    -----
    Where the activities do not feed back on the controllers, exponents of the full state are those of the frozen
    network with drive and those of all controllers: N of each of a controller's own, which at rest are the logarithms
    of the moduli of the eigenvalues of its Jacobian. Controllers that forget slowly then hold all the leading
    exponents of the full state, in copies. Weights tell: they depend on the units in which h and g are measured.

    With ``n_exponents > 1`` the vectors need steps after them to settle: of the full network, n_transient of the
    ``n_steps``, but at most half of them, are taken for that.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567; Vogt et al. (2022), doi:10.3389/fams.2022.818799.

    Examples
    --------
    A controller that forgets more slowly than the units has the largest exponent of the full state, log 0.95:

    >>> import dynet, numpy as np
    >>> system = dynet.networks.adaptive_rnn(
    ...     [[0.9]], W_ag=[0.0], W_gg=[[0.95]], W_gn=[0.0], b_n=5.0, W_gs=[0.0], b_s=0.3
    ... )
    >>> ds = dynet.adaptive_exponents(system, n_steps=200)
    >>> ds.lyapunov_exponent.sel(network=["frozen", "full"]).values.round(4).ravel()
    array([-0.4335, -0.0513])
    """
    _, w = require_adaptive(system)
    system, inputs = encoded(system, inputs)
    faults = Faults()
    H, n = w.W_hh.shape[-1], system.like.shape[-1]
    drives = faults.real_array("drive", to_numpy(drive) if hasattr(drive, "detach") else drive, finite=True)
    if drives.ndim > 1 or drives.size == 0:
        faults.add("drive", drives, "give one number, or several (drive,)")
    faults.integer("n_steps", n_steps, 2)
    faults.integer("n_transient", n_transient, 1)
    faults.integer("n_exponents", n_exponents, 1, n, f" (the system has {n} units)")
    if x0 is not None and (x0.ndim if hasattr(x0, "ndim") else np.ndim(x0)) != 1:
        faults.add("x0", x0, f"give one state ({n},)")
    if inputs is not None:
        rows = getattr(inputs, "shape", np.shape(inputs))
        if len(rows) != 2 or rows[0] != n_transient + n_steps:
            faults.add(
                "inputs", inputs, f"give (time, channel) with n_transient + n_steps = {n_transient + n_steps} rows"
            )
    faults.raise_if_any()
    drives = np.atleast_1d(drives).astype(np.float64)
    setting = Setting(inputs, int(n_steps), int(n_transient), int(n_exponents), rng)
    without = _held(system, x0, setting)
    found = []
    bar = progress_bar(drives.size * len(NETWORKS), "exponents of adaptive units", progress)
    with bar, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*not monotone")  # said once, below
        for xi in drives:
            driven = with_drive(system, float(xi))
            held = _held(driven, x0, setting)
            h = held.state[:H]
            calls = {
                "frozen": partial(_frozen, system, held, h, setting),
                "frozen with drive": partial(_frozen, driven, held, h, setting),
                "full": partial(_full, driven, x0, setting),
                "not adapted": partial(_frozen, driven, without, h, setting),
            }
            growths = []
            for network in NETWORKS:
                growths.append(_caught(calls[network], setting.n_exponents))
                bar.update(1)
            found.append((held, growths, _controller_exponents(driven, x0, setting)))
    held_s = np.array([one.s for one in (without, *(held for held, _, _ in found))])
    outside = int(((held_s < 0) | (held_s > 1)).sum())
    if outside:
        warnings.warn(
            f"{outside} of {held_s.size} saturations that were held are outside [0, 1], from {held_s.min():.3g} to "
            f"{held_s.max():.3g}: their activations are not monotone",
            UserWarning,
            stacklevel=2,
        )
    return _label(system, drives, found, setting)


class Setting(NamedTuple):
    """How long the runs are."""

    inputs: Any
    n_steps: int
    n_transient: int
    n_exponents: int
    rng: Rng


class Held(NamedTuple):
    """Gains and saturations (neuron,), and the state (n,) that they were found in."""

    n: np.ndarray
    s: np.ndarray
    state: np.ndarray


class Growth(NamedTuple):
    """Exponents of one network, (k,), and the weights of (h, g) in their vectors, (k, 2)."""

    exponent: np.ndarray
    error: np.ndarray
    weight: np.ndarray
    weight_error: np.ndarray
    message: str


def _held(system: Map, x0: Any, setting: Setting) -> Held:
    rows = None if setting.inputs is None else setting.inputs[: setting.n_transient]
    trace = adaptation_trace(system, x0, setting.n_transient, inputs=rows)
    return Held(trace["gain"].values[-1], trace["saturation"].values[-1], trace["final_state"].values)


def _caught(call: Callable[[], Growth], k: int) -> Growth:
    """Return what a call finds, or not a number if the network diverges."""
    try:
        return call()
    except DivergenceError as error:
        nothing = np.full(k, np.nan)
        return Growth(nothing, nothing, np.full((k, 2), np.nan), np.full((k, 2), np.nan), str(error))


def _frozen(system: Map, held: Held, h: np.ndarray, setting: Setting) -> Growth:
    frozen = frozen_controllers(system, held.n, held.s)
    k, wanted = min(setting.n_exponents, h.size), setting.n_exponents
    spectrum = lyapunov_spectrum(
        frozen,
        h,
        setting.n_steps,
        inputs=setting.inputs,
        n_exponents=k,
        n_transient=setting.n_transient,
        rng=setting.rng,
    )

    def padded(values: Any) -> np.ndarray:
        out = np.full(wanted, np.nan)
        out[:k] = values
        return out

    weight, error = np.full((2, wanted, 2), np.nan)
    weight[:k], error[:k] = (1.0, 0.0), 0.0
    return Growth(
        padded(spectrum["lyapunov_exponent"].values),
        padded(spectrum["standard_error"].values),
        weight,
        error,
        unbounded(spectrum["final_state"].values),
    )


def _full(system: Map, x0: Any, setting: Setting) -> Growth:
    k, n = setting.n_exponents, system.like.shape[-1]
    # the first vector needs nothing after it
    n_backward = min(setting.n_transient, setting.n_steps // 2) if k > 1 else 0
    window = setting.n_steps - n_backward
    ds = covariant_vectors(
        system,
        0 * system.like if x0 is None else x0,
        window,
        inputs=setting.inputs,
        n_exponents=k,
        n_transient=setting.n_transient,
        n_backward=n_backward,
        every=max(1, -(-window * n * k // _MOST_NUMBERS)),
        rng=setting.rng,
    )
    shares = vector_participation(ds, "part")
    weight = [shares[name].sel(part=list(PARTS)).transpose("exponent", "part") for name in ("weight", "standard_error")]
    rates, errors = ds["lyapunov_exponent"].values, ds["standard_error"].values
    return Growth(rates, errors, weight[0].values, weight[1].values, unbounded(ds["state"].values))


def _controller_exponents(system: Map, x0: Any, setting: Setting) -> np.ndarray:
    """Return the rate (neuron,) at which perturbations of each controller grow when what it reads is given."""
    cell, w = require_adaptive(system)
    H, G = w.W_hh.shape[-1], cell.n_controller
    x = move_like(np.zeros(H + H * G) if x0 is None else x0, system.like)
    xp = namespace(x)
    v = move_like(np.random.default_rng(0).standard_normal((H, G)), x)
    growth = np.zeros(H)
    rows = None if setting.inputs is None else move_like(setting.inputs, x)
    state = (x[:H], x[H:])
    for step in range(setting.n_transient + setting.n_steps):
        u = None if rows is None else rows[step]
        state, kept = cell.forward(u, state, w)
        v = (v @ w.W_gg.mT) * cell.slopes(kept, w).of_g
        norm = xp.sqrt(xp.sum(v * v, axis=-1))
        if step >= setting.n_transient:
            with np.errstate(divide="ignore"):
                growth += np.log(to_numpy(norm).astype(np.float64))
        v = v / xp.where(norm > 0, norm, xp.ones_like(norm))[:, None]
    return growth / (setting.n_steps * system.dt)


def _label(
    system: Map, drives: np.ndarray, found: list[tuple[Held, list[Growth], np.ndarray]], setting: Setting
) -> xr.Dataset:
    per_time = EXPONENT_UNITS.format(time_unit=system.time_unit)

    def each(name: str) -> np.ndarray:
        return np.array([[getattr(one, name) for one in growths] for _, growths, _ in found])

    by_exponent = ("drive", "network", "exponent")
    by_neuron = ("drive", "neuron")
    messages = each("message").astype(str)
    variables = {
        "lyapunov_exponent": (by_exponent, each("exponent"), "Lyapunov exponent", per_time),
        "standard_error": (by_exponent, each("error"), "standard error of the exponent", per_time),
        "weight": ((*by_exponent, "part"), each("weight"), "weight of the part in the covariant vector", "1"),
        "weight_error": ((*by_exponent, "part"), each("weight_error"), "standard error of the weight", "1"),
        "controller_exponent": (
            by_neuron,
            np.array([rates for _, _, rates in found]),
            "largest exponent of each controller, its input given",
            per_time,
        ),
        "gain": (by_neuron, np.array([held.n for held, _, _ in found]), "gain that is held", "1"),
        "saturation": (by_neuron, np.array([held.s for held, _, _ in found]), "saturation that is held", "1"),
        "status": (("drive", "network"), status_of(messages, each("exponent")[..., 0]), STATUS, "1"),
        "message": (("drive", "network"), messages, "what went wrong", "1"),
    }
    coords = {
        "drive": drives,
        "network": list(NETWORKS),
        "exponent": np.arange(1, setting.n_exponents + 1),
        "part": list(PARTS),
        "neuron": np.arange(found[0][0].n.size),
    }
    attrs = {
        "title": "Largest exponents of adaptive units",
        "method": "gains and saturations held, and the full state",
        "references": "Geadah et al. (2024) doi:10.1371/journal.pcbi.1012567",
        "dt": system.dt,
        "time_unit": system.time_unit,
        "n_steps": setting.n_steps,
        "n_transient": setting.n_transient,
        "n_exponents": setting.n_exponents,
        "conditional_on": None if setting.inputs is None else "the given inputs",
    }
    return dataset(variables, coords, attrs)
