"""Results in files: netCDF, written in one piece or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from dynet._files import replacing
from dynet._labels import plain_attrs
from dynet._optional import import_optional
from dynet._validate import shown
from dynet.errors import InputError

__all__ = ["load", "save"]

#: Attribute that marks a variable whose last dimension is (real, imaginary).
_COMPLEX = "dynet_complex"
_FLAG = "dynet_flag"
_PARTS = "complex_part"


def save(result: xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Write a result to a netCDF file.

    Complex variables are written as pairs of real ones and flags as integers; `load` brings both back. The
    file appears only when it is complete.

    Parameters
    ----------
    result : Dataset
        Any result of dynet.
    path : str or path
        Where to write; ``.nc`` is added if there is no ending.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InputError
        If ``result`` is not a Dataset or the folder cannot be written to.
    ImportError
        If h5netcdf is missing (extra ``io``).

    Examples
    --------
    >>> import dynet, tempfile
    >>> ds = dynet.lyapunov_spectrum(dynet.zoo.henon(), [0.1, 0.1], 1_000)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dynet.load(dynet.save(ds, f"{folder}/henon.nc")).identical(ds)
    True
    """
    if not isinstance(result, xr.Dataset):
        raise InputError(f"result={shown(result)}: give a Dataset that an analysis of dynet returned")
    import_optional("h5netcdf", extra="io", purpose="save")
    target = Path(path)
    target = target if target.suffix else target.with_suffix(".nc")
    if target.suffix not in (".nc", ".nc4", ".h5"):
        raise InputError(f"path='{target}': results are netCDF files: give a name that ends in .nc")
    try:
        with replacing(target) as partial:
            _encoded(result).to_netcdf(partial, engine="h5netcdf", format="NETCDF4")
    except OSError as error:
        raise InputError(
            f"path='{target}': cannot be written ({error.strerror or error}): give a folder that exists and may be "
            "written to"
        ) from error
    return target


def load(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a result that `save` wrote, into memory.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    Dataset
        Identical to what was saved: values, dtypes, coordinates and attributes.

    Raises
    ------
    InputError
        If the file does not exist or is not a netCDF file.

    Examples
    --------
    See `save`.
    """
    import_optional("h5netcdf", extra="io", purpose="load")
    source = Path(path)
    if not source.is_file():
        raise InputError(f"path='{source}': there is no such file")
    try:
        with xr.open_dataset(source, engine="h5netcdf", decode_times=False) as opened:
            return _decoded(opened.load())
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"path='{source}': this is not a readable netCDF file ({reason}): it may be damaged or of another kind"
        ) from error


def _encoded(result: xr.Dataset) -> xr.Dataset:
    out = result.copy()
    out.attrs = dict(plain_attrs(out.attrs))
    for name in out.variables:
        variable = out[name].variable
        attrs = dict(plain_attrs(variable.attrs))
        if variable.dtype.kind == "c":
            pairs = np.stack([variable.values.real, variable.values.imag], axis=-1)
            out[name] = xr.Variable((*variable.dims, _PARTS), pairs, {**attrs, _COMPLEX: "true"})
        elif variable.dtype.kind == "b":
            out[name] = xr.Variable(variable.dims, variable.values.astype(np.int8), {**attrs, _FLAG: "true"})
        else:
            out[name].attrs = attrs
        # a fill value would turn NaN into "missing" and add an attribute
        out[name].encoding = {"_FillValue": None} if variable.dtype.kind == "f" else {}
    return out


def _decoded(stored: xr.Dataset) -> xr.Dataset:
    out = stored.copy()
    for name in out.variables:
        variable = out[name].variable
        attrs = _unwrapped(variable.attrs)
        if attrs.pop(_COMPLEX, None):
            values = variable.values[..., 0] + 1j * variable.values[..., 1]
            out[name] = xr.Variable(variable.dims[:-1], values, attrs)
        elif attrs.pop(_FLAG, None):
            out[name] = xr.Variable(variable.dims, variable.values.astype(bool), attrs)
        elif variable.dtype.kind in "OT":
            values = np.asarray(variable.values.tolist() if variable.ndim else str(variable.values))
            out[name] = xr.Variable(variable.dims, values, attrs)
        else:
            out[name].attrs = attrs
        out[name].encoding = {}
    out.encoding = {}
    out.attrs = _unwrapped(out.attrs)
    return out


def _unwrapped(attrs: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return attributes as Python's own numbers, as they were saved."""
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in attrs.items()}
