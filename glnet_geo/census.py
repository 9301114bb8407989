"""Where in a labelled scene which classes are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glnet_geo.grid import Window
from glnet_geo.labelled_scene import OpenScene

_STRIP = 256  # rows that are read at a time, about
_CHUNK = 4096  # and columns


@dataclass(frozen=True, slots=True, eq=False)
class Census:
    """The pixels of each class, cell by cell.

    Attributes:
        cell: Side of a cell in pixels of the scene.
        cells: K x R x C, pixels of each class; a cell's number times `cell` is where it begins.
        unknown: Label values that no class has, with their pixels; of polygons with how often one
            was met.
    """

    cell: int
    cells: npt.NDArray[np.int64]
    unknown: Mapping[str, int]

    @property
    def pixels(self) -> npt.NDArray[np.int64]:
        """Labelled pixels of each class, K."""
        total: npt.NDArray[np.int64] = self.cells.sum((1, 2))
        return total

    @property
    def labelled(self) -> npt.NDArray[np.int64]:
        """Labelled pixels of each cell, R x C."""
        total: npt.NDArray[np.int64] = self.cells.sum(0)
        return total


def take_census(scene: OpenScene, n_classes: int, cell: int = _STRIP) -> Census:
    """Counts the labels of a scene; where there surely are none nothing is read.

    Args:
        scene: The scene.
        n_classes: Number of classes.
        cell: Side of a cell in pixels.

    Raises:
        RasterError: The labels are damaged.
    """
    height, width = scene.grid.height, scene.grid.width
    cells = np.zeros((n_classes, -(-height // cell), -(-width // cell)), np.int64)
    unknown: Counter[str] = Counter()
    strip, chunk = (max(most // cell, 1) * cell for most in (_STRIP, _CHUNK))
    for top in range(0, height, strip):
        for left in range(0, width, chunk):
            window = Window(top, left, min(strip, height - top), min(chunk, width - left))
            if not scene.touches(window):
                continue
            labels = scene.read_labels(window)
            unknown.update(labels.unknown)
            counts = _count(labels.positions, n_classes, cell)
            first, second = top // cell, left // cell
            cells[:, first : first + counts.shape[1], second : second + counts.shape[2]] = counts
    return Census(cell, cells, unknown)


def _count(positions: npt.NDArray[np.uint8], n_classes: int, cell: int) -> npt.NDArray[np.int64]:
    """Pixels of each class in each cell, K x R x C."""
    rows, columns = (np.arange(length) // cell for length in positions.shape)
    shape = int(rows[-1]) + 1, int(columns[-1]) + 1
    place = rows[:, None] * shape[1] + columns
    # What is no class falls into a last bin of its own.
    bins = np.minimum(positions, n_classes).astype(np.int64) * (shape[0] * shape[1]) + place
    totals = np.bincount(bins.ravel(), minlength=(n_classes + 1) * shape[0] * shape[1])
    return totals.reshape(-1, *shape)[:n_classes]
