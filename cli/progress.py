"""Progress on stderr: a bar for people, lines for logs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import click

_LINE_EVERY_S = 30


class Show(Protocol):
    """Takes what is done, what there is in all, and a word about it."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Shows it, if it is time to."""


@contextmanager
def progress(label: str, unit: str, quiet: bool) -> Iterator[Show]:
    """Shows progress on stderr: a bar on a terminal, else a line every so often.

    Args:
        label: What is going on.
        unit: What is counted.
        quiet: Whether to show nothing.

    Yields:
        What takes the progress.
    """
    if quiet:
        yield lambda done, total, note="": None
    elif sys.stderr.isatty():
        with _bar(label, unit) as update:
            yield update
    else:
        yield _Lines(label, unit)


@contextmanager
def _bar(label: str, unit: str) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total, note="": bar.update(
            task, completed=done, total=total, description=f"{label}{note}"
        )


class _Lines:
    """Progress for logs: a plain line every so often."""

    def __init__(self, label: str, unit: str) -> None:
        self._label, self._unit = label, unit
        self._last = time.monotonic()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if now - self._last >= _LINE_EVERY_S and done < total:
            click.echo(f"{self._label}{note}: {done} of {total} {self._unit}", err=True)
            self._last = now
