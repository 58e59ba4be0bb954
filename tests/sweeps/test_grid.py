import numpy as np
import pytest
import xarray as xr
from scipy import stats

import dynet


def test_points_have_their_distributions():
    space = {"rate": stats.loguniform(1e-4, 1e-1), "width": stats.randint(2, 5), "cell": ["gru", "lstm"]}
    points = dynet.sample_points(space, 2_000, rng=3)
    assert stats.kstest(np.log10(points.rate), stats.uniform(-4, 3).cdf).pvalue > 0.01
    assert set(points.width.values.tolist()) == {2, 3, 4}
    assert stats.binomtest(int((points.cell == "gru").sum()), 2_000).pvalue > 0.01
    assert abs(np.corrcoef(points.rate, points.width)[0, 1]) < 0.1


def test_a_new_argument_leaves_the_draws_of_those_before():
    few, more = (dynet.sample_points(dict.fromkeys(names, stats.norm()), 5, rng=1) for names in ("ab", "abc"))
    xr.testing.assert_equal(few, more[["a", "b"]])
    assert (few.a != few.b).all()


def test_a_sweep_runs_at_the_points():
    points = dynet.sample_points({"a": stats.norm(), "word": ["x", "yy"]}, 6)
    result = dynet.sweep(lambda a, word, rng: a * len(word), points, progress=False)
    assert result.value.dims == ("point", "repeat")
    lengths = [len(word) for word in points.word.values]
    np.testing.assert_array_equal(result.value[:, 0], points.a * lengths)
    xr.testing.assert_equal(result.a.drop_vars(["a", "word"]), points.a)


def test_what_is_no_distribution_is_named():
    with pytest.raises(dynet.InputError, match=r"n_points=0(?s:.*)grid\['a'\]=3"):
        dynet.sample_points({"a": 3}, 0)
    with pytest.raises(dynet.InputError, match=r"distributions\['point'\](?s:.*)rng='seed'"):
        dynet.sample_points({"point": stats.norm()}, 3, rng="seed")
    for distribution, found in ((stats.multivariate_normal([0, 0]), r"shape \(3, 2\)"), (stats.gamma, "TypeError")):
        with pytest.raises(dynet.InputError, match=rf"distributions\['a'\]=.* it gives .*{found}"):
            dynet.sample_points({"a": distribution}, 3)
    with pytest.raises(dynet.InputError, match="variables along 'point' alone"):
        dynet.sweep(lambda a, rng: a, xr.Dataset({"a": ("time", [1.0])}))
