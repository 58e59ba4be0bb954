"""Vector fields written in torch (neural differential equations) as flows."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dynet._validate import Faults
from dynet.errors import InputError
from dynet.systems.flow import Flow
from dynet.torch.copies import checked_dtype, evaluation_copy, refuse_training, tensors_of, zero_state
from dynet.torch.functional import TorchFunction, TorchJacobian
from dynet.torch.parameters import ParameterGradient

__all__ = ["from_vector_field"]

ROWS_HINT = (
    "for a field of single states give torch.func.vmap(f), or torch.func.vmap(f, in_dims=(None, 0)) if it is f(t, x)"
)
#: Names of a first argument that show that time comes second.
STATE_NAMES = {"h", "state", "x", "y", "z"}


def from_vector_field(
    module: Callable[..., torch.Tensor],
    *,
    n: int | None = None,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
) -> Flow:
    """Return the flow ``dx/dt = module(x)`` or ``module(t, x)``, with a matrix-free Jacobian.

    Parameters
    ----------
    module : torch.nn.Module or callable
        The vector field, in the order of arguments of torchdiffeq. It takes a batch (sequence, n) and maps
        each row by itself; this is tested.
    n : int, optional
        Number of units. Without it the width that the first ``nn.Linear`` reads counts.
    dtype : torch.float64 or torch.float32, optional
        Dtype of the analysis; the module's own if not given, for functions torch's default.
    device : torch.device or str, optional
        Device for functions; modules are analysed where they are.

    Returns
    -------
    Flow
        Its parameters are a dict of detached tensors; the module is copied and never changed.

    Raises
    ------
    InputError
        If ``n`` is not to be found, the result has another shape, or rows are mixed.

    References
    ----------
    Chen et al. (2018), arXiv:1806.07366.

    See Also
    --------
    from_cell : Steps instead of rates.

    Examples
    --------
    >>> import dynet, torch
    >>> from dynet.torch import from_vector_field
    >>> field = lambda x: torch.stack([x[:, 1], -x[:, 0] - x[:, 1]], dim=1)
    >>> flow = from_vector_field(field, n=2, dtype=torch.float64)
    >>> ds = dynet.lyapunov_spectrum(flow.to_map(0.05), [1.0, 0.0], 200)
    >>> float(ds.lyapunov_exponent.sum().round(4))
    -1.0
    """
    faults = Faults()
    faults.callable("module", module, "f(x) or f(t, x), or a torch.nn.Module")
    wanted = checked_dtype(faults, dtype)
    if n is not None:
        faults.integer("n", n, 1)
    faults.raise_if_any()
    with_time = _takes_time(faults, module)
    if n is None:
        n = _width(module)
        if n is None:
            faults.say("n is not given, and there is no nn.Linear to read it from: give the number of units")
    if isinstance(module, nn.Module):
        refuse_training(faults, "module", module)
    faults.raise_if_any()
    assert n is not None
    if isinstance(module, nn.Module):
        module = evaluation_copy(module, wanted)
    function = FieldFunction(module, with_time)
    like = zero_state(int(n), module, wanted, device)
    params = tensors_of(module) if isinstance(module, nn.Module) else {}
    function.probe(0.0, like[None], like[None, :0], params)
    return Flow(
        function,
        TorchJacobian(function),
        params=params,
        jac_params=ParameterGradient(function),
        vectorized=True,
        like=like,
    )


class FieldFunction(TorchFunction):
    """``rhs`` of a vector field written in torch."""

    def __init__(self, field: Any, with_time: bool) -> None:
        label = type(field).__name__ if isinstance(field, nn.Module) else getattr(field, "__name__", "field")
        super().__init__(f"the vector field {label}", f"give n=, the number of units, if it is another; {ROWS_HINT}")
        self.field, self.with_time = field, with_time
        self.description = f"vector field {label}"

    def rows(self, t: float, x: torch.Tensor, u: torch.Tensor, p: Any) -> torch.Tensor:
        """Return the rates of change (batch, n)."""
        arguments: tuple[Any, ...] = (x,)
        if self.with_time:
            arguments = (torch.as_tensor(t, dtype=x.dtype, device=x.device), x)
        if isinstance(self.field, nn.Module):
            rates = torch.func.functional_call(self.field, p, arguments)
        else:
            rates = self.field(*arguments)
        if not isinstance(rates, torch.Tensor):
            raise InputError(f"{self.name} returned {type(rates).__name__}: return a tensor (sequence, n)")
        return rates


def _takes_time(faults: Faults, module: Any) -> bool:
    """Return whether the field is f(t, x), from its signature."""
    try:
        arguments = inspect.signature(module.forward if isinstance(module, nn.Module) else module).parameters
    except (ValueError, TypeError):  # functions in C tell nothing
        return False
    placed = [a for a in arguments.values() if a.kind in (a.POSITIONAL_ONLY, a.POSITIONAL_OR_KEYWORD)]
    required = [a.name for a in arguments.values() if a.default is a.empty and a.kind is not a.VAR_KEYWORD]
    required = [name for name in required if arguments[name].kind is not inspect.Parameter.VAR_POSITIONAL]
    signature = f"({', '.join(arguments)})"
    if not placed or len(required) > 2 or any(arguments[name] not in placed for name in required):
        faults.add("module", signature, "give f(x) or f(t, x); bind other arguments with functools.partial")
    elif len(required) == 2 and required[0] in STATE_NAMES:
        faults.add("module", signature, "time comes first: give lambda t, x: f(x, t)")
    return len(required) == 2


def _width(module: Any) -> int | None:
    """Return the width that the first linear layer reads."""
    parts = module.modules() if isinstance(module, nn.Module) else ()
    return next((part.in_features for part in parts if isinstance(part, nn.Linear)), None)
