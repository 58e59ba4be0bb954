"""Derivatives of torch systems with respect to their parameters, by reverse mode."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch

from dynet.systems.operators import Operator
from dynet.typing import StepFunction

__all__ = ["ParameterGradient"]


class ParameterGradient:
    """``jac_params(t, x, u, p)`` of a step or vector field made of differentiable torch operations.

    The parameters count in the order of `dynet.systems.parameters.flattened`.

    Parameters
    ----------
    function : callable
        ``f(t, x, u, p)`` of a state (n,).
    """

    kind = "matrix-free (reverse mode)"

    def __init__(self, function: StepFunction) -> None:
        self.function = function

    def __call__(self, t: float, x: torch.Tensor, u: torch.Tensor, p: Any) -> ParameterOperator:
        """Return the derivative (n, n_params) as an operator."""
        leaves: list[torch.Tensor] = []
        tracked = _tracked(p, leaves)
        with torch.enable_grad():
            y = self.function(t, x.detach(), u.detach(), tracked)
        return ParameterOperator(y, leaves)


class ParameterOperator(Operator):
    """The derivative of a result with respect to tensors; products with the transpose take one reverse pass a column.

    Parameters
    ----------
    y : torch.Tensor (n,)
        Result, with its graph.
    leaves : list of torch.Tensor
        What it is differentiated by.
    """

    def __init__(self, y: torch.Tensor, leaves: list[torch.Tensor]) -> None:
        self.y, self.leaves = y, leaves
        self.shape = (y.shape[-1], sum(leaf.numel() for leaf in leaves))

    @property
    def prototype(self) -> torch.Tensor:
        """The result."""
        return self.y.detach()

    def pull(self, W: torch.Tensor) -> torch.Tensor:
        """Return the product of the transpose with ``W`` (n, k)."""
        if not self.y.requires_grad:
            return W.new_zeros(self.shape[1], W.shape[1])
        columns = []
        for w in W.T:
            gradients = torch.autograd.grad(
                self.y, self.leaves, w, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            columns.append(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        return torch.stack(columns, dim=1)

    @cached_property
    def _matrix(self) -> torch.Tensor:
        return self.pull(torch.eye(self.shape[0], dtype=self.y.dtype, device=self.y.device)).T

    def __matmul__(self, V: torch.Tensor) -> torch.Tensor:
        return self._matrix @ V

    def assemble(self) -> torch.Tensor:
        """Return the matrix (n, n_params)."""
        return self._matrix

    def transpose(self) -> Operator:
        """Return the transpose, one reverse pass a column."""
        return _TransposedParameterOperator(self)


class _TransposedParameterOperator(Operator):
    def __init__(self, operator: ParameterOperator) -> None:
        self.operator = operator
        self.shape = operator.shape[::-1]

    @property
    def prototype(self) -> torch.Tensor:
        """The result."""
        return self.operator.prototype

    def __matmul__(self, W: torch.Tensor) -> torch.Tensor:
        return self.operator.pull(W)

    def transpose(self) -> ParameterOperator:
        """Return the derivative itself."""
        return self.operator


def _tracked(p: Any, leaves: list[torch.Tensor]) -> Any:
    """Return ``p`` with fresh tensors that record what is done with them, and collect these."""
    if isinstance(p, dict):
        return {key: _tracked(value, leaves) for key, value in p.items()}
    if isinstance(p, tuple | list):
        values = [_tracked(value, leaves) for value in p]
        return type(p)(*values) if hasattr(p, "_fields") else type(p)(values)
    if isinstance(p, torch.Tensor) and p.is_floating_point():
        leaves.append(p.detach().requires_grad_())
        return leaves[-1]
    return p
