"""Progress of a batch: a bar for people, a line a scene for logs, JSON for programs."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
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
_LINE_EVERY_S = 30
_MOST_ALIKE = 5  # warnings of a kind
_WORDS_OF_KIND = 5  # at the end of a warning, by which its kind is known

_log = logging.getLogger(__name__)


@contextmanager
def batch_progress(quiet: bool, as_json: bool) -> Iterator[BatchEvents]:
    """What tells a user how a batch goes on, on stderr.

    Args:
        quiet: Whether to tell nothing; as JSON only failures.
        as_json: Whether to tell it as JSON objects, one a line.
    """
    if as_json:
        yield _JsonLog(quiet)
    elif quiet:
        yield BatchEvents()
    elif sys.stderr.isatty():
        with _bar() as events:
            yield events
    else:
        yield _Log()


@contextmanager
def few_warnings() -> Iterator[None]:
    """Passes the first warnings of a kind, and counts the others: scenes tend to be alike."""
    few = _FewOfAKind()
    handlers = [*logging.getLogger("glnet_geo").handlers]
    for handler in handlers:
        handler.addFilter(few)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(few)
        for kind, count in few.seen.items():
            if count > _MOST_ALIKE:
                _log.warning("%d more such warnings: ... %s", count - _MOST_ALIKE, kind)


class _FewOfAKind(logging.Filter):
    """Lets the first warnings of each kind pass, and counts all.

    Attributes:
        seen: How many warnings there were of each kind.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return True
        # The scene is at the front, and its name may have spaces.
        kind = " ".join(record.getMessage().split()[-_WORDS_OF_KIND:])
        self.seen[kind] += 1
        return self.seen[kind] <= _MOST_ALIKE


class _Log(BatchEvents):
    """A line a scene, and one every so often while there is none."""

    def __init__(self) -> None:
        self._done, self._total = 0.0, 0.0
        self._last = time.monotonic()

    def planned(self, megapixels: float) -> None:
        self._total += megapixels

    def worked(self, megapixels: float, running: Iterable[str]) -> None:
        self._done += megapixels
        if time.monotonic() - self._last >= _LINE_EVERY_S:
            self._say(f"Mapping: {self._done:.0f} of {self._total:.0f} Mpx")

    def _say(self, line: str) -> None:
        click.echo(line, err=True)
        self._last = time.monotonic()

    def scanned(self, done: int, total: int) -> None:
        if done % _SCAN_EVERY == 0:
            self._say(f"Reading grids: {done} of {total} scenes")

    def begun(self, scenes: int, skipped: int, engine: str) -> None:
        before = f"; {skipped} are done" if skipped else ""
        self._say(f"{scenes} scenes to do, {engine}{before}")

    def ended(self, record: SceneRecord, done: int, failed: int) -> None:
        self._say(_line(record))


def _line(record: SceneRecord) -> str:
    if record.error:
        return f"failed  {record.name}: {record.error}"
    return f"done    {record.name} in {record.seconds:.1f} s"


class _JsonLog(BatchEvents):
    """A JSON object an event, or a failure."""

    def __init__(self, only_failures: bool) -> None:
        self._only_failures = only_failures

    def begun(self, scenes: int, skipped: int, engine: str) -> None:
        if self._only_failures:
            return
        click.echo(json_line("begun", scenes=scenes, skipped=skipped, engine=engine), err=True)

    def ended(self, record: SceneRecord, done: int, failed: int) -> None:
        if self._only_failures and not record.error:
            return
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
        self._scenes, self._counts, self._running = 0, "", ""

    def begun(self, scenes: int, skipped: int, engine: str) -> None:
        self._scenes = scenes
        self._count(0, 0)

    def scanned(self, done: int, total: int) -> None:
        if not self._bar.tasks[0].total:
            note = f"Reading grids: {done} of {total}"
            self._bar.update(self._task, description=note)

    def planned(self, megapixels: float) -> None:
        total = self._bar.tasks[0].total + megapixels
        self._bar.update(self._task, total=total, description=self._note)

    def worked(self, megapixels: float, running: Iterable[str]) -> None:
        names = list(dict.fromkeys(running))
        more = f" +{len(names) - _SHOWN}" if len(names) > _SHOWN else ""
        self._running = f"{_shortened(names[:_SHOWN])}{more}"
        self._bar.update(self._task, advance=megapixels, description=self._note)

    def ended(self, record: SceneRecord, done: int, failed: int) -> None:
        if record.error:
            self._bar.console.print(_line(record), markup=False, highlight=False)
        self._count(done, failed)
        self._bar.update(self._task, description=self._note)

    @property
    def _note(self) -> str:
        return f"{self._counts}   {self._running}".rstrip()

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
