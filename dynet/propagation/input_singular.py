"""Singular values of the Jacobian from an input to a later state or output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from dynet._labels import dataset
from dynet._progress import progress_bar
from dynet._validate import Faults, shown
from dynet.errors import InputError
from dynet.kernels.namespace import machine_epsilon, to_numpy
from dynet.lyapunov.problem import Problem
from dynet.lyapunov.walk import make_walk
from dynet.propagation.input_windows import InputWindows
from dynet.propagation.runs import groups, is_batched, run_attrs, window_starts
from dynet.propagation.singular_measures import kept, run_coords, singular_variables
from dynet.systems.binding import has_bound_input
from dynet.systems.input_jacobian import input_jacobian
from dynet.systems.map import Map
from dynet.systems.operators import assemble
from dynet.systems.runge_kutta import as_multiplier
from dynet.typing import ArrayLike

__all__ = ["input_singular_values"]

REFERENCES = (
    "Pennington, Schoenholz & Ganguli (2017) arXiv:1711.04735; Sokół & Park (2020) arXiv:1810.03785; "
    "Demmel & Veselić (1992) doi:10.1137/0613074"
)
_LAGS = 12


def input_singular_values(
    system: Map,
    x0: ArrayLike | None,
    n_steps: int,
    *,
    inputs: ArrayLike,
    lags: int | Sequence[int] | None = None,
    readout: Any = None,
    every: int | None = None,
    jac_input: Any = None,
    n_transient: int = 0,
    progress: bool = False,
    check: bool = True,
) -> xr.Dataset:
    r"""Return all singular values of the Jacobian from an input to the state, or output, some steps later.

    What an input leaves behind after a lag of ``l`` steps is
    :math:`\partial x_{s+l} / \partial u_s = J_{s+l} \cdots J_{s+1} B_s`, with :math:`x_s` the state after the step
    that reads :math:`u_s` and :math:`B_s` the derivative of that step with respect to it; with a readout of derivative
    D it is :math:`\partial y_{s+l} / \partial u_s = D J_{s+l} \cdots B_s`, the input-output Jacobian. The same values
    tell how gradients come back from an error to an input.

    Parameters
    ----------
    system : Map
        A driven step with its Jacobian; for a flow give ``flow.to_map(dt)``.
    x0 : array (n,) or (sequence, n), or None
        Start of each trajectory; None means zeros.
    n_steps : int
        Length of the run.
    inputs : array (time, channel) or (sequence, time, channel)
        Input of every step, ``n_transient + n_steps`` rows.
    lags : int or sequence of int, optional
        Steps from the one that reads the input to the state that is looked at: 0 is the state right after it,
        ``n_steps - 1`` the most. About a dozen of them, evenly in the logarithm, if not given.
    readout : array (output, n) or callable, optional
        The derivative of the output with respect to the state: the weights of a linear readout, or a function
        ``readout(x)`` that returns it, (output, n), at a state (n,). Without it the output is the state.
    every : int, optional
        Take the inputs of every so many steps, as long as the longest lag fits into the run. Without it only the first
        one counts.
    jac_input : callable or "finite_difference", optional
        ``jac_input(t, x, u, p) -> J_u`` (n, channel), anything that multiplies. The networks of dynet and modules of
        torch bring their own.
    n_transient : int, default 0
        Steps before, in which the state settles.
    progress : bool, default False
        Show a progress bar.
    check : bool, default True
        Compare the Jacobian with a difference of the step before the run, and ``jac_input`` too where it is given.

    Returns
    -------
    xarray.Dataset
        ``log_singular_value(lag, index)``, descending, natural logarithms, as many as the least of channels, units and
        outputs, -inf for zero or below resolution; ``log_condition_number(lag)`` and ``isometry_distance(lag)`` as
        `singular_values` has them; ``norm_error(lag)``, how far the log Frobenius norm is from that of the plain
        product. These have ``sequence`` in front if ``x0`` or ``inputs`` have it, then ``start``, the time of the
        input, if ``every`` is given. ``log_first_moment(lag)`` and ``log_second_moment(lag)``, the logs of the moments
        of the squares over index, sequences and windows; ``first_moment_error`` and ``second_moment_error``.

    Raises
    ------
    InputError
        If an argument cannot be used: no inputs, a lag that does not fit into the run, a system that does not tell its
        derivative with respect to the input, a readout that does not fit.
    DivergenceError
        If a state or Jacobian is not finite.

    Notes
    -----
    As in `singular_values` each value has its own relative accuracy, whatever their ratio: the product is carried as
    left singular vectors and logarithms.

    References
    ----------
    Pennington, Schoenholz & Ganguli (2017), arXiv:1711.04735; Sokół & Park (2020), arXiv:1810.03785; Demmel &
    Veselić (1992), doi:10.1137/0613074.

    See Also
    --------
    singular_values : The same from state to state.

    Examples
    --------
    >>> import dynet, numpy as np
    >>> net = dynet.networks.tanh_rnn(np.diag([1.0, 0.1]), np.eye(2))
    >>> ds = dynet.input_singular_values(net, None, 31, inputs=np.zeros((31, 2)), lags=[0, 30])
    >>> (ds.log_singular_value / np.log(10)).values.round(6) + 0.0
    array([[  0.,   0.],
           [  0., -30.]])
    """
    if inputs is None:
        raise InputError("inputs=None: give the rows that drive the system: these values are derivatives by them")
    problem = make_walk(system, x0, n_steps, inputs=inputs, n_transient=n_transient, check=check)
    through_input = _checked_input(problem, jac_input, check)
    faults = Faults()
    lengths = _lags(faults, lags, n_steps)
    derivative = _readout(faults, readout, problem.x0.shape[-1])
    faults.raise_if_any()
    starts = window_starts(faults, n_steps, int(lengths[-1]) + 1, every, n_transient)
    faults.raise_if_any()
    runs = [InputWindows(problem, group, through_input, derivative, starts, lengths) for group in groups(problem)]
    total = len(runs) * (int(starts[-1] + lengths[-1]) + 1 - n_transient)
    one_thread = 1 if problem.x0.shape[-1] <= 256 else None
    with threadpool_limits(one_thread), progress_bar(total, "singular values", progress) as bar:
        for run in runs:
            run.finish(n_transient, bar)
    values = np.concatenate([run.values for run in runs])
    errors = np.concatenate([run.errors for run in runs])
    lead = (["sequence"] if is_batched(problem, x0, inputs) else []) + (["start"] if every is not None else [])
    attrs = {
        "title": "Singular values of the Jacobian from input to " + ("state" if readout is None else "output"),
        "method": "left singular vectors carried by QR and one-sided Jacobi rotations, in logarithms",
        "references": REFERENCES,
        **run_attrs(problem, n_steps=n_steps, n_transient=n_transient, every=every, check=check),
        "jacobian_by_input": str(getattr(through_input, "kind", "analytic")),
        "n_below_resolution": int(np.isneginf(values).any(axis=(0, 1, 2)).sum()),
    }
    variables = {
        **singular_variables(values, lead, "lag", "Jacobian by the input"),
        "norm_error": ((*lead, "lag"), errors[kept(lead)], "log norm less that of the plain product", "nat"),
    }
    dt, time_unit = problem.system.dt, problem.system.time_unit
    coords: dict[str, Any] = {
        "lag": ("lag", lengths, {"units": "step"}),
        "duration": ("lag", lengths * dt, {"units": time_unit}),
        "index": np.arange(1, values.shape[-1] + 1),
        **run_coords(lead, values.shape[0], starts, dt, time_unit),
    }
    return dataset(variables, coords, attrs)


def _lags(faults: Faults, lags: Any, n_steps: int) -> np.ndarray:
    """Return the lags, ascending."""
    if lags is None:
        return np.unique(np.geomspace(1, n_steps, _LAGS).round().astype(int)) - 1
    listed = [lags] if isinstance(lags, int | np.integer) else list(np.asarray(lags).reshape(-1).tolist())
    if not listed:
        faults.add("lags", lags, "give at least one number of steps")
    for lag in listed:
        if not faults.integer("lags", lag, 0, n_steps - 1, f": the run has n_steps = {n_steps}"):
            break
    return np.unique(np.asarray(listed, dtype=int)) if not faults else np.zeros(1, dtype=int)


def _readout(faults: Faults, readout: Any, n: int) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return the derivative (output, n) of the output at a state, as a function."""
    if readout is None or callable(readout):
        return None if readout is None else lambda x: _fitting(readout(x), n)
    weights = faults.real_array("readout", to_numpy(readout) if hasattr(readout, "detach") else readout, finite=True)
    if not faults and (weights.ndim != 2 or weights.shape[0] == 0 or weights.shape[1] != n):
        faults.add("readout", weights, f"give weights (output, {n}): one column for each unit of the state")
    return lambda x: weights


