import gzip

import numpy as np
import pytest

import dynet
from dynet.tasks import Characters


def test_targets_are_one_character_ahead_and_every_character_is_read_once():
    task = Characters(n_steps=40)
    assert task.text[:4] == task.decode(task.encode(task.text[:4]))
    for split in ("validation", "test"):
        batches = list(task.batches(split, 16))
        read = np.concatenate([batch.inputs for batch in batches]).ravel()
        said = np.concatenate([batch.targets for batch in batches]).ravel()
        np.testing.assert_array_equal(read[1:], said[:-1])
        assert task.decode(read) in task.text
        assert len(task._parts[split]) - 1 - len(read) < 40
    starts = [set(map(tuple, np.concatenate([b.inputs for b in task.batches("train", 500, rng)]))) for rng in (0, 1)]
    assert starts[0] != starts[1]
    shares = [len(part) / len(task.text) for part in task._parts.values()]
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=1e-4)


def test_training_sequences_are_those_of_the_text_in_another_order(tmp_path):
    path = tmp_path / "every_character_once.txt"
    path.write_text("".join(chr(0x4E00 + place) for place in range(2_000)), encoding="utf-8")
    task = Characters(path, n_steps=5)
    offsets, generator = set(), np.random.default_rng(0)
    for _ in range(30):
        batches = list(task.batches("train", 7, generator))
        places = np.concatenate([batch.inputs for batch in batches])
        np.testing.assert_array_equal(places + 1, np.concatenate([batch.targets for batch in batches]))
        begins = places[:, 0].tolist()
        assert begins != sorted(begins)
        np.testing.assert_array_equal(np.diff(sorted(begins)), 5)
        assert len(begins) in (318, 319)
        offsets.add(min(begins))
        assert places.max() < 1_599
    assert offsets == {0, 1, 2, 3, 4}


def test_byte_order_mark_and_line_ends_do_not_count(tmp_path):
    path = tmp_path / "text.txt.gz"
    with gzip.open(path, "wb") as file:
        file.write(("\ufeff" + "ab\r\ncd\ré\n" * 30).encode())
    assert Characters(path, n_steps=3).text == "ab\ncd\né\n" * 30
    assert Characters(path, n_steps=3).vocabulary == "\nabcdé"


def test_unseen_characters_and_bad_files_are_named(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("abc" * 100)
    with pytest.raises(dynet.InputError, match=r"text.txt': character 'c' at 2 is not in the vocabulary of 2: 'ab'"):
        Characters(path, n_steps=5, vocabulary="ab")
    task = Characters(path, n_steps=5)
    with pytest.raises(dynet.InputError, match=r"the text: character 'x' at 3"):
        task.encode("abcx")
    for tokens, message in (([0, 3], "tokens: 3 at 1 is none of the 3"), ([-1], "-1 at 0"), ([0.5], "whole numbers")):
        with pytest.raises(dynet.InputError, match=message):
            task.decode(tokens)
    with pytest.raises(dynet.InputError, match=r"shares=0.1"):
        Characters(path, shares=0.1)
    with pytest.raises(
        dynet.InputError, match=r"text.txt': 30 characters for validation, expected more than n_steps=100"
    ):
        Characters(path)
    with pytest.raises(dynet.InputError, match=r"nothing.txt': there is no such file"):
        Characters(tmp_path / "nothing.txt")
    path.write_bytes(b"abc\xff\xfe")
    with pytest.raises(dynet.InputError, match=r"text.txt': no text in UTF-8 \(byte 3"):
        Characters(path)
    with pytest.raises(dynet.InputError, match=r"n_steps=0(?s:.*)vocabulary='aa'(?s:.*)shares="):
        Characters(path, n_steps=0, vocabulary="aa", shares=(0.5, 0.6))


def test_the_real_war_and_peace(data):
    task = Characters("war_and_peace")
    assert (len(task.text), task.n_tokens) == (3_196_212, 82)
    assert task.text.startswith('"Well, Prince, so Genoa and Lucca are now just family estates of the\nB')
    assert task.text.endswith("and to recognize a dependence of which we are not\nconscious.")
    inputs, targets = next(task.batches("train", 100, rng=0))
    assert inputs.shape == targets.shape == (100, 100)
