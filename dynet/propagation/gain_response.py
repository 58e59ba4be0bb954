"""Exponents against the strength of the input, and how much of their scatter the inputs explain."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import EXPONENT_UNITS, dataset
from dynet._progress import progress_over
from dynet._validate import Faults
from dynet.kernels.namespace import namespace
from dynet.lyapunov.convergence import sequence_rates
from dynet.lyapunov.dimension import require_leading
from dynet.lyapunov.setup import require_map
from dynet.lyapunov.spectrum import lyapunov_spectrum
from dynet.systems.arguments import encoded
from dynet.systems.map import Map
from dynet.typing import ArrayLike, Rng

__all__ = ["input_gain", "variance_components"]

#: Growth of sequences that differs by no more than this, relatively, is that of one run.
_SAME = 1e-10


def input_gain(
    system: Map,
    inputs: ArrayLike,
    gains: ArrayLike,
    *,
    x0: ArrayLike | None = None,
    n_exponents: int = 1,
    n_transient: int = 0,
    rng: Rng = None,
    progress: bool = False,
    check: bool = True,
) -> xr.Dataset:
    """Return the leading exponents of a driven system against the gain of its input.

    Strong inputs often make chaotic networks follow them; `theory.mean_field` gives the line of large random ones.

    Parameters
    ----------
    system : Map
        The driven system.
    inputs : array (time, channel) or (sequence, time, channel)
        The input at gain one; several sequences, such as draws of a random input, give error bars of their scatter.
    gains : array (gain,)
        Factors of the input.
    x0 : array (n,) or (sequence, n), optional
        Start, zeros if not given.
    n_exponents : int, default 1
        How many exponents.
    n_transient : int, default 0
        Steps before, in which nothing is counted.
    rng : Generator or int, optional
        Source of the random frame, the same at every gain; None means ``default_rng(0)``.
    progress : bool, default False
        Show a progress bar.
    check : bool, default True
        Compare the Jacobian with a difference of the step at each gain.

    Returns
    -------
    Dataset
        ``lyapunov_exponent(gain, exponent)``, ``standard_error(gain, exponent)`` and
        ``degrees_of_freedom(gain, exponent)``; ``sequence_exponent(gain, sequence, exponent)``.

    Raises
    ------
    InputError
        If an argument cannot be used.
    DivergenceError
        If state or frame stop being finite.

    References
    ----------
    Molgedey, Schuchhardt & Schuster (1992), doi:10.1103/PhysRevLett.69.3717; Rajan, Abbott & Sompolinsky (2010),
    doi:10.1103/PhysRevE.82.011903.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> net = dynet.networks.random_tanh(40, 2.0, W_xh=np.eye(40), rng=1)
    >>> noise = np.random.default_rng(0).standard_normal((600, 40))
    >>> ds = dynet.input_gain(net, noise, [0.1, 4.0], n_transient=100)
    >>> (ds.lyapunov_exponent.sel(exponent=1) > 0).values
    array([ True, False])
    """
    system, inputs = encoded(require_map(system), inputs)
    faults = Faults()
    factors = faults.real_array("gains", gains, finite=True)
    if factors.ndim != 1 or factors.size == 0:
        faults.add("gains", gains, "give an array of at least one factor")
    elif len(set(factors.tolist())) != factors.size:
        faults.add("gains", gains, "give every gain once")
    if inputs is None:
        faults.add("inputs", inputs, "give the input at gain one, (time, channel) or (sequence, time, channel)")
    series = inputs if hasattr(inputs, "detach") or inputs is None else faults.real_array("inputs", inputs)
    if inputs is not None and not faults and series.ndim not in (2, 3):
        faults.add("inputs", series if series.ndim else inputs, "give (time, channel) or (sequence, time, channel)")
    faults.integer("n_transient", n_transient, 0)
    if rng is not None and not isinstance(rng, int | np.integer | np.random.Generator):
        faults.add("rng", rng, "give a whole number, a numpy.random.Generator or None")
    faults.raise_if_any()
    n_steps = series.shape[-2] - int(n_transient)
    if n_steps < 1:
        faults.say(f"inputs has {series.shape[-2]} rows: give more than n_transient = {n_transient}")
    if x0 is None and (factors == 0).any():
        faults.say(
            "x0 is None and a gain is 0: give a start (n,); zeros stand in only for driven networks, because zero is "
            "often a fixed point, and an unstable one is never left without an input"
        )
    faults.raise_if_any()
    if x0 is None and system.like is not None:
        x0 = namespace(system.like).zeros_like(system.like)
    # one frame for all gains: a generator would draw another for each
    seed = rng.integers(2**63) if isinstance(rng, np.random.Generator) else 0 if rng is None else rng
    spectra = [
        lyapunov_spectrum(
            system, x0, n_steps, inputs=series * float(factor), n_exponents=n_exponents, n_transient=n_transient,
            rng=int(seed), check=check,
        )
        for factor in progress_over(factors, "Input gain", progress)
    ]  # fmt: skip
    first = spectra[0]
    dims = ("gain", "exponent")

    def variable(name: str, variable_dims: tuple[str, ...] = dims) -> tuple[tuple[str, ...], Any, str, str]:
        values = np.stack([one[name].values for one in spectra])
        return variable_dims, values, str(first[name].attrs["long_name"]), str(first[name].attrs["units"])

    variables = {
        "lyapunov_exponent": variable("lyapunov_exponent"),
        "standard_error": variable("standard_error"),
        "degrees_of_freedom": variable("degrees_of_freedom"),
        "sequence_exponent": variable("sequence_exponent", ("gain", "sequence", "exponent")),
    }
    coords = {"gain": factors, "exponent": first["exponent"].values, "sequence": first["sequence"].values}
    kept = ("n_steps", "n_transient", "n_exponents", "dt", "time_unit", "engine", "jacobian", "conditional_on",
            "standard_error_from")  # fmt: skip
    return dataset(variables, coords, {
        "title": "Exponents against input gain",
        "method": str(first.attrs["method"]),
        "references": "Molgedey, Schuchhardt & Schuster (1992) doi:10.1103/PhysRevLett.69.3717",
        **{name: first.attrs[name] for name in kept if name in first.attrs},
    })  # fmt: skip


def variance_components(spectrum: xr.Dataset) -> xr.Dataset:
    """Return how much the exponents of sequences differ, and how much of it finite length alone explains.

    Parameters
    ----------
    spectrum : Dataset
        From `lyapunov_spectrum` with several sequences, such as an ensemble of random inputs.

    Returns
    -------
    Dataset
        ``between_variance(exponent)`` of the exponents of sequences; ``within_variance(exponent)``, what the growth
        within sequences lets expect of them (by the scatter of the means of about ``sqrt(blocks)`` stretches of
        each); ``ratio(exponent)``, near one if the inputs make no difference beyond the length of the run, and its
        ``standard_error(exponent)``. Exponents below resolution have no variance: 0, and the ratio 1. Sequences that
        grow alike block by block are one run, and one sample: the ratio is 0 and its error inf; ``n_identical`` of the
        attributes counts such exponents.

    Raises
    ------
    InputError
        If ``spectrum`` is not one, or has a single sequence.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> net = dynet.networks.random_tanh(20, 1.5, W_xh=np.ones((20, 1)), rng=0)
    >>> inputs = np.random.default_rng(0).standard_normal((12, 300, 1))
    >>> ds = dynet.lyapunov_spectrum(net, None, 250, inputs=inputs, n_exponents=1, n_transient=50)
    >>> bool(dynet.variance_components(ds).ratio[0] < 4)
    True
    """
    require_leading(spectrum)
    growth, durations = spectrum["growth"].values, spectrum["duration"].values
    S, B = durations.shape
    faults = Faults()
    if S < 2:
        faults.say("spectrum has one sequence: give several, with inputs of their own")
    if B < 2 or np.isnan(growth).any():
        faults.say("spectrum: give sequences of one length, of at least two blocks")
    faults.raise_if_any()
    stretches = max(int(np.sqrt(B)), 2)
    groups = np.array_split(np.arange(B), stretches)
    finite = np.isfinite(growth).all(axis=(0, 1))
    growth = np.where(finite, growth, 0.0)
    means = np.stack([sequence_rates(growth[:, group], durations[:, group]) for group in groups], axis=1)
    between = sequence_rates(growth, durations).var(axis=0, ddof=1)
    within = means.var(axis=1, ddof=1).mean(axis=0) / stretches
    rounding = (_SAME * np.abs(means).max(axis=(0, 1))) ** 2
    between, within = (np.where(one > rounding, one, 0.0) for one in (between, within))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(within > 0, between / within, np.where(between > 0, np.inf, 1.0))
    # of a ratio of two variances with so many degrees of freedom
    error = np.where(finite, ratio * np.sqrt(2 / (S - 1) + 2 / (S * (stretches - 1))), 0.0)
    same = np.ptp(growth, axis=0).max(axis=0) <= _SAME * np.abs(growth).max(axis=(0, 1))
    same &= within > 0
    ratio, error = np.where(same, 0.0, ratio), np.where(same, np.inf, error)
    rate = EXPONENT_UNITS.format(time_unit=spectrum.attrs["time_unit"])
    variables: dict[str, tuple[tuple[str, ...], Any, str, str]] = {
        "between_variance": (("exponent",), between, "variance of the exponents of sequences", f"({rate})^2"),
        "within_variance": (("exponent",), within, "variance expected from growth within sequences", f"({rate})^2"),
        "ratio": (("exponent",), ratio, "variance between over variance within", "1"),
        "standard_error": (("exponent",), error, "standard error of the ratio", "1"),
    }
    return dataset(variables, {"exponent": spectrum["exponent"].values}, {
        "title": "Variance of exponents between and within sequences",
        "n_sequences": S,
        "n_identical": int(same.sum()),
        "time_unit": spectrum.attrs["time_unit"],
    })  # fmt: skip
