"""Groups of orders against the tests of scipy."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import dynet

RANDOM = np.random.default_rng(0)
A, B = RANDOM.normal(0.1, 0.1, 12), RANDOM.normal(0.3, 0.1, 12)


@pytest.mark.parametrize("paired", [False, True])
def test_tests_are_those_of_scipy(paired):
    ds = dynet.compare_orders(A, B, paired=paired)
    t = stats.ttest_rel(A, B) if paired else stats.ttest_ind(A, B, equal_var=False)
    rank = stats.wilcoxon(A, B) if paired else stats.mannwhitneyu(A, B)
    np.testing.assert_allclose(ds.p_value, [t.pvalue, rank.pvalue])
    assert float(ds.difference) == pytest.approx(A.mean() - B.mean())
    assert ds.interval[0] < ds.difference < ds.interval[1]


def test_units_without_an_order_are_left_out_in_pairs():
    a, b = A.copy(), B.copy()
    a[3], b[5] = np.nan, np.nan
    ds = dynet.compare_orders(a, b, paired=True)
    assert ds.n_orders.values.tolist() == [10, 10]
    kept = np.delete(np.arange(12), [3, 5])
    assert float(ds.difference) == pytest.approx((A - B)[kept].mean())
    assert dynet.compare_orders(a, b[:8]).n_orders.values.tolist() == [11, 7]


def test_results_are_taken():
    stimulus = np.repeat([0.0, 1.0], [20, 80])
    groups = []
    for order in (0.1, 0.3):
        r = dynet.fractional_derivative(stimulus, order) + RANDOM.normal(0, 0.05, (8, 100))
        groups.append(dynet.fractional_order(r, stimulus, axis=-1))
    ds = dynet.compare_orders(*groups)
    assert float(ds.difference) == pytest.approx(-0.2, abs=0.05)
    assert (ds.p_value < 1e-3).all()


def test_bad_input():
    with pytest.raises(dynet.InputError, match="at least two"):
        dynet.compare_orders([0.1, np.nan], B)
    with pytest.raises(dynet.InputError, match="equal shapes"):
        dynet.compare_orders(A, B[:5], paired=True)
    with pytest.raises(dynet.InputError, match="no order"):
        dynet.compare_orders(xr.Dataset(), B)
    with pytest.raises(dynet.InputError, match="level"):
        dynet.compare_orders(A, B, level=2)
    with pytest.raises(dynet.InputError, match="do not vary"):
        dynet.compare_orders([0.1, 0.1], [0.2, 0.2])
    a, b = (xr.DataArray([0.1, 0.2], dims="unit", coords={"unit": u}) for u in (["a", "b"], ["b", "a"]))
    with pytest.raises(dynet.InputError, match="same labels"):
        dynet.compare_orders(a, b, paired=True)
