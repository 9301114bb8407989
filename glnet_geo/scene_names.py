"""Names for the outputs of many scenes: safe on every file system, and never the same twice."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from glnet_geo.remote import ScenePath

SCENE_SUFFIXES = (
    *(".tif", ".tiff", ".jp2", ".j2k", ".png", ".jpg", ".jpeg"),
    *(".img", ".bil", ".ecw", ".sid", ".nitf", ".ntf"),
)
# Room for what is put round a name, `.NAME.tif.aux.xml.part`, in the 255 bytes that it may have.
_MAX_BYTES = 150
# Likewise for folders above, in the 1024 that the shortest of limits (macOS) leaves to a path.
_MAX_PATH_BYTES = 600
# What Windows opens as a device, whatever its extension. learn.microsoft.com/windows/win32/fileio/
# naming-a-file
_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?= *(\.|$))")
# A folder must not take the place of a file that belongs to a scene or to the batch.
_FILE_SUFFIX = re.compile(
    r"(?i)\.(?=(tif|xml|json|csv|vrt|gpkg|fgb|geojsonl?|geojsons|(geo)?parquet|shp|shx|dbf|prj|cpg"
    r"|qml|ovr|msk|part)$)"
)
# Files and the folder that the batch itself writes.
_TAKEN_FILE = re.compile(r"(?i)landcover|(manifest|scenes)$")
_TAKEN_FOLDER = re.compile(r"(?i)stac$")


@dataclass(frozen=True, slots=True)
class Found:
    """A scene on its way to a name.

    Attributes:
        path: The scene.
        real: The same for every spelling of the path and every link to it.
        stem: What its outputs shall be called, as somebody chose it: anything.
        suffix: What was cut off the stem, with the dot.
        folders: Folders above its outputs, likewise anything.
        root: The directory that was searched for it, if one was.
        acquired: When it was taken, RFC 3339.
    """

    path: ScenePath
    real: str
    stem: str
    suffix: str = ""
    folders: tuple[str, ...] = ()
    root: str = ""
    acquired: str | None = None

    def name(self, level: int) -> str:
        """A safe name.

        Args:
            level: 0 for the short form; 1 with the suffix; more for ever longer digests, by which
                any two scenes differ in the end.
        """
        stem, text = safe_part(self.stem), self.stem
        if level == 1:
            stem, text = safe_part(self.stem + self.suffix), self.stem + self.suffix
        elif level > 1:
            stem += f"-{_digest(self.real)[: 8 * (level - 1)]}"
        if not self.folders:
            return f"scene-{stem}" if _TAKEN_FILE.match(stem) else stem
        folders = [_FILE_SUFFIX.sub("_", safe_part(folder)) for folder in self.folders]
        if _TAKEN_FOLDER.match(folders[0]):
            folders[0] = f"scene-{folders[0]}"
        name = "/".join([*folders, stem])
        if len(name.encode()) > _MAX_PATH_BYTES:
            return f"long/{stem}-{_digest('/'.join([*self.folders, text]))[:8]}"
        return name


def found_file(path: ScenePath, real: str, **others: str | tuple[str, ...] | None) -> Found:
    """A scene that is called as its file is; `others` are more fields."""
    stem, suffix = split_suffix(path.name if isinstance(path, Path) else _last_part(path))
    return Found(path, real, stem, suffix, **others)  # type: ignore[arg-type]


def split_suffix(name: str, only_scenes: bool = False) -> tuple[str, str]:
    """A name without and with nothing but its extension.

    Args:
        name: The name.
        only_scenes: Whether a dot may well be part of the name (v1.0), except before the usual
            extensions of scenes.
    """
    stem, suffix = os.path.splitext(name)
    is_cut = suffix.lower() in SCENE_SUFFIXES if only_scenes else suffix[1:2].isalpha()
    return (stem, suffix) if is_cut else (name, "")


def safe_part(text: str) -> str:
    """A name of a file or folder that stands for itself and nothing else on every system."""
    part = unicodedata.normalize("NFC", text)
    if not re.fullmatch(r"[\w-]+", part, re.ASCII):
        part = "".join(c if c.isprintable() and c not in '<>:"/\\|?*' else "_" for c in part)
        # Dots in front hide it, Windows drops dots and spaces at the end.
        part = part.strip(" .") or "_"
    part = _DEVICE.sub(r"\1_", part, count=1) if _DEVICE.match(part) else part
    if len(part.encode()) > _MAX_BYTES:
        part = part.encode()[: _MAX_BYTES - 9].decode(errors="ignore") + f"-{_digest(text)[:8]}"
    return part


def unique_names(scenes: Sequence[Found]) -> list[str]:
    """A name for each scene, no two of them equal to any file system.

    Those that clash all get longer names, so that the order of the scenes does not matter.

    Args:
        scenes: Scenes that differ in `real`.
    """
    levels = [0] * len(scenes)
    names = [scene.name(0) for scene in scenes]
    while True:
        clashing = [same for same in _equal(names) if len(same) > 1]
        if not clashing:
            return names
        for i in (i for same in clashing for i in same):
            levels[i] += 1
            names[i] = scenes[i].name(levels[i])


def fold(name: str) -> str:
    """Equal for names that some file system does not tell apart."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())


def _equal(names: Sequence[str]) -> list[list[int]]:
    places: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        places[fold(name)].append(i)
    return list(places.values())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _last_part(url: str) -> str:
    parts = [part for part in re.split(r"[?#]", url)[0].split("/") if part]
    return unquote(parts[-1]) if parts else url
