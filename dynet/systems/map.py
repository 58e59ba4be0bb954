"""Maps: a next state and a Jacobian that multiplies."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Literal, Self

from dynet._validate import Faults, check_functions, check_with_input
from dynet.errors import InputError
from dynet.systems.binding import JacobianOf, Linearization, bind_input
from dynet.systems.difference import finite_difference
from dynet.systems.parameters import ParameterDifference
from dynet.systems.sequence import JacobianSequence, JacobianSequenceStep, jacobian_array
from dynet.typing import ArrayLike, Input, JacobianFunction, StepFunction, Units

__all__ = ["Map", "changed_params"]


@dataclass(frozen=True, eq=False)
class Map:
    """A discrete dynamical system ``x_next = step(t, x, u, p)``.

    Parameters
    ----------
    step : callable
        ``step(t, x, u, p) -> x_next``: time (float), state (n,), input (m,) with m = 0 when there is none,
        and the parameters as given in ``params``. A numba function is run by the compiled engine; for
        n <= 6 it may return a tuple.
    jac : callable or "finite_difference", optional
        ``jac(t, x, u, p) -> J``: anything with ``J.shape`` and ``J @ V`` for V (n, k), such as an array, a
        scipy sparse array, a LinearOperator or a dynet operator; row i holds the derivatives of
        ``x_next[i]``.
    params : object, optional
        Handed to every call as ``p``: arrays, tuples, namedtuples (dicts only for Python functions).
    dt : float, default 1.0
        Time of one step; exponents are per unit of this time.
    time_unit : str, default "step"
        Name of the unit of time.
    linearize : callable, optional
        ``linearize(t, x, u, p) -> (x_next, J)``, if the two are cheaper together.
    jac_params : callable or "finite_difference", optional
        ``jac_params(t, x, u, p)``: derivative with respect to the parameters, (n, n_params), in the order of
        `dynet.systems.parameters.flattened`; anything that multiplies.
    vectorized : bool, default False
        Whether the functions take batches: x (..., n), V (..., n, k).
    units : sequence of str or mapping, optional
        Names of the units, or coordinates along ``unit`` (such as layer and part).
    like : array (n,), optional
        A zero state that carries size, namespace, dtype and device; x0 and inputs are moved to it.

    Raises
    ------
    InputError
        If a function is not callable, or ``dt`` is not a positive number.

    Examples
    --------
    The golden mean, from the Jacobian of a linear map:

    >>> import dynet, numpy as np
    >>> A = np.array([[1.0, 1.0], [1.0, 0.0]])
    >>> system = dynet.Map(lambda t, x, u, p: p @ x, lambda t, x, u, p: p, params=A)
    >>> spectrum = dynet.lyapunov_spectrum(system, [1.0, 0.0], 100, n_transient=50)
    >>> round(float(np.exp(spectrum.lyapunov_exponent.sel(exponent=1))), 6)
    1.618034
    """

    step: StepFunction
    jac: JacobianFunction | Literal["finite_difference"] | None = None
    _: KW_ONLY
    params: Any = None
    dt: float = 1.0
    time_unit: str = "step"
    linearize: Any = None
    jac_params: Any = None
    vectorized: bool = False
    units: Units = field(default=None, repr=False)
    like: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        faults = Faults()
        check_functions(faults, "step", self.step, "step(t, x, u, p) -> x_next", self.jac, self.jac_params)
        faults.callable("linearize", self.linearize, "linearize(t, x, u, p) -> (x_next, J)", optional=True)
        faults.positive("dt", self.dt)
        faults.raise_if_any()
        object.__setattr__(self, "dt", float(self.dt))
        if self.jac == "finite_difference":
            object.__setattr__(self, "jac", finite_difference(self.step, vectorized=self.vectorized))
        if self.jac_params == "finite_difference":
            object.__setattr__(self, "jac_params", ParameterDifference(self.step))
        if isinstance(self.jac, JacobianOf) and self.jac.linearize is not self.linearize:
            object.__setattr__(self, "jac", None)  # of a copy whose linearize was exchanged
        if self.linearize is None or isinstance(self.linearize, Linearization):
            jac: Any = self.jac
            object.__setattr__(self, "linearize", Linearization(self.step, jac))
        elif self.jac is None:
            object.__setattr__(self, "jac", JacobianOf(self.linearize))

    def with_input(self, u: Input) -> Self:
        """Return a copy in which the input is part of the system.

        Parameters
        ----------
        u : array (channel,) or callable
            A constant row, or a function of time that returns one.
        """
        if hasattr(self.step, "freeze"):
            raise InputError("with_input: the hidden state of an LSTM is analysed with inputs=, one row a step")
        check_with_input(u, getattr(self.step, "n_channels", None), self.params)
        return replace(
            self,
            step=bind_input(self.step, u),
            jac=bind_input(self.jac, u),
            linearize=bind_input(self.linearize, u),
            jac_params=bind_input(self.jac_params, u),
        )

    def with_params(self, params: Any = None, /, **changes: Any) -> Self:
        """Return a copy with other parameters, or with some entries of a namedtuple or dict changed.

        Examples
        --------
        >>> import dynet
        >>> dynet.zoo.henon().with_params(a=1.2).params
        HenonParameters(a=1.2, b=0.3)
        """
        return replace(self, params=changed_params(self.params, params, changes))

    @classmethod
    def from_jacobians(cls, J: ArrayLike, *, dt: float = 1.0, time_unit: str = "step") -> Map:
        """Return the linear system ``x_{t+1} = J_t x_t`` of a recorded sequence of Jacobians.

        Parameters
        ----------
        J : array (time, n, n) or (sequence, time, n, n)
            One Jacobian a step, row i the derivatives of unit i. With a sequence axis the result has that
            many sequences.
        dt : float, default 1.0
            Time of one step.
        time_unit : str, default "step"
            Name of the unit of time.

        Raises
        ------
        InputError
            If ``J`` has another shape or is not finite.

        Examples
        --------
        >>> import dynet, numpy as np
        >>> J = np.broadcast_to(np.diag([2.0, 0.5]), (60, 2, 2))
        >>> ds = dynet.lyapunov_spectrum(dynet.Map.from_jacobians(J), None, 60, initial_frame=np.eye(2))
        >>> ds.lyapunov_exponent.values
        array([ 0.69314718, -0.69314718])
        """
        array = jacobian_array(J)
        return cls(
            JacobianSequenceStep(dt, array.ndim == 4),
            JacobianSequence(dt, array.ndim == 4),
            params=array,
            dt=dt,
            time_unit=time_unit,
            vectorized=True,
            like=array[(0,) * (array.ndim - 1)] * 0,
        )

    def limits(self) -> tuple[int | None, int | None]:
        """Return how many steps and how many sequences the system holds (None: any number)."""
        limits: tuple[int | None, int | None] = getattr(self.step, "limits", _unlimited)(self.params)
        return limits


def _unlimited(params: Any) -> tuple[None, None]:
    return None, None


def changed_params(old: Any, new: Any, changes: dict[str, Any]) -> Any:
    """Return ``new``, or ``old`` with named entries changed."""
    if not changes:
        return old if new is None else new
    faults = Faults()
    if new is not None:
        faults.add("params", type(new).__name__, "give new parameters or named changes, not both")
    names = tuple(old) if isinstance(old, dict) else getattr(old, "_fields", ())
    for name in changes:
        if name not in names:
            known = ", ".join(map(str, names)) or "none: give the parameters as a whole"
            faults.add(name, changes[name], f"the parameters have no entry of that name (they have {known})")
    faults.raise_if_any()
    if isinstance(old, dict):
        return {**old, **changes}
    # a float stays a float when an int is given: another type would compile the loops again
    kept = {k: float(v) if isinstance(getattr(old, k), float) else v for k, v in changes.items()}
    return old._replace(**kept)
