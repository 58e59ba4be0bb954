"""Files that appear whole or not at all."""

import os

import pytest

from dynet._files import replacing


def test_the_name_changes_only_when_the_content_is_complete(tmp_path):
    target = tmp_path / "result"
    target.write_text("old")
    with replacing(target) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"
        assert partial.parent == tmp_path
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["result"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_no_debris(error, tmp_path):
    target = tmp_path / "result"
    target.write_text("old")

    def fail():
        with replacing(target) as partial:
            partial.write_text("half of the n")
            raise error

    with pytest.raises(error):
        fail()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["result"]


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_the_file_is_as_readable_as_any_other(tmp_path):
    (tmp_path / "plain").touch()
    with replacing(tmp_path / "result"):
        pass
    assert (tmp_path / "result").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(OSError, match="missing"), replacing(tmp_path / "missing" / "result"):
        pass


@pytest.mark.parametrize("name", ["result", "odd [name] *.npz"])
def test_old_leftovers_of_this_name_are_removed(name, tmp_path):
    leftovers = [tmp_path / f".{name}.{end}.partial" for end in ("old", "young")] + [tmp_path / ".else.old.partial"]
    for leftover in leftovers:
        leftover.touch()
    for leftover in (leftovers[0], leftovers[2]):
        os.utime(leftover, (1e9, 1e9))
    with replacing(tmp_path / name):
        pass
    assert set(tmp_path.iterdir()) == {*leftovers[1:], tmp_path / name}
