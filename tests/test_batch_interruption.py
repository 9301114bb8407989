"""Batches that are killed, interrupted or run out of space, and the run that continues them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rasterio

from tests.batch_tiles import (
    check_finished,
    check_unfinished,
    environment,
    hidden,
    in_state,
    lively_model,
    manifest,
    maps_in,
    names_done,
    start_batch,
    times,
    wait_for_done,
    write_tiles,
)

N_TILES = 40


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return lively_model(tmp_path_factory.mktemp("model") / "lively.safetensors")


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """Two mosaics and some scenes by themselves; not to be changed."""
    return write_tiles(tmp_path_factory.mktemp("scenes") / "tiles", [(5, 5), (2, 4)], 7)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, tiles, model):
    """What an unbroken run leaves."""
    return map_all(tiles, tmp_path_factory.mktemp("unbroken") / "out", model)


def map_all(tiles: Path, out: Path, model: Path) -> Path:
    from glnet_geo.batching import batch
    from glnet_geo.map_options import MapOptions

    batch([str(tiles)], out, maps=MapOptions(model=str(model)))
    return out


@pytest.fixture
def start(tmp_path, model):
    """Starts a batch in a process of its own; none outlives the test."""
    runs = []

    def start(tiles, out):
        runs.append(start_batch(tiles, "-o", out, "--model", model))
        return runs[-1]

    yield start
    for run in runs:
        run.kill()
        run.communicate()


def check_continues(cli, tiles, out, model, expected, done_before, failed=()):
    """The same command does exactly the rest."""
    before = times(out)
    result = cli("batch", tiles, "-o", out, "--model", model, "--json")
    assert result.code == (1 if failed else 0), result.err
    summary = json.loads(result.out)
    rest = summary["scenes"] - summary["skipped"]
    assert summary["skipped"] >= len(done_before)
    assert summary["done"] == len(names_done(result.err)) == rest - len(failed)
    assert not done_before & set(names_done(result.err))
    after = times(out)
    assert {name: before[name] for name in done_before} == {n: after[n] for n in done_before}
    assert in_state(out, "done") == {*maps_in(expected)}
    assert in_state(out, "failed") == {*failed} == {*summary["failed"]}
    check_finished(out, expected)
    return result


def wait_for_work(run: subprocess.Popen, out: Path) -> None:
    while run.poll() is None and not out.exists():
        time.sleep(0.001)


def kill(run: subprocess.Popen, done: list[str]) -> set[str]:
    """Kills a run; returns the scenes that it has said are done."""
    run.kill()
    _, messages = run.communicate()
    return {*done, *names_done(messages)}


@pytest.mark.parametrize(("scenes", "seconds"), [(0, 0.0), (9, 0.004), (33, 0.001)])
def test_killed_while_scenes_end(tmp_path, cli, start, tiles, model, unbroken, scenes, seconds):
    out = tmp_path / "out"
    run = start(tiles, out)
    wait_for_work(run, out)
    done = wait_for_done(run, scenes)
    time.sleep(seconds)
    done = kill(run, done)
    assert run.returncode == -signal.SIGKILL and scenes <= len(done) < N_TILES
    check_unfinished(out, unbroken)
    assert done <= {*maps_in(out)}
    check_continues(cli, tiles, out, model, unbroken, done | in_state(out, "done"))


@pytest.fixture(scope="module")
def duration(tmp_path_factory, tiles, model):
    """Seconds from the first trace of a run to its end."""
    out = tmp_path_factory.mktemp("duration") / "out"
    run = start_batch(tiles, "-o", out, "--model", model)
    wait_for_work(run, out)
    began = time.monotonic()
    run.communicate(timeout=120)
    return time.monotonic() - began


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(24))
def test_killed_at_any_moment(tmp_path, cli, start, tiles, model, unbroken, duration, moment):
    out = tmp_path / "out"
    run = start(tiles, out)
    wait_for_work(run, out)
    time.sleep(duration * moment / 24)
    done = kill(run, [])
    check_unfinished(out, unbroken)
    check_continues(cli, tiles, out, model, unbroken, done | in_state(out, "done"))


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(12))
def test_killed_while_results_are_written(tmp_path, cli, start, tiles, model, unbroken, moment):
    out = tmp_path / "out"
    run = start(tiles, out)
    done = wait_for_done(run, N_TILES)
    time.sleep(moment * 0.015)
    done = kill(run, done)
    check_unfinished(out, unbroken)
    check_continues(cli, tiles, out, model, unbroken, done)


@pytest.mark.slow
def test_killed_again_and_again(tmp_path, cli, start, tiles, model, unbroken):
    """Every run comes a little further, however short it is."""
    out, done = tmp_path / "out", set()
    for _ in range(6):
        run = start(tiles, out)
        new = kill(run, wait_for_done(run, 4))
        assert len(new) >= 4 and not new & done
        done |= new
        check_unfinished(out, unbroken)
    check_continues(cli, tiles, out, model, unbroken, done)


@pytest.mark.parametrize(
    ("scenes", "seconds"),
    [(5, 0.002), *(pytest.param(*m, marks=pytest.mark.slow) for m in
     [(0, 0.0), (0, 0.2), (1, 0.005), (12, 0.0), (30, 0.01), (38, 0.0)])],
)  # fmt: skip
def test_interrupted_by_a_signal(tmp_path, cli, start, tiles, model, unbroken, scenes, seconds):
    out = tmp_path / "out"
    run = start(tiles, out)
    wait_for_work(run, out)
    done = wait_for_done(run, scenes)
    time.sleep(seconds)
    run.send_signal(signal.SIGINT)
    _, messages = run.communicate(timeout=30)
    done = {*done, *names_done(messages)}
    lines = [line for line in messages.splitlines() if line and not line.startswith("done ")]
    said = [line for line in lines if "scenes to do" not in line]
    assert run.returncode == 130, messages
    assert 1 <= len(said) <= 2 and "Interrupted." in messages, messages
    assert "Traceback" not in messages and "ignored" not in messages
    check_unfinished(out, unbroken)
    check_continues(cli, tiles, out, model, unbroken, done | in_state(out, "done"))


def break_off(path: Path) -> None:
    """Truncates a tile in its data: it can be opened, and not be read."""
    os.truncate(path, path.stat().st_size - 6000)
    with rasterio.open(path) as dataset, pytest.raises(rasterio.errors.RasterioIOError):
        dataset.read()


@pytest.mark.parametrize(
    ("rows", "lone", "scenes"), [(4, 4, 7), pytest.param(14, 4, 90, marks=pytest.mark.slow)]
)
def test_corrupt_tiles_and_a_kill(tmp_path, cli, start, model, rows, lone, scenes):
    tiles, out = write_tiles(tmp_path / "tiles", [(rows, rows)], lone), tmp_path / "out"
    bad = {"m0/t01_02", "m0/t03_03"}
    (tiles / "m0" / "t01_02.tif").write_text("no raster")
    break_off(tiles / "m0" / "t03_03.tif")
    expected = map_all(tiles, tmp_path / "unbroken", model)
    assert {*maps_in(expected)} == {*manifest(expected)} - bad
    run = start(tiles, out)
    done = kill(run, wait_for_done(run, scenes))
    assert scenes <= len(done) < rows * rows + lone - 2
    check_unfinished(out, expected)
    result = check_continues(cli, tiles, out, model, expected, done, bad)
    table = result.err.partition("Failed:\n")[2].splitlines()
    assert [line.split()[0] for line in table] == sorted(bad)
    assert "not recognized" in table[0] or "cannot be opened" in table[0]
    assert "cannot be read" in table[1]
    errors = {name: one["error"] for name, one in manifest(out).items() if one["error"]}
    assert all(line.split(maxsplit=1)[1] == errors[line.split()[0]] for line in table)
    # All that a third run tries is those two.
    before = times(out)
    again = cli("batch", tiles, "-o", out, "--model", model, "--json")
    assert again.code == 1
    assert (json.loads(again.out)["done"], len(json.loads(again.out)["failed"])) == (0, 2)
    assert times(out) == before


ON_A_SMALL_DISK = """
mount -t tmpfs -o size=$1 none "$2" || exit 99
out="$2" copies="$3"
shift 3
"$@"
echo "first $?" >&2
cp -a "$out" "$copies/full"
mount -o remount,size=64m "$out"
"$@" 2> "$copies/messages"
echo "then $?" >&2
cp -a "$out" "$copies/roomy"
"""


def small_disks_work() -> bool:
    command = ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return (
        bool(shutil.which("unshare"))
        and not subprocess.run(command, capture_output=True).returncode
    )


@pytest.mark.skipif(not small_disks_work(), reason="needs mount namespaces")
@pytest.mark.parametrize(
    "size",
    ["64k", *(pytest.param(f"{k}k", marks=pytest.mark.slow) for k in (12, 20, 32, 48, 56, 72, 96))],
)
def test_a_full_disk(tmp_path, model, size):
    """What does not fit fails by itself; with more room the same command goes on."""
    tiles, out = write_tiles(tmp_path / "tiles", [(2, 2)], 6), tmp_path / "out"
    expected = map_all(tiles, tmp_path / "unbroken", model)
    out.mkdir()
    batch = [sys.executable, "-m", "glnet_geo", "batch", tiles, "-o", out, "--model", model]
    disk = ["unshare", "-Urm", "sh", "-c", ON_A_SMALL_DISK, "sh", size, out, tmp_path]
    run = subprocess.run(
        [*map(str, [*disk, *batch])], env=environment(), capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in run.stderr, run.stderr
    full, roomy = tmp_path / "full", tmp_path / "roomy"
    lines = run.stderr.splitlines()
    failed = [line for line in lines if line.startswith("failed ")]
    errors = [line for line in lines if line.startswith("Error: ")]
    assert "first 1" in lines and (failed or errors), run.stderr
    assert all("cannot be written" in line for line in failed + errors)
    assert len({line.split()[1] for line in failed}) == len(failed) and len(errors) <= 1
    check_unfinished(full, expected)
    done = {*names_done(run.stderr)}
    # With an error it may have ended between a map and the line, or the record, that tells of it.
    assert done <= {*maps_in(full)}
    if not errors:
        assert done == {*maps_in(full)}
        assert in_state(full, "done") == done and len(done) + len(failed) == 10
        assert hidden(full) == []
    assert lines[-1] == "then 0", (tmp_path / "messages").read_text()
    again = names_done((tmp_path / "messages").read_text())
    rest = {*maps_in(expected)} - done
    assert rest - {*maps_in(full)} <= {*again} <= rest
    check_finished(roomy, expected)
