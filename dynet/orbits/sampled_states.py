"""Random states of trajectories, to start searches from."""

from __future__ import annotations

import numpy as np
import xarray as xr

from dynet._validate import Faults, is_number
from dynet.kernels.namespace import to_numpy
from dynet.typing import ArrayLike, Rng

__all__ = ["sample_states"]


def sample_states(trajectory: xr.Dataset | ArrayLike, n: int, *, noise: float = 0.0, rng: Rng = None) -> np.ndarray:
    """Return random states of trajectories, to start searches from.

    Parameters
    ----------
    trajectory : Dataset or array (..., n_units)
        A Dataset with ``state``, from `simulate`, or states.
    n : int
        How many, drawn with replacement only if there are fewer states.
    noise : float, default 0.0
        Standard deviation of normal noise that is added, in units of the state.
    rng : Generator or int, optional
        Source of the draws; None means ``default_rng(0)``.

    Returns
    -------
    array (n, n_units)

    Raises
    ------
    InputError
        If an argument cannot be used.

    Examples
    --------
    >>> import dynet
    >>> run = dynet.simulate(dynet.zoo.henon(), [0.1, 0.1], 100)
    >>> dynet.sample_states(run, 20, noise=0.1).shape
    (20, 2)
    """
    faults = Faults()
    faults.integer("n", n, 1)
    if not (is_number(noise) and 0 <= noise < np.inf):
        faults.add("noise", noise, "give a standard deviation, 0 or more")
    if rng is not None and not isinstance(rng, int | np.integer | np.random.Generator):
        faults.add("rng", rng, "give a whole number, a numpy.random.Generator or None")
    if isinstance(trajectory, xr.Dataset):
        if "state" not in trajectory:
            faults.add("trajectory", "Dataset", "give one with state(time, unit), from simulate")
            faults.raise_if_any()
        trajectory = trajectory["state"].transpose(..., "unit").values
    states = faults.real_array("trajectory", to_numpy(trajectory), finite=True)
    if not faults and (states.ndim < 2 or states.size == 0):
        faults.add("trajectory", states, "give states (..., n_units)")
    faults.raise_if_any()
    states = states.reshape(-1, states.shape[-1])
    random = np.random.default_rng(0 if rng is None else rng)
    rows = random.choice(len(states), n, replace=n > len(states))
    drawn: np.ndarray = states[rows] + noise * random.standard_normal((n, states.shape[1]))
    return drawn
