"""Gradient flossing: a loss that draws exponents to a target."""

from __future__ import annotations

import torch

from dynet._validate import Faults, is_number

__all__ = ["flossing_loss"]


def flossing_loss(exponents: torch.Tensor, target: float | torch.Tensor = 0.0) -> torch.Tensor:
    r"""Return the loss of gradient flossing, the mean of :math:`(\lambda_i - \mathrm{target}_i)^2`.

    Exponents near zero keep gradients from vanishing and exploding.

    Parameters
    ----------
    exponents : Tensor (exponent,)
        From `lyapunov_exponents`.
    target : float or Tensor (exponent,), default 0.0
        What they are drawn to.

    Returns
    -------
    Tensor ()

    Raises
    ------
    InputError
        If an exponent is -inf (below resolution), or ``target`` does not fit.

    Notes
    -----
    It helps where gradients do not reach back far enough for training to begin. In the delayed copy of
    ``benchmarks/flossing.py`` flossing before training lengthens the horizon; the same number of steps during training
    does less, and where plain training succeeds, its processor time is better spent on that.

    References
    ----------
    Engelken (2023), "Gradient flossing: improving gradient descent through dynamic control of Jacobians",
    arXiv:2312.17306.

    Examples
    --------
    >>> import torch
    >>> from dynet.torch import flossing_loss
    >>> float(flossing_loss(torch.tensor([0.1, -0.3]), target=-0.1))
    0.04
    """
    faults = Faults()
    if not isinstance(exponents, torch.Tensor) or exponents.ndim != 1 or not len(exponents):
        faults.add("exponents", exponents, "give the tensor that lyapunov_exponents returned")
        faults.raise_if_any()
    values = exponents.detach()
    lost = torch.nonzero(~torch.isfinite(values)).flatten().tolist()
    if lost:
        way_out = f"ask for fewer of them: n_exponents={lost[0]}" if lost[0] else "this network forgets at once"
        faults.say(f"exponents: number {lost[0] + 1} is {float(values[lost[0]])}, below resolution: {way_out}")
    shape = tuple(target.shape) if isinstance(target, torch.Tensor) else () if is_number(target) else None
    if shape not in ((), tuple(exponents.shape)):
        faults.add("target", target, f"give a number, or a tensor of one for each of the {len(exponents)} exponents")
    faults.raise_if_any()
    return ((exponents - target) ** 2).mean()
