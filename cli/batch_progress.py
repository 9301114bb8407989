"""Progress of a batch: a bar for people, a line a scene for logs, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from glnet_geo.batch_events import BatchEvents
from glnet_geo.cli.main import json_line

if TYPE_CHECKING:
    from glnet_geo.batch_record import SceneRecord

_SHOWN = 2  # labels of running jobs
_SCAN_EVERY = 1000  # scenes between two lines


@contextmanager
def batch_progress(quiet: bool, as_json: bool) -> Iterator[BatchEvents]:
    """What tells a user how a batch goes on, on stderr.

    Args:
        quiet: Whether to tell nothing.
        as_json: Whether to tell it as JSON objects, one a line.
    """
    if quiet:
        yield BatchEvents()
    elif as_json:
        yield _JsonLog()
    elif sys.stderr.isatty():
        with _bar() as events:
            yield events
    else:
        yield _Log()


class _Log(BatchEvents):
    """A line a scene."""

    def scanned(self, done: int, total: int) -> None:
        if done % _SCAN_EVERY == 0:
            click.echo(f"Reading grids: {done} of {total} scenes", err=True)

    def begun(self, scenes: int, skipped: int, engine: str) -> None:
        before = f"; {skipped} are done" if skipped else ""
        click.echo(f"{scenes} scenes to do, {engine}{before}", err=True)

    def ended(self, record: SceneRecord, done: int, failed: int) -> None:
        click.echo(_line(record), err=True)


def _line(record: SceneRecord) -> str:
    if record.error:
        return f"failed  {record.name}: {record.error}"
    return f"done    {record.name} in {record.seconds:.1f} s"


class _JsonLog(BatchEvents):
    """A JSON object an event."""

    def begun(self, scenes: int, skipped: int, engine: str) -> None:
        click.echo(json_line("begun", scenes=scenes, skipped=skipped, engine=engine), err=True)

    def ended(self, record: SceneRecord, done: int, failed: int) -> None:
        facts: dict[str, Any] = {
            "name": record.name,
            "scene": record.scene,
            "state": str(record.state),
            "seconds": round(record.seconds, 3),
            "attempts": record.attempts,
            "done": done,
            "failed": failed,
        }
        if record.error:
            facts["error"] = record.error
        click.echo(json_line("scene", **facts), err=True)


class _Bar(BatchEvents):
    """An overall bar, what is running, rate, time left and failures."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=0.0)
        self._scenes, self._counts = 0, ""

    def begun(self, scenes: int, skipped: int, engine: str) -> None:
        self._scenes = scenes
        self._count(0, 0)

    def scanned(self, done: int, total: int) -> None:
        if not self._bar.tasks[0].total:
            note = f"Reading grids: {done} of {total}"
            self._bar.update(self._task, description=note)

    def planned(self, megapixels: float) -> None:
        total = self._bar.tasks[0].total + megapixels
        self._bar.update(self._task, total=total, description=self._counts)

    def worked(self, megapixels: float, running: Iterable[str]) -> None:
        names = list(dict.fromkeys(running))
        more = f" +{len(names) - _SHOWN}" if len(names) > _SHOWN else ""
        note = f"{self._counts}   {_shortened(names[:_SHOWN])}{more}"
        self._bar.update(self._task, advance=megapixels, description=note)

    def ended(self, record: SceneRecord, done: int, failed: int) -> None:
        if record.error:
            self._bar.console.print(_line(record), markup=False, highlight=False)
        self._count(done, failed)

    def _count(self, done: int, failed: int) -> None:
        failures = f", {failed} failed" if failed else ""
        self._counts = f"{done} of {self._scenes} scenes{failures}"


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(name if len(name) <= 24 else f"...{name[-21:]}" for name in names)


@contextmanager
def _bar() -> Iterator[BatchEvents]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class _Rate(ProgressColumn):
        """Megapixels a second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.2g} Mpx/s" if speed else "")

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} Mpx"),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Bar(bar)
