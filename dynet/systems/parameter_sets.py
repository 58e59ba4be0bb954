"""Several sets of parameters for one system, one for each sequence: entries stacked along a first axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dynet._validate import Faults, is_number
from dynet.kernels.namespace import to_numpy

#: Where an entry stands among the parameters, in words: "", ".a", "['a']", "[0][1]".
Path = str


class ParameterSets:
    """Parameters of one system, with an axis for the sequences in front of the entries that vary.

    Parameters
    ----------
    stacked : object
        The parameters, varying entries stacked.
    varies : object
        The same structure, True where an entry varies.
    count : int
        Number of sets.
    """

    def __init__(self, stacked: Any, varies: Any, count: int) -> None:
        self.stacked, self._varies, self.count = stacked, varies, count

    def of(self, s: int) -> Any:
        """Return the parameters of set ``s``, as the system takes them."""
        return _mapped(lambda entry, varies: _plain(entry[s]) if varies else entry, self.stacked, self._varies)

    def kept(self, rows: np.ndarray) -> ParameterSets:
        """Return some of the sets."""
        some = _mapped(lambda entry, varies: entry[rows] if varies else entry, self.stacked, self._varies)
        return ParameterSets(some, self._varies, len(rows))

    def as_rows(self) -> np.ndarray | None:
        """Return the sets as rows of floats (set, entry), or None if some entry is not a float."""
        if not all(isinstance(entry, float) for entry in _leaves(self.of(0))):
            return None
        columns = [np.broadcast_to(entry, self.count) for entry in _leaves(self.stacked)]
        return np.stack(columns, axis=1).astype(np.float64)

    def coordinates(self) -> dict[str, np.ndarray]:
        """Return the numbers that vary and have a name, each (set,)."""
        named = self.stacked if isinstance(self.stacked, dict) else getattr(self.stacked, "_asdict", dict)()
        varies = self._varies if isinstance(self._varies, dict) else getattr(self._varies, "_asdict", dict)()
        return {str(name): to_numpy(entry) for name, entry in named.items() if varies[name] is True and entry.ndim == 1}


def parameter_sets(faults: Faults, params: Any, given: Any) -> ParameterSets | None:
    """Return what ``given`` makes of the parameters of a system, or note what is wrong.

    ``given`` has the structure of ``params``, or is a mapping that gives some entries of a namedtuple or dict by name.
    An entry varies if it has one axis more than that of the system; one of the same shape is shared.
    """
    known = len(faults)
    counts: dict[int, Path] = {}
    if isinstance(given, Mapping) and hasattr(params, "_fields"):
        for name in [name for name in given if name not in params._fields]:
            faults.add(f"params.{name}", given[name], f"the parameters have {', '.join(params._fields)}")
        given = params._replace(**{name: given[name] for name in given if name in params._fields})
    elif isinstance(given, Mapping) and isinstance(params, dict):
        for name in [name for name in given if name not in params]:
            faults.add(f"params[{name!r}]", given[name], f"the parameters have {', '.join(map(str, params))}")
        given = {**params, **{name: given[name] for name in given if name in params}}
    stacked, varies = _stacked(faults, params, given, "", counts)
    if len(faults) == known and not counts:
        faults.say("params: no entry has an axis more than in the system: one set is given by system.with_params(...)")
    elif len(counts) > 1:
        listed = ", ".join(f"params{path} has {count}" for count, path in counts.items())
        faults.say(f"{listed} sets: give equal numbers")
    return None if len(faults) > known else ParameterSets(stacked, varies, next(iter(counts)))


def _stacked(faults: Faults, old: Any, new: Any, path: Path, counts: dict[int, Path]) -> tuple[Any, Any]:
    """Return the new entry and whether it varies, or these two for each entry of a tuple, list or dict."""
    if isinstance(old, dict | tuple | list):
        fits = isinstance(new, dict) and new.keys() == old.keys() if isinstance(old, dict) else _is_row(new, len(old))
        if not fits:
            faults.add(
                f"params{path}", new, f"give the {len(old)} entries of the system's parameters, stacked or shared"
            )
            return old, _mapped(lambda entry, _: False, old, old)
        names = list(old) if isinstance(old, dict) else range(len(old))
        paths = [f"{path}.{field}" for field in getattr(old, "_fields", ())] or [f"{path}[{name!r}]" for name in names]
        pairs = [_stacked(faults, old[i], new[i], where, counts) for i, where in zip(names, paths, strict=True)]
        return _rebuilt(old, [pair[0] for pair in pairs]), _rebuilt(old, [pair[1] for pair in pairs])
    if new is old:
        return old, False
    if not (is_number(old) or hasattr(old, "shape")):
        faults.add(f"params{path}", new, "the system's entry is no number or array: leave it as it is")
        return old, False
    shape = tuple(getattr(old, "shape", ()))
    entry = new if hasattr(new, "detach") else np.asarray(new)
    if tuple(entry.shape) == shape:
        return _plain(entry), False
    if (
        tuple(entry.shape[1:]) != shape
        or entry.shape[0] == 0
        or (not hasattr(new, "detach") and entry.dtype.kind not in "fiu")
    ):
        stacked = f"({', '.join(map(str, ('set', *shape)))}{',' if not shape else ''})"
        faults.add(f"params{path}", new, f"give an entry for each set, {stacked}, or one for all")
        return old, False
    if isinstance(old, float):
        entry = entry.astype(np.float64)  # another type would compile the loops again
    counts.setdefault(int(entry.shape[0]), path)
    return entry, True


def _is_row(value: Any, length: int) -> bool:
    return isinstance(value, tuple | list) and len(value) == length


def _rebuilt(like: Any, entries: list[Any]) -> Any:
    """Return entries in a container like ``like``: a dict, a namedtuple, a tuple or a list."""
    if isinstance(like, dict):
        return dict(zip(like, entries, strict=True))
    return type(like)(*entries) if hasattr(like, "_fields") else type(like)(entries)


def _mapped(function: Callable[[Any, Any], Any], value: Any, beside: Any) -> Any:
    """Return a structure with ``function`` of every entry and of that which stands in its place in ``beside``."""
    if isinstance(value, dict | tuple | list):
        names = list(value) if isinstance(value, dict) else range(len(value))
        return _rebuilt(value, [_mapped(function, value[name], beside[name]) for name in names])
    return function(value, beside)


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict | tuple | list):
        return [leaf for entry in (value.values() if isinstance(value, dict) else value) for leaf in _leaves(entry)]
    return [value]


def _plain(entry: Any) -> Any:
    """Return a single number as Python's own: its type is what loops are compiled for."""
    return entry.item() if isinstance(entry, np.ndarray | np.generic) and not entry.shape else entry
