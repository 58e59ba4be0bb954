"""The largest exponent of adaptive networks, which is several things: of held gains, and of all of the state."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import xarray as xr

from dynet._labels import EXPONENT_UNITS, dataset
from dynet._progress import progress_bar
from dynet._validate import Faults
from dynet.kernels.namespace import to_numpy
from dynet.propagation.activation_maps import STATUS, status_of
from dynet.propagation.adaptive_growth import (
    PARTS,
    Growth,
    Held,
    Setting,
    caught,
    controller_exponents,
    frozen_growth,
    full_growth,
    held_after,
)
from dynet.systems.adaptive_networks import require_adaptive, with_drive
from dynet.systems.arguments import encoded
from dynet.systems.map import Map
from dynet.typing import ArrayLike, Rng

__all__ = ["adaptive_exponents"]

NETWORKS = ("frozen", "frozen with drive", "full", "not adapted")


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
    if inputs is not None and not faults:
        rows = getattr(inputs, "shape", np.shape(inputs))
        if len(rows) != 2 or rows[0] != n_transient + n_steps:
            faults.add(
                "inputs", inputs, f"give (time, channel) with n_transient + n_steps = {n_transient + n_steps} rows"
            )
    faults.raise_if_any()
    drives = np.atleast_1d(drives).astype(np.float64)
    setting = Setting(inputs, int(n_steps), int(n_transient), int(n_exponents), rng)
    without = held_after(system, x0, setting)
    found = []
    bar = progress_bar(drives.size * len(NETWORKS), "exponents of adaptive units", progress)
    with bar, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*not monotone")  # said once, below
        for xi in drives:
            driven = with_drive(system, float(xi))
            held = held_after(driven, x0, setting)
            h = held.state[:H]
            calls = {
                "frozen": partial(frozen_growth, system, held, h, setting),
                "frozen with drive": partial(frozen_growth, driven, held, h, setting),
                "full": partial(full_growth, driven, x0, setting),
                "not adapted": partial(frozen_growth, driven, without, h, setting),
            }
            growths = []
            for network in NETWORKS:
                growths.append(caught(calls[network], setting.n_exponents))
                bar.update(1)
            found.append((held, growths, controller_exponents(driven, x0, setting)))
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
