"""Gradients of losses with respect to the start and the parameters, by the adjoint of a stored trajectory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from dynet._labels import dataset
from dynet._validate import Faults, shown
from dynet.errors import InputError
from dynet.systems.flow import Flow
from dynet.systems.map import Map
from dynet.typing import ArrayLike
from dynet.variational.checkpointing import Checkpointed
from dynet.variational.integration import REFERENCE
from dynet.variational.path import Running, coordinates, names_of_parameters, pulled_back, start_path

__all__ = ["gradient"]


def gradient(
    system: Map | Flow,
    x0: ArrayLike,
    duration: float,
    *,
    terminal: Callable[[np.ndarray], tuple[Any, ArrayLike]] | None = None,
    running: Running | None = None,
    inputs: ArrayLike | None = None,
) -> xr.Dataset:
    r"""Return a loss of a trajectory and its gradient with respect to the start and the parameters.

    Flows: :math:`L = g(x(T)) + \int_0^T l(t, x)\,dt`, :math:`\psi' = -J^T \psi - \nabla l`,
    :math:`\psi(T) = \nabla g`, :math:`dL/dx_0 = \psi(0)`,
    :math:`dL/d\theta = \int_0^T \psi^T \partial f/\partial\theta\,dt`. Maps:
    :math:`L = g(x_T) + \sum_{t=1}^T l(t, x_t)` and :math:`\psi_t = J_t^T \psi_{t+1} + \nabla l_t`, exactly
    backpropagation through time. A start that depends on the parameters adds :math:`\psi(0)^T dx_0/d\theta`.

    Parameters
    ----------
    system : Map or Flow
        With a Jacobian; with ``jac_params`` for the gradient with respect to parameters.
    x0 : array (n,)
        Start.
    duration : float
        Time to cover, or the number of steps of a map.
    terminal : callable, optional
        ``terminal(x) -> (value, derivative)`` of the last state (n,).
    running : callable, optional
        ``running(t, x) -> (value, derivative)``; integrated over time, or summed over the states after each step.
    inputs : array (time, channel), optional
        One row a step; for flows rows that share the duration equally, each held.

    Returns
    -------
    xarray.Dataset
        ``loss``, ``gradient_x0(unit)``, ``gradient_params(param)`` (no params without ``jac_params``),
        ``norm(time)`` of the gradient with respect to the state at each time, and ``invariant_drift``: the largest
        disagreement, over time, with the derivative of the loss along one random direction that is carried forwards,
        relative to the largest ``|psi| |delta|``.

    Raises
    ------
    InputError
        If an argument cannot be used, or a loss does not return (value, derivative).
    DivergenceError
        If the state or a derivative stops being finite, or the step size underflows; ``.result`` holds the states up
        to there.

    Notes
    -----
    The states are stored at 101 times (at each row of the inputs, or each step of a map); between them a flow is
    integrated forwards again on the way back, so that memory does not grow with the steps of the integrator. Where
    that would be more than some four million numbers, the states of the square root of so many times are stored,
    ``attrs["n_checkpoints"]``, and the run is repeated from one after the other: the result is the same to the bit.

    References
    ----------
    Pontryagin et al. (1962); Werbos (1990), doi:10.1109/5.58337; Chen et al. (2018), arXiv:1806.07366.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> decay = dynet.Flow(lambda t, x, u, p: -p * x, lambda t, x, u, p: -p * np.eye(1),
    ...                    params=2.0, jac_params=lambda t, x, u, p: -x[:, None])
    >>> ds = dynet.gradient(decay, [1.0], 1.0, terminal=lambda x: (x[0], [1.0]))
    >>> float(ds.gradient_x0[0]), float(ds.gradient_params[0])  # exp(-2), -exp(-2)
    (0.135335283, -0.135335283)
    """
    faults = Faults()
    faults.callable("terminal", terminal, "terminal(x) -> (value, derivative)", optional=True)
    faults.callable("running", running, "running(t, x) -> (value, derivative)", optional=True)
    if terminal is None and running is None:
        faults.say("neither terminal nor running is given: give a loss")
    faults.raise_if_any()
    path = start_path(system, x0, duration, inputs, with_states=False)
    field, n = path.field, path.field.n
    K = len(path.times) - 1
    running = None if running is None else _checked_loss("running", running, n)
    run = Checkpointed(path, running)
    loss, psi = run.loss, np.zeros(n)
    if terminal is not None:
        value, psi = _checked_loss("terminal", terminal, n)(run.last_state)
        loss += value
    with_params = field.has_parameters
    n_params = field.parameter_jacobian(0.0, path.states[0], path.row(0)).J.shape[-1] if with_params else 0
    from_parameters = np.zeros(n_params)
    norms, lengths, products = np.empty(K + 1), np.empty(K + 1), np.empty(K + 1)
    for first, part, deltas in run.backwards():
        adjoints = np.empty_like(part.states)
        adjoints[-1] = psi
        for k in range(len(part.times) - 2, -1, -1):
            if running is not None and not path.is_flow:
                psi = psi + running(float(part.times[k + 1]), part.states[k + 1])[1]
                adjoints[k + 1] = psi
            psi, share = pulled_back(part, k, psi, running, with_params=with_params)
            adjoints[k] = psi
            from_parameters += share
        where = slice(first, first + len(adjoints))
        norms[where], lengths[where] = np.linalg.norm(adjoints, axis=-1), np.linalg.norm(deltas, axis=-1)
        products[where] = (adjoints * deltas).sum(axis=-1)
    # the adjoint of a map counts the loss of its own time already
    products += run.collected if path.is_flow else np.append(0.0, run.collected[:-1])
    largest = (norms * lengths).max()
    drift = 0.0 if largest == 0 else float(np.abs(products - products[0]).max() / largest)
    variables: dict[str, Any] = {
        "loss": ((), loss, "loss", "1"),
        "gradient_x0": (("unit",), psi, "gradient with respect to the start", "1"),
        "gradient_params": (("param",), from_parameters, "gradient with respect to the parameters", "1"),
        "norm": (("time",), norms, "norm of the gradient with respect to the state", "1"),
        "invariant_drift": ((), drift, "largest disagreement with a forward derivative, relative", "1"),
    }
    coords = {**coordinates(path), "param": names_of_parameters(path, n_params)}
    attrs = {
        "title": "Gradient",
        "method": "adjoint along stored states" if path.is_flow else "backpropagation through time",
        "references": f"{REFERENCE}; Werbos (1990) doi:10.1109/5.58337",
        "duration": float(path.times[-1]),
        "time_unit": field.system.time_unit,
        "tolerance": field.tolerance if path.is_flow else None,
        "n_checkpoints": run.n_checkpoints,
        "parameters": "by jac_params" if with_params else "none: the system has no jac_params",
    }
    return dataset(variables, coords, attrs)


def _checked_loss(name: str, loss: Any, n: int) -> Any:
    """Return a loss whose result is checked: a number and its derivative (n,)."""

    def checked(*arguments: Any) -> tuple[float, np.ndarray]:
        result = loss(*arguments)
        if not (isinstance(result, tuple | list) and len(result) == 2):
            raise InputError(f"{name} returned {shown(result)}: return the pair (value, derivative)")
        value, derivative = float(np.asarray(result[0])), np.asarray(result[1], dtype=np.float64)
        if derivative.shape != (n,):
            raise InputError(f"{name} returned a derivative of shape {derivative.shape}: return shape ({n},)")
        if not (np.isfinite(value) and np.isfinite(derivative).all()):
            raise InputError(f"{name} returned numbers that are not finite: check the loss at the trajectory's states")
        return value, derivative

    return checked
