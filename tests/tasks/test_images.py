import gzip
import pickle
import struct

import numpy as np
import pytest

import dynet
from dynet.tasks import SequentialImages


def write_mnist(folder, n_train=20, n_test=10):
    """Write small files of MNIST's kind; pixels of image i are i."""
    for part, n in (("train", n_train), ("t10k", n_test)):
        pixels = np.repeat(np.arange(n, dtype=np.uint8), 28 * 28).tobytes()
        with gzip.open(folder / f"{part}-images-idx3-ubyte.gz", "wb") as file:
            file.write(struct.pack(">4I", 2051, n, 28, 28) + pixels)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">2I", 2049, n) + bytes(i % 10 for i in range(n))
        )


def write_cifar(folder, n=6):
    rng = np.random.default_rng(0)
    for name in ("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"):
        records = rng.integers(0, 256, (n, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(n)
        (folder / name).write_bytes(records.tobytes())


def test_pixels_are_read_row_by_row_and_every_image_is_used_once():
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    task = SequentialImages("digits", rng=3)
    parts = task.train, task.validation, task.test
    together = np.concatenate([part.inputs for part in parts])[:, :, 0] * 16
    classes = np.concatenate([part.targets for part in parts])
    order, expected = np.lexsort(together.T), np.lexsort(images.T)
    np.testing.assert_allclose(together[order], images[expected])
    assert sorted(classes) == sorted(labels)
    assert task.metric(np.eye(10)[task.test.targets], task.test.targets) == 1


def test_batches_go_through_each_split_once():
    task = SequentialImages()
    for split in task.splits:
        whole = getattr(task, split)
        batches = list(task.batches(split, 100, np.random.default_rng(0)))
        seen = np.concatenate([batch.inputs for batch in batches])
        np.testing.assert_allclose(np.sort(seen.sum(axis=(1, 2))), np.sort(whole.inputs.sum(axis=(1, 2))), rtol=1e-5)
        same = (seen == whole.inputs).all()
        assert same == (split != "train")
    with pytest.raises(dynet.InputError, match=r"split='dev'(?s:.*)batch_size=0"):
        next(task.batches("dev", 0))
    assert SequentialImages(validation_share=0.0).splits == ("train", "test")


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    first, again, other = (SequentialImages(rng=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.test.targets, again.test.targets)
    assert (first.test.targets != other.test.targets).any()


def test_one_permutation_for_all_images_turned_or_not():
    plain, permuted, turned = (
        SequentialImages(permute=permute, angle=angle, rng=4) for permute, angle in ((False, 0), (True, 0), (True, 45))
    )
    np.testing.assert_array_equal(np.sort(permuted.order), np.arange(64))
    np.testing.assert_array_equal(permuted.train.inputs, plain.train.inputs[:, permuted.order])
    np.testing.assert_array_equal(permuted.order, turned.order)
    np.testing.assert_array_equal(permuted.test.targets, turned.test.targets)
    assert (permuted.order != plain.order).any()


def test_images_are_turned_anticlockwise():
    plain, quarter, eighth = (SequentialImages(angle=angle).test.inputs.reshape(-1, 8, 8) for angle in (0, 90, 45))
    np.testing.assert_allclose(quarter, np.rot90(plain, axes=(1, 2)), atol=1e-6)
    assert 0 < np.abs(eighth - plain).mean() < 1
    assert eighth.min() >= 0


def test_idx_files_packed_or_not(tmp_path):
    write_mnist(tmp_path)
    task = SequentialImages("mnist", folder=tmp_path, validation_share=0.2)
    assert (len(task.train.targets), len(task.validation.targets), task.n_steps) == (16, 4, 784)
    assert task.test.targets.tolist() == list(range(10))
    np.testing.assert_allclose(task.test.inputs[7], 7 / 255, rtol=1e-6)
    # images and labels stay together
    images = np.rint(task.train.inputs[:, 0, 0] * 255)
    np.testing.assert_array_equal(images % 10, task.train.targets)


def test_colours_become_grey_as_in_itu_r_601(tmp_path):
    write_cifar(tmp_path)
    task = SequentialImages("cifar10", folder=tmp_path)
    raw = np.frombuffer((tmp_path / "test_batch.bin").read_bytes(), dtype=np.uint8).reshape(-1, 3073)
    grey = np.tensordot([0.299, 0.587, 0.114], raw[:, 1:].reshape(-1, 3, 1024).astype(float), axes=(0, 1))
    assert np.abs(task.test.inputs[:, :, 0] * 255 - grey).max() < 0.51
    assert len(task.train.targets) + len(task.validation.targets) == 12
    assert task.n_steps == 1024


def damage_missing(folder):
    (folder / "t10k-labels-idx1-ubyte").unlink()


def damage_gzip(folder):
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])


def damage_magic(folder):
    (folder / "train-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2051, 20) + bytes(20))


def damage_length(folder):
    path = folder / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-3])


