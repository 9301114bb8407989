"""Scenes that are no local files: URLs and GDAL's virtual file systems."""

from __future__ import annotations

import re
from pathlib import Path

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
