"""Host's bounded looks at files, and its lock."""

from __future__ import annotations

import os
import time

import pytest

from kvmha.host import CommandTimeout, Host


def test_calls_at_one_time_take_no_longer_than_the_longest():
    begun = time.monotonic()
    found = Host().together([lambda: time.sleep(0.3) or 1, lambda: time.sleep(0.3) or 2], what="it", timeout=5)
    assert found == [1, 2]
    assert time.monotonic() - begun < 0.55


def test_a_call_that_hangs_or_fails_costs_the_others_nothing():
    def fails():
        raise OSError(5, "Input/output error")

    hung, failed, done = Host().together([lambda: time.sleep(3), fails, lambda: 3], what="it", timeout=0.2)
    assert (type(hung), type(failed), done) == (CommandTimeout, OSError, 3)


def test_no_calls_are_no_answers():
    assert Host().together([], what="it", timeout=1) == []


def test_the_kind_of_a_path_is_told_through_links(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    kinds = [Host().kind(str(tmp_path / name)) for name in ("file", "link", ".", "pipe")]
    assert kinds == ["file", "file", "folder", "special file"]
    with pytest.raises(FileNotFoundError):
        Host().kind(str(tmp_path / "nothing"))


def test_a_file_is_tried_and_not_changed(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    before = path.stat().st_mtime_ns
    Host().try_open(str(path), write=True)
    assert (path.read_text(), path.stat().st_mtime_ns) == ("x", before)
    with pytest.raises(FileNotFoundError):
        Host().try_open(str(tmp_path / "nothing"), write=True)
    assert not (tmp_path / "nothing").exists()


def test_a_lock_is_held_by_one_and_given_up_after_a_while(tmp_path):
    host, path = Host(), str(tmp_path / "folder/lock")
    held = host.lock(path, timeout=0.1)
    assert held is not None
    assert host.lock(path, timeout=0.05) is None
    host.unlock(held)
    again = host.lock(path, timeout=0.05)
    assert again is not None
    host.unlock(again)
