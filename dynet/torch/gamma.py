"""The activation gamma(x; n, s) for autograd, on torch's own sigmoid and softplus: those of the systems take longer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn.functional import leaky_relu, softplus

__all__ = ["Gamma"]


class Gamma(torch.autograd.Function):
    """``Gamma.apply(x, n, s)``, for backward, forward and higher derivatives, and under ``torch.func``."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor, n: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        """Return gamma(x; n, s), broadcast."""
        z = n * x
        # softplus(z) = z to rounding from 50 on; torch's own threshold is meant for float32
        soft = softplus(z, threshold=50.0).div_(n)
        return torch.lerp(soft, z.sigmoid_(), s)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        """Keep the arguments; the rest is cheaper to compute again than to store for every step."""
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients with respect to those arguments that need one."""
        x, n, s = arguments = ctx.saved_tensors
        found: dict[int, torch.Tensor] = {}
        for i, slope in _slopes(x, n, s, ctx.needs_input_grad):
            found[i] = (gradients[0] * slope).sum_to_size(arguments[i].shape)
            del slope
        return tuple(map(found.get, range(3)))

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor | None) -> torch.Tensor:
        """Return the derivative along tangents of the arguments."""
        x, n, s = ctx.saved_tensors
        slopes = _slopes(x, n, s, [v is not None for v in tangents])
        terms = [slope * tangent for i, slope in slopes if (tangent := tangents[i]) is not None]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


def _slopes(
    x: torch.Tensor, n: torch.Tensor, s: torch.Tensor, wanted: Sequence[bool]
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the derivatives with respect to x (0), n (1) and s (2), those that are wanted, without cancellation.

    One after the other, few arrays alive at a time: passes over a batch cost what they take out of the cache. Nothing
    is written over that autograd keeps for higher derivatives.
    """
    z = n * x
    # -|z|; at 0 all that follows has the derivatives of one side, where those of abs would make higher ones wrong
    t = leaky_relu(z, -1.0).neg_()
    p, smaller = torch.sigmoid(z), torch.sigmoid(t)
    product = torch.addcmul(smaller, smaller, smaller, value=-1)
    rest = 1 - s
    if wanted[1] or wanted[2]:
        below = torch.log1p(-smaller)  # the larger of z and 0, less softplus(z)
        if wanted[2]:
            minus_soft = (t - z).mul_(0.5).add_(below)
            yield 2, torch.addcmul(p, minus_soft, 1 / n)
            del minus_soft
        if wanted[1]:
            by_n = torch.addcmul(below, t, smaller) * (rest / n**2)
            del below, smaller, t, z
            yield 1, torch.addcmul(by_n, x * product, s)
            del by_n
    if wanted[0]:
        yield 0, torch.addcmul(rest * p, s * n, product)
