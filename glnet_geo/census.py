"""Where in a labelled scene which classes are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glnet_geo.grid import Window
from glnet_geo.labelled_scene import OpenScene

CELL = 256
"""Side of a cell in pixels of the scene."""

_CHUNK = 16  # cells that are read at a time, beside each other


@dataclass(frozen=True, slots=True, eq=False)
class Census:
    """The pixels of each class, cell by cell.

    Attributes:
        cells: K x R x C, pixels of each class; cell r, c begins at row r * `CELL` and column
            c * `CELL`.
        unknown: Label values that no class has, with their pixels; of polygons with how often one
            was met.
    """

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


def take_census(scene: OpenScene, n_classes: int) -> Census:
    """Counts the labels of a scene; where there surely are none nothing is read.

    Raises:
        RasterError: The labels are damaged.
    """
    height, width = scene.grid.height, scene.grid.width
    cells = np.zeros((n_classes, -(-height // CELL), -(-width // CELL)), np.int64)
    unknown: Counter[str] = Counter()
    for top in range(0, height, CELL):
        for left in range(0, width, CELL * _CHUNK):
            window = Window(top, left, min(CELL, height - top), min(CELL * _CHUNK, width - left))
            if not scene.touches(window):
                continue
            labels = scene.read_labels(window)
            unknown.update(labels.unknown)
            first = left // CELL
            counts = _count(labels.positions, n_classes)
            cells[:, top // CELL, first : first + counts.shape[1]] = counts
    return Census(cells, unknown)


def _count(positions: npt.NDArray[np.uint8], n_classes: int) -> npt.NDArray[np.int64]:
    """Pixels of each class in each of the cells beside each other, K x C."""
    column = np.arange(positions.shape[1]) // CELL
    count = int(column[-1]) + 1
    # What is no class falls into a last bin of its own.
    bins = np.minimum(positions, n_classes).astype(np.int64) * count + column
    totals = np.bincount(bins.ravel(), minlength=(n_classes + 1) * count)
    return totals.reshape(-1, count)[:n_classes]
