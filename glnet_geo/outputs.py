"""Files that appear whole or not at all.

Work happens in a dotted folder beside the output (`.landcover.tif.part/`); what is finished there
is put in place by a rename. A failed run leaves neither an output nor the folder, and an existing
output as it was.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glnet_geo.errors import OutputError


def check_output(path: Path, overwrite: bool, sources: tuple[Path, ...] = ()) -> None:
    """Refuses, before any work, an output that must not or cannot be written.

    Args:
        path: Where the output shall be.
        overwrite: Whether a finished output may be replaced.
        sources: Files that the work reads.

    Raises:
        OutputError: The output exists, is one of the sources, or its folder is missing or not
            writable.
    """
    try:
        _check_output(path, overwrite, sources)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.") from None


def _check_output(path: Path, overwrite: bool, sources: tuple[Path, ...]) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"The folder {folder} does not exist. Create it, or choose another.")
    if path.is_dir():
        raise OutputError(f"{path} is a folder. Name a file in it.")
    if any(source.exists() and path.exists() and source.samefile(path) for source in sources):
        raise OutputError(f"{path} is the input itself. Choose another output.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists. Use --overwrite to replace it.")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"The folder {folder} is not writable.")


def work_folder(path: Path) -> Path:
    """The dotted folder in which an output is made."""
    return path.with_name(f".{path.name}.part")


@contextmanager
def working_folder(path: Path) -> Iterator[Path]:
    """An empty folder for making an output, gone afterwards whatever happens.

    Args:
        path: The output.

    Raises:
        OutputError: The disk is full or the folder cannot be made.
    """
    folder = work_folder(path)
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(finished: Path, path: Path) -> None:
    """Puts a finished file in place of `path`, safe against a crash at any moment."""
    with finished.open("rb+") as file:
        os.fsync(file.fileno())
    try:
        os.replace(finished, path)
    except PermissionError as error:
        raise OutputError(f"{path} cannot be replaced; another program has it open.") from error
