"""Exponents that can be differentiated: growth of a frame through QR, with the graph of the weights kept."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import nn

from dynet._validate import Faults
from dynet.errors import InputError
from dynet.kernels.namespace import to_numpy
from dynet.kernels.rank import lost_pivots
from dynet.kernels.rounding import doubtful
from dynet.lyapunov.problem import Problem, raise_if_diverged
from dynet.lyapunov.setup import make_problem, require_map
from dynet.systems.map import Map
from dynet.systems.runge_kutta import as_multiplier
from dynet.torch.adapter import from_module
from dynet.torch.copies import checked_dtype, evaluation_mode
from dynet.torch.layer_weights import stacked_layers
from dynet.typing import ArrayLike, Rng

__all__ = ["lyapunov_exponents"]

WITHOUT_GRADIENT = (
    "system: nothing in it carries a gradient (requires_grad): unfreeze the recurrent weights, or give a Map whose "
    "params are tensors that require one. For exponents without gradients there is dynet.lyapunov_spectrum"
)


def lyapunov_exponents(
    system: nn.Module | Map,
    x0: ArrayLike | None,
    n_steps: int | None = None,
    *,
    inputs: ArrayLike | None = None,
    n_exponents: int | None = None,
    n_transient: int = 0,
    qr_interval: int = 1,
    truncate: int | None = None,
    submodule: str | None = None,
    encode: Callable[[torch.Tensor], torch.Tensor] | None = None,
    dtype: torch.dtype | str | None = None,
    initial_frame: ArrayLike | None = None,
    rng: Rng = None,
    check: bool = True,
) -> torch.Tensor:
    r"""Return the leading Lyapunov exponents as a tensor, through which gradients flow into the weights.

    The exponents are those of `dynet.lyapunov_spectrum` with the same frame, which also gives error bars.

    Parameters
    ----------
    system : torch.nn.Module or Map
        A recurrent module, or a model that holds one (``submodule``), as `from_module` takes it, in any mode; it is
        read in evaluation mode. Or a Map made of torch operations whose ``params`` are tensors that require
        gradients.
    x0 : array (n,) or (sequence, n), or None
        Start of each trajectory; None means zeros, for driven networks only.
    n_steps : int, optional
        Steps over which growth is counted. If not given: the rows of ``inputs`` after the transient.
    inputs : array (time, channel) or (sequence, time, channel), optional
        Input of every step, ``n_transient + n_steps`` rows; raw inputs if there is an ``encode``.
    n_exponents : int, optional
        How many exponents, the leading ones; all n if not given.
    n_transient : int, default 0
        Steps before, in which state and frame settle and nothing is counted. Gradients flow through them too.
    qr_interval : int, default 1
        Steps between factorisations.
    truncate : int, optional
        Detach state and frame every so many steps: gradients then miss what reaches further back. Needed where
        they explode: in chaotic networks the exact gradient grows like :math:`e^{2 \lambda_1 T}`.
    submodule, encode, dtype
        As in `from_module`. ``encode`` is applied without gradients. In another ``dtype`` than the model's the
        gradient comes back in the model's own.
    initial_frame : array (n, k), optional
        Frame to start with, orthonormalised; a random one, the same for every sequence, if not given.
    rng : Generator or int, optional
        Source of the random frame; None means ``default_rng(0)``.
    check : bool, default True
        Compare the Jacobian with a difference of the step before the loop.

    Returns
    -------
    Tensor (exponent,)
        Mean over sequences, in nat per unit of ``Map.dt``, in frame order. Constants are ``x0``, ``inputs`` and
        the frame.

    Raises
    ------
    InputError
        If an argument cannot be used, or nothing in the system carries a gradient.
    DivergenceError
        If state or frame stop being finite; it names step and unit.

    Notes
    -----
    With :math:`J_t Q_t = Q_{t+1} R_{t+1}` the exponents are :math:`\frac{1}{T\,dt} \sum_t \log R_{ii,t}`; QR of a
    frame (n, k) has a derivative as long as its columns are independent. An exponent below resolution is -inf, and
    from the first such one on they carry no gradient.

    See Also
    --------
    flossing_loss : What draws them to a target.

    References
    ----------
    Engelken (2023), "Gradient flossing: improving gradient descent through dynamic control of Jacobians",
    arXiv:2312.17306.

    Examples
    --------
    >>> import torch
    >>> from dynet.torch import flossing_loss, lyapunov_exponents
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.RNN(2, 8, dtype=torch.float64)
    >>> exponents = lyapunov_exponents(model, None, inputs=torch.randn(30, 2), n_exponents=3)
    >>> flossing_loss(exponents).backward()
    >>> bool(model.weight_hh_l0.grad.norm() > 0)
    True
    """
    faults = Faults()
    wanted = checked_dtype(faults, dtype)
    if truncate is not None:
        faults.integer("truncate", truncate, 1)
    faults.integer("qr_interval", qr_interval, 1)
    if isinstance(system, Map):
        for name, value in (("submodule", submodule), ("encode", encode), ("dtype", dtype)):
            if value is not None:
                faults.add(name, value, "it belongs to a module; a Map has its own")
    faults.raise_if_any()
    if isinstance(system, nn.Module):
        with evaluation_mode(system):
            live, checked = _of_module(system, submodule, encode, wanted)
    else:
        live = require_map(system)
        if hasattr(live.step, "freeze"):
            raise InputError("system: the hidden state of an LSTM at frozen memories has no gradient through them")
        checked = replace(live, params=_detached(live.params))
    encoder = getattr(checked.step, "encode", None)
    if encoder is not None and inputs is not None:
        inputs = encoder(inputs)  # once: its rows tell the number of steps
        checked = _without_encoder(checked)
    if n_steps is None:
        n_steps = _steps_of(inputs, n_transient)
    problem = make_problem(
        checked,
        x0,
        n_steps,
        inputs=inputs,
        n_exponents=n_exponents,
        n_transient=n_transient,
        qr_interval=qr_interval,
        frame="qr",
        initial_frame=initial_frame,
        rng=rng,
        check=check,
    )
    if not isinstance(problem.x0, torch.Tensor):
        raise InputError(
            "system: its states are numpy arrays: give like=torch.zeros(n, dtype=torch.float64) to a Map whose "
            "functions are made of torch operations"
        )
    parts: list[slice | int] = [slice(None)] if live.vectorized else list(range(problem.x0.shape[0]))
    growth = [_growth(live, problem, part, n_transient, truncate) for part in parts]
    return torch.cat([one.reshape(-1, one.shape[-1]) for one in growth]).mean(dim=0) / (n_steps * live.dt)


def _of_module(model: nn.Module, submodule: str | None, encode: Any, dtype: torch.dtype | None) -> tuple[Map, Map]:
    """Return the map whose parameters are the weights of the model themselves, and one made of copies of them."""
    checked = from_module(model, submodule=submodule, encode=encode, dtype=dtype)
    plain = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    if isinstance(checked.params, dict):
        named = {**dict(plain.named_parameters()), **dict(plain.named_buffers())}
        params: Any = {
            name: named[name].to(tensor.dtype) if tensor.is_floating_point() else named[name]
            for name, tensor in checked.params.items()
        }
    else:
        module = plain if submodule is None else plain.get_submodule(submodule)
        params = stacked_layers(module, lambda weight: weight if dtype is None else weight.to(dtype))
    return replace(checked, params=params), checked


def _without_encoder(system: Map) -> Map:
    step: Any = copy(system.step)
    step.encode = None
    return replace(system, step=step)


def _detached(params: Any) -> Any:
    """Return the same parameters without their graph."""
    if isinstance(params, torch.Tensor):
        return params.detach()
    if isinstance(params, dict):
        return {name: _detached(value) for name, value in params.items()}
    if isinstance(params, tuple) and hasattr(params, "_fields"):
        return type(params)(*map(_detached, params))
    if isinstance(params, tuple | list):
        return type(params)(map(_detached, params))
    return params


def _steps_of(inputs: Any, n_transient: Any) -> int:
    shape: Any = getattr(inputs, "shape", ())
    if len(shape) < 2 or not isinstance(n_transient, Integral):
        raise InputError("n_steps=None: give the number of steps, or inputs (time, channel) that tell it")
    return int(shape[-2]) - int(n_transient)


def _growth(system: Map, problem: Problem, part: slice | int, n_transient: int, truncate: int | None) -> torch.Tensor:
    """Return the log growth (..., k) of one sequence, or of all at once."""
    x = problem.x0[part, :]
    rows = None if problem.inputs is None else problem.inputs[part, ...]
    V = problem.frame.expand(*x.shape[:-1], *problem.frame.shape)
    first, interval = part if isinstance(part, int) else 0, problem.qr_interval or 1
    total = V.new_zeros((*V.shape[:-2], V.shape[-1]))
    n_exact = V.shape[-1]
    for number in range(problem.n_rows):
        if truncate is not None and number % truncate == 0:
            x, V = x.detach(), V.detach()
        u = x[..., :0] if rows is None else rows[..., number, :]
        y, J = system.linearize(number * system.dt, x, u, system.params)
        V = as_multiplier(J, x) @ V
        x = y
        if number == 0 and torch.is_grad_enabled() and not V.requires_grad:
            raise InputError(WITHOUT_GRADIENT)
        if (number + 1) % interval and number + 1 not in (n_transient, problem.n_rows):
            continue
        if not bool(x.detach().isfinite().all() & V.detach().isfinite().all()):
            _raise_diverged(problem, x, V, number, first)
        V, growth, n_exact = _factored(V, n_exact)
        if number >= n_transient:
            total = total + growth
    return total


def _factored(V: torch.Tensor, n_exact: int) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return the orthonormal frame, its log growth, and how many columns still have a derivative.

    Columns from the first lost one on are factored without gradient: the derivative of QR asks for the inverse of R.
    """
    k = V.shape[-1]
    if n_exact:
        Q, R = torch.linalg.qr(V[..., :n_exact])
        pivots = R.diagonal(dim1=-2, dim2=-1)
        lost = _is_lost(R.detach()).reshape(-1, n_exact).any(dim=0)
        still = int(lost.int().argmax()) if bool(lost.any()) else n_exact
        if still == k:
            return Q * _signs(pivots), torch.log(pivots.abs()), k
        if still < n_exact:
            return _factored(V, still)
    whole_Q, whole_R = torch.linalg.qr(V.detach())
    whole = whole_R.diagonal(dim1=-2, dim2=-1)
    rest = torch.where(_is_lost(whole_R), 0.0, whole.abs()).log()[..., n_exact:]
    frame = (whole_Q * _signs(whole))[..., n_exact:]
    if not n_exact:
        return frame, rest, 0
    exact = torch.log(pivots.abs())
    return torch.cat((Q * _signs(pivots), frame), dim=-1), torch.cat((exact, rest), dim=-1), n_exact


