"""What follows from singular values, however they were found: conditioning, isometry, moments over runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import logsumexp

from dynet.propagation.runs import mean_and_error

Variables = dict[str, tuple[Any, np.ndarray, str, str]]


def singular_variables(values: np.ndarray, lead: list[str], length: str, what: str) -> Variables:
    """Return the variables that log singular values (sequence, start, length, index) make.

    ``lead`` names those of the first two dimensions that the result has, ``length`` the third; ``what`` has these
    values.
    """
    singular = np.isneginf(values[..., -1])
    with np.errstate(invalid="ignore"):
        condition = np.where(singular, np.inf, values[..., 0] - values[..., -1])
    keep = kept(lead)
    first, first_error = _moment(2 * values)
    second, second_error = _moment(4 * values)
    where = (*lead, length)
    distance = np.sqrt(np.mean(values**2, axis=-1))
    return {
        "log_singular_value": ((*where, "index"), values[keep], f"log singular value of the {what}", "nat"),
        "log_condition_number": (where, condition[keep], "largest less smallest log singular value", "nat"),
        "isometry_distance": (where, distance[keep], "root mean square log singular value", "nat"),
        "log_first_moment": ((length,), first, "log mean of the squared singular values", "nat"),
        "first_moment_error": ((length,), first_error, "standard error of the log first moment", "nat"),
        "log_second_moment": ((length,), second, "log mean of their fourth powers", "nat"),
        "second_moment_error": ((length,), second_error, "standard error of the log second moment", "nat"),
    }


def kept(lead: list[str]) -> tuple[Any, ...]:
    """Return the index that leaves out the dimensions sequence and start where the result has none."""
    return tuple(slice(None) if name in lead else 0 for name in ("sequence", "start"))


def run_coords(lead: list[str], n_sequences: int, starts: np.ndarray, dt: float, time_unit: str) -> dict[str, Any]:
    """Return the coordinates of sequences and of the windows' starts."""
    coords: dict[str, Any] = {"sequence": np.arange(n_sequences)} if "sequence" in lead else {}
    times = starts * dt
    coords["start"] = ("start", times, {"units": time_unit}) if "start" in lead else times[0]
    return coords


def _moment(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the log mean over index and runs of ``exp(logs)``, (length,), and its standard error."""
    by_run = logsumexp(logs, axis=-1) - np.log(logs.shape[-1])  # (sequence, start, length)
    mean = logsumexp(by_run, axis=(0, 1)) - np.log(by_run.shape[0] * by_run.shape[1])
    return mean, mean_and_error(np.exp(by_run - np.where(np.isneginf(mean), 0.0, mean)))[1]
