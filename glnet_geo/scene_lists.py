"""Scenes that a text or CSV file lists."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from glnet_geo.errors import BatchError
from glnet_geo.remote import ScenePath, scene_path
from glnet_geo.scene_names import Found, found_file, split_suffix

# Files that somebody else made are read whole; 100,000 tiles in four bands are 150 MB of VRT.
_MAX_BYTES = 300_000_000
_PATH_COLUMNS = ("path", "scene", "image", "file", "href", "url")


def read_document(path: Path) -> bytes:
    """The content of a list, VRT or STAC document.

    Raises:
        BatchError: It cannot be read or is too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise BatchError(f"{path} cannot be read: {error.strerror}.") from None
    if len(content) > _MAX_BYTES:
        raise BatchError(f"{path} is larger than {_MAX_BYTES // 10**6} MB. Split it.")
    return content


def text_scenes(path: Path, content: bytes) -> list[Found]:
    """The scenes of a text file, a path a line.

    Raises:
        BatchError: It is no text, or a line is a folder.
    """
    entries = ((n, line.strip()) for n, line in enumerate(_lines(path, content), 1))
    return [
        listed_scene(path, f"line {n}", line.strip('"'))
        for n, line in entries
        if line and not line.startswith("#")
    ]


def csv_scenes(path: Path, content: bytes) -> list[Found]:
    """The scenes of a table, a path a row, with `name` and `datetime` where it has them.

    Raises:
        BatchError: It is no table, has no column of paths, or a row is wrong.
    """
    lines = _lines(path, content)
    head = lines[0] if lines else ""
    delimiter = max(",;\t", key=head.count)
    rows = csv.DictReader(lines, delimiter=delimiter, restval="")
    try:
        columns = {name.strip().lower(): name for name in rows.fieldnames or () if name}
        column = next((columns[name] for name in _PATH_COLUMNS if name in columns), None)
        if column is None:
            wanted = f"{', '.join(_PATH_COLUMNS[:-1])} or {_PATH_COLUMNS[-1]}"
            raise BatchError(f"{path} has no column {wanted} (it has {', '.join(columns)}).")
        return list(_row_scenes(path, rows, columns, column))
    except csv.Error as error:
        raise BatchError(f"{path} is no CSV table: {error}.") from None


def _row_scenes(
    path: Path, rows: csv.DictReader[str], columns: Mapping[str, str], column: str
) -> Iterator[Found]:
    for row in rows:
        where = f"line {rows.line_num}"
        values = {key: row[name].strip() for key, name in columns.items()}
        if not any(values.values()):
            continue
        text = row[column].strip()
        if not text:
            raise BatchError(f"{path}, {where}: there is no path.")
        acquired = rfc3339(path, where, values.get("datetime"))
        yield listed_scene(path, where, text, values.get("name"), acquired)


def listed_scene(
    document: Path, where: str, text: str, name: str | None = None, acquired: str | None = None
) -> Found:
    """A scene that a document names.

    Args:
        document: The document; relative paths start at its folder.
        where: The place in it, for messages.
        text: The scene's path or URL.
        name: What its outputs shall be called, folders too.
        acquired: When it was taken.

    Raises:
        BatchError: It is a folder, or nothing that could be a path.
    """
    path = located(text, document)
    try:
        real = real_path(path)
    except ValueError:
        raise BatchError(f"{document}, {where}: {text!a} is no path.") from None
    if isinstance(path, Path) and os.path.isdir(path):
        raise BatchError(f"{document}, {where}: {path} is a folder. List files, or name it itself.")
    if not name:
        return found_file(path, real, acquired=acquired)
    *folders, last = [p for p in re.split(r"[/\\]", name) if p not in ("", ".", "..")] or ["_"]
    stem, suffix = split_suffix(last, only_scenes=True)
    return Found(path, real, stem, suffix, tuple(folders), acquired=acquired)


def located(text: str, document: Path) -> ScenePath:
    """The scene that a document names, relative to its folder."""
    path = scene_path(text)
    return document.parent / path if isinstance(path, Path) else path


def real_path(path: ScenePath) -> str:
    """One spelling for all the spellings of a path and the links to it."""
    return os.path.normcase(os.path.realpath(path)) if isinstance(path, Path) else path


def rfc3339(document: Path, where: str, text: str | None) -> str | None:
    """A point in time as STAC writes it; that of a mere date is its beginning in UTC.

    Raises:
        BatchError: It is none.
    """
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BatchError(
            f"{document}, {where}: '{text}' is no time. Write it like 2024-05-01T10:30:00Z."
        ) from None
    return time.isoformat().replace("+00:00", "Z")


def _lines(path: Path, content: bytes) -> list[str]:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        # File names need not be UTF-8.
        text = content.decode(encoding, "strict" if encoding == "utf-16" else "surrogateescape")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise BatchError(f"{path} is no text file. List a path a line.")
    return re.split(r"\r\n|\r|\n", text)
