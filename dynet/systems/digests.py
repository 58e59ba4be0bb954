"""Digests of values and of all that they hold: arrays by their bytes, functions by their code and what they read.

Equal values have equal digests, in every process that runs the same version of Python. Functions and classes of
installed packages are taken by their own code or name, not by what these use in turn. What cannot be looked into is
listed, not guessed.
"""

from __future__ import annotations

import copyreg
import dis
import random
import site
import sys
import sysconfig
import weakref
from collections.abc import Iterable
from functools import cache, cached_property
from hashlib import blake2b
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from dynet.kernels.namespace import to_numpy

_RANDOM = (np.random.Generator, np.random.BitGenerator, np.random.RandomState, random.Random)
#: Members of a class that do not change what it computes.
_DESCRIPTIVE = {"__doc__", "__module__", "__qualname__", "__annotations__", "__firstlineno__", "__static_attributes__"}


class Digests:
    """Digests of one or several values; ``unknown`` lists what in them could not be looked into."""

    def __init__(self) -> None:
        self.unknown: list[str] = []
        self._where: list[str] = []
        self._open: dict[int, int] = {}
        self._done: dict[int, tuple[bytes, Any]] = {}  # with the value, which keeps its id from being used again

    def of(self, name: str, value: Any) -> str:
        """Return the digest of a value; ``unknown`` calls it ``name``."""
        return self._named(name, value).hex()

    def _named(self, name: str, value: Any) -> bytes:
        self._where.append(name)
        try:
            return joined(name.encode(), self._of(value))
        finally:
            self._where.pop()

    def _of(self, value: Any) -> bytes:
        if value is None or value is Ellipsis or value is NotImplemented:
            return joined(repr(value).encode())
        if isinstance(value, bool | np.bool_):
            return joined(b"bool", str(bool(value)).encode())
        if isinstance(value, int | np.int64):
            return joined(b"int", str(int(value)).encode())
        if isinstance(value, float):
            return joined(b"float", float(value).hex().encode())
        if isinstance(value, str):
            return joined(b"str", str(value).encode("utf-8", "surrogatepass"))
        if isinstance(value, bytes):
            return joined(b"bytes", value)
        key = id(value)
        if key in self._done:
            return self._done[key][0]
        if key in self._open:  # it holds itself: named by how far up it stands
            return joined(b"above", str(len(self._open) - self._open[key]).encode())
        self._open[key] = len(self._open)
        try:
            result = self._compound(value)
        except Exception as error:  # whatever a user's object may raise that does not pickle or pretends to be another
            result = self._give_up(value, f"an object of type {type(value).__qualname__} ({type(error).__name__})")
        finally:
            del self._open[key]
        self._done[key] = result, value
        return result

    def _compound(self, value: Any) -> bytes:
        kind = type(value)
        if isinstance(value, ModuleType):
            return joined(b"module", value.__name__.encode())
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, np.ndarray | np.generic):
            return self._array(np.asarray(value))
        if hasattr(value, "detach") and hasattr(value, "dtype"):
            return self._tensor(value)
        if isinstance(value, CodeType):
            return self._code(value)
        if isinstance(value, FunctionType):
            return self._function(value)
        if hasattr(value, "py_func"):  # compiled by numba; fastmath and the like are part of what it computes
            return joined(b"compiled", self._of(value.py_func), self._of(dict(getattr(value, "targetoptions", {}))))
        if hasattr(value, "state_dict") and hasattr(value, "named_modules"):
            return self._network(value)
        if kind in (tuple, list) or (isinstance(value, tuple) and hasattr(value, "_fields")):
            return joined(kind.__name__.encode(), *map(self._of, getattr(value, "_fields", ())), *map(self._of, value))
        if kind in (set, frozenset):
            return joined(b"set", *sorted(map(self._of, value)))
        if kind is dict:
            return self._dict(value)
        if hasattr(value, "__wrapped__"):
            return joined(kind.__qualname__.encode(), self._of(value.__wrapped__))
        if hasattr(value, "__array__") and hasattr(value, "dtype"):
            return self._array(np.asarray(value))
        if isinstance(value, weakref.ref):
            return joined(b"reference", self._of(value()))
        if isinstance(value, _RANDOM):
            return self._give_up(value, "a random generator, whose draws a new process does not continue")
        return self._reduced(value)

    def _array(self, array: np.ndarray) -> bytes:
        shape = str(array.shape).encode()
        if array.dtype.hasobject:
            return joined(b"objects", shape, *map(self._of, array.ravel().tolist()))
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        return joined(b"array", array.dtype.str.encode(), shape, content)

    def _tensor(self, tensor: Any) -> bytes:
        dense = tensor.to_dense() if getattr(tensor, "is_sparse", False) else tensor
        try:
            array = to_numpy(dense)
        except TypeError:  # short floats have no numpy dtype; doubles hold them exactly
            array = to_numpy(dense.detach().double())
        return joined(b"tensor", str(tensor.dtype).encode(), self._array(array))

    def _dict(self, items: dict[Any, Any]) -> bytes:
        return joined(b"dict", *sorted(joined(self._of(key), self._named(str(key), items[key])) for key in items))

    def _network(self, network: Any) -> bytes:
        """Return the digest of a torch module: weights, buffers, the classes of its parts and their settings."""
        tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        pieces = [self._dict(tensors)]
        for name, part in network.named_modules():
            base = next((c for c in type(part).__mro__ if c.__module__ == "torch.nn.modules.module"), None)
            internal = set() if base is None else vars(base()).keys() - {"training"}
            hooks = [list(vars(part).get(kind, {}).values()) for kind in ("_forward_pre_hooks", "_forward_hooks")]
            settings = {key: held for key, held in vars(part).items() if key not in internal}
            pieces.append(self._named(name or "module", [type(part), settings, hooks]))
        return joined(b"network", *pieces)

    def _function(self, function: FunctionType) -> bytes:
        code = function.__code__
        pieces = [self._of(code), self._of(function.__defaults__), self._of(function.__kwdefaults__)]
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                content = cell.cell_contents
            except ValueError:  # a name that is not bound yet
                continue
            pieces.append(self._named(name, content))
        if not _is_installed(code.co_filename):
            pieces += self._globals(function)
        return joined(b"function", *pieces)

    def _globals(self, function: FunctionType) -> Iterable[bytes]:
        """Return the digests of the global names that a function reads, and of what it takes from own modules."""
        names, attributes = _names_read(function.__code__)
        for name in sorted(names & function.__globals__.keys()):
            value = function.__globals__[name]
            yield self._named(name, value)
            if isinstance(value, ModuleType) and not _is_installed(getattr(value, "__file__", None)):
                for attribute in sorted(attributes & vars(value).keys()):
                    yield self._named(f"{name}.{attribute}", vars(value)[attribute])

    def _code(self, code: CodeType) -> bytes:
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        held = self._of((names, counts, code.co_consts))
        return joined(b"code", code.co_code, code.co_exceptiontable, held)

    def _class(self, cls: type) -> bytes:
        name = cls.__qualname__.encode()
        if _is_installed_module(cls.__module__):
            return joined(b"class", cls.__module__.encode(), name)
        if issubclass(cls, tuple) and hasattr(cls, "_fields"):
            return joined(b"class", name, *map(self._of, cls._fields))
        pieces = [self._of(base) for base in cls.__bases__]
        for key, member in sorted(vars(cls).items()):
            pieces += [self._named(f"{cls.__name__}.{key}", held) for held in _held_by(key, member)]
        return joined(b"class", name, *pieces)

    def _reduced(self, value: Any) -> bytes:
        """Return the digest of any other object, from what would be pickled of it."""
        reduce = copyreg.dispatch_table.get(type(value))
        reduced = value.__reduce_ex__(4) if reduce is None else reduce(value)
        if isinstance(reduced, str):
            return joined(b"global", reduced.encode())
        make, arguments, state, *entries = (*reduced, None, None, None)[:5]
        ignored = getattr(type(value), "not_in_fingerprint", ())
        if isinstance(state, dict):
            cached = {name for name in state if isinstance(getattr(type(value), name, None), cached_property)}
            state = {name: held for name, held in state.items() if name not in cached and name not in ignored}
        held = [None if iterator is None else list(iterator) for iterator in entries]
        return joined(b"object", *map(self._of, (make, arguments, state, *held)))

    def _give_up(self, value: Any, what: str) -> bytes:
        self.unknown.append(f"{' > '.join(self._where)}: {what}")
        return joined(b"unknown", type(value).__qualname__.encode())