def _fitting(D: Any, n: int) -> np.ndarray:
    """Return what a readout's derivative returned, if it can be one."""
    matrix = np.asarray(to_numpy(D) if hasattr(D, "detach") else D, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] != n or not np.isfinite(matrix).all():
        raise InputError(f"readout returned {shown(matrix)}: return the derivative (output, {n}) at a state, finite")
    return matrix


def _checked_input(problem: Problem, jac_input: Any, check: bool) -> Callable[..., Any]:
    """Return the derivative of the step with respect to the input, compared with a difference if it is a user's."""
    system, faults = problem.system, Faults()
    if has_bound_input(system.step):
        faults.say("system: its input is bound (with_input): give the system without it, and the input as inputs=")
    if hasattr(system.step, "freeze"):
        faults.say(
            "system: the hidden state of an LSTM alone leaves out what an input does to the memory: give the full state"
        )
    through_input = input_jacobian(faults, system, jac_input)
    faults.raise_if_any()
    assert through_input is not None
    x, u = problem.x0[0, :], problem.inputs[0, 0, :]
    J = as_multiplier(through_input(0.0, x, u, system.params), x)
    shape = (x.shape[-1], u.shape[-1])
    if tuple(J.shape) != shape:
        raise InputError(f"jac_input returned shape {tuple(J.shape)}: give something of shape {shape} that multiplies")
    if check and callable(jac_input):
        plain: Any = input_jacobian(Faults(), system, "finite_difference")
        wanted, found = (to_numpy(assemble(one)) for one in (plain(0.0, x, u, system.params), J))
        largest = max(float(np.linalg.norm(wanted)), float(np.linalg.norm(found)))
        error = float(np.linalg.norm(found - wanted)) / largest if largest else 0.0
        if error > machine_epsilon(x) ** 0.25:
            raise InputError(
                f"jac_input disagrees with differences of step (relative error {error:.2g}): row i of J_u holds the "
                "derivatives of x_next[i]; check=False skips this test"
            )
    return through_input
