"""Files that appear whole or not at all.

Work happens in a dotted folder beside the output (`.landcover.tif.part/`); what is finished there
is put in place by a rename. A failed run leaves no output, an existing one as it was, and the
folder only where another run can continue from it. Two runs never share the folder: a lock beside
it (`.landcover.tif.lock`) turns the second one away.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from glnet_geo.errors import OutputError
from glnet_geo.run_lock import run_lock


def check_output(
    path: Path, overwrite: bool, sources: tuple[Path, ...] = (), can_resume: bool = False
) -> None:
    """Refuses, before any work, an output that must not or cannot be written.

    Args:
        path: Where the output shall be.
        overwrite: Whether a finished output may be replaced.
        sources: Files that the work reads.
        can_resume: Whether the command can go on with an interrupted run, for the message.

    Raises:
        OutputError: The output exists, is one of the sources, or its folder is missing or not
            writable.
    """
    try:
        _check_output(path, overwrite, sources, can_resume)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.") from None


def _check_output(path: Path, overwrite: bool, sources: tuple[Path, ...], can_resume: bool) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"The folder {folder} does not exist. Create it, or choose another.")
    if path.is_dir():
        raise OutputError(f"{path} is a folder. Name a file in it.")
    if path.exists() and not path.is_file():
        # A rename would put a file in the place of the device.
        raise OutputError(f"{path} is a device or a pipe, which is no place for it. Name a file.")
    check_not_input(path, sources)
    # The names of the files beside it must not be too long either.
    path.with_name(f"{path.name}.aux.xml").exists()
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} exists. Use --overwrite to replace it"
            f"{', with --resume to go on with an interrupted run.' if can_resume else '.'}"
        )
    if not os.access(folder, os.W_OK):
        raise OutputError(f"The folder {folder} is not writable.")


def check_not_input(path: Path, sources: Iterable[Path]) -> None:
    """Refuses an output that is a file which the work reads.

    Raises:
        OutputError: It is.
    """
    if path.exists() and any(source.exists() and source.samefile(path) for source in sources):
        raise OutputError(f"{path} is the input itself. Choose another output.")


def check_distinct(paths: Sequence[Path]) -> None:
    """Refuses outputs of one run that are the same file.

    Raises:
        OutputError: Two are.
    """
    places = [path.resolve() for path in paths]
    for index, place in enumerate(places):
        if place in places[:index]:
            raise OutputError(
                f"{paths[index]} is two outputs at once. Give each a file of its own."
            )


def work_folder(path: Path) -> Path:
    """The dotted folder in which an output is made."""
    return path.with_name(f".{path.name}.part")


@contextmanager
def working_folder(
    path: Path,
    resume: bool = False,
    is_resumable: Callable[[Path], bool] = lambda folder: False,
) -> Iterator[Path]:
    """A folder for making an output, gone afterwards unless a failed run can be resumed from it.

    Args:
        path: The output.
        resume: Whether what an interrupted run left in it stays; else it starts empty.
        is_resumable: Tells, when the block ends with an error, whether the folder holds what
            another run can continue from. Then it stays.

    Raises:
        OutputError: Another run has the folder, the disk is full or it cannot be made.
    """
    try:
        with run_lock(path.with_name(f".{path.name}.lock")) as is_alone:
            if not is_alone:
                raise OutputError(
                    f"{path} is being written by another run. Wait for it, or choose another "
                    "output."
                )
            with _folder(work_folder(path), resume, is_resumable) as folder:
                yield folder
    except OSError as error:
        reason = error.strerror or str(error)
        # NumPy's own errors count what was written and name no reason.
        hint = " (is the disk full?)" if re.search(r"\d+ requested and \d+ written", reason) else ""
        raise OutputError(f"{path} cannot be written: {reason}{hint}.") from error


@contextmanager
def _folder(folder: Path, resume: bool, is_resumable: Callable[[Path], bool]) -> Iterator[Path]:
    is_worth_keeping = False
    try:
        if not resume:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=resume)
        try:
            yield folder
        except BaseException:
            is_worth_keeping = is_resumable(folder)
            raise
    finally:
        if not is_worth_keeping:
            shutil.rmtree(folder, ignore_errors=True)


def check_identity(
    folder: Path, output: Path, identity: Mapping[str, str], is_resumed: bool
) -> None:
    """Keeps what a run is about in its folder, and compares it with that of the run before.

    Args:
        folder: The working folder.
        output: The output, for the message.
        identity: What must be equal for the same result.
        is_resumed: Whether the run continues another one.

    Raises:
        OutputError: The other run was about something else.
    """
    path = folder / "identity"
    if is_resumed:
        try:
            before = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            before = {"state": "damaged"}
        differing = [key for key in {**before, **identity} if before.get(key) != identity.get(key)]
        if differing:
            raise OutputError(
                f"The interrupted run for {output} cannot be resumed, it differs in: "
                f"{', '.join(differing)}. Leave --resume out to start afresh."
            )
    else:
        unfinished = folder / "unfinished"
        unfinished.write_text(json.dumps(identity), "utf-8")
        publish(unfinished, path)


def publish(finished: Path, path: Path, prepare: Callable[[], None] = lambda: None) -> None:
    """Puts a finished file in place of `path`, safe against a crash at any moment.

    Who may read and write the file that is replaced may do so with the new one.

    Args:
        finished: The file.
        path: Where it belongs.
        prepare: Called right before that, when what takes time is done.

    Raises:
        OutputError: Another program has the file at `path` open, on Windows.
    """
    with finished.open("rb+") as file:
        os.fsync(file.fileno())
    with suppress(OSError):
        # Beyond permissions, such as set-uid, nothing is for granted.
        finished.chmod(path.stat().st_mode & 0o777)
    try:
        prepare()
        os.replace(finished, path)
    except PermissionError as error:
        raise OutputError(f"{path} cannot be replaced; another program has it open.") from error


def write_whole(path: Path, content: bytes) -> None:
    """Writes a small file, whole or not at all; an existing one is replaced.

    Raises:
        OutputError: The disk is full or the file cannot be replaced.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_bytes(content)
        publish(temporary, path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        temporary.unlink(missing_ok=True)
