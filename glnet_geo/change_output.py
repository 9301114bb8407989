"""A map of changes in the making."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from glnet_geo.change_legend import UNCHANGED, ChangeLegend
from glnet_geo.change_matrix import NO_CODE, Codes
from glnet_geo.grid import Grid, Window
from glnet_geo.raster_output import MapParts

_LEVEL = 1  # of the compression of what does not stay


class CodeSpool(AbstractContextManager["CodeSpool"]):
    """Codes of pixels on disk, until it is known which transitions occur.

    Args:
        path: The file; it holds strip after strip.
        width: Pixels of a row.
    """

    def __init__(self, path: Path, width: int) -> None:
        self._file = path.open("w+b")
        self._width = width
        self._strips: list[tuple[int, int]] = []  # rows and bytes

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def add(self, codes: Codes) -> None:
        """Takes the rows that follow, H x W."""
        packed = zlib.compress(codes.tobytes(), _LEVEL)
        self._file.write(packed)
        self._strips.append((len(codes), len(packed)))

    def __iter__(self) -> Iterator[tuple[Window, Codes]]:
        """The strips from the top."""
        self._file.seek(0)
        top = 0
        for height, size in self._strips:
            codes = np.frombuffer(zlib.decompress(self._file.read(size)), np.uint16)
            yield Window(top, 0, height, self._width), codes.reshape(height, self._width)
            top += height


def write_changes(
    output: Path,
    folder: Path,
    grid: Grid,
    spool: CodeSpool,
    codes: Mapping[int, int],
    legend: ChangeLegend,
    tags: Mapping[str, str],
    prepare: Callable[[Path], None],
) -> None:
    """Writes the map of changes, see `MapParts.publish`.

    Args:
        output: The file.
        folder: Where it is made.
        grid: Its grid.
        spool: Codes of all pixels.
        codes: Ids of the transitions by code; all other codes are no change.
        legend: The transitions.
        tags: Tags of the file.
        prepare: Called with the finished file right before it takes its place.

    Raises:
        OutputError: The disk is full or the output cannot be replaced.
    """
    kind = np.min_scalar_type(legend.nodata)
    ids = np.full(NO_CODE + 1, UNCHANGED.id, kind)
    for code, one in codes.items():
        ids[code] = one
    ids[NO_CODE] = legend.nodata
    parts = MapParts(folder, output, grid, nodata=legend.nodata)
    with parts.filled_part(0, grid.window) as writer:
        for window, strip in spool:
            writer.write(ids[strip], window)
    parts.publish(legend, tags, lambda: prepare(parts.product))
