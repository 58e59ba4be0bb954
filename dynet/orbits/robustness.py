"""How many zero exponents are left when the parameters of a system are perturbed at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import xarray as xr

from dynet._labels import EXPONENT_UNITS, dataset
from dynet._progress import progress_bar
from dynet._validate import Faults, is_number
from dynet.errors import DivergenceError, InputError
from dynet.kernels.namespace import to_numpy
from dynet.lyapunov.spectrum import lyapunov_spectrum
from dynet.orbits.attractor_evidence import exponents_of
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.systems.trajectory import simulate
from dynet.typing import ArrayLike, Rng
from dynet.variational.field import require_system

__all__ = ["zero_exponent_robustness"]

REFERENCES = "Sokół, Jordan, Kadile & Park (2019) doi:10.1109/IEEECONF44664.2019.9049080"

#: ``perturbation(params, size, rng) -> params``, of the same structure.
Perturbation = Callable[[Any, float, np.random.Generator], Any]


def zero_exponent_robustness(
    system: Map | Flow,
    x0: ArrayLike,
    sizes: ArrayLike,
    n_steps: int = 5_000,
    *,
    n_draws: int = 10,
    perturbation: Perturbation | None = None,
    dt: float | None = None,
    n_transient: int | None = None,
    n_exponents: int | None = None,
    qr_interval: int | Literal["auto"] = "auto",
    rng: Rng = None,
    progress: bool = False,
) -> xr.Dataset:
    r"""Return how many Lyapunov exponents stay zero under random perturbations of the parameters.

    Zero exponents are what carries a gradient over any time. Those of a continuous attractor vanish under any
    perturbation, the one of a limit cycle stays, and of the m of an m-torus all but one go as its oscillators lock.

    Parameters
    ----------
    system : Map or Flow
        Autonomous, with parameters that are floats or arrays (in tuples, namedtuples, dicts).
    x0 : array (n,)
        Start of every run.
    sizes : array (size,)
        Sizes of the perturbation; 0 is the system itself.
    n_steps : int, default 5_000
        Steps over which growth is counted, of ``dt`` each for flows. Exponents below 1 / time count as zero.
    n_draws : int, default 10
        Random directions of the perturbation; the same ones at every size.
    perturbation : callable, optional
        ``perturbation(params, size, rng)`` returns perturbed parameters. If not given, to every entry of a matrix of
        m columns ``size N(0, 1) / sqrt(m)`` is added, which has spectral radius ``size``, and ``size N(0, 1)`` to every
        entry of vectors and to every float.
    dt : float
        Time step of flows, which have to give it.
    n_transient : int, optional
        Steps before; half of ``n_steps`` if not given.
    n_exponents : int, optional
        How many exponents, the leading ones; all if not given.
    qr_interval : int or "auto"
        As in `lyapunov_spectrum`; for networks of a hundred units 5 or so saves most of the time.
    rng : Generator or int, optional
        Source of directions and of the tangent frame; None means ``default_rng(0)``.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    xarray.Dataset
        ``n_zero(size)``, the mean over draws, with ``standard_error(size)``; ``n_zero_draw(size, draw)``;
        ``n_positive_draw``, and ``n_undecided_draw``, exponents whose sign the run cannot tell (they are not counted);
        ``lyapunov_exponent(size, draw, exponent)``; ``is_unbounded(size, draw)``, where the state does not stay finite
        (such draws have no zero exponent, and NaN for the others).

    Raises
    ------
    InputError
        If an argument cannot be used, or the parameters are no numbers.

    Notes
    -----
    Counts depend on the time of the run: an exponent of 0.001 is zero for a run of 500 units of time. A perturbation
    that locks two oscillators does so after a time like one over its size.

    References
    ----------
    Sokół, Jordan, Kadile & Park (2019), doi:10.1109/IEEECONF44664.2019.9049080.

    See Also
    --------
    classify_attractor : What one of the systems has settled on, with the evidence.

    Examples
    --------
    The zero of a limit cycle stays:

    >>> import dynet
    >>> flow = dynet.zoo.tanh_oscillator()
    >>> ds = dynet.zero_exponent_robustness(flow, [0.5, 0.1], [0.0, 0.05], 2_000, dt=0.1, n_draws=4)
    >>> ds.n_zero.values
    array([1., 1.])
    """
    system = require_system(system)
    faults = Faults()
    amounts = faults.real_array("sizes", sizes, finite=True)
    if not faults and (amounts.ndim != 1 or not amounts.size or (amounts < 0).any()):
        faults.add("sizes", sizes, "give a row of numbers of at least 0")
    faults.integer("n_steps", n_steps, 10)
    faults.integer("n_draws", n_draws, 2, why=": one draw has no error bar")
    if n_transient is not None:
        faults.integer("n_transient", n_transient, 0)
    faults.callable("perturbation", perturbation, "perturbation(params, size, rng) -> params", optional=True)
    if isinstance(system, Map) and dt is not None:
        faults.add("dt", dt, "it belongs to flows: a map has its own")
    elif isinstance(system, Flow):
        faults.positive("dt", dt)
    if not _has_numbers(system.params):
        faults.say("system has no parameters that are floats or arrays: there is nothing to perturb")
    faults.raise_if_any()
    assert dt is not None or isinstance(system, Map)
    stepped = system if isinstance(system, Map) else system.to_map(float(dt or 0.0))
    random = np.random.default_rng(0 if rng is None else rng)
    seeds = random.integers(2**63, size=n_draws)
    change = added_noise if perturbation is None else perturbation
    sets = [
        change(system.params, float(size), np.random.default_rng(int(seed))) for size in amounts for seed in seeds
    ]  # fmt: skip
    settings = {
        "n_steps": int(n_steps),
        "n_transient": int(n_steps) // 2 if n_transient is None else int(n_transient),
        "n_exponents": n_exponents,
        "qr_interval": qr_interval,
    }
    growth, durations, bounded = _growth(stepped, x0, sets, settings, random, progress)
    return _label(system, amounts, int(n_draws), growth, durations, bounded, {
        **settings,
        "n_exponents": growth.shape[-1],
        "dt": stepped.dt,
        "perturbation": "Gaussian, matrices of spectral radius size" if perturbation is None else "given",
    })  # fmt: skip


def added_noise(params: Any, size: float, rng: np.random.Generator) -> Any:
    """Return parameters with Gaussian noise in every float."""
    if isinstance(params, dict):
        return {name: added_noise(entry, size, rng) for name, entry in params.items()}
    if isinstance(params, tuple | list):
        entries = [added_noise(entry, size, rng) for entry in params]
        return type(params)(*entries) if hasattr(params, "_fields") else type(params)(entries)
    if params is None or isinstance(params, int | str):
        return params
    if is_number(params):
        return float(params) + size * float(rng.standard_normal())
    array = to_numpy(params) if hasattr(params, "shape") else None
    if array is None or array.dtype.kind != "f":
        raise InputError(
            f"system.params holds a {type(params).__name__}: give perturbation=, a function that changes it"
        )
    scale = size / np.sqrt(array.shape[-1]) if array.ndim > 1 else size
    return array + scale * rng.standard_normal(array.shape)


def _has_numbers(params: Any) -> bool:
    if isinstance(params, dict | tuple | list):
        return any(_has_numbers(entry) for entry in (params.values() if isinstance(params, dict) else params))
    return isinstance(params, float | np.floating) or hasattr(params, "shape")


def _stacked(sets: list[Any]) -> Any:
    """Return one structure with the entries of all sets along a first axis; what is no number is that of the first."""
    first = sets[0]
    if isinstance(first, dict):
        return {name: _stacked([one[name] for one in sets]) for name in first}
    if isinstance(first, tuple | list):
        entries = [_stacked([one[i] for one in sets]) for i in range(len(first))]
        return type(first)(*entries) if hasattr(first, "_fields") else type(first)(entries)
    if isinstance(first, float | np.floating) or hasattr(first, "shape"):
        return np.stack([to_numpy(one) if hasattr(one, "shape") else np.asarray(one) for one in sets])
    return first


def _growth(
    stepped: Map, x0: ArrayLike, sets: list[Any], settings: dict[str, Any], random: np.random.Generator, progress: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return growth (run, block, k) and durations of the runs that stay bounded, and which ones do."""
    bounded = np.arange(len(sets))
    seed = int(random.integers(2**63))
    with progress_bar(len(sets), "perturbed systems", progress, unit="run") as bar:
        while bounded.size:
            try:
                spectrum = lyapunov_spectrum(
                    stepped, x0, settings["n_steps"], params=_stacked([sets[i] for i in bounded]),
                    n_transient=settings["n_transient"], n_exponents=settings["n_exponents"],
                    qr_interval=settings["qr_interval"], rng=seed,
                )  # fmt: skip
            except DivergenceError as error:
                # whoever else escapes is found without the frame
                n_rows = settings["n_steps"] + settings["n_transient"]
                left = [
                    i for s, i in enumerate(bounded) if s != error.sequence and _stays(stepped, x0, sets[i], n_rows)
                ]
                bar.update(len(bounded) - len(left))
                bounded = np.array(left, dtype=int)
                continue
            bar.update(int(bounded.size))
            return spectrum["growth"].values, spectrum["duration"].values, bounded
    raise DivergenceError("no run stays bounded: start elsewhere, take a smaller dt, or smaller sizes")


