"""Jobs in real processes: on a cluster that is there, and on one of this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import weakref
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from glnet_geo.dask_engine import DaskEngine, cores
from glnet_geo.errors import BatchError, RasterError
from glnet_geo.local_workers import gpu_environment
from tests.jobs import (
    Deadly,
    Failing,
    Logging,
    Looking,
    Noting,
    Unpicklable,
    Unportable,
    UnportableError,
)

ROOT = Path(__file__).parent.parent


@pytest.fixture
def notes(tmp_path):
    return tmp_path / "notes"


def runs(notes: Path) -> list[list[str]]:
    return [line.split() for line in notes.read_text().splitlines()]


def outcomes(engine):
    while (outcome := engine.next_outcome(60)) is not None:
        yield outcome


@contextmanager
def process(*words, path=ROOT, before=()):
    """A process of its own; the package is found in `path`."""
    run = subprocess.Popen(
        [*before, sys.executable, "-m", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(path)},
        cwd=path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield run
    finally:
        run.kill()
        run.wait()


@pytest.fixture(scope="module")
def without_package(tmp_path_factory):
    """A path on which the package cannot be found."""
    folder = tmp_path_factory.mktemp("without")
    (folder / "glnet_geo").mkdir()
    (folder / "glnet_geo" / "__init__.py").write_text(
        "raise ModuleNotFoundError('No module named glnet_geo', name='glnet_geo')"
    )
    return folder


@contextmanager
def running_scheduler(folder, path):
    """Address of a scheduler, which lacks the package: it is none of its business."""
    file = folder / "scheduler.json"
    words = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    with process(*words, "--no-dashboard", "--scheduler-file", file, path=path) as run:
        while not file.exists() or not file.read_text():
            assert run.poll() is None
            time.sleep(0.05)
        yield json.loads(file.read_text())["address"], run


@pytest.fixture
def scheduler(tmp_path, without_package):
    with running_scheduler(tmp_path, without_package) as (address, _):
        yield address


@contextmanager
def worker(address, **options):
    words = ["distributed.cli.dask_worker", address, "--no-nanny", "--no-dashboard"]
    with (
        TemporaryDirectory() as scratch,
        process(*words, "--nthreads", 1, "--local-directory", scratch, **options) as run,
    ):
        yield run


def test_a_killed_workers_job_is_run_elsewhere(tmp_path, notes, scheduler):
    out = tmp_path / "out"
    out.mkdir()
    jobs = [Noting(number, notes, 0.15) for number in range(16)]
    with worker(scheduler) as one, worker(scheduler):
        engine = DaskEngine.connect(scheduler, [out])
        with engine:
            while engine.slots < 2:
                assert engine.next_outcome(0.1) is None
                engine._looked = 0
                engine._look_after_workers()
            assert engine.describe() == f"2 workers at {scheduler}"
            assert len(list(out.iterdir())) == 1
            for job in jobs:
                engine.submit(job)
            first = engine.next_outcome()
            while not any(run[2] == str(one.pid) for run in runs(notes)):
                time.sleep(0.01)
            one.kill()
            ended = [first, *outcomes(engine)]
        assert not list(out.iterdir()), "the probe is left"
    assert sorted(outcome.job.number for outcome in ended) == list(range(16))
    assert all(outcome.error is None for outcome in ended)
    assert all(outcome.result == 2 * outcome.job.number for outcome in ended)
    assert 16 <= len(runs(notes)) <= 18
    assert len({run[2] for run in runs(notes)}) == 2


def test_what_workers_lack_is_one_line(tmp_path, scheduler, without_package, caplog):
    message = r"worker tcp.* lacks the package glnet-geo \(1 of 1"
    with worker(scheduler, path=without_package), pytest.raises(BatchError, match=message):
        DaskEngine.connect(scheduler, [tmp_path])
    assert not caplog.text and not list(tmp_path.glob(".glnet*"))


def test_a_worker_that_comes_later_and_lacks_something_gets_no_jobs(
    tmp_path, notes, scheduler, without_package, caplog
):
    ended = []
    with (
        worker(scheduler),
        DaskEngine.connect(scheduler, [tmp_path]) as engine,
        worker(scheduler, path=without_package) as bad,
    ):
        while bad.poll() is None and len(ended) < 300:
            engine.submit(Noting(len(ended), notes, 0.1))
            engine.submit(Noting(len(ended) + 1, notes, 0.1))
            ended += [engine.next_outcome(), engine.next_outcome()]
        assert bad.poll() is not None
    assert sorted(outcome.job.number for outcome in ended) == list(range(len(ended)))
    assert {repr(outcome.error) for outcome in ended} == {"None"}
    assert "lacks the package glnet-geo; it is closed." in caplog.text


def namespaces_work() -> bool:
    command = ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return (
        bool(shutil.which("unshare"))
        and not subprocess.run(command, capture_output=True).returncode
    )


@pytest.mark.skipif(not namespaces_work(), reason="needs mount namespaces")
def test_a_worker_that_does_not_see_the_paths_is_one_line(tmp_path, scheduler):
    out, model = tmp_path / "out", tmp_path / "models" / "model"
    for file in (out / "file", model):
        file.parent.mkdir()
        file.write_text("content")
    hidden = 'for p in "$0" "$1"; do mount -t tmpfs none "$p"; done; shift 1; exec "$@"'
    before = ["unshare", "-Urm", "sh", "-c", hidden, str(out), str(model.parent)]
    with worker(scheduler, before=before):
        with pytest.raises(BatchError, match=f"sees another {out}"):
            DaskEngine.connect(scheduler, [out])
        with pytest.raises(BatchError, match=f"does not see {model}"):
            DaskEngine.connect(scheduler, [model, out])


def test_no_workers_is_one_line(tmp_path, scheduler):
    with pytest.raises(BatchError, match="has had no workers for 1 s"):
        DaskEngine.connect(scheduler, [tmp_path], patience=1)


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:9", "nonsense", "tcp://host.invalid:1", "a://b:1"]
)
def test_a_wrong_address_is_one_line(tmp_path, address, caplog, capfd):
    with pytest.raises(BatchError, match="There is no Dask scheduler at") as caught:
        DaskEngine.connect(address, [tmp_path], timeout=1)
    assert "\n" not in str(caught.value)
    assert not caplog.text and not capfd.readouterr().err


def test_a_lost_scheduler_is_one_line(tmp_path, notes, without_package, capfd):
    with running_scheduler(tmp_path, without_package) as (address, run), worker(address):
        engine = DaskEngine.connect(address, [tmp_path], timeout=2)
        with engine:
            engine.submit(Noting(0, notes, 30))
            assert engine.next_outcome(0.5) is None
            run.kill()
            with pytest.raises(BatchError, match=f"scheduler at {address} is lost"):
                engine.next_outcome(60)
    assert not capfd.readouterr().err


@pytest.fixture(scope="module")
def local():
    with DaskEngine.local(2) as engine:
        yield engine


def test_local_workers_divide_the_cores(local, notes):
    assert local.describe() == "2 local workers" and local.slots == 2
    local.submit(Looking(0, notes))
    share = max(1, cores() // 2)
    assert local.next_outcome().result == {"torch": share, "gdal": str(share)}


def test_errors_of_jobs_are_outcomes(local, notes, capfd):
    errors = {
        Failing(0, notes): RasterError,
        Failing(1, notes, error=ZeroDivisionError): ZeroDivisionError,
        Failing(2, notes, error=MemoryError): MemoryError,
        Unportable(3, notes): RuntimeError,
        Unpicklable(4, notes): TypeError,
        Noting(5, notes): type(None),
    }
    for job in errors:
        local.submit(job)
    ended = {outcome.job: outcome.error for outcome in outcomes(local)}
    assert {job: type(error) for job, error in ended.items()} == errors
    assert UnportableError.__name__ in str(next(e for j, e in ended.items() if j.number == 3))
    assert "jobs.py" in ended[Failing(1, notes, error=ZeroDivisionError)].__notes__[0]
    assert not capfd.readouterr().err


def test_light_jobs_go_first(local, notes):
    for number in range(20):
        local.submit(Noting(number, notes, 0.05))
    local.submit(Noting(20, notes), light=True)
    numbers = [outcome.job.number for outcome in outcomes(local)]
    assert sorted(numbers) == list(range(21)) and numbers.index(20) < 10


def test_what_jobs_log_is_logged_here(local, notes, caplog, capfd):
    local.submit(Logging(3, notes))
    assert local.next_outcome().error is None
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("glnet_geo.tests", "job 3 warns")
    ]
    assert "nobody" not in capfd.readouterr().err


def test_a_deadly_job_is_given_up_and_the_others_are_done(local, notes, capfd):
    local.submit(Deadly(0, notes))
    for number in range(1, 6):
        local.submit(Noting(number, notes, 0.1))
    ended = {outcome.job.number: outcome.error for outcome in outcomes(local)}
    assert isinstance(ended.pop(0), BatchError)
    assert ended == dict.fromkeys(range(1, 6))
    assert [run[0] for run in runs(notes)].count("0") == 3
    assert not capfd.readouterr().err


def test_an_ended_engine_keeps_nothing_of_dask(notes):
    # What is collected later complains on stderr, when Dask is not kept quiet any more.
    with DaskEngine.local(1) as engine:
        client = weakref.ref(engine._client)
        engine.submit(Noting(1, notes))
        assert engine.next_outcome() is not None
    assert client() is None


def test_gpus_go_round():
    assert gpu_environment(0, 1, None) == gpu_environment(3, 0, None) == {}
    devices = [gpu_environment(k, 2, None)["CUDA_VISIBLE_DEVICES"] for k in range(3)]
    assert devices == ["0", "1", "0"]
    assert gpu_environment(1, 2, "5, GPU-ab") == {"CUDA_VISIBLE_DEVICES": "GPU-ab"}


def test_without_the_library_a_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BatchError, match=r"pip install glnet-geo\[dask\]"):
        DaskEngine.local(2)


SCRIPT = """
import sys, tempfile
from pathlib import Path
from glnet_geo.dask_engine import DaskEngine
from tests.jobs import Noting

