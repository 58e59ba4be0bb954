"""Closing the loop: a driven system that feeds its own readout back to its input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dynet._validate import Faults, shown
from dynet.errors import InputError
from dynet.kernels.namespace import as_array, move_like
from dynet.systems.binding import has_bound_input
from dynet.systems.difference import FiniteDifference
from dynet.systems.input_jacobian import RectangularDifference, check_derivative, input_jacobian
from dynet.systems.map import Map
from dynet.systems.operators import Operator, transpose
from dynet.systems.runge_kutta import as_multiplier
from dynet.typing import Array, ArrayLike

__all__ = ["close_loop"]


def close_loop(
    system: Map,
    readout: Any,
    *,
    offset: ArrayLike | None = None,
    jac_readout: Any = None,
    jac_input: Any = None,
) -> Map:
    """Return the autonomous map ``x' = step(t, x, readout(x), p)``: a network that predicts its own input.

    Its Jacobian is ``J_x + J_u D``, with D the derivative of the readout and J_u that of the step with respect to the
    input. Its exponents are those of the predictor itself, not conditional on any input.

    Parameters
    ----------
    system : Map
        The driven system, its input not bound.
    readout : array (m, n) or callable
        Readout weights, ``u = readout x + offset``; or a function ``readout(x) -> u`` of a state (n,), of states
        (..., n) if the system is vectorized, as the networks of dynet are. So is its derivative.
    offset : array (m,), optional
        Added to linear readouts.
    jac_readout : callable or "finite_difference", optional
        For a readout that is a function: ``jac_readout(x) -> D`` (m, n).
    jac_input : callable or "finite_difference", optional
        ``jac_input(t, x, u, p) -> J_u`` (n, m), anything that multiplies. The networks of dynet bring their own.

    Returns
    -------
    Map
        With the parameters, units and time step of ``system``. A network starts it where it has been driven to.

    Raises
    ------
    InputError
        If ``system`` is not a Map that can be driven, the readout does not fit, or a derivative is missing.

    References
    ----------
    Lu, Hunt & Ott (2018), doi:10.1063/1.5039508.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> net = dynet.networks.tanh_rnn([[0.5, 0.0], [0.1, 0.3]], [[1.0], [0.5]])
    >>> loop = dynet.close_loop(net, [[0.2, 0.4]])
    >>> dynet.check_jacobian(loop, [0.3, -0.2]) < 1e-8
    True
    """
    faults = Faults()
    if not isinstance(system, Map):
        faults.add("system", shown(type(system).__name__), "give a dynet.Map; of a flow, flow.to_map(dt)")
        faults.raise_if_any()
    if has_bound_input(system.step):
        faults.say("system: its input is bound (with_input): close the loop of the system without it")
    if hasattr(system.step, "freeze"):
        faults.say("system: the hidden state of an LSTM alone cannot be fed back: give the full state")
    through_input = input_jacobian(faults, system, jac_input)
    function = _readout_of(faults, system, readout, offset, jac_readout)
    faults.raise_if_any()
    linearize = ClosedLinearization(system.linearize, through_input, function)
    return replace(system, step=ClosedStep(system.step, function), jac=None, linearize=linearize, jac_params=None)


def _readout_of(faults: Faults, system: Map, readout: Any, offset: Any, jac_readout: Any) -> Any:
    """Return the readout with its derivative, or note what is wrong with it."""
    if callable(readout):
        check_derivative(faults, "jac_readout", jac_readout)
        if jac_readout is None:
            faults.say(
                "jac_readout is missing: give jac_readout(x) -> D (m, n), the derivative of the readout; or "
                'jac_readout="finite_difference"; or the weights of a linear readout instead of a function'
            )
        if offset is not None:
            faults.say("offset belongs to linear readouts: put it into the function")
        reads = getattr(system.step, "n_channels", None)
        return FunctionReadout(readout, jac_readout, system.vectorized, reads and reads(system.params))
    if jac_readout is not None:
        faults.say("jac_readout belongs to readouts that are functions: the weights are the derivative")
    known = len(faults)
    weights = readout if hasattr(readout, "detach") else faults.real_array("readout", readout, finite=True)
    if len(faults) > known:
        return None
    n = weights.shape[-1] if weights.ndim == 2 else 0
    if weights.ndim != 2 or weights.shape[0] == 0 or n == 0:
        faults.add("readout", weights, "give weights (m, n): one row a channel, one column a unit; or a function")
        return None
    if system.like is not None and n != system.like.shape[-1]:
        faults.add("readout", weights, f"the system has {system.like.shape[-1]} units: give one column for each")
    reads = getattr(system.step, "n_channels", None)
    if reads is not None and reads(system.params) != weights.shape[0]:
        faults.add("readout", weights, f"the system reads {reads(system.params)} channels: give one row for each")
    row = np.zeros(weights.shape[0])
    if offset is not None:
        row = offset if hasattr(offset, "detach") else faults.real_array("offset", offset, finite=True)
        if tuple(row.shape) != (weights.shape[0],):
            faults.add("offset", row if row.ndim else offset, f"give shape ({weights.shape[0]},)")
    if faults:
        return None
    if system.like is not None:
        weights, row = move_like(weights, system.like), move_like(row, system.like)
    return LinearReadout(weights, row)


class LinearReadout:
    """``u = W x + offset``."""

    kind = "analytic"

    def __init__(self, weights: Array, offset: Array) -> None:
        self.weights, self.offset = weights, offset

    def __call__(self, x: Array) -> Array:
        """Return the output at states (..., n)."""
        return x @ move_like(self.weights, x).mT + move_like(self.offset, x)

    def derivative(self, t: float, x: Array) -> Array:
        """Return the weights."""
        return move_like(self.weights, x)


class FunctionReadout:
    """A readout given as a function, with its derivative."""

    def __init__(self, function: Any, jac: Any, vectorized: bool, n_channels: int | None) -> None:
        self.function, self.jac, self.vectorized, self.n_channels = function, jac, vectorized, n_channels
        self.kind = "finite_difference" if isinstance(jac, str) else "analytic"

    def __call__(self, x: Array) -> Array:
        """Return the output at states (..., n)."""
        u = as_array(self.function(x), x)
        if u.ndim != x.ndim:
            raise InputError(
                f"readout returned shape {tuple(u.shape)} for a state of shape {tuple(x.shape)}: return u (m,), or "
                "(..., m) for states (..., n)"
            )
        if self.n_channels is not None and u.shape[-1] != self.n_channels:
            raise InputError(f"readout returned {u.shape[-1]} channels: the system reads {self.n_channels}")
        return u

    def derivative(self, t: float, x: Array) -> Any:
        """Return the derivative at ``x``."""
        if self.kind == "analytic":
            return as_multiplier(self.jac(x), x)
        u = self(x)
        return RectangularDifference(FiniteDifference(self._of_state, 1.0, self.vectorized), t, x, x[..., :0], None, u)

    def _of_state(self, t: float, x: Array, u: Array, p: Any) -> Array:
        return self(x)


class ClosedStep:
    """``step(t, x, u, p)`` of a closed loop; it takes no input."""

    def __init__(self, step: Any, readout: Any) -> None:
        self.step, self.readout = step, readout

    def __call__(self, t: float, x: Array, u: Array, p: Any) -> Any:
        return self.step(t, x, self.readout(x), p)

    def limits(self, p: Any) -> Any:
        """Return how many steps and sequences the driven system holds."""
        limits = getattr(self.step, "limits", None)
        return (None, None) if limits is None else limits(p)

    def n_channels(self, p: Any) -> int:
        """Return 0: the input is the system's own."""
        return 0


