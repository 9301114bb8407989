"""Which frames of a plan are computed together: pure integers.

A *block* is some neighbouring frames of one row, which one job computes. Most of the pixels that
its frames read are *closed*: frames of no other block read them. The rest is shared with the blocks
around it; the scores of all are added up later.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from glnet_geo.grid import Window
from glnet_geo.tiling import FrameAxis, FramePlan

Interval = tuple[int, int]
"""First pixel and end."""


@dataclass(frozen=True)
class BlockAxis:
    """Blocks of frames along one axis.

    Attributes:
        frames: All frames of the axis.
        firsts: The first frame of each block, rising from 0.
    """

    frames: FrameAxis
    firsts: tuple[int, ...]

    @classmethod
    def cover(cls, frames: FrameAxis, per_block: int) -> BlockAxis:
        """Blocks of about so many frames each.

        Where three frames share a pixel, or nearly so, there is one block: the order in which their
        scores are added decides the last digit, and it must be that of an undivided run.
        """
        count = len(frames.starts)
        pairs = zip(frames.starts, frames.starts[2:], strict=False)
        if any(third <= first + frames.size for first, third in pairs):
            return cls(frames, (0,))
        blocks = max(round(count / per_block), 1)
        return cls(frames, tuple(k * count // blocks for k in range(blocks)))

    def __len__(self) -> int:
        return len(self.firsts)

    def members(self, block: int) -> range:
        """The frames of a block."""
        following = self.firsts[block + 1 : block + 2]
        return range(self.firsts[block], *(following or (len(self.frames.starts),)))

    @cached_property
    def extents(self) -> tuple[Interval, ...]:
        """What the frames of each block read."""
        starts, size = self.frames.starts, self.frames.size
        members = map(self.members, range(len(self)))
        return tuple((starts[one.start], starts[one.stop - 1] + size) for one in members)

    def closed(self, block: int) -> Interval:
        """What frames of no other block read; nothing where the end is not behind the start."""
        start, end = self.extents[block]
        if block > 0:
            start = self.extents[block - 1][1]
        if block < len(self) - 1:
            end = self.extents[block + 1][0]
        return start, end

    def touching(self, start: int, end: int) -> range:
        """The blocks whose frames read any of some pixels."""
        first = bisect_right(self.extents, start, key=lambda extent: extent[1])
        return range(first, bisect_left(self.extents, end, key=lambda extent: extent[0]))

    def cells(self, start: int, end: int) -> Iterator[tuple[int, int, range]]:
        """Parts of some pixels that are read by the same blocks: start, end and those blocks."""
        cuts = {place for block in self.touching(start, end) for place in self.extents[block]}
        places = sorted({start, end, *(place for place in cuts if start < place < end)})
        for here, there in pairwise(places):
            yield here, there, self.touching(here, there)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a layout, by its row and column among the blocks."""

    row: int
    column: int


@dataclass(frozen=True, slots=True)
class BlockLayout:
    """The blocks of a plan.

    Attributes:
        rows: From top to bottom; a row of blocks is a row of frames.
        columns: From left to right.
    """

    rows: BlockAxis
    columns: BlockAxis

    @classmethod
    def cover(cls, plan: FramePlan, columns: int) -> BlockLayout:
        """Blocks of about so many frames."""
        rows = tuple(range(len(plan.rows.starts)))
        return cls(BlockAxis(plan.rows, rows), BlockAxis.cover(plan.columns, columns))

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def __iter__(self) -> Iterator[Block]:
        for row in range(len(self.rows)):
            for column in range(len(self.columns)):
                yield Block(row, column)

    def touching(self, window: Window) -> Iterator[Block]:
        """The blocks whose frames read any pixel of a window."""
        for row in self.rows.touching(window.top, window.bottom):
            for column in self.columns.touching(window.left, window.right):
                yield Block(row, column)

    def extent(self, block: Block) -> Window:
        """The pixels that a block's frames read."""
        top, bottom = self.rows.extents[block.row]
        left, right = self.columns.extents[block.column]
        return Window(top, left, bottom - top, right - left)

    def closed(self, block: Block) -> Window | None:
        """The pixels that frames of no other block read."""
        (top, bottom), (left, right) = (
            self.rows.closed(block.row),
            self.columns.closed(block.column),
        )
        if top >= bottom or left >= right:
            return None
        return Window(top, left, bottom - top, right - left)

    def plan(self, block: Block) -> FramePlan:
        """A block's frames by themselves, in pixels of its extent."""
        return FramePlan(_part(self.rows, block.row), _part(self.columns, block.column))


def _part(axis: BlockAxis, block: int) -> FrameAxis:
    start, end = axis.extents[block]
    starts = tuple(axis.frames.starts[k] - start for k in axis.members(block))
    return FrameAxis(end - start, axis.frames.size, starts)
