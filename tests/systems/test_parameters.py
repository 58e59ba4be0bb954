"""Parameters of any structure as one vector."""

from collections import namedtuple

import numpy as np
import pytest

import dynet
from dynet.systems.parameters import flattened, parameter_names, replaced

Pair = namedtuple("Pair", "W b")


@pytest.mark.parametrize(
    ("p", "names"),
    [
        (2.0, ["p"]),
        (np.eye(2), ["p[0,0]", "p[0,1]", "p[1,0]", "p[1,1]"]),
        (Pair(np.ones((1, 2)), None), ["W[0,0]", "W[0,1]"]),
        ({"a": (1.0, 2.0), "b": 3}, ["a.0", "a.1", "b"]),
        (None, []),
    ],
)
def test_vectors_and_back(p, names):
    vector = flattened(p)
    assert parameter_names(p) == names
    assert len(vector) == len(names)
    again = replaced(p, vector + 1)
    assert type(again) is (float if isinstance(p, int) else type(p))
    np.testing.assert_array_equal(flattened(again), vector + 1)


def test_differences_of_compiled_functions_that_return_tuples():
    flow = dynet.zoo.van_der_pol(1.5)
    named = dynet.Flow(flow.rhs, flow.jac, params=flow.params, jac_params="finite_difference")
    x = np.array([0.7, -1.3])
    np.testing.assert_allclose(
        named.jac_params(0.0, x, x[:0], named.params), [[0.0], [(1 - 0.49) * -1.3]], atol=1e-10
    )  # fmt: skip