def joined(*pieces: bytes | memoryview) -> bytes:
    """Return the digest of pieces, with their lengths so that they cannot run into each other."""
    total = blake2b(digest_size=16)
    for piece in pieces:
        total.update(len(piece).to_bytes(8, "little"))
        total.update(piece)
    return total.digest()


def is_plain(value: Any) -> bool:
    """Tell numbers, words and containers of them, whose ``repr`` says all."""
    if isinstance(value, dict):
        return all(map(is_plain, value.values()))
    if isinstance(value, tuple | list):
        return all(map(is_plain, value))
    return value is None or isinstance(value, bool | int | float | complex | str)


def _held_by(name: str, member: Any) -> list[Any]:
    """Return what of a member of a class counts: functions and plain data, not the machinery of classes."""
    if name in _DESCRIPTIVE:
        return []
    if isinstance(member, staticmethod | classmethod):
        return [member.__func__]
    if isinstance(member, property):
        return [function for function in (member.fget, member.fset) if function is not None]
    if isinstance(member, cached_property):
        return [member.func]
    is_function = isinstance(member, FunctionType) or hasattr(member, "py_func")
    return [member] if is_function or is_plain(member) or hasattr(member, "dtype") else []


def _names_read(code: CodeType) -> tuple[set[str], set[str]]:
    """Return the global names that code reads, and all its names that may be attributes."""
    loads = dis.get_instructions(code)
    names = {str(load.argval) for load in loads if load.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    attributes = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner_names, inner_attributes = _names_read(constant)
            names, attributes = names | inner_names, attributes | inner_attributes
    return names, attributes


def _is_installed_module(name: str) -> bool:
    module = sys.modules.get(name)
    if module is None or name == "__main__":  # notebooks and interactive sessions have no file
        return False
    return _is_installed(getattr(module, "__file__", None))


def _is_installed(filename: str | None) -> bool:
    """Tell code that comes with Python or a package from the user's own."""
    return filename is None or filename.startswith(("<frozen", *_installed_folders()))


@cache
def _installed_folders() -> tuple[str, ...]:
    folders = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), *site.getsitepackages()]
    folders += [site.getusersitepackages(), str(Path(__file__).resolve().parent.parent)]
    return tuple(str(Path(folder)) + "/" for folder in folders) + tuple(str(Path(folder)) + "\\" for folder in folders)
