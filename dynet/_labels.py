"""The only builders of Datasets: names, dimensions, units and attributes of results."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import xarray as xr

EXPONENT_UNITS = "nat / {time_unit}"


@cache
def dynet_version() -> str:
    """Return the installed version of dynet."""
    try:
        return version("dynet-analysis")
    except PackageNotFoundError:
        return "not installed"


def plain_attrs(attrs: dict[str, Any]) -> dict[str, str | int | float]:
    """Return attributes as str, int and float: files hold nothing else without loss."""
    plain: dict[str, str | int | float] = {}
    for name, value in attrs.items():
        if value is None:
            continue
        if isinstance(value, bool | np.bool_):
            value = str(bool(value))
        elif isinstance(value, np.generic):
            value = value.item()
        # subclasses too, such as torch's version, become plain ones
        kind = next((kind for kind in (int, float) if isinstance(value, kind)), str)
        plain[name] = value if type(value) is kind else kind(value)
    return plain


def dataset(
    variables: dict[str, tuple[tuple[str, ...], Any, str, str]],
    coords: dict[str, Any],
    attrs: dict[str, Any],
) -> xr.Dataset:
    """Return a Dataset of ``name -> (dims, values, long_name, units)``."""
    data = {
        name: (dims, values, {"long_name": long_name, "units": units})
        for name, (dims, values, long_name, units) in variables.items()
    }
    return xr.Dataset(data, coords, plain_attrs({**attrs, "dynet_version": dynet_version()}))


def unit_coordinates(coords: dict[str, list[Any]]) -> dict[str, Any]:
    """Return coordinates along ``unit`` in the form that Datasets take."""
    return {name: ("unit", np.asarray(values)) for name, values in coords.items()}


def trajectory_dataset(
    times: np.ndarray,
    states: np.ndarray,
    inputs: np.ndarray | None,
    units: dict[str, list[Any]],
    time_unit: str,
    batched: bool,
    attrs: dict[str, Any],
) -> xr.Dataset:
    """Label a trajectory: states (sequence, time, n), inputs (sequence, time, channel)."""
    lead: tuple[str, ...] = ("sequence",) if batched else ()
    coords = {"time": ("time", times, {"units": time_unit}), **unit_coordinates(units)}
    variables = {
        "state": ((*lead, "time", "unit"), states if batched else states[0], "state", "1"),
    }
    if inputs is not None:
        rows = inputs if batched else inputs[0]
        variables["input"] = ((*lead, "time", "channel"), rows, "input held from this time on", "1")
        coords["channel"] = np.arange(rows.shape[-1])
    if batched:
        coords["sequence"] = np.arange(states.shape[0])
    return dataset(variables, coords, attrs)


def spectrum_dataset(
    *,
    growth: np.ndarray,
    durations: np.ndarray,
    times: np.ndarray,
    exponents: np.ndarray,
    standard_error: np.ndarray,
    degrees_of_freedom: np.ndarray,
    sequence_exponents: np.ndarray,
    running: np.ndarray,
    final_state: np.ndarray,
    units: dict[str, list[Any]],
    time_unit: str,
    attrs: dict[str, Any],
) -> xr.Dataset:
    """Label a spectrum: growth (sequence, time, exponent), durations (sequence, time)."""
    per_time = EXPONENT_UNITS.format(time_unit=time_unit)
    S, _, k = growth.shape
    coords = {
        "exponent": np.arange(1, k + 1),
        "time": ("time", times, {"units": time_unit, "long_name": "end of the block"}),
        "sequence": np.arange(S),
        **unit_coordinates(units),
    }
    below = np.isneginf(exponents)
    variables = {
        "lyapunov_exponent": (("exponent",), exponents, "Lyapunov exponent, mean over sequences", per_time),
        "standard_error": (("exponent",), standard_error, "standard error of the exponent", per_time),
        "degrees_of_freedom": (("exponent",), degrees_of_freedom, "degrees of freedom of the error", "1"),
        "sequence_exponent": (
            ("sequence", "exponent"),
            sequence_exponents,
            "Lyapunov exponent of each sequence",
            per_time,
        ),
        "running_estimate": (
            ("sequence", "time", "exponent"),
            running,
            "estimate from the start up to this time",
            per_time,
        ),
        "growth": (("sequence", "time", "exponent"), growth, "log growth over the block", "nat"),
        "duration": (("sequence", "time"), durations, "duration of the block", time_unit),
        "final_state": (("sequence", "unit"), final_state, "state after the last step", "1"),
        "below_resolution": (("exponent",), below, "exponent is -inf: its pivots are zero to rounding", "1"),
    }
    return dataset(variables, coords, attrs)
