"""Copies that lie in memory as the original does."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dynet.kernels.memory_order import copied, ordered


@st.composite
def views(draw):
    """Arrays of any order: transposed, with steps, backwards, broadcast."""
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    array = np.arange(float(np.prod([2 * size for size in shape]) if shape else 1)).reshape(
        [2 * size for size in shape]
    )
    steps = draw(st.lists(st.sampled_from([1, 2, -1, -2]), min_size=len(shape), max_size=len(shape)))
    view = array[(..., *(slice(None, None, step) for step in steps))]
    view = view.transpose(draw(st.permutations(range(view.ndim))))
    return np.broadcast_to(view, (3, *view.shape)) if draw(st.booleans()) else view


@given(views())
def test_copies_have_values_and_strides_of_the_original_and_memory_of_their_own(view):
    copy = copied(view)
    assert copy.strides == view.strides
    np.testing.assert_array_equal(copy, view)
    assert not np.shares_memory(copy, view)
    assert copy.flags.writeable


@given(views())
def test_the_order_is_brought_back_from_the_strides(view):
    again = ordered(np.array(view, order="C"), view.strides)
    assert (again.strides, again.flags.f_contiguous) == (view.strides, view.flags.f_contiguous)
    np.testing.assert_array_equal(again, view)
