"""The inverse fit: the response is filtered back and compared with the stimulus."""

from __future__ import annotations

import numpy as np

from dynet.fractional.profile import Profile, interval, minimum, nodes, series, two_regressors
from dynet.fractional.records import Fit, Records, limit_ratio
from dynet.fractional.templates import node_count, unit_of_time
from dynet.kernels.fractional import causal_derivative

_N_FREE = 3


def fit_inverse(records: Records, lower: float, upper: float, level: float) -> Fit:
    """Return the fit of ``stimulus = (response - offset) filtered back / gain``, linear in both after filtering."""
    r, window, T = records.response, records.window, records.response.shape[-1]
    s = np.broadcast_to(records.stimulus, r.shape)[:, window]
    ones = np.ones((1, T))
    unit = unit_of_time(-upper, -lower, T)
    orders = nodes(lower, upper, node_count(lower, upper, T))
    sp, pp, pq, sq = (np.empty((r.shape[0], orders.size)) for _ in range(4))
    qq = np.empty((1, orders.size))
    for j, a in enumerate(orders):
        p, q = (causal_derivative(x, np.asarray(-a), unit)[:, window] for x in (r, ones))
        sp[:, j], pp[:, j] = np.einsum("ut,ut->u", s, p), np.einsum("ut,ut->u", p, p)
        pq[:, j], sq[:, j], qq[0, j] = p @ q[0], s @ q[0], q[0] @ q[0]
    ss = np.einsum("ut,ut->u", s, s)[:, None]

    def left(_: np.ndarray, *products: np.ndarray) -> np.ndarray:
        sp, sq, pp, qq, pq = products
        return two_regressors(ss, sq, sp, qq, pp, pq)

    profile = Profile(lower, upper, tuple(map(series, (sp, sq, pp, qq, pq))), left)
    order, values, at_end = minimum(profile)
    ends = interval(profile, order, values, limit_ratio(level, s.shape[-1], _N_FREE))
    p, q = (causal_derivative(x, -order, records.dt)[:, window] for x in (r, ones))
    # two regressors a unit, by their normal equations
    regressors = np.stack([p, q], axis=1)
    normal, right = np.einsum("uit,ujt->uij", regressors, regressors), np.einsum("uit,ut->ui", regressors, s)
    inverse_gain, shift = np.einsum("uij,uj->iu", np.linalg.pinv(normal, hermitian=True), right)
    residual = s - inverse_gain[:, None] * p - shift[:, None] * q
    with np.errstate(divide="ignore", invalid="ignore"):
        return Fit(order, ends, 1 / inverse_gain, -shift / inverse_gain, residual, at_end, _N_FREE)
