"""One run at a time, and no file left behind."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from glnet_geo import run_lock as locking
from glnet_geo.run_lock import run_lock

HOLD = """
import sys
from pathlib import Path
from glnet_geo.run_lock import run_lock
with run_lock(Path(sys.argv[1])) as is_alone:
    print(is_alone, flush=True)
    sys.stdin.read()
"""

RACE = """
import os, sys, time
from pathlib import Path
from glnet_geo.run_lock import run_lock
path, mark = Path(sys.argv[1]), Path(sys.argv[1] + ".mark")
held = 0
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    with run_lock(path) as is_alone:
        if is_alone:
            mark.mkdir()  # fails where another process is in here, too
            mark.rmdir()
            held += 1
print(held)
"""


def start(code: str, *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def holder(path: Path) -> subprocess.Popen[str]:
    """Another process that has the lock."""
    other = start(HOLD, path)
    assert other.stdout is not None and other.stdout.readline() == "True\n"
    return other


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_it_is_held_once_and_leaves_nothing(
    tmp_path: Path, error: type[BaseException] | None
) -> None:
    path = tmp_path / "lock"
    try:
        with run_lock(path) as is_alone:
            assert is_alone
            for _ in range(2):
                with run_lock(path) as is_alone_too:
                    assert not is_alone_too
            if error:
                raise error
    except KeyboardInterrupt:
        pass
    assert not [*tmp_path.iterdir()]


def test_it_goes_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    other = holder(path)
    with run_lock(path) as is_alone:
        assert not is_alone
    other.kill()
    other.communicate()
    assert path.exists()
    with run_lock(path) as is_alone:
        assert is_alone
    assert not path.exists()


def test_a_lock_that_was_removed_meanwhile_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run ends, and a third one begins, between the opening and the locking."""
    path, opened = tmp_path / "lock", []
    lock = locking.lock_descriptor

    def late(descriptor: int, *, blocking: bool) -> bool:
        if not opened:
            path.unlink()
            path.touch()
        opened.append(descriptor)
        return lock(descriptor, blocking=blocking)

    monkeypatch.setattr(locking, "lock_descriptor", late)
    with run_lock(path) as is_alone:
        assert is_alone and len(opened) == 2
        assert path.stat().st_ino == os.fstat(opened[1]).st_ino


def test_where_there_are_no_locks_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, *, blocking: bool) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locking, "lock_descriptor", refuse)
    with run_lock(tmp_path / "lock") as is_alone:
        assert is_alone
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("seconds", [0.5, pytest.param(10, marks=pytest.mark.slow)])
def test_no_two_processes_hold_it_together(tmp_path: Path, seconds: float) -> None:
    others = [start(RACE, tmp_path / "lock", seconds) for _ in range(3)]
    counts = [int(other.communicate()[0]) for other in others]
    assert all(other.returncode == 0 for other in others) and sum(counts) > 100
    assert not [*tmp_path.iterdir()]
