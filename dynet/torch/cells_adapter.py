"""Cells of one's own as maps: any torch function of (input, state), with named parts of the state."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from dynet._validate import Faults
from dynet.errors import InputError
from dynet.systems.map import Map
from dynet.torch.copies import checked_dtype, evaluation_copy, refuse_training, tensors_of, zero_state
from dynet.torch.functional import TorchFunction, TorchJacobian, TorchLinearization
from dynet.torch.parameters import ParameterGradient

__all__ = ["from_cell"]

WAY_OUT = "pass call=, a function (cell, input, parts) -> new parts with parts a dict of tensors (sequence, size)"
ROWS_HINT = (
    "for a cell of single vectors pass call=lambda cell, u, parts: torch.func.vmap(cell)(u, parts['h']), for "
    "any other signature a call= of your own"
)
#: Names of arguments that show that the state comes first.
STATE_NAMES = {"h", "hx", "h0", "h_prev", "hidden", "hidden_state", "prev_state", "state", "states", "carry"}


def from_cell(
    cell: Callable[..., Any],
    state: Mapping[str, int] | int,
    *,
    call: Callable[[Any, torch.Tensor, dict[str, torch.Tensor]], Any] | None = None,
    n_inputs: int | None = None,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
) -> Map:
    """Return the map of a recurrent cell written in torch, with a matrix-free Jacobian.

    Products ``J @ V`` are made by forward-mode derivatives (`torch.func.jvp`), one pass for all sequences and
    columns; transposed ones in reverse mode. Where an operation of the cell has no forward-mode derivative
    (fused recurrent kernels), the Jacobian is built row by row in reverse mode; a warning and
    ``attrs["jacobian"]`` of the results say so.

    Parameters
    ----------
    cell : torch.nn.Module or callable
        One step. It takes a batch, one sequence a row, and maps each row by itself; this is tested. Called as
        ``cell(input, state)``, with a tuple for several parts; by keywords, if its arguments have the names
        of the parts; as ``cell(state)``, if it takes nothing else. It may return the state, or the pair
        (output, state); several parts as a tuple in the order of ``state``, or as a dict by name.
    state : mapping of str to int, or int
        Parts of the state with their sizes, such as ``{"h": 64, "c": 64}``; 64 means ``{"h": 64}``.
    call : callable, optional
        ``call(cell, input, parts) -> new parts`` for any other signature: ``input`` (sequence, channel),
        ``parts`` a dict of tensors (sequence, size); it returns what a cell may return.
    n_inputs : int, optional
        Width of the input. Without it the cell's ``input_size`` counts, if it has one; otherwise any width is
        accepted and the cell is tested at its first step. A known width gets zeros where no inputs are given.
    dtype : torch.float64 or torch.float32, optional
        Dtype of the analysis; the module's own if not given, for functions torch's default.
    device : torch.device or str, optional
        Device for functions; modules are analysed where they are.

    Returns
    -------
    Map
        Its parameters are a dict of detached tensors, the module's parameters and buffers; the module is
        copied and never changed. Units are named ``part[i]``.

    Raises
    ------
    InputError
        If the signature does not tell how to call the cell, its result does not match ``state``, it mixes
        rows (batch norm in training mode), is random, or is in training mode with active dropout.

    See Also
    --------
    from_module : torch's own recurrent modules, with analytic Jacobians.

    Examples
    --------
    >>> import dynet, torch
    >>> from dynet.torch import from_cell
    >>> W = torch.tensor([[0.0, 0.5], [-0.5, 0.0]], dtype=torch.float64)
    >>> system = from_cell(lambda u, h: torch.tanh(h @ W.T), 2, n_inputs=0, dtype=torch.float64)
    >>> ds = dynet.lyapunov_spectrum(system, [0.1, 0.1], 100, n_transient=50)
    >>> ds.lyapunov_exponent.values.round(6)
    array([-0.693147, -0.693147])
    """
    faults = Faults()
    parts = _parts(faults, state)
    wanted = checked_dtype(faults, dtype)
    faults.callable("call", call, "(cell, input, parts) -> new parts", optional=True)
    faults.callable("cell", cell, "of (input, state), or a torch.nn.Module")
    if n_inputs is not None:
        faults.integer("n_inputs", n_inputs, 0)
    if isinstance(cell, nn.Module):
        refuse_training(faults, "cell", cell)
    faults.raise_if_any()
    if call is None:
        call = _call_of(cell, parts)
    if n_inputs is None:
        held = getattr(cell, "input_size", None)
        n_inputs = held if isinstance(held, int) else None
        if isinstance(call, Call) and not call.has_input:
            n_inputs = 0
    if isinstance(cell, nn.Module):
        cell = evaluation_copy(cell, wanted)
    function = CellFunction(cell, call, parts, n_inputs)
    like = zero_state(sum(parts.values()), cell, wanted, device)
    params = tensors_of(cell) if isinstance(cell, nn.Module) else {}
    if n_inputs is not None:
        function.probe(0.0, like[None], like.new_zeros(1, n_inputs), params)
    units: dict[str, list[Any]] = {
        "unit": [f"{part}[{i}]" for part, size in parts.items() for i in range(size)],
        "layer": [0] * like.shape[0],
        "part": [part for part, size in parts.items() for _ in range(size)],
    }
    return Map(
        function,
        TorchJacobian(function),
        linearize=TorchLinearization(function),
        params=params,
        jac_params=ParameterGradient(function),
        vectorized=True,
        units=units,
        like=like,
    )


class CellFunction(TorchFunction):
    """The step of a cell: parts are cut out of the state, handed to the cell and put together again."""

    def __init__(self, cell: Any, call: Any, parts: dict[str, int], n_inputs: int | None) -> None:
        label = type(cell).__name__ if isinstance(cell, nn.Module) else getattr(cell, "__name__", "cell")
        super().__init__(f"the cell {label}", ROWS_HINT)
        self.parts, self.n_inputs = parts, n_inputs
        self.host = Host(cell, call) if isinstance(cell, nn.Module) else None
        self.cell, self.call = cell, call
        listed = ", ".join(f"{name} ({size})" for name, size in parts.items())
        self.description = f"cell {label}, state {listed}"

    @property
    def n_channels(self) -> Any:
        """Function that returns the width of the input; None while any width will do."""
        return None if self.n_inputs is None else self._width

    def _width(self, p: Any) -> int:
        assert self.n_inputs is not None
        return self.n_inputs

    def rows(self, t: float, x: torch.Tensor, u: torch.Tensor, p: Any) -> torch.Tensor:
        """Return the next states (batch, n)."""
        if self.n_inputs and not u.shape[-1]:
            u = x.new_zeros(x.shape[0], self.n_inputs)
        parts = dict(zip(self.parts, x.split(list(self.parts.values()), dim=-1), strict=True))
        if self.host is None:
            result = self.call(self.cell, u, parts)
        else:
            named = {f"cell.{name}": tensor for name, tensor in p.items()}
            result = torch.func.functional_call(self.host, named, (u, parts))
        return torch.cat(self._new_parts(result, x.shape[0]), dim=-1)

    def _new_parts(self, result: Any, n_rows: int) -> list[torch.Tensor]:
        """Return the parts of the state out of what the cell returned, decided by shapes."""
        whole = self._matching(result, n_rows)
        second = None
        if isinstance(result, tuple | list) and len(result) == 2:
            second = self._matching(result[1], n_rows)
            # an output that looks like the state needs a second look, once
            first = None if second is None or self.is_probed else self._matching(result[0], n_rows)
            if second and first and not all(map(torch.equal, first, second)):
                raise InputError(
                    f"{self.name} returned {_described(result)}, in which both could be the new state; {WAY_OUT}"
                )
        found = whole if whole is not None else second
        if found is None:
            expected = ", ".join(f"{name}: {(n_rows, size)}" for name, size in self.parts.items())
            raise InputError(
                f"{self.name} returned {_described(result)}, but the state is {{{expected}}}. Return the "
                f"state, or (output, state), with tuples in that order or dicts by name; or {WAY_OUT}"
            )
        return found

    def _matching(self, value: Any, n_rows: int) -> list[torch.Tensor] | None:
        values: list[Any]
        if isinstance(value, Mapping):
            values = [value.get(name) for name in self.parts]
        elif isinstance(value, tuple | list):
            values = list(value)
        else:
            values = [value]
        sizes = self.parts.values()
        if len(values) == len(sizes) and all(
            isinstance(tensor, torch.Tensor) and tuple(tensor.shape) == (n_rows, size)
            for tensor, size in zip(values, sizes, strict=True)
        ):
            return values
        return None


class Host(nn.Module):
    """Holds a cell so that its parameters can be exchanged while ``call`` uses any part of it."""

    def __init__(self, cell: nn.Module, call: Any) -> None:
        super().__init__()
        self.cell = cell
        self._call = (call,)  # in a tuple: a module among a module's attributes would become a part of it

    def forward(self, u: torch.Tensor, parts: dict[str, torch.Tensor]) -> Any:
        """Return what the cell returns."""
        return self._call[0](self.cell, u, parts)


class Call:
    """How a cell's signature says it is called: ``style`` is "both", "state" or "keywords"."""

    def __init__(self, style: str, input_name: str = "") -> None:
        self.style, self.input_name = style, input_name
        self.has_input = style == "both" or bool(input_name)

    def __call__(self, cell: Any, u: torch.Tensor, parts: dict[str, torch.Tensor]) -> Any:
        """Return what the cell returns."""
        if self.style == "keywords":
            return cell(**({self.input_name: u} if self.input_name else {}), **parts)
        values = tuple(parts.values())
        state = values if len(values) > 1 else values[0]
        return cell(state) if self.style == "state" else cell(u, state)


