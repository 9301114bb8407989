"""The files below a directory, and which of them are scenes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from glnet_geo.errors import BatchError
from glnet_geo.scene_names import SCENE_SUFFIXES

Parts = tuple[str, ...]
"""A path below the directory searched, part by part."""

# What stands beside scenes; a wide pattern doesn't mean it.
_SIDE_SUFFIXES = (
    *(".shp", ".shx", ".dbf", ".prj", ".cpg", ".qpj", ".qml", ".qix", ".sbn", ".sbx"),
    *(".tfw", ".tifw", ".jgw", ".jpgw", ".pgw", ".pngw", ".j2w", ".wld", ".hdr", ".rpb", ".imd"),
    *(".ovr", ".msk", ".rrd", ".aux", ".xml", ".txt", ".csv", ".json", ".geojson", ".gpkg"),
)


def walk(
    folder: Path, excluded: tuple[int, int] | None, enters: Callable[[Parts], bool]
) -> Iterator[tuple[str, str, Parts]]:
    """The files below a folder in natural order, without hidden ones.

    Links to folders are followed, each folder is searched once.

    Args:
        folder: Where to start.
        excluded: What `identity` says of a folder to leave out.
        enters: Whether a folder below shall be searched.

    Yields:
        Path, path without links, and parts of the path below the folder.

    Raises:
        BatchError: A folder cannot be read.
    """
    seen = {excluded}
    # Not by recursion: folders nest more deeply than Python's calls.
    stack: list[tuple[str, str, Parts, bool]] = [(str(folder), os.path.realpath(folder), (), True)]
    while stack:
        path, real, parts, is_folder = stack.pop()
        if not is_folder:
            yield path, real, parts
        elif identity(path) not in seen:
            seen.add(identity(path))
            entries = _entries(path)
            entries.sort(key=lambda entry: natural_key(entry.name), reverse=True)
            for entry in entries:
                below, is_sub = (*parts, entry.name), entry.is_dir()
                if is_sub and not enters(below):
                    continue
                target = os.path.join(real, entry.name)
                target = os.path.realpath(target) if entry.is_symlink() else target
                stack.append((os.path.join(path, entry.name), target, below, is_sub))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What is in a folder and could be a scene or hold some.

    Pipes and devices could not; a link that leads nowhere could, and fails as a scene.
    """
    try:
        with os.scandir(folder) as entries:
            return [
                entry
                for entry in entries
                if not entry.name.startswith(".")
                and (entry.is_file() or entry.is_dir() or entry.is_symlink())
            ]
    except OSError as error:
        raise BatchError(f"The folder {folder} cannot be read: {error.strerror}.") from None


def identity(folder: str | Path) -> tuple[int, int] | None:
    """What is equal for the same folder under another path; None if it does not exist."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def natural_key(name: str) -> tuple[list[int | str], str]:
    """Sorts tile2 before tile10."""
    parts: list[int | str] = [*re.split(r"([0-9]+)", name.lower())]
    parts[1::2] = map(int, parts[1::2])
    return parts, name


def is_scene(parts: Parts, pattern: str | None = None) -> bool:
    """Whether a file below a directory is a scene by its name.

    Args:
        parts: Its path.
        pattern: A glob for its name, or for its path if it has a slash; None for the usual
            extensions.
    """
    suffix = os.path.splitext(parts[-1])[1].lower()
    if pattern is None:
        return suffix in SCENE_SUFFIXES
    if suffix in _SIDE_SUFFIXES and not pattern.lower().endswith(suffix):
        return False
    if "/" not in pattern:
        return fnmatch(parts[-1], pattern)
    path = "/".join(parts)
    # `**/` means no folder, too.
    return fnmatch(path, pattern) or (
        pattern.startswith("**/") and fnmatch(path, pattern.removeprefix("**/"))
    )


def matches(parts: Parts, globs: Sequence[str]) -> bool:
    """Whether a path is one that the parts of a glob mean, `**` being any number of folders."""
    if not globs:
        return not parts
    if globs[0] == "**":
        return matches(parts, globs[1:]) or (bool(parts) and matches(parts[1:], globs))
    return bool(parts) and fnmatch(parts[0], globs[0]) and matches(parts[1:], globs[1:])


def leads_to(parts: Parts, globs: Sequence[str]) -> bool:
    """Whether what a glob means can lie below a folder, or a folder above it is meant itself."""
    if not parts or not globs or globs[0] == "**":
        return True
    return fnmatch(parts[0], globs[0]) and leads_to(parts[1:], globs[1:])
