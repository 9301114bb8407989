"""How well the borders of classes are met: boundary F1, strip by strip.

After G. Csurka, D. Larlus and F. Perronnin, What is a good evaluation measure for semantic
segmentation?, BMVC 2013, and F. Perazzi et al., A benchmark dataset and evaluation methodology for
video object segmentation, CVPR 2016: precision is the share of a class's predicted boundary pixels
that have one of the reference's within a tolerance, recall the reverse. Boundary pixels of all
strips and rasters are pooled, so that the result does not depend on how a scene is cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from glnet_geo.errors import GlnetGeoError
from glnet_geo.kernels import kernel

Positions = npt.NDArray[np.uint8]
"""Positions of classes in a list of them, H x W; from `FIRST_NONE` on none."""

FIRST_NONE = 254
"""The first value that is no position: in a reference it counts nowhere, in a prediction it is
wrong everywhere."""

MOST_PX = 100.0
"""The largest tolerance: what is to be read around a pixel grows with it."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class BoundaryCounts:
    """Boundary pixels by position of their class, 256 each, added up over any number of rasters.

    Attributes:
        predicted: Those of the prediction.
        predicted_met: Those of them that have one of the reference near.
        reference: Those of the reference.
        reference_met: Those of them that have one of the prediction near.
    """

    predicted: Counts = field(default_factory=lambda: np.zeros(256, np.int64))
    predicted_met: Counts = field(default_factory=lambda: np.zeros(256, np.int64))
    reference: Counts = field(default_factory=lambda: np.zeros(256, np.int64))
    reference_met: Counts = field(default_factory=lambda: np.zeros(256, np.int64))

    def f1(self, position: int) -> float | None:
        """Of a class; None where it has no boundary in either."""
        predicted, reference = int(self.predicted[position]), int(self.reference[position])
        if not predicted and not reference:
            return None
        if not predicted or not reference:
            return 0.0
        precision = float(self.predicted_met[position] / predicted)
        recall = float(self.reference_met[position] / reference)
        both = precision + recall
        return 2 * precision * recall / both if both else 0.0


class BoundaryMatcher:
    """Compares the boundaries of two rasters on one grid, in strips from the top.

    A pixel is one of its class's boundary where one of its four neighbours is another class, or in
    a prediction none. Pixels that do not count in the reference are no neighbours, and neither is
    what lies beyond the raster: there is no boundary along them.

    Args:
        tolerance: Distance between the centres of two pixels up to which they meet, in pixels.
        counts: What is added to.

    Raises:
        GlnetGeoError: The tolerance exceeds `MOST_PX`.
    """

    def __init__(self, tolerance: float, counts: BoundaryCounts) -> None:
        if tolerance > MOST_PX:
            raise GlnetGeoError(
                f"The boundary tolerance is {tolerance:.4g} pixels, and at most {MOST_PX:g} are "
                "possible. Choose a smaller one with --boundary-tolerance."
            )
        self._offsets = _disk(tolerance)
        self._reach = int(tolerance)
        self._counts = counts
        # Rows that are still needed: the last ones, whose first is `top`.
        self._reference: Positions | None = None
        self._predicted: Positions | None = None
        self._top = 0
        self._done = 0

    def push(self, reference: Positions, predicted: Positions) -> None:
        """Takes the next rows of both, h x W each."""
        if self._reference is None or self._predicted is None:
            self._reference, self._predicted = reference, predicted
        else:
            self._reference = np.concatenate([self._reference, reference])
            self._predicted = np.concatenate([self._predicted, predicted])
        # A row's boundary depends on the row below it.
        self._count(self._top + len(self._reference) - 1 - self._reach)

    def finish(self) -> None:
        """Counts the rows that waited for others below them."""
        if self._reference is not None:
            self._count(self._top + len(self._reference))

    def _count(self, ready: int) -> None:
        if self._reference is None or self._predicted is None or ready <= self._done:
            return
        counts, rows = self._counts, (self._done - self._top, ready - self._top)
        actual = _boundary(self._reference, self._reference)
        claimed = _boundary(self._predicted, self._reference)
        _match(claimed, actual, rows, self._offsets, counts.predicted, counts.predicted_met)
        _match(actual, claimed, rows, self._offsets, counts.reference, counts.reference_met)
        self._done = ready
        surplus = max(ready - self._reach - 1 - self._top, 0)
        self._reference = self._reference[surplus:].copy()
        self._predicted = self._predicted[surplus:].copy()
        self._top += surplus


def _disk(radius: float) -> npt.NDArray[np.int64]:
    """Steps of rows and columns to the pixels within a radius, the nearest first, N x 2."""
    reach = int(radius)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    distance = np.hypot(rows, columns).ravel()
    order = np.argsort(distance, kind="stable")
    # Tolerances in metres are rounded when they become pixels.
    order = order[distance[order] <= radius + 1e-9]
    return np.stack([rows.ravel()[order], columns.ravel()[order]], axis=1).astype(np.int64)


@kernel
def _boundary(labels: Positions, domain: Positions) -> Positions:
    """Positions on boundaries, and 255 elsewhere; `domain` tells which pixels count."""
    height, width = labels.shape
    found = np.full((height, width), 255, np.uint8)
    for y in range(height):
        for x in range(width):
            here = labels[y, x]
            if here >= 254 or domain[y, x] >= 254:
                continue
            if (
                (x > 0 and labels[y, x - 1] != here and domain[y, x - 1] < 254)
                or (x + 1 < width and labels[y, x + 1] != here and domain[y, x + 1] < 254)
                or (y > 0 and labels[y - 1, x] != here and domain[y - 1, x] < 254)
                or (y + 1 < height and labels[y + 1, x] != here and domain[y + 1, x] < 254)
            ):
                found[y, x] = here
    return found


@kernel
def _match(
    these: Positions,
    others: Positions,
    rows: tuple[int, int],
    offsets: npt.NDArray[np.int64],
    total: Counts,
    met: Counts,
) -> None:
    """Counts the boundary pixels of some rows, and those that have one of their class near."""
    height, width = these.shape
    occurs = np.zeros(256, np.bool_)
    for y in range(height):
        for x in range(width):
            occurs[others[y, x]] = True
    for y in range(rows[0], rows[1]):
        for x in range(width):
            position = these[y, x]
            if position == 255:
                continue
            total[position] += 1
            if not occurs[position]:
                continue
            for k in range(len(offsets)):
                row, column = y + offsets[k, 0], x + offsets[k, 1]
                is_inside = 0 <= row < height and 0 <= column < width
                if is_inside and others[row, column] == position:
                    met[position] += 1
                    break