with DaskEngine.local(2) as engine:
    print("up", flush=True)
    for number in range(4):
        engine.submit(Noting(number, Path(sys.argv[1]), float(sys.argv[2])))
    while (outcome := engine.next_outcome()) is not None:
        print(outcome.result, flush=True)
"""


def start_script(tmp_path, notes, seconds) -> subprocess.Popen:
    """A script without a guard, whose temporaries lie in `tmp`."""
    script, folder = tmp_path / "script.py", tmp_path / "tmp"
    script.write_text(SCRIPT)
    folder.mkdir()
    return subprocess.Popen(
        [sys.executable, script, notes, str(seconds)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def processes_of(session: int) -> list[str]:
    command = ["ps", "-s", str(session), "-o", "stat=,pid=,cmd="]
    listed = subprocess.run(command, capture_output=True, text=True)
    return [line for line in listed.stdout.splitlines() if not line.startswith("Z")]


def test_a_script_needs_no_guard_and_leaves_nothing(tmp_path, notes):
    run = start_script(tmp_path, notes, 0)
    out, err = run.communicate(timeout=60)
    assert sorted(out.split()) == ["0", "2", "4", "6", "up"] and not err
    assert not processes_of(run.pid) and not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize("moment", ["working", pytest.param("starting", marks=pytest.mark.slow)])
def test_ctrl_c_ends_all_processes(tmp_path, notes, moment):
    run = start_script(tmp_path, notes, 60)
    if moment == "working":
        while not notes.exists():
            assert run.poll() is None
            time.sleep(0.05)
    else:
        while len(processes_of(run.pid)) < 3:
            time.sleep(0.05)
    begin = time.monotonic()
    os.killpg(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=30)
    assert time.monotonic() - begin < 8
    assert err.count("Traceback") == 1 and err.endswith("KeyboardInterrupt\n")
    assert not processes_of(run.pid) and not list((tmp_path / "tmp").iterdir())
