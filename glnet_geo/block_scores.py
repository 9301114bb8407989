"""What blocks of frames leave for the maps that are cut from them.

A block finishes the classes of the pixels that it alone reads. Of those that it shares with other
blocks it keeps the blended scores; whoever cuts a map from them adds up those of all blocks, frames
of one row first and rows from the top, as `Blender` does. So the classes are those of an undivided
run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache, partial, reduce
from itertools import product
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from glnet_geo.blending import FrameScores, best_class
from glnet_geo.block_layout import Block, BlockLayout
from glnet_geo.errors import BatchError, OutputError
from glnet_geo.grid import Window
from glnet_geo.outputs import publish
from glnet_geo.precision import Precision

Positions = npt.NDArray[np.uint8]
"""Positions of classes, H x W."""

_CLASSES, _BASIS, _PRECISION = "classes", "basis", "precision"
_OPEN_FILES = 8


class BlockScores:
    """Takes the blended scores of a block, and keeps what others need of them.

    Args:
        layout: The blocks.
        block: The block.
        n_classes: Classes of the scores.
    """

    def __init__(self, layout: BlockLayout, block: Block, n_classes: int) -> None:
        self._closed = layout.closed(block)
        size = (self._closed.height, self._closed.width) if self._closed else (0, 0)
        self._classes = np.zeros(size, np.uint8)
        self._margins = {
            name: (window, np.zeros((n_classes, window.height, window.width), np.float32))
            for name, window in margins(layout, block).items()
        }

    def add(self, window: Window, scores: FrameScores) -> None:
        """Takes the scores K x H x W of some pixels; each of them comes once."""
        shared = window.intersection(self._closed) if self._closed else None
        if shared and self._closed:
            here = shared.relative_to(window).slices
            self._classes[shared.relative_to(self._closed).slices] = best_class(scores[:, *here])
        for place, kept in self._margins.values():
            shared = window.intersection(place)
            if shared:
                here = shared.relative_to(window).slices
                kept[:, *shared.relative_to(place).slices] = scores[:, *here]

    def save(self, path: Path, basis: str, precision: Precision) -> None:
        """Writes them to a file, whole or not at all.

        Args:
            path: The file.
            basis: What they are made of beyond what the file's place says, for `is_whole`.
            precision: What the networks computed in.

        Raises:
            OutputError: The disk is full.
        """
        arrays = {name: kept for name, (_, kept) in self._margins.items()}
        # A worker that is believed dead may be at the same block.
        unfinished = path.with_name(f"{path.name}.{uuid4().hex}")
        try:
            told = {_BASIS: basis, _PRECISION: str(precision)}
            save_file({_CLASSES: self._classes, **arrays}, unfinished, told)
            publish(unfinished, path)
        except (OSError, SafetensorError) as error:
            unfinished.unlink(missing_ok=True)
            raise OutputError(f"{path} cannot be written: {error} (is the disk full?).") from error


def margins(layout: BlockLayout, block: Block) -> Mapping[str, Window]:
    """The parts of a block that others read too; none where there are no others."""
    extent, closed = layout.extent(block), layout.closed(block)
    if closed is None:
        return {"top": extent}
    sides = {
        "top": (extent.top, extent.left, closed.top - extent.top, extent.width),
        "bottom": (closed.bottom, extent.left, extent.bottom - closed.bottom, extent.width),
        "left": (closed.top, extent.left, closed.height, closed.left - extent.left),
        "right": (closed.top, closed.right, closed.height, extent.right - closed.right),
    }
    return {name: Window(*side) for name, side in sides.items() if math.prod(side[2:])}


class BlockMosaic:
    """The classes that finished blocks make together.

    Args:
        layout: The blocks.
        folder: Where their files lie.
    """

    def __init__(self, layout: BlockLayout, folder: Path) -> None:
        self._layout = layout
        # Mapped into memory, so that only what is read takes any.
        self._open = lru_cache(_OPEN_FILES)(partial(_open_block, folder))

    def precisions(self, window: Window) -> set[str]:
        """What the networks computed in that some pixels come from.

        Raises:
            BatchError: The file of a block is missing or damaged.
        """
        touching = self._layout.touching(window)
        return {self._open(block).metadata()[_PRECISION] for block in touching}

    def read(self, window: Window) -> Positions:
        """The classes of some pixels.

        Raises:
            BatchError: The file of a block is missing or damaged.
        """
        positions = np.empty((window.height, window.width), np.uint8)
        rows = self._layout.rows.cells(window.top, window.bottom)
        columns = [*self._layout.columns.cells(window.left, window.right)]
        for (top, bottom, block_rows), (left, right, block_columns) in product(rows, columns):
            cell = Window(top, left, bottom - top, right - left)
            positions[cell.relative_to(window).slices] = self._cell(cell, block_rows, block_columns)
        return positions

    def _cell(self, cell: Window, rows: range, columns: range) -> Positions:
        if len(rows) == len(columns) == 1:
            block = Block(rows[0], columns[0])
            closed = self._layout.closed(block)
            if closed is not None and closed.contains(cell):
                here = cell.relative_to(closed).slices
                classes: Positions = self._open(block).get_slice(_CLASSES)[here]
                return classes
        sums = (self._row_sum(row, columns, cell) for row in rows)
        return best_class(reduce(np.add, sums))

    def _row_sum(self, row: int, columns: range, cell: Window) -> FrameScores:
        scores = (self._scores(Block(row, column), cell) for column in columns)
        total: FrameScores = reduce(np.add, scores)
        return total

    def _scores(self, block: Block, cell: Window) -> FrameScores:
        for name, place in margins(self._layout, block).items():
            if place.contains(cell):
                rows, columns = cell.relative_to(place).slices
                scores: FrameScores = self._open(block).get_slice(name)[:, rows, columns]
                return scores
        raise AssertionError(f"{cell} lies in no margin of {block}")


def is_whole(path: Path, basis: str) -> bool:
    """Whether the file of a block is there, and made of that."""
    try:
        with safe_open(path, "numpy") as file:
            told = file.metadata()
            return bool(told.get(_BASIS) == basis and _PRECISION in told)
    except (SafetensorError, OSError):
        return False


def block_path(folder: Path, block: Block) -> Path:
    """The file of a block."""
    return folder / f"block-{block.row}-{block.column}"


def _open_block(folder: Path, block: Block) -> Any:  # safetensors has no types here
    path = block_path(folder, block)
    try:
        return safe_open(path, "numpy")
    except (SafetensorError, OSError) as error:
        raise BatchError(f"{path} cannot be read: {error}. Run the batch again.") from error