def damage_count(folder):
    (folder / "train-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, 19) + bytes(19))


def damage_label(folder):
    (folder / "train-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, 20) + bytes(19) + b"\x0b")


def damage_empty(folder):
    (folder / "train-labels-idx1-ubyte").write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_missing, r"t10k-labels-idx1-ubyte': there is no such file"),
        (damage_gzip, r"train-images-idx3-ubyte.gz': truncated or damaged gzip"),
        (damage_magic, r"train-labels-idx1-ubyte': magic number 2051, expected 2049"),
        (damage_length, r"train-labels-idx1-ubyte': 25 bytes, expected 28 .* truncated"),
        (damage_count, r"train-labels-idx1-ubyte': 19 labels, expected 20"),
        (damage_label, r"train-labels-idx1-ubyte': label 11 of image 19, expected 0 to 9"),
        (damage_empty, r"train-labels-idx1-ubyte': 0 bytes, expected at least 8: the file is truncated"),
        (lambda folder: write_mnist(folder, n_train=0), r"train-images-idx3-ubyte.gz': no images"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path, damage, message):
    write_mnist(tmp_path)
    damage(tmp_path)
    with pytest.raises(dynet.InputError, match=message):
        SequentialImages("mnist", folder=tmp_path)


def test_pickles_are_not_read(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (tmp_path / "harm").touch, ()

    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(dynet.InputError, match=r"data_batch_\*.bin': there is no such file.*pickles"):
        SequentialImages("cifar10", folder=tmp_path)
    (tmp_path / "data_batch_1").rename(tmp_path / "data_batch_1.bin")
    with pytest.raises(dynet.InputError, match=r"data_batch_1.bin': .* bytes, expected a multiple of 3073"):
        SequentialImages("cifar10", folder=tmp_path)
    assert not (tmp_path / "harm").exists()


def test_the_folder_is_that_of_the_files_the_one_above_or_told_by_the_environment(tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    write_mnist(tmp_path / "mnist")
    monkeypatch.setenv("DYNET_DATA", str(tmp_path))
    tasks = [SequentialImages("mnist", folder=folder) for folder in (None, tmp_path, tmp_path / "mnist")]
    for task in tasks[1:]:
        np.testing.assert_array_equal(task.test.inputs, tasks[0].test.inputs)


def test_bad_arguments_are_named(tmp_path, monkeypatch):
    monkeypatch.delenv("DYNET_DATA", raising=False)
    with pytest.raises(dynet.InputError, match=r"dataset='letters'(?s:.*)permute=1(?s:.*)angle=nan(?s:.*)test_share=1"):
        SequentialImages("letters", permute=1, angle=float("nan"), test_share=1)
    with pytest.raises(dynet.InputError, match=r"rng='seed': give a whole number"):
        SequentialImages(rng="seed")
    with pytest.raises(dynet.InputError, match=r"rng=-1: give a whole number"):
        next(SequentialImages().batches("train", 10, rng=-1))
    with pytest.raises(dynet.InputError, match=r"folder=None: give the folder that holds MNIST's four files"):
        SequentialImages("mnist")
    with pytest.raises(dynet.InputError, match=r"folder='.*nowhere': there is no such folder"):
        SequentialImages("cifar10", folder=tmp_path / "nowhere")


def test_the_real_mnist(data):
    task = SequentialImages("mnist", folder=data, validation_share=0.1)
    assert [len(part.labels) for part in task._parts.values()] == [54_000, 6_000, 10_000]
    assert task.test.targets[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(task.test.targets).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert round(float(task.test.inputs.mean(dtype=float)), 4) == 0.1325
    assert round(float(task.test.inputs.std(dtype=float)), 4) == 0.3105
    labels = np.concatenate([task._parts[split].labels for split in ("train", "validation")])
    assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    pixels = np.concatenate([task._parts[split].pixels for split in ("train", "validation")])
    assert round(float(pixels.mean() / 255), 4) == 0.1307


def test_the_first_labels_of_the_real_mnist(data):
    from dynet.tasks.files import read_idx

    labels = read_idx(data / "mnist" / "train-labels-idx1-ubyte.gz", 1)
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]


def test_the_real_cifar(data):
    task = SequentialImages("cifar10", folder=data, validation_share=0.0)
    assert task.train.inputs.shape == (4_000, 1024, 1)
    assert task.test.inputs.shape == (1_000, 1024, 1)
    assert np.bincount(task.train.targets).tolist() == [396, 366, 420, 384, 422, 393, 414, 385, 407, 413]
    assert np.bincount(task.test.targets).tolist() == [103, 89, 100, 103, 90, 86, 112, 102, 106, 109]
    # grey of the mean colours: 0.4916 0.4818 0.4447
    expected = np.dot([0.299, 0.587, 0.114], [0.4916, 0.4818, 0.4447])
    assert abs(float(task.train.inputs.mean(dtype=float)) - expected) < 2e-4
