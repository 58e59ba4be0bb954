"""The activation gamma(x; n, s) for autograd, on torch's own sigmoid and softplus: those of the systems take longer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import softplus

__all__ = ["Gamma"]


class Gamma(torch.autograd.Function):
    """``Gamma.apply(x, n, s)``, for backward, forward and higher derivatives, and under ``torch.func``."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor, n: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        """Return gamma(x; n, s), broadcast."""
        z = n * x
        # softplus(z) = z to rounding from 50 on; torch's own threshold is meant for float32
        return torch.lerp(softplus(z, threshold=50.0) / n, torch.sigmoid(z), s)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        """Keep the arguments; the rest is cheaper to compute again than to store for every step."""
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients with respect to those arguments that need one."""
        x, n, s = arguments = ctx.saved_tensors
        slopes = _slopes(x, n, s, ctx.needs_input_grad)
        return tuple(
            None if slope is None else (gradients[0] * slope).sum_to_size(argument.shape)
            for slope, argument in zip(slopes, arguments, strict=True)
        )

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor | None) -> torch.Tensor:
        """Return the derivative along tangents of the arguments."""
        x, n, s = ctx.saved_tensors
        slopes = _slopes(x, n, s, [v is not None for v in tangents])
        terms = [slope * v for slope, v in zip(slopes, tangents, strict=True) if slope is not None and v is not None]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


def _slopes(
    x: torch.Tensor, n: torch.Tensor, s: torch.Tensor, wanted: Sequence[bool]
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
    """Return the derivatives with respect to x, n and s, those that are wanted, without cancellation."""
    z = n * x
    p, q = torch.sigmoid(z), torch.sigmoid(-z)
    rest = 1 - s
    product = p * q
    by_x = torch.addcmul(rest * p, s * n, product) if wanted[0] else None
    if not (wanted[1] or wanted[2]):
        return by_x, None, None
    distance, smaller = z.abs(), torch.minimum(p, q)
    below = torch.log1p(-smaller)  # the larger of z and 0, less softplus(z)
    by_n = by_s = None
    if wanted[1]:
        missing = torch.addcmul(below, distance, smaller, value=-1)
        by_n = torch.addcmul(missing * (rest / n**2), x * product, s)
    if wanted[2]:
        # (z + |z|) / 2, whose derivative at 0 is right too, unlike that of relu
        by_s = torch.addcmul(p, torch.add(below, z + distance, alpha=-0.5), 1 / n)
    return by_x, by_n, by_s