def _is_lost(R: torch.Tensor) -> torch.Tensor:
    """Tell pivots that are rounding, by the rule of `dynet.lyapunov_spectrum`."""
    epsilon = torch.finfo(R.dtype).eps
    magnitudes, pivots = R.abs(), R.diagonal(dim1=-2, dim2=-1)
    largest = magnitudes.amax(dim=(-2, -1))
    in_doubt = pivots.abs() <= doubtful(epsilon) * largest[..., None]
    if not bool(in_doubt.any()):
        return in_doubt
    triangles = to_numpy(R).reshape(-1, *R.shape[-2:])
    lost = np.stack([lost_pivots(one, epsilon) for one in triangles])
    return torch.as_tensor(lost.reshape(tuple(pivots.shape)), device=R.device)


def _signs(pivots: torch.Tensor) -> torch.Tensor:
    """Return the signs (..., 1, k) by which the columns of Q are turned."""
    return torch.where(pivots.detach() < 0, -1.0, 1.0).to(pivots.dtype)[..., None, :]


def _raise_diverged(problem: Problem, x: torch.Tensor, V: torch.Tensor, number: int, first: int) -> None:
    states, frames = to_numpy(x), to_numpy(V)
    frames = frames.reshape(-1, *frames.shape[-2:])
    for s, state in enumerate(states.reshape(-1, states.shape[-1])):
        raise_if_diverged(state, frames[s], number, first + s, problem)
