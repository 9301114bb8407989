"""Splits of scenes by blocks on the ground: what is trained on and what is scored lie apart.

Pixels near each other look alike: labels drawn at random for scoring would score what has been
learned by heart (Roberts et al. 2017, doi 10.1111/ecog.02881).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glnet_geo.errors import DatasetError
from glnet_geo.grid import Grid, Window
from glnet_geo.units import Length

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[Any]

SPLITS = ("train", "val", "test")
_DEGREE_M = 111_320.0  # metres of a degree of latitude; blocks are squares in degrees
_ROUND = 5  # blocks on a side of the squares in which shares hold


@dataclass(frozen=True, slots=True)
class Blocks:
    """The `[blocks]` table: a lattice of squares, each of which belongs to one split.

    Lengths in metres are taken along the axes of a scene's CRS from its origin, so that scenes in
    one CRS agree about a place; in degrees along both axes where the CRS has degrees. Lengths in
    pixels begin at the scene's corner. The shares hold in every square of 5 x 5 blocks, as nearly
    as its 25 blocks allow.

    Attributes:
        size: Side of a block.
        buffer: Labels of "train" so near to a block of another split are left out.
        val: Share of the blocks for validation, 0-1.
        test: Share of the blocks for a test.
        seed: Chooses which.

    Raises:
        DatasetError: A value makes no sense.
    """

    size: Length
    buffer: Length | None = None
    val: float = 0.2
    test: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.buffer is not None:
            if self.buffer.unit != self.size.unit:
                raise DatasetError("size and buffer of [blocks] have the same unit, m or px.")
            if self.buffer.value >= self.size.value / 2:
                raise DatasetError("buffer of [blocks] is less than half of size.")
        if min(self.val, self.test) < 0 or not 0 < self.val + self.test < 1:
            raise DatasetError(
                "val and test of [blocks] are shares that add up to between 0 and 1."
            )
        for split in ("val", "test"):
            share = getattr(self, split)
            if share and not self._count(share):
                raise DatasetError(f"{split} of [blocks] is 0, or at least 0.02 (a block of 25).")

    @property
    def used(self) -> tuple[str, ...]:
        """The splits that have blocks."""
        return tuple(split for split in SPLITS if split == "train" or getattr(self, split))

    def splits(self, rows: Numbers, columns: Numbers) -> npt.NDArray[np.int8]:
        """The split of blocks, as a position in `SPLITS`; arrays of any shape."""
        squares, place = _square_of(rows, columns)
        result = np.empty(place.shape, np.int8)
        keys, inverse = np.unique(squares.reshape(-1, 2), axis=0, return_inverse=True)
        for index, (row, column) in enumerate(keys.tolist()):
            here = inverse.reshape(place.shape) == index
            result[here] = self._deal(row, column)[place[here]]
        return result

    def _deal(self, row: int, column: int) -> npt.NDArray[np.int8]:
        """The splits of the blocks of a square, row by row."""
        text = f"{self.seed} {row} {column}".encode()
        rng = np.random.default_rng(list(hashlib.sha256(text).digest()))
        dealt = np.zeros(_ROUND**2, np.int8)
        val, test = self._count(self.val), self._count(self.test)
        order = rng.permutation(_ROUND**2)
        dealt[order[:val]], dealt[order[val : val + test]] = 1, 2
        return dealt

    @staticmethod
    def _count(share: float) -> int:
        return round(share * _ROUND**2)


@dataclass(frozen=True, slots=True)
class BlockRegion:
    """The pixels whose labels one split may use.

    Attributes:
        blocks: The lattice.
        split: One of `SPLITS`.
    """

    blocks: Blocks
    split: str

    def mask(self, grid: Grid, window: Window) -> Mask:
        """Which pixels of a window the split may use, H x W.

        Raises:
            DatasetError: Blocks are in metres, and the grid has no CRS.
        """
        x, y = self._places(grid, window)
        mine: Mask = self._splits(x, y) == SPLITS.index(self.split)
        if self.split != "train" or self.blocks.buffer is None:
            return mine
        reach = self.blocks.buffer.value / self.blocks.size.value
        # A square around the place: its corners are farther than the buffer, its edges are not. It
        # is smaller than a block, so that its corners and edges' middles meet every block in it.
        for dx in (-reach, 0.0, reach):
            for dy in (-reach, 0.0, reach):
                if dx or dy:
                    mine &= self._splits(x + dx, y + dy) == 0
        return mine

    def touches(self, grid: Grid, window: Window) -> bool:
        """Whether the split may use any pixel of a window."""
        return bool(self.mask(grid, window).any())

    def _splits(self, x: Numbers, y: Numbers) -> npt.NDArray[np.int8]:
        """The split at places in blocks, as a position in `SPLITS`; x and y are broadcast."""
        rows, columns = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
        top, left = rows.min(), columns.min()
        # A window has millions of pixels, but few blocks.
        some = np.meshgrid(
            np.arange(top, rows.max() + 1), np.arange(left, columns.max() + 1), indexing="ij"
        )
        found: npt.NDArray[np.int8] = self.blocks.splits(*some)[rows - top, columns - left]
        return found

    def _places(self, grid: Grid, window: Window) -> tuple[Numbers, Numbers]:
        """X and y of the pixels' centres, in blocks: H x W, or 1 x W and H x 1 of upright grids."""
        columns = np.arange(window.left, window.right)[None, :] + 0.5
        rows = np.arange(window.top, window.bottom)[:, None] + 0.5
        size = self.blocks.size
        if size.unit == "px":
            return columns / size.value, rows / size.value
        if grid.crs is None:
            raise DatasetError(
                "size of [blocks] is in metres, but a scene has no CRS. Give it in pixels, such as "
                "1024px."
            )
        place, side = grid.transform, size.value
        if grid.crs.startswith("GEOG"):
            side /= _DEGREE_M
        x = place.a * columns + place.c + (place.b * rows if place.b else 0)
        y = place.e * rows + place.f + (place.d * columns if place.d else 0)
        return x / side, y / side


def _square_of(rows: Numbers, columns: Numbers) -> tuple[Numbers, Numbers]:
    """The square that each block is in, ... x 2, and its number in it."""
    squares = np.stack([rows // _ROUND, columns // _ROUND], axis=-1)
    return squares, rows % _ROUND * _ROUND + columns % _ROUND