def _call_of(cell: Any, parts: dict[str, int]) -> Call:
    """Return how to call ``cell``, from the names of its arguments."""
    function = cell.forward if isinstance(cell, nn.Module) else cell
    try:
        arguments = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):  # functions in C tell nothing
        return Call("both")
    named = [a for a in arguments if a.kind in (a.POSITIONAL_OR_KEYWORD, a.KEYWORD_ONLY)]
    placed = [a for a in arguments if a.kind in (a.POSITIONAL_ONLY, a.POSITIONAL_OR_KEYWORD)]
    required = list(dict.fromkeys(a.name for a in (*placed, *named) if a.default is a.empty))
    signature = f"({', '.join(a.name for a in arguments)})"
    unclear = InputError(
        f"cell={signature}: its arguments do not tell which is the input and which the state; {WAY_OUT}"
    )
    if set(parts) <= {a.name for a in named}:
        others = [name for name in required if name not in parts]
        if len(others) == 1 and others[0] in {a.name for a in named}:
            return Call("keywords", others[0])
        if others or len(named) > len(parts):
            raise unclear
        return Call("keywords")
    if any(a.kind is a.VAR_POSITIONAL for a in arguments):
        return Call("both")
    if len(placed) == 1 and len(required) <= 1:
        return Call("state")
    names = [a.name for a in placed]
    if len(names) < 2 or len(required) > 2 or any(name not in names[:2] for name in required):
        raise unclear
    if names[0] in STATE_NAMES and names[1] not in STATE_NAMES:
        each = [f"parts[{name!r}]" for name in parts]
        state = each[0] if len(each) == 1 else f"({', '.join(each)})"
        raise InputError(
            f"cell={signature}: it seems to take the state first; pass call=lambda cell, u, parts: cell({state}, u)"
        )
    return Call("both")


def _parts(faults: Faults, state: Any) -> dict[str, int]:
    """Return the parts of the state with their sizes."""
    parts = state if isinstance(state, Mapping) else {"h": state}
    if not parts:
        faults.add("state", state, "name at least one part with its size, such as {'h': 64}")
    for name, size in parts.items():
        if not isinstance(name, str) or not name:
            faults.add("state", state, "names of parts are words, such as {'h': 64}")
        faults.integer(f"state[{name!r}]" if isinstance(state, Mapping) else "state", size, 1)
    return dict(parts)


def _described(value: Any) -> str:
    """Return the shapes in what a cell returned."""
    if isinstance(value, torch.Tensor):
        return f"tensor {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_described(item)}" for name, item in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "(" + ", ".join(_described(item) for item in value) + ")"
    return type(value).__name__
