"""Derivatives of stimuli at all orders of a range, from those at a few Chebyshev nodes.

The weight of a derivative falls with its lag k as ``k^(-1 - a)``, so that a polynomial in the order a, of a degree in
proportion to the logarithm of the longest lag, is as good as the weight itself. Products of templates and anything else
are then polynomials too, and so are squares of templates, made of the products of templates at all pairs of nodes.
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from dynet.fractional.profile import chebyshev, nodes
from dynet.fractional.records import Records
from dynet.kernels.fractional import blocks, causal_weights, padded_length

#: Nodes more than needed where they cost nothing: one stimulus is filtered for all units.
_SPARE = 2
#: Part of the squares of a template that has to be left when its mean is taken off.
_SHARE = 1e-4


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

    Time counts in units of ``unit``, in which templates of all orders are about as large. ``centred`` ones are those
    less their means over the window.
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
        #: means (unit or 1, node) of the templates at the nodes
        self._means = np.zeros((n_units, count))
        self._rows = self._signals(records.spectrum * self._symbols) if n_units == 1 else None

    def products(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return products of y (unit, time) and templates, and squares of templates, at Chebyshev nodes.

        They are (unit or 1, node). y has no mean if templates have none.
        """
        count = len(self._symbols)
        if self._rows is not None:
            _, pairs, self._means[:] = self._products(y[:1], self._rows[None])
            yt = y @ self._rows.T
        else:
            yt, pairs = np.empty((len(y), count)), np.empty((len(y), count, count))
            at_once = list(blocks(*y.shape))
            size = len(y[at_once[0]])
            # memory that is used again for every block and node
            scratch = np.empty((size, self._symbols.shape[1]), dtype=np.complex128), np.empty((size, self._length))
            all_rows = np.empty((size, count, y.shape[1]))
            for units in at_once:
                spectra = self._records.spectrum[units]
                products, signals, rows = (x[: len(spectra)] for x in (*scratch, all_rows))
                for j, symbol in enumerate(self._symbols):
                    np.multiply(spectra, symbol, out=products)
                    np.fft.irfft(products, n=self._length, out=signals)
                    rows[:, j] = signals[:, self._records.window]
                yt[units], pairs[units], self._means[units] = self._products(y[units], rows)
        values = self._interpolation(nodes(*self._range, 2 * count - 1))  # squares of polynomials have twice the degree
        tensor = (values[:, :, None] * values[:, None, :]).reshape(len(values), -1)
        return yt @ values.T, pairs.reshape(len(pairs), -1) @ tensor.T

    def means_at(self, orders: np.ndarray) -> np.ndarray:
        """Return the mean (unit,), which is no longer in it if it is centred, of the template of an order (unit,)."""
        means: np.ndarray = np.sum(self._interpolation(orders) * self._means, axis=-1)
        return means

    def at(self, orders: np.ndarray, gain: np.ndarray) -> np.ndarray:
        """Return gain (unit,) times the template (unit, time) of an order (unit,)."""
        values = gain[:, None] * self._interpolation(orders)
        if self._rows is not None:
            scaled: np.ndarray = values @ (self._rows - self._means.T)
            return scaled
        means = np.sum(values * self._means, axis=-1)
        symbols = self._symbols.view(np.float64)  # real numbers times complex ones are all real products
        n_samples = self._records.window.stop - self._records.window.start
        result = np.empty((len(orders), n_samples))
        for units in blocks(len(orders), n_samples):
            spectra = (values[units] @ symbols).view(np.complex128)
            spectra *= self._records.spectrum[units]
            np.subtract(self._signals(spectra), means[units, None], out=result[units])
        return result

    def _products(self, y: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the products of y (unit, time) with rows (unit, node, time), of rows, and the means left out."""
        n = rows.shape[-1]
        means = rows @ np.full(n, 1 / n) if self._centred else np.zeros(rows.shape[:-1])
        pairs = rows @ rows.transpose(0, 2, 1)
        squares = np.diagonal(pairs, axis1=-2, axis2=-1)
        if (n * means**2 > (1 - _SHARE) * squares).any():
            # taken off before, not from the products, which would cost digits
            rows = rows - means[..., None]
            pairs = rows @ rows.transpose(0, 2, 1)
        else:
            pairs -= n * means[:, :, None] * means[:, None, :]
        return (rows @ y[:, :, None])[..., 0], pairs, means

    def _signals(self, spectra: np.ndarray) -> np.ndarray:
        signals: np.ndarray = fft.irfft(spectra, n=self._length, overwrite_x=True)[:, self._records.window]
        return signals

    def _interpolation(self, orders: np.ndarray) -> np.ndarray:
        """Return what templates at the nodes (node,) count at other orders: (order, node)."""
        return chebyshev(orders, *self._range, len(self._transform)).T @ self._transform
