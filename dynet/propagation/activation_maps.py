"""Maps over gains and saturations: Jacobian norms and the largest exponent of networks of gamma units."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import EXPONENT_UNITS, dataset
from dynet._progress import progress_bar
from dynet._validate import Faults
from dynet.errors import DivergenceError
from dynet.kernels.namespace import to_numpy
from dynet.lyapunov.spectrum import lyapunov_spectrum
from dynet.propagation.norms import jacobian_norms
from dynet.systems.elman_networks import gamma_rnn
from dynet.typing import ArrayLike, Rng

__all__ = ["jacobian_map", "status_of", "unbounded"]

#: The grid of Geadah et al. (2024).
GAINS = (1.0, *(1.25 * k for k in range(1, 17)))
SATURATIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
REFERENCES = "Geadah et al. (2024) doi:10.1371/journal.pcbi.1012567; Pascanu, Mikolov & Bengio (2013) arXiv:1211.5063"

STATUS = "0: fine, 1: the state overflowed, 2: it grows without end"
#: States of bounded networks stay far below.
_FAR = 1e6


def jacobian_map(
    W_hh: ArrayLike,
    b: ArrayLike | None = None,
    *,
    n: ArrayLike = GAINS,
    s: ArrayLike = SATURATIONS,
    half_width: float = 5.0,
    n_samples: int = 20,
    n_steps: int = 200,
    n_transient: int = 100,
    n_starts: int = 2,
    rng: Rng = None,
    progress: bool = False,
) -> xr.Dataset:
    r"""Return Jacobian norms and the largest exponent of ``h' = gamma(W_hh h + b; n, s)`` over a grid of (n, s).

    Parameters
    ----------
    W_hh : array (units, units)
        Recurrent weights.
    b : array (units,), optional
        Bias; a drive belongs here.
    n : array (gain,)
        Gains, positive; by default 1 and 1.25, 2.5, ... 20.
    s : array (saturation,)
        Saturations in [0, 1]; by default 0, 0.25, ... 1.
    half_width : float, default 5.0
        States of which the norms are taken are uniform in (-half_width, half_width).
    n_samples : int, default 20
        How many of them.
    n_steps : int, default 200
        Steps over which growth is counted.
    n_transient : int, default 100
        Steps before.
    n_starts : int, default 2
        Trajectories of which the exponent is the mean, from the first of the same states.
    rng : Generator or int, optional
        Source of states and frames, the same for all (n, s); None means ``default_rng(0)``.
    progress : bool, default False
        Show a progress bar.

    Returns
    -------
    xarray.Dataset
        All over ``(gain, saturation)``: ``jacobian_norm``, the mean spectral norm of
        :math:`\mathrm{diag}(\gamma') W_{hh}`, ``rms_gain``, the mean of :math:`\|\cdot\|_F / \sqrt N`, and
        ``lyapunov_exponent``, the largest; ``jacobian_norm_error``, ``rms_gain_error`` and ``standard_error``;
        ``status``: 0, 1 where the state overflows (the exponent is NaN), 2 where it grows without end but has not yet
        overflowed (the exponent is the rate at which it leaves); ``message`` tells more.

    Raises
    ------
    InputError
        If an argument cannot be used.

    Notes
    -----
    A norm over states drawn evenly is not that over the states which the network visits: see `jacobian_norms` for
    these. Without saturation the activation has no upper bound, and networks diverge as soon as the weights amplify.

    References
    ----------
    Geadah et al. (2024), doi:10.1371/journal.pcbi.1012567; Pascanu, Mikolov & Bengio (2013), arXiv:1211.5063.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> ds = dynet.jacobian_map(0.9 * np.eye(2), n=[5.0], s=[0.3, 1.0])
    >>> ds.lyapunov_exponent.values.round(4)
    array([[-0.4335, -2.9671]])
    """
    faults = Faults()
    W = faults.real_array("W_hh", to_numpy(W_hh) if hasattr(W_hh, "detach") else W_hh, finite=True)
    gains, saturations = (np.atleast_1d(faults.real_array(name, v, finite=True)) for name, v in (("n", n), ("s", s)))
    if not faults and (W.ndim != 2 or W.shape[0] != W.shape[1] or W.size == 0):
        faults.add("W_hh", W, "give a square matrix")
    for name, values in (("n", gains), ("s", saturations)):
        if values.ndim != 1 or values.size == 0:
            faults.add(name, values, "give one number or several (grid,)")
    if not (gains > 0).all():
        faults.add("n", float(gains.min()), "give positive gains")
    if not ((saturations >= 0) & (saturations <= 1)).all():
        faults.add("s", saturations[(saturations < 0) | (saturations > 1)][0], "give saturations in [0, 1]")
    faults.positive("half_width", half_width)
    for name, count in (("n_samples", n_samples), ("n_steps", n_steps), ("n_starts", n_starts)):
        faults.integer(name, count, 1)
    faults.integer("n_transient", n_transient, 0)
    faults.raise_if_any()
    random = np.random.default_rng(0 if rng is None else rng)
    states = random.uniform(-half_width, half_width, (max(n_samples, n_starts), len(W)))
    seed = int(random.integers(2**31))
    values = np.full((6, gains.size, saturations.size), np.nan)
    messages = np.full(values.shape[1:], "", dtype=object)
    with progress_bar(messages.size, "map over (n, s)", progress) as bar:
        for i, j in np.ndindex(messages.shape):
            system = gamma_rnn(W, b=b, n=gains[i], s=saturations[j])
            check = i == j == 0
            norms = jacobian_norms(system, states[:n_samples], check=check)
            for row, norm in enumerate(("spectral", "rms")):
                values[2 * row : 2 * row + 2, i, j] = (
                    norms["mean"].sel(norm=norm),
                    norms["standard_error"].sel(norm=norm),
                )
            try:
                spectrum = lyapunov_spectrum(
                    system, states[:n_starts], n_steps, n_exponents=1, n_transient=n_transient, rng=seed, check=check
                )
                values[4:, i, j] = spectrum["lyapunov_exponent"][0], spectrum["standard_error"][0]
                messages[i, j] = unbounded(spectrum["final_state"].values)
            except DivergenceError as error:
                messages[i, j] = str(error)
            bar.update(1)
    per_step = EXPONENT_UNITS.format(time_unit="step")
    grid = ("gain", "saturation")
    names = {
        "jacobian_norm": ("mean spectral norm of the Jacobian", "1"),
        "jacobian_norm_error": ("standard error of the mean norm", "1"),
        "rms_gain": ("mean root mean square gain", "1"),
        "rms_gain_error": ("standard error of the mean gain", "1"),
        "lyapunov_exponent": ("largest Lyapunov exponent", per_step),
        "standard_error": ("standard error of the exponent", per_step),
    }
    variables: dict[str, Any] = {
        name: (grid, value, *words) for (name, words), value in zip(names.items(), values, strict=True)
    }
    variables["status"] = (grid, status_of(messages, values[4]), STATUS, "1")
    variables["message"] = (grid, messages.astype(str), "what went wrong", "1")
    attrs = {
        "title": "Jacobian norms and largest exponents over gains and saturations",
        "method": "states drawn evenly; growth of a tangent vector",
        "references": REFERENCES,
        "n_units": len(W),
        "half_width": float(half_width),
        "n_samples": n_samples,
        "n_steps": n_steps,
        "n_transient": n_transient,
        "n_starts": n_starts,
    }
    return dataset(variables, {"gain": gains, "saturation": saturations}, attrs)


def unbounded(states: np.ndarray) -> str:
    """Return what is to be said of states that have gone far away, or nothing."""
    farthest = float(np.abs(states).max())
    return f"the state grows without end: {farthest:.1g} at the last step" if farthest > _FAR else ""


def status_of(messages: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """Return the status of networks by what was said of them: see `STATUS`."""
    return np.where(messages == "", 0, np.where(np.isnan(exponents), 1, 2)).astype(np.int8)
