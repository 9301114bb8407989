"""`glnet-geo batch` on real Dask processes: lost workers, other folders, wrong addresses."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.batch_tiles import (
    check_finished,
    environment,
    in_state,
    lively_model,
    manifest,
    maps_in,
    names_done,
    run_batch,
    start_batch,
    wait_for_done,
    write_tiles,
)

N_TILES = 60


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return lively_model(tmp_path_factory.mktemp("model") / "lively.safetensors")


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """Mosaics and scenes by themselves; not to be changed."""
    return write_tiles(tmp_path_factory.mktemp("scenes") / "tiles", [(5, 6), (2, 5)], 20)


@pytest.fixture(scope="module")
def in_process(tmp_path_factory, tiles, model):
    """What a run in one process leaves."""
    from glnet_geo.batching import batch
    from glnet_geo.map_options import MapOptions

    out = tmp_path_factory.mktemp("in_process") / "out"
    batch([str(tiles)], out, maps=MapOptions(model=str(model)))
    return out


@contextmanager
def dask_process(*words, cwd):
    run = subprocess.Popen(
        [sys.executable, "-m", *map(str, words)],
        env=environment(),
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield run
    finally:
        run.kill()
        run.wait()


@contextmanager
def dask_cluster(folder: Path, count: int):
    """Address of a real scheduler, and real workers, in a folder of their own."""
    folder.mkdir()
    file = folder / "scheduler.json"
    scheduler = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    worker = ["distributed.cli.dask_worker", "--scheduler-file", file, "--no-dashboard"]
    worker += ["--no-nanny", "--nthreads", 1, "--local-directory", folder]
    with ExitStack() as stack:
        words = [*scheduler, "--no-dashboard", "--scheduler-file", file]
        run = stack.enter_context(dask_process(*words, cwd=folder))
        while not file.exists() or not file.read_text():
            assert run.poll() is None
            time.sleep(0.02)
        workers = [stack.enter_context(dask_process(*worker, cwd=folder)) for _ in range(count)]
        address = json.loads(file.read_text())["address"]
        wait_for_workers(address, count)
        yield address, workers


def wait_for_workers(address: str, count: int) -> None:
    from distributed import Client

    with Client(address, timeout=30) as client:
        client.wait_for_workers(count, timeout=60)


def test_a_worker_is_killed_in_the_middle(tmp_path, tiles, model, in_process):
    """Paths are relative, and the workers in another folder."""
    (tmp_path / "tiles").symlink_to(tiles)
    (tmp_path / "lively.safetensors").symlink_to(model)
    out = tmp_path / "out"
    with dask_cluster(tmp_path / "elsewhere", 2) as (address, workers):
        words = ["tiles", "-o", "out", "--model", "lively.safetensors", "--device", "cpu"]
        run = start_batch(*words, "--scheduler", address, cwd=tmp_path)
        done = wait_for_done(run, 3)
        workers[0].kill()
        is_early = len(in_state(out, "done")) < N_TILES
        _, messages = run.communicate(timeout=120)
        done += names_done(messages)
    assert run.returncode == 0, messages
    assert is_early and len(done) == len({*done}) == N_TILES
    assert f"{N_TILES} mapped" in messages and "Traceback" not in messages
    scenes = manifest(out)
    assert {*scenes} == {*maps_in(out)} == {*done}
    assert {(one["state"], one["attempts"]) for one in scenes.values()} == {("done", 1)}
    check_finished(out, in_process)


@pytest.fixture(params=["closed", "silent"])
def address(request):
    """A port where nobody listens, or where whoever listens says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if request.param == "closed":
            server.close()
        yield f"tcp://127.0.0.1:{port}"


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer(tmp_path, tiles, model, address):
    words = [tiles, "-o", tmp_path / "out", "--model", model, "--scheduler", address]
    code, messages = run_batch(*words, seconds=20)
    assert code == 1
    assert len(messages.splitlines()) == 1 and address in messages
    assert messages.startswith("Error: There is no Dask scheduler at")
    assert not maps_in(tmp_path / "out")


def descendants(pid: int) -> set[int]:
    """Processes that a process has started, and those that they have."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(words[1])
    found, new = set(), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def alive_after(pids: set[int], seconds: float) -> set[int]:
    """Those that are still there after so long."""
    until = time.monotonic() + seconds
    while (left := {pid for pid in pids if is_alive(pid)}) and time.monotonic() < until:
        time.sleep(0.02)
    return left


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("how", ["terminal", pytest.param("process", marks=pytest.mark.slow)])
def test_local_workers_end_with_an_interrupted_batch(tmp_path, cli, tiles, model, in_process, how):
    """As from the keyboard, to the whole group; and to the command alone."""
    out = tmp_path / "out"
    words = [tiles, "-o", out, "--model", model, "--device", "cpu"]
    run = start_batch(*words, "--workers", 2, start_new_session=True)
    processes = set()
    try:
        done = wait_for_done(run, 3)
        processes = descendants(run.pid)
        assert len(processes) >= 2
        (os.killpg if how == "terminal" else os.kill)(run.pid, signal.SIGINT)
        _, messages = run.communicate(timeout=60)
        left = alive_after(processes, 2)
    finally:
        for pid in {run.pid} | processes:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
    assert run.returncode == 130, messages
    assert not left, "processes are left"
    lines = [line for line in messages.splitlines() if line and not line.startswith("done ")]
    assert 1 <= len([line for line in lines if "scenes to do" not in line]) <= 2, messages
    result = cli("batch", *words, "--json")
    assert result.code == 0, result.err
    done += names_done(messages)
    assert json.loads(result.out)["skipped"] >= len(done)
    assert json.loads(result.out)["done"] == N_TILES - json.loads(result.out)["skipped"]
    check_finished(out, in_process)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_local_workers_end_with_a_killed_batch(tmp_path, cli, tiles, model, in_process):
    out = tmp_path / "out"
    words = [tiles, "-o", out, "--model", model, "--device", "cpu"]
    run = start_batch(*words, "--workers", 2)
    processes = set()
    try:
        wait_for_done(run, 3)
        processes = descendants(run.pid)
        run.kill()
        left = alive_after(processes, 20)
    finally:
        for pid in processes:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        run.communicate()
    assert not left, "processes are left"
    assert cli("batch", *words).code == 0
    check_finished(out, in_process)
