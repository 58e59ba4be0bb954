import numpy as np
import pytest

import dynet
from dynet.tasks import SequentialImages


def test_pixels_are_read_row_by_row_and_every_image_is_used_once():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    task = SequentialImages("digits", rng=3)
    together = np.concatenate([task.train.inputs, task.test.inputs])[:, :, 0] * 16
    classes = np.concatenate([task.train.labels, task.test.labels])
    order, expected = np.lexsort(together.T), np.lexsort(images.T)
    np.testing.assert_allclose(together[order], images[expected])
    assert sorted(classes) == sorted(labels)


def test_batches_go_through_the_training_part_once():
    task = SequentialImages()
    batches = list(task.batches(100, np.random.default_rng(0)))
    assert sum(len(batch.labels) for batch in batches) == len(task.train.labels)
    seen = np.concatenate([batch.inputs for batch in batches])
    np.testing.assert_allclose(np.sort(seen.sum(axis=(1, 2))), np.sort(task.train.inputs.sum(axis=(1, 2))), rtol=1e-5)


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    first, again, other = (SequentialImages(rng=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.test.labels, again.test.labels)
    assert (first.test.labels != other.test.labels).any()


def test_unknown_images_are_named():
    with pytest.raises(dynet.InputError, match=r"dataset='letters'.*digits"):
        SequentialImages("letters")
