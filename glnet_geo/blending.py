"""Overlapping frames into one map, with memory for one frame only.

Frames come row by row, from the left. Where they overlap their scores are averaged with weights
that fall towards a frame's border but are positive on all of it, so that no border shows and the
border of the scene is as good as its middle. What a frame adds to pixels that a later one finishes
waits: to the right in memory, below on disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from glnet_geo.tiling import FrameAxis, FramePlan

FrameScores = npt.NDArray[np.float32]
"""K x H x W: the higher, the likelier."""

Weights = Sequence[npt.NDArray[np.float32]]
"""What the pixels of each piece along an axis count."""


def blend_weights(
    starts: Sequence[int], size: int, length: int
) -> tuple[npt.NDArray[np.float32], ...]:
    """Weights of overlapping pieces along one axis: tents that add up to 1 at every pixel.

    In the overlap of two neighbours this is a linear ramp from one to the other.

    Args:
        starts: First pixel of each piece; together they cover the axis.
        size: Pixels of a piece.
        length: Pixels of the axis.

    Returns:
        `size` weights above 0 for each piece.
    """
    rising = np.arange(1.0, size + 1)
    tent = np.minimum(rising, rising[::-1])
    total = np.zeros(length)
    for start in starts:
        total[start : start + size] += tent
    return tuple((tent / total[start : start + size]).astype(np.float32) for start in starts)


def axis_weights(axis: FrameAxis) -> Weights:
    """The weights of frames along an axis."""
    return blend_weights(axis.starts, axis.size, axis.length)


class Strips(Protocol):
    """Keeps what the frames of one row add to the rows that the next one finishes."""

    def save(self, row: int, column: int, scores: FrameScores) -> None:
        """Keeps the strip below a frame's core."""

    def load(self, row: int, column: int) -> FrameScores | None:
        """The strip below a frame's core; None where none was saved."""

    def drop_before(self, row: int) -> None:
        """Forgets the strips of the rows above."""


class MemoryStrips:
    """Strips in memory, for a few frames a row."""

    def __init__(self) -> None:
        self._scores: dict[tuple[int, int], FrameScores] = {}

    def save(self, row: int, column: int, scores: FrameScores) -> None:
        """Keeps the strip below a frame's core."""
        self._scores[row, column] = scores

    def load(self, row: int, column: int) -> FrameScores | None:
        """The strip below a frame's core; None where none was saved."""
        return self._scores.get((row, column))

    def drop_before(self, row: int) -> None:
        """Forgets the strips of the rows above."""
        self._scores = {key: kept for key, kept in self._scores.items() if key[0] >= row}


class StripFiles:
    """Strips as files: they cost no memory, and an interrupted run finds them again.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, row: int, column: int, scores: FrameScores) -> None:
        """Keeps the strip below a frame's core, safe against a crash of the machine."""
        with self._path(row, column).open("wb") as file:
            np.save(file, scores)
            file.flush()
            os.fsync(file.fileno())

    def load(self, row: int, column: int) -> FrameScores | None:
        """The strip below a frame's core; None where none was saved."""
        path = self._path(row, column)
        if not path.exists():
            return None
        scores: FrameScores = np.load(path)
        return scores

    def drop_before(self, row: int) -> None:
        """Forgets the strips of the rows above."""
        for path in self._folder.glob("strip-*"):
            if int(path.name.split("-")[1]) < row:
                path.unlink()

    def _path(self, row: int, column: int) -> Path:
        return self._folder / f"strip-{row}-{column}"


class Blender:
    """Adds up the weighted scores of frames and tells those of finished pixels.

    Every frame is given to `add` or `skip` once, in the plan's order.

    Args:
        plan: The frames.
        strips: Where scores wait for the next row of frames.
        weights: Weights of the rows and of the columns of frames, where those are a part of a
            larger plan; None for `axis_weights` of the plan's own.
    """

    def __init__(
        self, plan: FramePlan, strips: Strips, weights: tuple[Weights, Weights] | None = None
    ) -> None:
        self._cores = plan.rows.cores, plan.columns.cores
        self._starts = plan.rows.starts, plan.columns.starts
        self._row_weights, self._column_weights = weights or (
            axis_weights(plan.rows),
            axis_weights(plan.columns),
        )
        self._height = plan.rows.size
        self._strips = strips
        self._from_left: FrameScores | None = None

    def skip(self) -> None:
        """A frame in which no pixel is wanted: what waits for it is wanted by nobody."""
        self._from_left = None

    def add(
        self, row: int, column: int, bands: Iterable[FrameScores]
    ) -> Iterator[tuple[int, FrameScores]]:
        """Adds a frame's scores.

        Args:
            row: The frame's row in the plan.
            column: Its column.
            bands: Its scores in bands of rows, from the top, K x n x (columns of the frame).

        Yields:
            Row of the scene, and what is finished from there on, K x n x (columns of the core).
        """
        from_above = self._strips.load(row - 1, column)
        from_left, to_right, below = self._from_left, [], []
        start, core_end = self._starts[0][row], self._cores[0][row][1]
        core_width = self._cores[1][column][1] - self._starts[1][column]
        top = 0
        for band in bands:
            bottom = top + band.shape[1]
            down = self._row_weights[row][top:bottom, None]
            scores = band * (down * self._column_weights[column])
            if from_left is not None:
                scores[:, :, : from_left.shape[2]] += from_left[:, top:bottom]
            to_right.append(scores[:, :, core_width:].copy())
            scores = scores[:, :, :core_width]
            if from_above is not None and top < from_above.shape[1]:
                waiting = from_above[:, top:bottom]
                scores[:, : waiting.shape[1]] += waiting
            finished = max(min(core_end - start - top, band.shape[1]), 0)
            if finished:
                yield start + top, scores[:, :finished]
            if finished < band.shape[1]:
                below.append(scores[:, finished:])
            top = bottom
        if top != self._height:
            raise ValueError(f"scores of {top} rows for a frame of {self._height}")
        self._from_left = np.concatenate(to_right, axis=1) if to_right[0].size else None
        if below:
            self._strips.save(row, column, np.concatenate(below, axis=1))


def best_class(scores: FrameScores) -> npt.NDArray[np.uint8]:
    """Position of the highest of K scores, H x W; the first of equal ones.

    NumPy's argmax over the first axis takes eight times as long.
    """
    best = scores[0].copy()
    positions = np.zeros(best.shape, np.uint8)
    for k, score in enumerate(scores[1:], 1):
        is_better = (score > best).view(np.uint8)
        np.maximum(positions, is_better * np.uint8(k), out=positions)
        np.maximum(best, score, out=best)
    return positions