def _stays(stepped: Map, x0: ArrayLike, params: Any, n_steps: int) -> bool:
    try:
        simulate(stepped.with_params(params), x0, n_steps)
    except DivergenceError:
        return False
    return True


def _label(
    system: Map | Flow,
    sizes: np.ndarray,
    n_draws: int,
    growth: np.ndarray,
    durations: np.ndarray,
    bounded: np.ndarray,
    settings: dict[str, Any],
) -> xr.Dataset:
    shape, k = (sizes.size, n_draws), growth.shape[-1]
    values = np.full((sizes.size * n_draws, k), np.nan)
    counts = np.zeros((sizes.size * n_draws, 3), dtype=int)
    for row, one, lengths in zip(bounded, growth, durations, strict=True):
        found = exponents_of(one, lengths)
        values[row] = found.values
        counts[row] = (found.signs == 0).sum(), (found.signs == 1).sum(), np.isnan(found.signs).sum()
    zeros, positive, undecided = counts.T.reshape(3, *shape)
    unbounded = np.ones(sizes.size * n_draws, dtype=bool)
    unbounded[bounded] = False
    per_time = EXPONENT_UNITS.format(time_unit=system.time_unit)
    each = ("size", "draw")
    variables = {
        "n_zero": (("size",), zeros.mean(axis=1), "exponents that are zero, mean over draws", "1"),
        "standard_error": (("size",), zeros.std(axis=1, ddof=1) / np.sqrt(n_draws), "standard error", "1"),
        "n_zero_draw": (each, zeros, "exponents that are zero", "1"),
        "n_positive_draw": (each, positive, "exponents that are positive", "1"),
        "n_undecided_draw": (each, undecided, "exponents whose sign the run cannot tell", "1"),
        "lyapunov_exponent": ((*each, "exponent"), values.reshape(*shape, k), "Lyapunov exponent", per_time),
        "is_unbounded": (each, unbounded.reshape(shape), "whether the state does not stay finite", "1"),
    }
    coords = {"size": sizes, "draw": np.arange(n_draws), "exponent": np.arange(1, k + 1)}
    return dataset(variables, coords, {
        "title": "Zero exponents under perturbation",
        "method": "signs of Lyapunov exponents over random perturbations of the parameters",
        "references": REFERENCES,
        "n_draws": n_draws,
        "resolution": 1.0 / float(durations[0].sum()),
        "time_unit": system.time_unit,
        **settings,
    })  # fmt: skip
