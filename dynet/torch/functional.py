"""Matrix-free Jacobians of torch functions: forward products by jvp, transposed ones by reverse mode."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache, cached_property
from typing import Any

import torch

from dynet.errors import DynetError, InputError
from dynet.systems.operators import Operator
from dynet.torch.copies import first_line

__all__ = ["JacobianOperator", "TorchFunction", "TorchJacobian", "TorchLinearization"]

KINDS = {"forward": "matrix-free (forward mode)", "reverse": "matrix-free (reverse mode fallback)"}
#: Entries of the state that are pushed through the function at once; bounds the memory of wide frames.
_MOST_ENTRIES = 2**22
_PROBE_ROWS = 3


class TorchFunction(ABC):
    """A function ``f(t, x, u, p)`` of torch tensors that maps every row of a batch by itself.

    Subclasses evaluate batches in `rows`. The first call probes the function: result shapes, and that rows
    neither mix nor differ between calls.

    Parameters
    ----------
    name : str
        How messages call the function.
    rows_hint : str
        What to do when it does not take batches.
    """

    #: what the first calls find out
    not_in_fingerprint = ("is_probed", "mode")

    def __init__(self, name: str, rows_hint: str) -> None:
        self.name, self.rows_hint = name, rows_hint
        self.mode = "forward"
        self.is_probed = False

    @abstractmethod
    def rows(self, t: float, x: torch.Tensor, u: torch.Tensor, p: Any) -> torch.Tensor:
        """Evaluate states (batch, n) with inputs (batch, channel)."""

    @property
    def kind(self) -> str:
        """How products with the Jacobian are made."""
        return KINDS[self.mode]

    def __call__(self, t: float, x: torch.Tensor, u: torch.Tensor, p: Any) -> torch.Tensor:
        """Evaluate states (n,) or (..., n) with inputs (channel,) or (..., channel)."""
        states, inputs = _flat(x, u)
        self.probe(t, states, inputs, p)
        return self.rows(t, states, inputs, p).reshape(x.shape)

    def probe(self, t: float, x: torch.Tensor, u: torch.Tensor, p: Any) -> None:
        """Check on three states near the first row, once, that rows are mapped one by one."""
        if self.is_probed:
            return
        # a generator of its own: the user's random numbers stay what they were
        noise = torch.randn(_PROBE_ROWS, x.shape[-1], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        states = x[:1].detach() + 0.1 * noise.to(x)
        inputs = u[:1].detach().expand(_PROBE_ROWS, u.shape[-1])
        shapes = f"states {tuple(states.shape)}"
        if u.shape[-1]:
            shapes = f"inputs {tuple(inputs.shape)} and {shapes}"
        with torch.no_grad():
            try:
                y = self.rows(t, states, inputs, p)
                again = self.rows(t, states, inputs, p)
            except DynetError:
                raise
            except Exception as error:  # whatever a user's function may raise
                raise InputError(
                    f"{self.name} failed on {shapes} with {type(error).__name__}: {first_line(error)}. "
                    f"It is called with a batch of sequences, one a row; {self.rows_hint}"
                ) from error
            if y.shape != states.shape or not y.is_floating_point():
                raise InputError(
                    f"{self.name} gave shape {tuple(y.shape)} of {y.dtype} for {shapes}: return one row of "
                    f"{x.shape[-1]} real numbers for each; {self.rows_hint}"
                )
            if not _agree(y, again):
                raise InputError(
                    f"{self.name} gives different results for the same state: it is random or keeps a state "
                    "of its own. Draw noise beforehand and give it as inputs; name every part of the state"
                )
            try:
                alone = self.rows(t, states[:1], inputs[:1], p)
            except Exception:  # mixing rows may also need several of them
                alone = y[:0]
            if alone.shape != y[:1].shape or not _agree(y[:1], alone):
                raise InputError(
                    f"{self.name} mixes the rows of a batch, but rows are independent sequences: normalise "
                    f"over dim=-1 only, and put batch norm into evaluation mode; {self.rows_hint}"
                )
        self.is_probed = True

    def push(self, t: float, x: torch.Tensor, u: torch.Tensor, p: Any, V: torch.Tensor) -> torch.Tensor | None:
        """Return ``J @ V`` for V (batch, n, k) in forward mode, or None if that is not to be had."""
        if self.mode == "reverse":
            return None
        _load_forward_mode()

        def tangent(v: torch.Tensor) -> torch.Tensor:
            return torch.func.jvp(lambda states: self.rows(t, states, u, p), (x,), (v,))[1]

        columns = torch.func.vmap(tangent, in_dims=-1, out_dims=-1, chunk_size=_chunk(x))
        try:
            return columns(V)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            # the fault may be anyone's; only if reverse mode works was it forward mode's
            try:
                self.pull(t, x, u, p, V[..., :1])
            except RuntimeError as other:
                raise InputError(
                    f"torch cannot differentiate {self.name}: forward mode says: {first_line(error)}; "
                    f"reverse mode says: {first_line(other)}. Write it in differentiable torch operations, "
                    "or give "
                    'dynet.Map(step, jac="finite_difference")'
                ) from other
            self.mode = "reverse"
            warnings.warn(
                f"dynet: {self.name} has an operation without forward-mode derivative ({first_line(error)}): "
                f"its Jacobian is now built in reverse mode, by n = {x.shape[-1]} reverse passes a step "
                "instead of one forward pass for each of the k exponents",
                UserWarning,
                stacklevel=2,
            )
            return None

    def pull(self, t: float, x: torch.Tensor, u: torch.Tensor, p: Any, W: torch.Tensor) -> torch.Tensor:
        """Return ``J^T @ W`` for W (batch, n, k): each row is repeated once a column.

        Repeated rows ask nothing of the function but a reverse derivative: no rule for vmap, and functions
        of torch.autograd in the old style too.
        """
        B, n = x.shape
        out = []
        for part in W.split(_chunk(x), dim=-1):
            k = part.shape[-1]
            states = x.detach().expand(k, B, n).reshape(k * B, n)
            inputs = u.detach().expand(k, *u.shape).reshape(k * B, u.shape[-1])
            # cuDNN's recurrent kernels have a reverse derivative in training mode only
            native = torch.backends.cudnn.flags(enabled=False) if x.is_cuda else nullcontext()
            with torch.enable_grad(), native:
                states.requires_grad_()
                y = self.rows(t, states, inputs, p)
            if not y.requires_grad:
                out.append(torch.zeros_like(part))
                continue
            (gradient,) = torch.autograd.grad(
                y, states, part.movedim(-1, 0).reshape(-1, n), allow_unused=True, materialize_grads=True
            )
            out.append(gradient.reshape(k, B, n).movedim(0, -1))
        return torch.cat(out, dim=-1)


class TorchJacobian:
    """``jac(t, x, u, p)`` of a `TorchFunction`."""

    def __init__(self, function: TorchFunction) -> None:
        self.function = function

    @property
    def kind(self) -> str:
        """How products are made; known for sure after the first."""
        return self.function.kind

    def __call__(self, t: float, x: torch.Tensor, u: torch.Tensor, p: Any) -> JacobianOperator:
        """Return the Jacobian at ``x`` as an operator."""
        self.function.probe(t, *_flat(x, u), p)
        return JacobianOperator(self.function, t, x, u, p)


class TorchLinearization(TorchJacobian):
    """``linearize(t, x, u, p)`` of a `TorchFunction`."""

    def __call__(  # type: ignore[override]
        self, t: float, x: torch.Tensor, u: torch.Tensor, p: Any
    ) -> tuple[torch.Tensor, JacobianOperator]:
        """Return the next state and the Jacobian at ``x``."""
        return self.function(t, x, u, p), JacobianOperator(self.function, t, x, u, p)


class JacobianOperator(Operator):
    """The Jacobian of a `TorchFunction` at a state, or at every state of a batch.

    Parameters
    ----------
    function : TorchFunction
        What is differentiated.
    t, x, u, p
        Where: ``x`` (..., n), ``u`` (..., channel).
    """

    def __init__(self, function: TorchFunction, t: float, x: torch.Tensor, u: torch.Tensor, p: Any) -> None:
        self.function, self.t, self.x, self.u, self.p = function, t, x, u, p
        self.shape = (*x.shape, x.shape[-1])

    @property
    def kind(self) -> str:
        """How products are made."""
        return self.function.kind

    @property
    def prototype(self) -> torch.Tensor:
        """The state."""
        return self.x

    def __matmul__(self, V: Any) -> torch.Tensor:
        product = self._columns(self.function.push, V)
        # in reverse mode all n rows cost n passes: they are built once and kept
        return self._matrix @ torch.as_tensor(V).to(self.x) if product is None else product

    def transposed_product(self, W: Any) -> torch.Tensor:
        """Return ``J^T @ W``."""
        if "_matrix" in vars(self):
            return self._matrix.mT @ torch.as_tensor(W).to(self.x)
        product = self._columns(self.function.pull, W)
        assert product is not None
        return product

    def transpose(self) -> Operator:
        """Return the transpose, in reverse mode."""
        return _TransposedJacobian(self)

    def assemble(self) -> torch.Tensor:
        """Return the matrix (..., n, n)."""
        return self._matrix if self.function.mode == "reverse" else self @ self._identity()

    @cached_property
    def _matrix(self) -> torch.Tensor:
        transposed = self._columns(self.function.pull, self._identity())
        assert transposed is not None
        return transposed.mT

    def _identity(self) -> torch.Tensor:
        return torch.eye(self.x.shape[-1], dtype=self.x.dtype, device=self.x.device)

    def _columns(self, product: Callable[..., torch.Tensor | None], V: Any) -> torch.Tensor | None:
        """Apply ``push`` or ``pull`` to the frames of all states; batches of the two broadcast."""
        x, n = self.x, self.x.shape[-1]
        V = torch.as_tensor(V).to(x)
        if V.ndim < 2 or V.shape[-2] != n:
            raise InputError(f"a Jacobian of shape {self.shape} cannot multiply shape {tuple(V.shape)}")
        batch = torch.broadcast_shapes(x.shape[:-1], V.shape[:-2])
        states, inputs = _flat(x.expand(*batch, n), self.u)
        frames = V.expand(*batch, *V.shape[-2:]).reshape(states.shape[0], *V.shape[-2:])
        # forward mode takes no tensors whose entries share memory, as expanded ones do
        out = product(self.t, states.contiguous(), inputs, self.p, frames.contiguous())
        return None if out is None else out.reshape(*batch, n, V.shape[-1])


class _TransposedJacobian(Operator):
    def __init__(self, jacobian: JacobianOperator) -> None:
        self.jacobian = jacobian
        self.shape = jacobian.shape

    @property
    def prototype(self) -> torch.Tensor:
        """The state."""
        return self.jacobian.x

    def __matmul__(self, V: Any) -> torch.Tensor:
        return self.jacobian.transposed_product(V)

    def transpose(self) -> JacobianOperator:
        """Return the Jacobian itself."""
        return self.jacobian

    def assemble(self) -> torch.Tensor:
        """Return the matrix (..., n, n)."""
        return self.jacobian.assemble().mT


def _flat(x: torch.Tensor, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return states (batch, n) and inputs (batch, channel)."""
    inputs = u.expand(*x.shape[:-1], u.shape[-1])
    # sizes are written out: a width of 0 leaves -1 undetermined
    batch = x.shape[:-1].numel()
    return x.reshape(batch, x.shape[-1]), inputs.reshape(batch, u.shape[-1])


def _chunk(x: torch.Tensor) -> int:
    return max(1, _MOST_ENTRIES // max(x.numel(), 1))


def _agree(a: torch.Tensor, b: torch.Tensor) -> bool:
    # batches of different size are summed in different order, and on a GPU perhaps in TF32
    tolerance = torch.finfo(a.dtype).eps ** 0.5
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


@cache
def _load_forward_mode() -> None:
    """Let torch load its forward-mode rules; on their first use it warns about its own deprecations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.func.jvp(torch.sin, (torch.zeros(1),), (torch.ones(1),))
