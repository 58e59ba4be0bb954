"""Fractional derivatives and orders: against scipy's transforms, against fixed figures, and against loops.

`python benchmarks/fractional.py` prints the rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import fft

import dynet
import results
from timing import Alternated, Row, Side, agree, figure, use_one_thread

MS = ("ms", 1e3)
UNITS, STEPS, ORDERS = 400, 784, np.linspace(-1, 1, 201)
#: Units that the loops take: what they cost is in proportion.
FEW = 4


def fractional() -> Iterator[Row]:
    """Derivative of an array, and orders with intervals and criteria of all units in one call."""
    random = np.random.default_rng(0)
    x = random.standard_normal((UNITS, STEPS))

    def derivative() -> np.ndarray:
        return dynet.fractional_derivative(x, 0.3, axis=-1, method="fourier")

    sides = {"dynet": Side(derivative, 1), "rfft + irfft": Side(lambda: fft.irfft(fft.rfft(x), n=STEPS), 1)}
    case = f"Fourier derivative of {UNITS} x {STEPS}"
    yield Alternated(sides, 100).row("fractional", case, "rfft + irfft", MS, limit=1.2)

    true = random.uniform(-0.5, 0.5, UNITS)
    step = np.repeat([0.0, 1.0], [100, STEPS - 100])
    walks = 0.1 * np.cumsum(random.standard_normal((UNITS, STEPS)), axis=1)
    for stimulus, words, limit in ((step, "common stimulus", 15.0), (walks, "one stimulus a unit", 100.0)):
        rows = np.broadcast_to(stimulus, x.shape)
        responses = 2 * dynet.fractional_derivative(rows, true, axis=-1) + 0.3 + random.normal(0, 0.05, x.shape)

        def together(responses: np.ndarray = responses, stimulus: np.ndarray = stimulus) -> object:
            return dynet.fractional_order(responses, stimulus, axis=-1)

        def one_by_one(responses: np.ndarray = responses, rows: np.ndarray = rows) -> object:
            return [dynet.fractional_order(r, s) for r, s in zip(responses[:FEW], rows, strict=False)]

        def by_hand(responses: np.ndarray = responses, rows: np.ndarray = rows) -> list[float]:
            return [order_by_hand(r, s) for r, s in zip(responses[:FEW], rows, strict=False)]

        found = dynet.fractional_order(responses, stimulus, axis=-1)
        agree("orders", found.order[:FEW], by_hand(), 0.006)
        # seconds a unit
        sides = {
            "dynet": Side(together, UNITS),
            "loop over units": Side(one_by_one, FEW),
            "loop over units and orders": Side(by_hand, FEW),
        }
        times = Alternated(sides, 11)
        case = f"order of {UNITS} x {STEPS}, {words}"
        yield figure("fractional", case, 1e3 * UNITS * times.median("dynet"), limit, "ms")
        a_unit = ("ms / unit", 1e3)
        yield times.row("fractional", case, "loop over units", a_unit)
        yield times.row("fractional", case, "loop over units and orders", a_unit, limit=1 / 50)


def order_by_hand(response: np.ndarray, stimulus: np.ndarray) -> float:
    """Return the order of one unit: least squares of gain and offset at every order, one after the other."""
    left = []
    for order in ORDERS:
        template = dynet.fractional_derivative(stimulus, order)
        A = np.stack([template, np.ones(template.size)], axis=1)
        coefficients = np.linalg.lstsq(A, response)[0]
        left.append(np.sum((response - A @ coefficients) ** 2))
    return float(ORDERS[np.argmin(left)])


if __name__ == "__main__":
    use_one_thread()
    print(results.text(list(fractional())))
