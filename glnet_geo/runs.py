"""Rows of a class raster as runs of equal pixels, which is how polygons are made from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NOTHING = np.iinfo(np.int64).min
"""The value of runs without data."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Rows of a class raster, run by run; neighbouring runs of a row differ in their value.

    Attributes:
        top: The first row, in rows of the raster.
        width: Pixels a row.
        first: For each row the index of its first run, and at the end the number of runs.
        start: Column of each run's first pixel, int32; every row begins with a 0.
        value: Class id of each run, int64; `NOTHING` where there is no data.
    """

    top: int
    width: int
    first: npt.NDArray[np.int64]
    start: npt.NDArray[np.int32]
    value: npt.NDArray[np.int64]

    @property
    def height(self) -> int:
        """Rows."""
        return len(self.first) - 1

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """Where each run begins, counted in pixels from the raster's first one."""
        rows = np.arange(self.top, self.top + self.height, dtype=np.int64)
        places: npt.NDArray[np.int64] = np.repeat(rows, np.diff(self.first)) * self.width
        return places + self.start

    @classmethod
    def of(
        cls, labels: npt.NDArray[np.integer], valid: npt.NDArray[np.bool_] | None, top: int
    ) -> Runs:
        """Runs of an array.

        Args:
            labels: H x W class ids.
            valid: H x W, True where there is data; None where all is.
            top: The array's first row, in rows of the raster.
        """
        height, width = labels.shape
        is_first = np.ones((height, width), np.bool_)
        np.not_equal(labels[:, 1:], labels[:, :-1], out=is_first[:, 1:])
        if valid is not None:
            # Equal ids on both sides of nodata's border differ; unequal ones in it do not.
            is_first[:, 1:] &= valid[:, 1:] | valid[:, :-1]
            is_first[:, 1:] |= valid[:, 1:] != valid[:, :-1]
        places = np.flatnonzero(is_first)
        first = np.searchsorted(places, np.arange(height + 1) * width)
        value = labels.ravel()[places].astype(np.int64)
        if valid is not None:
            value[~valid.ravel()[places]] = NOTHING
        return cls(top, width, first, (places % width).astype(np.int32), value)

    def rows(self, rows: slice) -> Runs:
        """Some of the rows."""
        first = self.first[rows.start : rows.stop + 1]
        here = slice(first[0], first[-1])
        return Runs(
            self.top + rows.start, self.width, first - first[0], self.start[here], self.value[here]
        )

    def to_array(self) -> npt.NDArray[np.int64]:
        """The rows as an array, H x W."""
        lengths = np.diff(self.places, append=(self.top + self.height) * self.width)
        return np.repeat(self.value, lengths).reshape(self.height, self.width)
