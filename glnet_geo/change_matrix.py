"""From what to what: pixels and areas by class of the old map and of the new one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glnet_geo.boundary_scores import FIRST_NONE
from glnet_geo.change_rules import SHIFTED, SMALL, UNSURE, ChangeRows
from glnet_geo.ground import Floats, Ground
from glnet_geo.kernels import kernel

RULES = {"confidence": UNSURE, "tolerance": SHIFTED, "min_area": SMALL}
"""What suppresses a change, in the order in which it does."""

NO_CODE = 0xFFFF
"""The code of a pixel that is not compared; others are 256 times the old class plus the new one."""

Counts = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint16]

_FATES = 4


@dataclass(frozen=True, slots=True, eq=False)
class ChangeMatrix:
    """Pixels and areas by class of the old map (rows) and of the new one.

    The last row and the last column hold the sums.

    Attributes:
        pixels: (K + 1) x (K + 1).
        areas: The same in the ground's unit.
    """

    pixels: Counts
    areas: Floats

    @classmethod
    def of(cls, pixels: Counts, areas: Floats, ground: Ground) -> ChangeMatrix:
        """A matrix with its sums.

        Args:
            pixels: K x K.
            areas: The same in the ground's unit; of no account where all pixels have one area.
            ground: How large they are.
        """
        pixels = _with_sums(pixels, np.sum)
        if ground.is_uniform:
            return cls(pixels, pixels * ground.row_area[0])  # rounded once, as everywhere
        return cls(pixels, _with_sums(areas, _exact_sums))

    @property
    def changed(self) -> tuple[int, float]:
        """Pixels and area off the diagonal."""
        off_diagonal = ~np.eye(len(self.pixels) - 1, dtype=np.bool_)
        pixels, areas = self.pixels[:-1, :-1], self.areas[:-1, :-1]
        return int(pixels[off_diagonal].sum()), math.fsum(areas[off_diagonal])

    def to_dict(self, unit_area: float | None) -> dict[str, Any]:
        """The JSON form.

        Args:
            unit_area: What areas are divided by; None where there are none.
        """
        table: dict[str, Any] = {
            "pixels": self.pixels[:-1, :-1].tolist(),
            "old_pixels": self.pixels[:-1, -1].tolist(),
            "new_pixels": self.pixels[-1, :-1].tolist(),
        }
        if unit_area is not None:
            areas = self.areas / unit_area
            table["area_ha"] = areas[:-1, :-1].tolist()
            table["old_area_ha"] = areas[:-1, -1].tolist()
            table["new_area_ha"] = areas[-1, :-1].tolist()
        return table


def _with_sums(table: Any, total: Any) -> Any:
    rows = np.column_stack([table, total(table, axis=1)])
    return np.vstack([rows, total(rows, axis=0)])


def _exact_sums(table: Floats, axis: int) -> Floats:
    return np.array([math.fsum(one) for one in (table if axis else table.T)])


class ChangeTally:
    """Adds up what becomes of pixels.

    Args:
        ground: How large they are.

    Attributes:
        counts: Pixels by fate, old and new class, 4 x 256 x 256.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.counts: Counts = np.zeros((_FATES, 256, 256), np.int64)
        self._areas = np.zeros((_FATES, 256, 256))
        self._of_row = np.zeros(self.counts.size, np.int64)
        self._met = np.empty(self.counts.size, np.int32)

    def add(self, rows: ChangeRows) -> Codes:
        """Counts a strip, and returns the code of each of its pixels, H x W.

        What is suppressed counts as the old class, and so do codes.
        """
        codes = np.empty(rows.old.shape, np.uint16)
        row_area = self._ground.row_area[rows.top : rows.top + rows.height]
        _count(
            (rows.old, rows.new, rows.fate),
            row_area,
            (self.counts.ravel(), self._areas.ravel()),
            (self._of_row, self._met),
            codes,
        )
        return codes

    @property
    def pixels(self) -> int:
        """All that are compared."""
        return int(self.counts.sum())

    def positions(self) -> list[int]:
        """Positions of the classes that either map has where both have one."""
        mapped = self.counts.sum(axis=0)
        return np.flatnonzero(mapped.sum(axis=0) + mapped.sum(axis=1)).tolist()

    def mapped(self, order: Sequence[int]) -> ChangeMatrix:
        """As the maps say.

        Args:
            order: Positions of the classes, in the order of the rows and columns.
        """
        return self._matrix(self.counts.sum(axis=0), self._areas.sum(axis=0), order)

    def kept(self, order: Sequence[int]) -> ChangeMatrix:
        """What is left: what is suppressed is what it was."""
        tables = []
        for table in (self.counts, self._areas):
            suppressed = table[1:].sum(axis=(0, 2))
            tables.append(table[0] + np.diag(suppressed))
        return self._matrix(tables[0], tables[1], order)

    def suppressed(self, rule: int, order: Sequence[int]) -> ChangeMatrix:
        """What a rule suppresses."""
        return self._matrix(self.counts[rule], self._areas[rule], order)

    def _matrix(self, pixels: Counts, areas: Floats, order: Sequence[int]) -> ChangeMatrix:
        chosen = np.ix_(order, order)
        return ChangeMatrix.of(pixels[chosen], areas[chosen], self._ground)


@kernel
def _count(
    strip: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint8]],
    row_area: Floats,
    totals: tuple[Counts, Floats],
    scratch: tuple[Counts, npt.NDArray[np.int32]],
    codes: Codes,
) -> None:
    """Adds the pixels of a strip, row by row so that sums of areas are of few parts.

    Args:
        strip: Old classes, new classes and fates, H x W each.
        row_area: Area of a pixel of each row, H.
        totals: Pixels and areas by fate, old and new class.
        scratch: Zeros, as many as there are totals; and as many numbers of any value.
        codes: H x W; filled in.
    """
    old, new, fate = strip
    pixels, areas = totals
    of_row, met = scratch
    height, width = old.shape
    for y in range(height):
        n_met = 0
        for x in range(width):
            here, there = np.int64(old[y, x]), np.int64(new[y, x])
            if here >= FIRST_NONE or there >= FIRST_NONE:
                codes[y, x] = NO_CODE
                continue
            key = (np.int64(fate[y, x]) << 16) + (here << 8) + there
            if of_row[key] == 0:
                met[n_met] = key
                n_met += 1
            of_row[key] += 1
            codes[y, x] = (here << 8) + (there if fate[y, x] == 0 else here)
        for k in range(n_met):
            key = met[k]
            pixels[key] += of_row[key]
            areas[key] += of_row[key] * row_area[y]
            of_row[key] = 0
