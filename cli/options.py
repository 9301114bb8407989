"""Options that several commands share."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import click

from glnet_geo.cli.main import configure_logging
from glnet_geo.cli.values import PATH, AreaValue, LengthValue

Command = TypeVar("Command", bound=Callable[..., Any])

_LINE_EVERY_S = 30


def output_option(what: str) -> Callable[[Command], Command]:
    """`-o/--output`, required."""
    return click.option("-o", "--output", type=PATH, required=True, help=f"{what} to write.")


overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace an output that exists already."
)
resume_option = click.option("--resume", is_flag=True, help="Continue an interrupted run.")
device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps."
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the summary as one JSON object on stdout."
)


_MOST_LISTED = 30


def listed(names: Sequence[str]) -> Iterator[str]:
    """What a summary shows of a list that may be very long."""
    yield from names[:_MOST_LISTED]
    if len(names) > _MOST_LISTED:
        yield f"... and {len(names) - _MOST_LISTED:,} more"


def generalisation_options(command: Command) -> Command:
    """What `vectorizing.Generalisation` consists of."""
    options = (
        click.option(
            "--min-area",
            type=AreaValue(),
            help="Smaller regions take the class with which they share the longest border, the "
            "smallest first: 50m2, 0.5ha, 100px. Nodata stays nodata.",
        ),
        click.option(
            "--fill-holes",
            type=AreaValue(),
            help="Fill smaller holes of polygons with all that is in them, nodata included.",
        ),
        click.option(
            "--simplify",
            type=LengthValue(),
            help="Simplify borders, without gaps or overlaps, by this tolerance: 1m, 2px.",
        ),
        click.option(
            "--connectivity",
            type=click.Choice(["4", "8"]),
            default="4",
            show_default=True,
            callback=lambda ctx, param, value: int(value),
            help="8: pixels that touch in a corner belong together, in multipolygons.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _set_verbosity(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    if value:
        configure_logging(-1 if param.name == "quiet" else int(value))
    return value


def verbosity_options(command: Command) -> Command:
    """`-q/--quiet` and `-v/--verbose`; commands get `quiet`."""
    quiet = click.option(
        "-q", "--quiet", is_flag=True, callback=_set_verbosity, help="Only errors."
    )
    verbose = click.option(
        "-v",
        "--verbose",
        count=True,
        callback=_set_verbosity,
        expose_value=False,
        help="More messages; twice for all.",
    )
    return quiet(verbose(command))


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
