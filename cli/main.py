"""The command group: lazy commands, logging, and the one place where errors become messages."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from typing import Any

import click

from glnet_geo.errors import GlnetGeoError
from glnet_geo.remote import without_secrets

_COMMANDS = {
    "predict": "Scene -> class raster.",
    "vectorize": "Class raster -> polygons.",
    "batch": "Directories of scenes -> both, resumable.",
    "train": "Labelled scenes -> model file.",
    "evaluate": "Prediction against reference -> scores.",
    "change": "Two maps -> map of changes, and from what to what.",
    "sample": "Points of a map to label, for area figures that hold.",
    "stats": "Class areas by zone.",
    "report": "Map -> one page to look at.",
    "plan": "What predict would do, need and warn of.",
    "models": "List, show or import models.",
    "demo": "The whole road on a scene that it makes.",
}
"""One line of help each: the command modules are imported only when they run."""

_SPARING = {
    "predict": "Choose smaller frames (--frame), or a lighter model.",
    "plan": "Choose smaller frames (--frame), or a lighter model.",
    "vectorize": "Merge small regions (--min-area), or leave --dissolve, --fill-holes or "
    "--simplify out.",
    "batch": "Choose smaller frames (--frame), fewer --workers, or a lighter model.",
    "train": "Choose smaller frames in the dataset file, or a lighter backbone.",
    "evaluate": "Choose a smaller --boundary-tolerance.",
    "stats": "Measure fewer zones at a time.",
    "change": "Choose a smaller --tolerance or --min-area.",
    "report": "Leave --polygons out, or simplify them first: glnet-geo vectorize --simplify",
    "demo": "Make a smaller scene (--size).",
}
"""What takes less memory."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which a newcomer meets them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a command, or None where there is none of that name."""
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(f"glnet_geo.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command, and says what to do where memory does not suffice."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if not _is_out_of_memory(error):
                raise
            advice = _SPARING.get(ctx.invoked_subcommand or "", "Close other programs.")
            raise GlnetGeoError(f"There is not enough memory. {advice}") from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("glnet-geo"), prog_name="glnet-geo")
def group() -> None:
    """Land-cover maps from satellite and aerial scenes of any size."""


def _is_out_of_memory(error: Exception) -> bool:
    """PyTorch's errors are RuntimeErrors, on GPUs of a class of their own, on CPUs of none."""
    words = ("out of memory", "not enough memory", "can't allocate memory")
    is_torchs = isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    return is_torchs or isinstance(error, MemoryError)


class _Lines(logging.Formatter):
    """`Warning: ...`, one line each."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.capitalize()}: {without_secrets(record.getMessage())}"


class _JsonLines(logging.Formatter):
    """A JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return json_line(record.levelname.lower(), message=without_secrets(record.getMessage()))


def json_line(event: str, **facts: Any) -> str:
    """What happened, when, as a JSON object on one line."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": now, "event": event, **facts}, ensure_ascii=False)


def log_as_json() -> None:
    """Makes JSON objects of the library's messages on stderr."""
    for handler in logging.getLogger("glnet_geo").handlers:
        handler.setFormatter(_JsonLines())


def configure_logging(verbosity: int) -> None:
    """Sends the library's messages to stderr.

    Args:
        verbosity: Below 0 only errors, 0 warnings, 1 information, 2 and above everything.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logger = logging.getLogger("glnet_geo")
    logger.handlers[:] = [handler]
    levels = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}
    logger.setLevel(levels.get(verbosity, logging.DEBUG))


def main() -> None:
    """Runs the command line and exits.

    A problem that the user can mend is one line and 1, a usage error 2, an interruption 130. A bug
    keeps its traceback.
    """
    configure_logging(0)
    # Read when PyTorch loads. Its threads wait for each other by spinning, for milliseconds by
    # default: beside another busy process a prediction took about twice as long as with this.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # GDAL's own threads would write on the terminal what the reading thread tells in one line.
    os.environ.setdefault("CPL_LOG", os.devnull)
    try:
        code = group(prog_name="glnet-geo", auto_envvar_prefix="GLNET_GEO", standalone_mode=False)
    except GlnetGeoError as error:
        _fail(str(error), 1)
    except click.UsageError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("Interrupted.", 130)
    except BrokenPipeError:
        # Whoever read our output has enough; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    click.echo(f"Error: {' '.join(message.split())}" if code != 130 else message, err=True)
    sys.exit(code)
