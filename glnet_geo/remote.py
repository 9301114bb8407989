"""Scenes that are no local files: URLs and GDAL's virtual file systems."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

_WAITS = (0.5, 1.0, 2.0)  # seconds before another attempt
# What another attempt does not change: GDAL tells HTTP's codes in words of its own.
_FINAL = re.compile(r"code: 4(?!08|29)\d\d|AccessDenied|credentials|does not exist", re.IGNORECASE)
_URL = r"(\w://[^\s?]*|/vsi\w+[^\s?]*)"
_END = r"(?=[.:,;'\")\]]*(?:\s|$))"  # without the sentence's own signs

ScenePath = Path | str
"""A local file, or as a string what GDAL fetches."""


def scene_path(text: str) -> ScenePath:
    """What a user names a scene by: a path, or as it stands what `Path` would spoil."""
    text = text.removeprefix("file://")
    return text if is_remote(text) else Path(text)


def is_remote(path: ScenePath) -> bool:
    """Whether GDAL has to find the scene: a URL (https, s3, gs, ...) or a name in /vsi...

    One letter before the slashes is a drive of Windows.
    """
    text = str(path)
    return text.startswith("/vsi") or re.search(r"\w\w://", text) is not None


def is_fetched(path: ScenePath) -> bool:
    """Whether a scene comes over the network."""
    text = str(path)
    return is_remote(path) and re.match(r"/vsi(?!curl|s3|gs|az|adls|oss|swift|web)", text) is None


def scene_label(path: ScenePath) -> str:
    """A scene's name; of a URL without its query, which may hold a password."""
    name = str(path)
    return Path(name.partition("?")[0] if is_remote(name) else name).name


def without_secrets(text: str) -> str:
    """A text whose URLs have neither a user's name and password nor a query, which may hold a key.

    Error messages and logs are read by more people than may see the scene.
    """
    text = re.sub(r"(\w://)[^/\s@]+@", r"\1", text)
    return re.sub(rf"{_URL}\?\S*?{_END}", r"\1", text)


def persistently(
    path: ScenePath,
    read: Callable[[], Result],
    failure: type[Exception],
    mend: Callable[[], None] = lambda: None,
) -> Result:
    """Reads from a scene; from one that comes over the network again after a failure that may pass.

    GDAL repeats what a server turns down for a while, but not what a broken connection cuts off.

    Args:
        path: The scene.
        read: Reads.
        failure: What it raises.
        mend: What is to be done before another attempt.
    """
    for wait in _WAITS if is_fetched(path) else ():
        try:
            return read()
        except failure as error:
            if _FINAL.search(str(error)):
                raise
        time.sleep(wait)
        mend()
    return read()
