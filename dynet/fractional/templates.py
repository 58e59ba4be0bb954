"""Derivatives of stimuli at all orders of a range, from those at a few Chebyshev nodes.

The weight of a derivative falls with its lag k as ``k^(-1 - a)``, so that a polynomial in the order a, of a degree in
proportion to the logarithm of the longest lag, is as good as the weight itself. Products of templates and anything else
are then polynomials too, and so are squares of templates, made of the products of templates at all pairs of nodes.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy import fft

from dynet.fractional.profile import chebyshev, nodes
from dynet.fractional.records import Records
from dynet.kernels.fractional import blocks, causal_weights, padded_length

#: Nodes more than needed where they cost nothing: one stimulus is filtered for all units.
_SPARE = 5


def node_count(lower: float, upper: float, n_times: int) -> int:
    """Return how many Chebyshev nodes resolve powers ``k^-2a`` of all lags k to rounding."""
    return 32 + int(2 * (upper - lower) * np.log(n_times + 2))


def unit_of_time(lower: float, upper: float, n_times: int) -> float:
    """Return the unit of time in which derivatives of a step, of all orders in the range, are about as large.

    Series of their products lose the digits by which the smallest is smaller than the largest. Norms of the derivatives
    grow as ``n_times^(1/2 - a)`` below order 1/2 and hardly above.
    """
    low, high = (max(0.5 - a, 0.0) for a in (lower, upper))
    return float(n_times ** ((high - low) / (upper - lower)))


class Templates:
    """Stimuli, filtered by any order from ``lower`` to ``upper``, in the window of the records.

    Time counts in units of ``unit``, in which templates of all orders are about as large.
    """

    def __init__(self, records: Records, lower: float, upper: float, *, centred: bool) -> None:
        n_units, n_times = records.stimulus.shape
        self.unit = unit_of_time(lower, upper, n_times)
        self._records, self._range, self._centred = records, (lower, upper), centred
        self._length = padded_length(n_times)
        count = 8 + int(0.75 * (upper - lower) * np.log(n_times)) + (_SPARE if n_units == 1 else 0)
        orders = nodes(lower, upper, count)
        self._symbols = fft.rfft(causal_weights(orders, n_times) * self.unit ** -orders[:, None], n=self._length)
        # from values at the nodes to coefficients of a series
        self._transform = fft.dct(np.eye(count), type=2, axis=0) / count
        self._transform[0] /= 2

    def products(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return products of y (unit, time) and templates, and squares of templates, at Chebyshev nodes.

        They are (unit or 1, node). The means of templates count only if not ``centred``.
        """
        count = len(self._symbols)
        values = self._interpolation(nodes(*self._range, 2 * count - 1))  # squares of polynomials have twice the degree
        tensor = (values[:, :, None] * values[:, None, :]).reshape(len(values), -1)
        if len(self._records.stimulus) == 1:
            rows = self._less_mean(self._rows)
            return y @ rows.T @ values.T, (rows @ rows.T).reshape(1, -1) @ tensor.T
        yt, pairs = np.empty((len(y), count)), np.empty((len(y), count, count))
        for units in blocks(*y.shape):
            spectra = self._records.spectrum[units]
            rows = np.empty((len(spectra), count, y.shape[1]))
            for j, symbol in enumerate(self._symbols):
                rows[:, j] = self._less_mean(self._signals(spectra * symbol))
            np.matmul(rows, y[units, :, None], out=yt[units, :, None])
            np.matmul(rows, rows.transpose(0, 2, 1), out=pairs[units])
        return yt @ values.T, pairs.reshape(len(pairs), -1) @ tensor.T

    def at(self, orders: np.ndarray) -> np.ndarray:
        """Return the template (unit, time) of one order (unit,) for each unit, with its mean."""
        values = self._interpolation(orders)
        if len(self._records.stimulus) == 1:
            return values @ self._rows
        symbols = self._symbols.view(np.float64)  # real numbers times complex ones are all real products
        result = np.empty((len(orders), self._records.window.stop - self._records.window.start))
        for units in blocks(*result.shape):
            spectra = (values[units] @ symbols).view(np.complex128)
            spectra *= self._records.spectrum[units]
            result[units] = self._signals(spectra)
        return result

    @cached_property
    def _rows(self) -> np.ndarray:
        """The templates (node, time) of the one stimulus at the nodes."""
        return self._signals(self._records.spectrum * self._symbols)

    def _signals(self, spectra: np.ndarray) -> np.ndarray:
        signals: np.ndarray = fft.irfft(spectra, n=self._length, overwrite_x=True)[:, self._records.window]
        return signals

    def _less_mean(self, rows: np.ndarray) -> np.ndarray:
        return rows - rows.mean(axis=-1, keepdims=True) if self._centred else rows

    def _interpolation(self, orders: np.ndarray) -> np.ndarray:
        """Return what templates at the nodes (node,) count at other orders: (order, node)."""
        return chebyshev(orders, *self._range, len(self._transform)).T @ self._transform