class ClosedLinearization:
    """``linearize(t, x, u, p)`` of a closed loop."""

    def __init__(self, linearize: Any, jac_input: Any, readout: Any) -> None:
        self.linearize, self.jac_input, self.readout = linearize, jac_input, readout
        makers = (getattr(linearize, "jac", None), jac_input, readout)
        kinds = {str(getattr(maker, "kind", "analytic")) for maker in makers}
        self.kind = "finite_difference" if "finite_difference" in kinds else " and ".join(sorted(kinds))

    def __call__(self, t: float, x: Array, u: Array, p: Any) -> tuple[Array, Any]:
        fed = self.readout(x)
        y, J = self.linearize(t, x, fed, p)
        J_u = as_multiplier(self.jac_input(t, x, fed, p), x)
        return y, ClosedJacobian(as_multiplier(J, x), J_u, self.readout.derivative(t, x), x)


class ClosedJacobian(Operator):
    """``J_x + J_u D``, never built."""

    def __init__(self, J_x: Any, J_u: Any, D: Any, state: Array) -> None:
        self.J_x, self.J_u, self.D, self._state = J_x, J_u, D, state
        self.shape = (*state.shape, state.shape[-1])

    @property
    def prototype(self) -> Array:
        return self._state

    def __matmul__(self, V: Array) -> Array:
        return self.J_x @ V + self.J_u @ (self.D @ V)

    def transpose(self) -> Operator:
        return ClosedJacobian(transpose(self.J_x), transpose(self.D), transpose(self.J_u), self._state)
