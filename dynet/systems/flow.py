"""Flows: a vector field and its Jacobian; a fixed-step method turns them into maps."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Literal, Self

from dynet._validate import Faults, check_functions, check_with_input
from dynet.errors import InputError
from dynet.systems.binding import MISSING_JACOBIAN, OdeFunction, bind_input
from dynet.systems.difference import finite_difference
from dynet.systems.jitted import is_jitted, jitted_ode
from dynet.systems.map import Map, changed_params
from dynet.systems.parameters import ParameterDifference
from dynet.systems.runge_kutta import RungeKuttaLinearization, RungeKuttaStep
from dynet.typing import Input, JacobianFunction, StepFunction, Units

__all__ = ["Flow"]


@dataclass(frozen=True, eq=False)
class Flow:
    """A continuous dynamical system ``dx/dt = rhs(t, x, u, p)``.

    Parameters
    ----------
    rhs : callable
        ``rhs(t, x, u, p) -> dx/dt``, with the same four arguments as a map's ``step``.
    jac : callable or "finite_difference", optional
        ``jac(t, x, u, p) -> J``, the Jacobian of ``rhs``; anything with ``J @ V``.
    params : object, optional
        Handed to every call as ``p``.
    time_unit : str, default "time"
        Name of the unit of time.
    jac_params : callable or "finite_difference", optional
        Derivative of ``rhs`` with respect to the parameters, (n, n_params), in the order of
        `dynet.systems.parameters.flattened`.
    vectorized : bool, default False
        Whether the functions take batches: x (..., n), V (..., n, k).
    units : sequence of str or mapping, optional
        Names of the units, or coordinates along ``unit``.
    like : array (n,), optional
        A zero state that carries size, namespace, dtype and device.

    Raises
    ------
    InputError
        If a function is not callable.

    Examples
    --------
    >>> import dynet
    >>> lorenz = dynet.zoo.lorenz63()
    >>> spectrum = dynet.lyapunov_spectrum(lorenz.to_map(0.01), [1.0, 1.0, 20.0], 20_000, n_transient=1_000)
    >>> round(float(spectrum.lyapunov_exponent.sum()), 3)
    -13.667
    """

    rhs: StepFunction
    jac: JacobianFunction | Literal["finite_difference"] | None = None
    _: KW_ONLY
    params: Any = None
    time_unit: str = "time"
    jac_params: Any = None
    vectorized: bool = False
    units: Units = field(default=None, repr=False)
    like: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        faults = Faults()
        check_functions(faults, "rhs", self.rhs, "rhs(t, x, u, p) -> dx/dt", self.jac, self.jac_params)
        faults.raise_if_any()
        if self.jac == "finite_difference":
            object.__setattr__(self, "jac", finite_difference(self.rhs, vectorized=self.vectorized))
        if self.jac_params == "finite_difference":
            object.__setattr__(self, "jac_params", ParameterDifference(self.rhs))

    def to_map(self, dt: float, method: Literal["rk4", "euler"] = "rk4") -> Map:
        """Return the map of one step of a fixed-step method.

        Parameters
        ----------
        dt : float
            Time step, in the flow's unit of time.
        method : {"rk4", "euler"}
            Classical Runge-Kutta of order 4, or Euler's method.

        Returns
        -------
        Map
            Its Jacobian is the exact derivative of the numerical step, applied stage by stage. Exponents are
            per unit of the flow's time. A compiled flow gives a compiled map; another ``dt`` compiles
            nothing.

        Raises
        ------
        InputError
            If ``dt`` is not a positive number or the method is unknown.

        Examples
        --------
        >>> import dynet
        >>> dynet.zoo.van_der_pol(1.0).to_map(0.01).dt
        0.01
        """
        faults = Faults()
        faults.positive("dt", dt)
        faults.choice("method", method, ("rk4", "euler"))
        faults.raise_if_any()
        dt = float(dt)
        jac: Any = self.jac  # __post_init__ has replaced the name by a function
        return Map(
            RungeKuttaStep(self.rhs, dt, method),
            _MissingJacobian() if self.jac is None else None,
            linearize=None if jac is None else RungeKuttaLinearization(self.rhs, jac, dt, method),
            params=self.params,
            dt=dt,
            time_unit=self.time_unit,
            vectorized=self.vectorized,
            units=self.units,
            like=self.like,
        )

    def with_input(self, u: Input) -> Self:
        """Return a copy in which the input, a row (channel,) or a function of time, is part of the system."""
        check_with_input(u, getattr(self.rhs, "n_channels", None), self.params)
        return replace(
            self,
            rhs=bind_input(self.rhs, u),
            jac=bind_input(self.jac, u),
            jac_params=bind_input(self.jac_params, u),
        )

    def with_params(self, params: Any = None, /, **changes: Any) -> Self:
        """Return a copy with other parameters, or with some entries of a namedtuple or dict changed."""
        return replace(self, params=changed_params(self.params, params, changes))

    @classmethod
    def from_ode(
        cls,
        fun: Any,
        args: tuple[Any, ...] = (),
        *,
        jac: Any = None,
        time_unit: str = "time",
        units: Units = None,
    ) -> Flow:
        """Return the flow of a function written for `scipy.integrate.solve_ivp`.

        Parameters
        ----------
        fun : callable
            ``fun(t, y, *args) -> dy/dt``; a numba function gives a compiled flow.
        args : tuple, optional
            Further arguments; they become the flow's ``params``.
        jac : callable or "finite_difference", optional
            ``jac(t, y, *args) -> J``, as solve_ivp takes it, or differences by name.
        time_unit : str, default "time"
            Name of the unit of time.
        units : sequence of str, optional
            Names of the units.

        Examples
        --------
        >>> import dynet
        >>> flow = dynet.Flow.from_ode(lambda t, y, k: [y[1], -k * y[0]], (4.0,), jac="finite_difference")
        >>> ds = dynet.lyapunov_spectrum(flow.to_map(0.01), [1.0, 0.0], 2_000)
        >>> float(abs(ds.lyapunov_exponent).max()) < 0.05
        True
        """
        args = args if isinstance(args, tuple) else (args,)
        if is_jitted(fun):
            rhs = jitted_ode(fun)
            jacobian = jitted_ode(jac) if is_jitted(jac) else jac
        else:
            rhs, jacobian = OdeFunction(fun), jac
        if callable(jac) and not is_jitted(jac):
            jacobian = OdeFunction(jac)
        return cls(rhs, jacobian, params=args, time_unit=time_unit, units=units)


class _MissingJacobian:
    """Stands where a flow without Jacobian was turned into a map; says the way out when it is needed."""

    def __call__(self, t: float, x: Any, u: Any, p: Any) -> Any:
        raise InputError(MISSING_JACOBIAN)
