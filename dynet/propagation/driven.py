"""Echo states: whether many starts under a common input forget where they came from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from dynet._labels import dataset
from dynet._progress import progress_bar
from dynet._validate import Faults, is_number
from dynet.kernels.namespace import to_numpy
from dynet.lyapunov.convergence import error_bars, interval_factor
from dynet.lyapunov.setup import require_map
from dynet.lyapunov.spectrum import lyapunov_spectrum
from dynet.lyapunov.walk import make_walk
from dynet.propagation.many_starts import Spread, spread_of
from dynet.systems.arguments import encoded, n_units
from dynet.systems.map import Map
from dynet.typing import ArrayLike, Rng

__all__ = ["echo_state"]

REFERENCES = "Jaeger (2001) GMD report 148; Yildiz, Jaeger & Kiebel (2012) doi:10.1016/j.neunet.2012.07.005"
_LEVEL = 0.95
_BLOCKS = 20
#: Distances are lost to rounding below the machine epsilon to this power, relative to the states.
_RESOLVED = 2 / 3
#: Distances that fall by less in half of the run stay what they are.
_STANDSTILL = 0.01
#: Starts that would not meet within so many more runs of this length do not meet.
_PATIENCE = 10.0


def echo_state(
    system: Map,
    inputs: ArrayLike,
    *,
    n_starts: int = 64,
    x0: ArrayLike | None = None,
    spread: float = 1.0,
    tolerance: float = 1e-6,
    n_transient: int = 0,
    rng: Rng = None,
    progress: bool = False,
    check: bool = True,
) -> xr.Dataset:
    r"""Return whether many starts under a common input come together, and at which rate.

    Vectorized systems run all starts at once.

    Parameters
    ----------
    system : Map
        The driven system; for a flow give ``flow.to_map(dt)``.
    inputs : array (time, channel) or (sequence, time, channel)
        Common input of all starts, or an ensemble of inputs that are tested one by one.
    n_starts : int, default 64
        How many starts, when ``x0`` does not say them all.
    x0 : array (n,) or (start, n), optional
        Their centre (zeros if not given), or all of them.
    spread : float, default 1.0
        Standard deviation of the starts around their centre, in each unit.
    tolerance : float, default 1e-6
        They have come together when the largest distance has fallen to this part of that of the start.
    n_transient : int, default 0
        Steps before, in which the growth of distances and perturbations is not counted.
    rng : Generator or int, optional
        Source of the starts; None means ``default_rng(0)``.
    progress : bool, default False
        Show a progress bar.
    check : bool, default True
        Compare the Jacobian with a difference of the step before.

    Returns
    -------
    Dataset
        ``verdict(sequence)``: "converges", "does not" or "undecided", and its evidence:
        ``distance(sequence, time)``, the root mean square distance of two starts;
        ``largest_distance(sequence, time)`` from their mean; ``n_groups(sequence)``, how many different states are left
        at the end; ``rate(sequence)`` and ``rate_standard_error(sequence)``, at which distances grow (negative: fall)
        in the second half of the time that they can be told from rounding;
        ``lyapunov_exponent(sequence)`` and ``standard_error(sequence)``, the largest one along the first start under
        the same input; ``within_variance(sequence, time)`` of starts under one input, ``between_variance(time)`` of the
        means of inputs (NaN if there is one input), each the sum over units.

    Raises
    ------
    InputError
        If an argument cannot be used.
    DivergenceError
        If a state stops being finite.

    Notes
    -----
    "converges": all starts have come together within ``tolerance``. "does not": they have not, and either the 95 %
    interval of the exponent lies above zero, or distances stand still: the interval of their rate holds zero (or they
    have fallen by less than a hundredth), and even at its lower end they would not meet within ten more runs of this
    length. Otherwise "undecided": give longer inputs. A finite number of starts can miss a basin. A negative exponent
    with several groups left means several attractors.

    References
    ----------
    Jaeger (2001), GMD report 148; Yildiz, Jaeger & Kiebel (2012), doi:10.1016/j.neunet.2012.07.005.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> net = dynet.networks.tanh_rnn(0.5 * np.eye(2), np.ones((2, 1)))
    >>> ds = dynet.echo_state(net, np.zeros((40, 1)), n_starts=8, spread=1e-3)
    >>> str(ds.verdict.values[0]), float(ds.rate[0].round(4))  # ln 0.5
    ('converges', -0.6931)
    """
    system, inputs = encoded(require_map(system), inputs)
    faults = Faults()
    if hasattr(system.step, "freeze"):
        faults.say(
            "system: the hidden state of an LSTM at the memories of one trajectory has no other starts: give all of it"
        )
    faults.integer("n_transient", n_transient, 0)
    several = x0 is not None and np.ndim(x0) == 2
    if not several:
        faults.integer("n_starts", n_starts, 2)
    faults.positive("spread", spread)
    if not (is_number(tolerance) and 0 < tolerance < 1):
        faults.add("tolerance", tolerance, "give a part of the first distance, in (0, 1)")
    starts = _starts(faults, system, x0, n_starts, spread, rng)
    if inputs is None:
        faults.add("inputs", inputs, "give the common input (time, channel), or several (sequence, time, channel)")
    faults.raise_if_any()
    series = inputs if hasattr(inputs, "detach") else faults.real_array("inputs", inputs)
    if not faults and series.ndim not in (2, 3):
        faults.add("inputs", series if series.ndim else inputs, "give (time, channel) or (sequence, time, channel)")
    faults.raise_if_any()
    series = series if series.ndim == 3 else series[None]
    n_rows = series.shape[1]
    if n_rows < n_transient + 2:
        faults.say(f"inputs has {n_rows} rows: give more than n_transient + 1 = {n_transient + 1}")
    faults.raise_if_any()
    n_steps = n_rows - n_transient
    spreads: list[Spread] = []
    with progress_bar(len(series) * n_rows, "Echo states", progress) as bar:
        for s, rows in enumerate(series):
            problem = make_walk(
                system, starts, n_steps, inputs=rows, n_exponents=1, n_transient=n_transient, check=check and s == 0
            )
            spreads.append(spread_of(problem, bar))
    reference = lyapunov_spectrum(
        system, starts[0], n_steps, inputs=series, n_exponents=1, n_transient=n_transient, check=False
    )
    epsilon = float(np.finfo(to_numpy(problem.x0[:1, :1]).dtype).eps)
    evidence = [
        _evidence(one, reference.isel(sequence=[s]), n_transient, tolerance, epsilon, system.dt)
        for s, one in enumerate(spreads)
    ]
    return _labelled(system, spreads, evidence, {
        "n_starts": len(starts),
        "spread": None if several else float(spread),
        "tolerance": float(tolerance),
        "n_steps": n_steps,
        "n_transient": n_transient,
        "level": _LEVEL,
        "engine": problem.engine,
    })  # fmt: skip


def _starts(faults: Faults, system: Map, x0: Any, n_starts: int, spread: float, rng: Rng) -> np.ndarray:
    """Return the starts (start, n)."""
    known = len(faults)
    n = n_units(system)
    if x0 is None:
        if n is None:
            faults.say("x0 is None: give a start (n,): the system does not tell how many units it has")
        centre = np.zeros(n or 1)
    else:
        centre = to_numpy(x0) if hasattr(x0, "detach") else faults.real_array("x0", x0, finite=True)
    if rng is not None and not isinstance(rng, int | np.integer | np.random.Generator):
        faults.add("rng", rng, "give a whole number, a numpy.random.Generator or None")
    if len(faults) > known or centre.ndim not in (1, 2) or (centre.ndim == 2 and len(centre) < 2):
        if len(faults) == known:
            faults.add("x0", centre, "give one start (n,), or at least two (start, n)")
        return centre
    if n is not None and centre.shape[-1] != n:
        faults.add("x0", centre, f"the system has {n} units")
    elif centre.ndim == 2 and (centre == centre[0]).all():
        faults.add("x0", centre, "its rows are all the same: give starts that differ")
    if centre.ndim == 2 or faults:
        return centre
    random = np.random.default_rng(0 if rng is None else rng)
    return centre + spread * random.standard_normal((int(n_starts), centre.size))


class Evidence(NamedTuple):
    """What is known of one sequence."""

    verdict: str
    rate: float
    rate_error: float
    exponent: float
    exponent_error: float
    n_groups: int


def _evidence(
    spread: Spread, reference: xr.Dataset, n_transient: int, tolerance: float, epsilon: float, dt: float
) -> Evidence:
    growth, durations = reference["growth"].values, reference["duration"].values
    errors, degrees = error_bars(growth, durations)
    exponent, error = float(reference["sequence_exponent"].values[0, 0]), float(errors[0])
    width = float(interval_factor(_LEVEL, degrees)[0]) * error
    floor = epsilon**_RESOLVED * float(np.abs(spread.final).max(initial=0.0) + np.abs(spread.mean).max())
    rate, rate_error, rate_degrees = _rate(spread.rms, n_transient, floor, dt)
    wanted = max(tolerance * spread.largest[0], floor)
    final = spread.largest[-1]
    elapsed = dt * (spread.rms.size - 1)
    if final <= wanted:
        verdict = "converges"
    else:
        half = float(interval_factor(_LEVEL, rate_degrees)) * rate_error
        too_slow = np.log(final / wanted) + _PATIENCE * elapsed * (rate - half) > 0
        never = too_slow and (rate + half >= 0 or abs(rate) * elapsed / 2 < _STANDSTILL)
        verdict = "does not" if never or exponent - width > 0 else "undecided"
    return Evidence(verdict, rate, rate_error, exponent, error, _groups(spread.final, wanted))


def _rate(rms: np.ndarray, n_transient: int, floor: float, dt: float) -> tuple[float, float, float]:
    """Return the rate of the distance in the second half of the time that it is seen, its error and its degrees."""
    below = np.flatnonzero(rms[n_transient:] <= floor)
    last = n_transient + int(below[0]) - 1 if below.size else rms.size - 1
    if last <= n_transient:  # forgotten at once
        return -np.inf, 0.0, np.inf
    first = (n_transient + last) // 2
    logs = np.log(rms[first : last + 1])
    edges = np.unique(np.linspace(0, logs.size - 1, min(_BLOCKS, logs.size - 1) + 1).round().astype(int))
    weights = dt * np.diff(edges)[None].astype(float)
    growth = np.diff(logs[edges])[None, :, None]
    error, degrees = error_bars(growth, weights)
    return float(growth.sum() / weights.sum()), float(error[0]), float(degrees[0])


def _groups(states: np.ndarray, distance: float) -> int:
    """Return into how many groups states fall when those closer than ``distance`` belong together."""
    return int(connected_components(cdist(states, states) <= 2 * distance)[0])


def _between(spreads: list[Spread]) -> np.ndarray:
    """Return the variance between the mean states of sequences at every time, summed over units."""
    if len(spreads) < 2:
        return np.full(spreads[0].rms.size, np.nan)
    centre = np.mean([one.mean for one in spreads], axis=0)
    squares = sum(((one.mean - centre) ** 2).sum(axis=1) for one in spreads)
    return np.asarray(squares) / (len(spreads) - 1)


def _labelled(system: Map, spreads: list[Spread], evidence: list[Evidence], settings: dict[str, Any]) -> xr.Dataset:
    unit = system.time_unit
    per_time = f"nat / {unit}"
    rms = np.stack([one.rms for one in spreads])
    by_sequence = ("sequence",)
    table = {name: np.array([getattr(one, name) for one in evidence]) for name in Evidence._fields}
    variables = {
        "verdict": (by_sequence, table["verdict"], "whether all starts come together", "1"),
        "rate": (by_sequence, table["rate"], "growth rate of the distance", per_time),
        "rate_standard_error": (by_sequence, table["rate_error"], "standard error of the rate", per_time),
        "lyapunov_exponent": (by_sequence, table["exponent"], "largest Lyapunov exponent", per_time),
        "standard_error": (by_sequence, table["exponent_error"], "standard error of the exponent", per_time),
        "n_groups": (by_sequence, table["n_groups"], "different states at the end", "1"),
        "distance": (("sequence", "time"), rms, "root mean square distance of two starts", "1"),
        "largest_distance": (
            ("sequence", "time"),
            np.stack([one.largest for one in spreads]),
            "largest distance of a start from the mean",
            "1",
        ),
        "within_variance": (("sequence", "time"), rms**2 / 2, "variance of starts under one input", "1"),
        "between_variance": (("time",), _between(spreads), "variance of the means of inputs", "1"),
    }
    coords = {
        "sequence": np.arange(len(spreads)),
        "time": ("time", system.dt * np.arange(rms.shape[1]), {"units": unit}),
    }
    return dataset(variables, coords, {
        "title": "Echo states",
        "method": "many starts under a common input",
        "references": REFERENCES,
        "conditional_on": "the given inputs",
        "dt": system.dt,
        "time_unit": unit,
        **settings,
    })  # fmt: skip
