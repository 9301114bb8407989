"""Splits by spatial blocks: neighbouring pixels of two splits would leak what the model learns.

A scene is cut into square blocks, and each block belongs to one split. Pixels near a boundary look
alike on both sides of it, and so do the frames around them; scores on blocks next to training
blocks are too good (Roberts et al. 2017, Cross-validation strategies for data with temporal,
spatial, hierarchical, or phylogenetic structure, Ecography 40). A buffer keeps them apart: training
labels near a block of another split are dropped.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from glnet_geo.errors import DatasetError
from glnet_geo.grid import Grid, Window
from glnet_geo.units import Length, parse_length

Split = Literal["train", "val", "test"]
Floats = npt.NDArray[np.floating]
Blocks = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

SPLITS: tuple[Split, ...] = ("train", "val", "test")

_METRES_PER_DEGREE = 111_320.0  # of latitude
# 1 / p and 1 / p^2 of the plastic number p, as fractions of 2^64: their multiples fill the range
# evenly in every direction of the lattice.
_COLUMN_STEP = np.uint64(13925035116211875841)
_ROW_STEP = np.uint64(10511698010929264641)
_STRIP = 64  # rows


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """How scenes are cut into blocks: the `[blocks]` table.

    Attributes:
        size: Side of a block, on the ground or in pixels.
        buffer: Training labels that near to a block of another split are dropped; None keeps all.
        val: Share of the blocks for validation.
        test: Share of the blocks for the test.
        seed: Which of the blocks they are.

    Raises:
        DatasetError: Shares or lengths make no sense.
    """

    size: Length
    buffer: Length | None = None
    val: float = 0.2
    test: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.buffer is not None:
            if self.buffer.unit != self.size.unit:
                raise DatasetError(
                    "size and buffer of [blocks] are in different units. Give both in m, or both "
                    "in px."
                )
            if self.buffer.value >= self.size.value / 2:
                raise DatasetError(
                    f"buffer of [blocks] ({self.buffer}) is not below half of size ({self.size}): "
                    "nothing of a block would be left. Choose larger blocks."
                )
        for name, share in (("val", self.val), ("test", self.test)):
            if type(share) not in (int, float) or not 0 <= share < 1:
                raise DatasetError(f"{name} of [blocks] is not a share from 0 to below 1.")
        if self.val + self.test >= 1:
            raise DatasetError("val and test of [blocks] leave nothing for training: lower them.")
        if self.val + self.test == 0:
            raise DatasetError(
                'val and test of [blocks] are both 0. Set a share, or split = "train".'
            )
        if type(self.seed) is not int:
            raise DatasetError("seed of [blocks] is not a whole number.")

    @classmethod
    def from_dict(cls, table: Any) -> BlockPlan:
        """Reads the `[blocks]` table of a dataset file.

        Raises:
            DatasetError: A key is unknown, missing or makes no sense.
        """
        if not isinstance(table, Mapping):
            raise DatasetError("[blocks] is not a table.")
        unknown = sorted(set(table) - {"size", "buffer", "val", "test", "seed"})
        if unknown:
            raise DatasetError(f"[blocks] has the unknown key {unknown[0]!r}.")
        values = dict(table)
        if "size" not in values:
            raise DatasetError('[blocks] needs a size, such as "500m" or "512px".')
        for name in (one for one in ("size", "buffer") if one in values):
            length = parse_length(values[name])
            if length is None:
                raise DatasetError(
                    f"{name} of [blocks]: {values[name]!r:.40} is not a length such as 500m or "
                    "64px."
                )
            values[name] = length
        return cls(**values)

    def shares(self) -> dict[Split, float]:
        """Share of the blocks by split; those without any are left out."""
        shares: dict[Split, float] = {
            "train": 1 - self.val - self.test,
            "val": self.val,
            "test": self.test,
        }
        return {split: share for split, share in shares.items() if share > 0}

    def regions(self, image: str) -> dict[Split, BlockRegion]:
        """The parts of a scene by split.

        Args:
            image: Names the scene, as in `BlockRegion`.
        """
        return {split: BlockRegion(self, split, image) for split in self.shares()}


@dataclass(frozen=True, slots=True)
class BlockRegion:
    """The blocks of one split.

    Blocks in metres lie on a lattice along the axes of the scene's CRS that starts at (0, 0), so
    that overlapping scenes in one CRS agree. Metres are those of the CRS (Web Mercator's are
    shorter on the ground). In a geographic CRS a block is size / 111,320 degrees high and wide:
    narrower on the ground towards the poles, where the buffer keeps its width in metres all the
    same. Blocks in pixels start at the scene's upper left corner.

    The splits take turns by a fixed rule instead of by lot: block (row, column) has the number
    u = frac(u0 + column / p + row / p^2), p = 1.3247 being the plastic number and u0 depending on
    the seed, and belongs to val below its share, then to test, else to train. These numbers spread
    evenly (a Kronecker sequence), so that few blocks get their share too: with val = 0.2 each 3 x 3
    blocks have one to three for validation. The lot would leave one in seven with none.

    Attributes:
        plan: How the scene is cut.
        split: Whose blocks.
        image: Names the scene, for messages; blocks in pixels differ by it, lest small scenes be
            all alike.
    """

    plan: BlockPlan
    split: Split
    image: str

    def mask(self, grid: Grid, window: Window) -> Mask:
        """The pixels whose labels the split may use.

        A pixel belongs to the block that its centre lies in. For training those are left out that
        have a block of another split within the buffer, along either axis (Chebyshev's distance,
        which keeps more apart than Euclid's).

        Args:
            grid: The scene's.
            window: Pixels of it, H x W.

        Returns:
            H x W.

        Raises:
            DatasetError: The blocks are in metres, and the scene has no CRS.
        """
        # In strips, since places of slanted pixels take eight bytes or more each.
        return np.concatenate([self._strip(grid, rows) for rows in window.rows(_STRIP)])

    def touches(self, grid: Grid, window: Window) -> bool:
        """Whether the split may use labels of any pixel of a window; arguments as of `mask`."""
        return any(self._strip(grid, rows).any() for rows in window.rows(_STRIP))

    def _strip(self, grid: Grid, window: Window) -> Mask:
        x, y, size, reach = self._places(grid, window)
        used = self._owns(x, y, size)
        if self.split == "train" and self.plan.buffer is not None:
            x_reach, y_reach = reach
            for dx in _steps(x_reach, size):
                for dy in _steps(y_reach, size):
                    used = used & self._owns(x + dx, y + dy, size)
        return np.broadcast_to(used, (window.height, window.width))

    def _places(
        self, grid: Grid, window: Window
    ) -> tuple[Floats, Floats, float, tuple[Floats, Floats]]:
        """Centres of pixels, side of a block and buffer along x and y, all in the lattice's unit.

        Arrays are H x W, or H x 1 or 1 x W where they do not depend on the other.
        """
        size = self.plan.size.value
        width = 0.0 if self.plan.buffer is None else self.plan.buffer.value
        buffer: Floats = np.full((1, 1), width)
        columns: Floats = np.arange(window.left, window.right)[None] + 0.5
        rows: Floats = np.arange(window.top, window.bottom)[:, None] + 0.5
        if self.plan.size.unit == "px":
            return columns, rows, size, (buffer, buffer)
        if not grid.is_georeferenced or grid.crs is None:
            raise DatasetError(
                f"{self.image} has no CRS: its blocks cannot be in metres. Give size and buffer of "
                '[blocks] in pixels, such as "512px".'
            )
        place = grid.transform
        x = place.a * columns + (place.b * rows if place.b else 0.0) + place.c
        y = place.e * rows + (place.d * columns if place.d else 0.0) + place.f
        if grid.crs.startswith("GEOG"):
            buffer = buffer / _METRES_PER_DEGREE
            # Longest nearest to a pole; below a hundredth a degree of longitude is next to nothing.
            shrinkage: Floats = np.maximum(np.cos(np.radians(np.abs(y) + buffer)), 0.01)
            return x, y, size / _METRES_PER_DEGREE, (buffer / shrinkage, buffer)
        unit = _metres_per_unit(grid.crs)
        return x, y, size / unit, (buffer / unit, buffer / unit)

    def _owns(self, x: Floats, y: Floats, size: float) -> Mask:
        """Whether places lie in blocks of the split."""
        column, row = (np.floor(axis / size).astype(np.int64).view(np.uint64) for axis in (x, y))
        if column.shape[0] > 1 or row.shape[1] > 1:
            return self._owned(column, row)
        # Blocks along the axes are looked at once each instead of once a pixel.
        columns, of_column = np.unique(column, return_inverse=True)
        rows, of_row = np.unique(row, return_inverse=True)
        owned = self._owned(columns[None], rows[:, None])
        return owned[of_row.ravel()][:, of_column.ravel()]

    def _owned(self, column: Blocks, row: Blocks) -> Mask:
        # Whole numbers that wrap around are the fractional part, exactly and on every machine.
        u = (self._start() + column * _COLUMN_STEP + row * _ROW_STEP) / 2.0**64
        val, test = self.plan.val, self.plan.val + self.plan.test
        low, high = {"val": (0.0, val), "test": (val, test), "train": (test, 2.0)}[self.split]
        owned: Mask = (u >= low) & (u < high)
        return owned

    def _start(self) -> np.uint64:
        scene = self.image if self.plan.size.unit == "px" else ""
        digest = hashlib.sha256(f"{self.plan.seed} {scene}".encode()).digest()
        return np.uint64(int.from_bytes(digest[:8], "big"))


def _steps(reach: Floats, size: float) -> list[Floats]:
    """Offsets from -reach to reach that are at most a block apart: none is skipped."""
    pieces = max(math.ceil(float(reach.max()) / size), 1)
    return [reach * step / pieces for step in range(-pieces, pieces + 1)]


def _metres_per_unit(crs: str) -> float:
    """Of the axes of a projected CRS; US survey feet are still in use."""
    # The unit of the axes comes first after the CS; a compound CRS has that of heights after it.
    match = re.search(r'\bCS\[Cartesian.*?LENGTHUNIT\["[^"]*",([0-9.eE+-]+)', crs, re.DOTALL)
    return float(match[1]) if match else 1.0
