"""Jobs in this process."""

from __future__ import annotations

import threading
import time

import pytest

from glnet_geo.engines import InProcessEngine
from glnet_geo.errors import RasterError
from tests.jobs import Failing, FailingAhead, InterruptingAhead, Noting


@pytest.fixture
def notes(tmp_path):
    return tmp_path / "notes"


@pytest.fixture
def engine():
    with InProcessEngine() as engine:
        yield engine


def outcomes(engine):
    while (outcome := engine.next_outcome(10)) is not None:
        yield outcome


def test_heavy_jobs_run_in_order_in_this_thread_and_the_next_is_prepared_beside(engine, notes):
    jobs = [Noting(number, notes) for number in range(4)]
    for job in jobs:
        engine.submit(job)
    ended = list(outcomes(engine))
    assert [outcome.job for outcome in ended] == jobs
    assert [outcome.result for outcome in ended] == [0, 2, 4, 6]
    words = [line.split() for line in notes.read_text().splitlines()]
    assert [word[0] for word in words if word[1] == "run"] == list("0123")
    assert [word[0] for word in words if word[1] == "prepared"] == list("123")
    threads = {word[1]: " ".join(word[3:]) for word in words}
    assert threads["run"] == threading.current_thread().name != threads["prepared"]


def test_light_jobs_run_beside_and_are_handed_out_first(engine, notes):
    light = Noting(1, notes)
    engine.submit(Noting(0, notes, 0.2))
    engine.submit(Noting(2, notes))
    engine.submit(light, light=True)
    numbers = [outcome.job.number for outcome in outcomes(engine)]
    assert numbers.index(1) < numbers.index(2)
    assert "1 run" in notes.read_text() and "light jobs" in notes.read_text()


def test_who_submits_light_jobs_too_fast_waits(engine, notes):
    begin = time.monotonic()
    for number in range(6):
        engine.submit(Noting(number, notes, 0.05), light=True)
    assert time.monotonic() - begin > 0.1
    assert sorted(outcome.job.number for outcome in outcomes(engine)) == list(range(6))


def test_nothing_is_lost_in_a_crowd(engine, notes):
    numbers = []
    for number in range(300):
        engine.submit(Noting(number, notes), light=number % 3 == 0)
        if number % 2:
            numbers.append(engine.next_outcome().job.number)
    numbers += [outcome.job.number for outcome in outcomes(engine)]
    assert sorted(numbers) == list(range(300))


@pytest.mark.parametrize("light", [False, True])
@pytest.mark.parametrize("error", [RasterError, ZeroDivisionError, MemoryError])
def test_an_error_is_an_outcome(engine, notes, light, error):
    engine.submit(Failing(0, notes, error=error), light=light)
    outcome = engine.next_outcome()
    assert type(outcome.error) is error and outcome.result is None
    assert engine.next_outcome() is None


def test_an_error_ahead_is_its_own_jobs(engine, notes):
    engine.submit(Noting(0, notes))
    engine.submit(FailingAhead(1, notes))
    engine.submit(Noting(2, notes))
    assert [type(outcome.error) for outcome in outcomes(engine)] == [
        type(None),
        RasterError,
        type(None),
    ]


def test_an_interruption_passes_through(notes):
    engine = InProcessEngine()
    with engine, pytest.raises(KeyboardInterrupt):
        for job in (Failing(0, notes, error=KeyboardInterrupt), Noting(1, notes)):
            engine.submit(job)
        for number in range(3):
            engine.submit(Noting(number, notes, 0.2), light=True)
        engine.next_outcome()
    assert not {"read ahead_0", "light jobs_0"} & {thread.name for thread in threading.enumerate()}
    assert notes.read_text().count("run") <= 2, "light jobs that waited are run at the end"


def test_a_job_that_is_waited_for_when_the_interruption_comes_is_discarded(notes):
    with pytest.raises(KeyboardInterrupt), InProcessEngine() as engine:
        for job in (Noting(0, notes), InterruptingAhead(1, notes, 0.1), Noting(2, notes)):
            engine.submit(job)
        while engine.next_outcome() is not None:
            pass
    words = [line.split()[:2] for line in notes.read_text().splitlines()]
    assert words == [["0", "run"], ["1", "prepared"], ["1", "discarded"]]


def test_a_wait_for_a_light_job_ends_in_time(engine, notes):
    engine.submit(Noting(0, notes, 0.4), light=True)
    assert engine.next_outcome(0.01) is None
    assert engine.next_outcome().result == 0
