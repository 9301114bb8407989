"""The tiles of a GDAL virtual raster, where it is a plain mosaic of them.

The format is https://gdal.org/drivers/raster/vrt.html; gdalbuildvrt makes such mosaics.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from glnet_geo.errors import BatchError
from glnet_geo.remote import ScenePath, scene_path

_SOURCES = {"SimpleSource", "ComplexSource"}
# Parts of a source that leave its valid pixels as they are.
_PLAIN = {"SourceFilename", "SourceBand", "SourceProperties", "SrcRect", "DstRect"}
_PLAIN |= {"NODATA", "UseMaskBand"}
# Sizes come from divisions by the mosaic's pixel size.
_ROUNDING = 0.01
# Tiles that are not quite on one grid share a pixel with the next.
_SLACK = 1.01
_SLIVER = 0.01


@dataclass(frozen=True, slots=True)
class _Placed:
    """A file and where it stands in the mosaic, in pixels."""

    file: str
    is_relative: bool
    left: float
    top: float
    width: float
    height: float


class _Tree(ET.TreeBuilder):
    """Refuses document types, and with them entities that are files or grow without bounds."""

    def doctype(self, *_: Any) -> None:
        """Called by the parser before the entities are read."""
        raise ValueError("document type")


def vrt_tiles(path: Path, content: bytes) -> list[ScenePath]:
    """The files that a virtual raster places side by side, whole and unchanged.

    Args:
        path: The virtual raster.
        content: Its bytes.

    Returns:
        At least two files in the order of the document. None at all for any other virtual raster
        (one file, a part of a file, other bands, another scale or values, overlaps), which shows
        what its files by themselves don't.

    Raises:
        BatchError: It is no virtual raster.
    """
    try:
        root = ET.fromstring(content, ET.XMLParser(target=_Tree()))
    except (ET.ParseError, ValueError, LookupError):
        raise BatchError(f"{path} is no virtual raster that can be read.") from None
    if root.tag != "VRTDataset":
        raise BatchError(f"{path} is no virtual raster.")
    bands = root.findall("VRTRasterBand")
    if "subClass" in root.attrib or any("subClass" in band.attrib for band in bands):
        return []
    placed = [_placed(band, n) for n, band in enumerate(bands, 1)]
    if not placed or any(other != placed[0] for other in placed[1:]) or placed[0] is None:
        return []
    tiles = placed[0]
    if len({tile.file for tile in tiles}) != len(tiles) or len(tiles) < 2 or _overlap(tiles):
        return []
    return [_located(tile, path) for tile in tiles]


def _placed(band: ET.Element, number: int) -> list[_Placed] | None:
    """The sources of a band; None unless each is the same band of a whole file at its scale."""
    tiles: list[_Placed] = []
    for source in band:
        if source.tag.endswith("Source"):
            tile = _place(source, number) if source.tag in _SOURCES else None
            if tile is None:
                return None
            tiles.append(tile)
    return tiles


def _place(source: ET.Element, number: int) -> _Placed | None:
    parts = {part.tag: part for part in source}
    name = parts.get("SourceFilename")
    if not parts.keys() <= _PLAIN or name is None or not name.text:
        return None
    if source.findtext("SourceBand", "1").strip() != str(number):
        return None
    # NETCDF:"a.nc":b and the like are no files.
    if re.match(r"\w\w+:(?!//)", name.text):
        return None
    try:
        size = parts["SourceProperties"].attrib
        whole = (0.0, 0.0, float(size["RasterXSize"]), float(size["RasterYSize"]))
        left, top, width, height = _rectangle(parts["DstRect"])
        is_whole = "SrcRect" not in parts or _equal(_rectangle(parts["SrcRect"]), whole)
    except (KeyError, ValueError):
        return None
    if not is_whole or not _equal((width, height), whole[2:]) or min(width, height) < 0.5:
        return None
    return _Placed(name.text, name.get("relativeToVRT") == "1", left, top, width, height)


def _equal(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(abs(a - b) < _ROUNDING for a, b in zip(one, other, strict=True))


def _rectangle(element: ET.Element) -> tuple[float, float, float, float]:
    x, y, width, height = (float(element.attrib[k]) for k in ("xOff", "yOff", "xSize", "ySize"))
    if not all(map(math.isfinite, (x, y, width, height))):
        raise ValueError("not finite")
    return x, y, width, height


def _overlap(tiles: Sequence[_Placed]) -> bool:
    """Whether any two tiles share pixels: a sweep over their upper and lower ends.

    The tiles that a line crosses lie apart, so that only neighbours need be compared.
    """
    events = []
    for tile in tiles:
        right = tile.left + max(tile.width - _SLACK, _SLIVER)
        bottom = tile.top + max(tile.height - _SLACK, _SLIVER)
        events.append((tile.top, True, tile.left, right))
        events.append((bottom, False, tile.left, right))
    crossed: list[tuple[float, float]] = []
    for _, is_upper, left, right in sorted(events):
        i = bisect_left(crossed, (left, right))
        if not is_upper:
            del crossed[i]
        elif (i > 0 and crossed[i - 1][1] > left) or (i < len(crossed) and crossed[i][0] < right):
            return True
        else:
            crossed.insert(i, (left, right))
    return False


def _located(tile: _Placed, path: Path) -> ScenePath:
    scene = scene_path(tile.file)
    is_below = tile.is_relative and isinstance(scene, Path)
    return path.parent / scene if is_below else scene
