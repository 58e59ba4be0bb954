"""How well answers fit their targets: numpy in, one number out."""

from __future__ import annotations

import numpy as np

__all__ = ["accuracy", "mean_squared_error"]


def accuracy(outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the share of targets whose class has the highest score.

    Parameters
    ----------
    outputs : array (..., class)
        Scores.
    targets : array (...)
        Classes.
    weights : array (...), optional
        Weight of each target.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from dynet.tasks.metrics import accuracy
    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """
    return float(np.average(np.argmax(outputs, axis=-1) == targets, weights=weights))


def mean_squared_error(outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the squared error, mean over outputs and steps.

    Parameters
    ----------
    outputs, targets : array (..., output)
        Values.
    weights : array (...), optional
        Weight of each step.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from dynet.tasks.metrics import mean_squared_error
    >>> mean_squared_error(np.array([[1.0], [3.0]]), np.array([[0.0], [0.0]]), np.array([1.0, 0.0]))
    1.0
    """
    errors = np.square(np.asarray(outputs, dtype=np.float64) - targets).mean(axis=-1)
    return float(np.average(errors, weights=weights))
