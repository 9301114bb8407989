"""Which frames of a plan are computed together: pure integers.

A *block* is a rectangle of frames that one job computes. Most of the pixels that its frames read
are *closed*: frames of no other block read them. The rest is shared with the blocks beside it; the
scores of all are added up later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from glnet_geo.grid import Window
from glnet_geo.tiling import FrameAxis, FramePlan


@dataclass(frozen=True, slots=True)
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
        ends = (*self.firsts[1:], len(self.frames.starts))
        return range(self.firsts[block], ends[block])

    def extent(self, block: int) -> tuple[int, int]:
        """First pixel and end of what a block's frames read."""
        members, starts = self.members(block), self.frames.starts
        return starts[members.start], starts[members.stop - 1] + self.frames.size

    def closed(self, block: int) -> tuple[int, int]:
        """First pixel and end of what frames of no other block read."""
        start, end = self.extent(block)
        if block > 0:
            start = self.extent(block - 1)[1]
        if block < len(self) - 1:
            end = self.extent(block + 1)[0]
        return start, end

    def touching(self, start: int, end: int) -> range:
        """The blocks whose frames read any of some pixels."""
        found = [
            block
            for block in range(len(self))
            if self.extent(block)[0] < end and start < self.extent(block)[1]
        ]
        return range(found[0], found[-1] + 1)

    def cells(self, start: int, end: int) -> Iterator[tuple[int, int, range]]:
        """Parts of some pixels that are read by the same blocks: start, end and those blocks."""
        for block in self.touching(start, end):
            first, last = self.closed(block)
            zones = [(first, last, range(block, block + 1))]
            if block < len(self) - 1:
                zones.append((last, self.closed(block + 1)[0], range(block, block + 2)))
            for zone_start, zone_end, blocks in zones:
                here = max(zone_start, start), min(zone_end, end)
                if here[0] < here[1]:
                    yield *here, blocks


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a layout, by its row and column among the blocks."""

    row: int
    column: int


@dataclass(frozen=True, slots=True)
class BlockLayout:
    """The blocks of a plan.

    Attributes:
        rows: From top to bottom.
        columns: From left to right.
    """

    rows: BlockAxis
    columns: BlockAxis

    @classmethod
    def cover(cls, plan: FramePlan, rows: int, columns: int) -> BlockLayout:
        """Blocks of about so many rows and columns of frames."""
        return cls(BlockAxis.cover(plan.rows, rows), BlockAxis.cover(plan.columns, columns))

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
        return _window(self.rows.extent(block.row), self.columns.extent(block.column))

    def closed(self, block: Block) -> Window:
        """The pixels that frames of no other block read."""
        return _window(self.rows.closed(block.row), self.columns.closed(block.column))

    def plan(self, block: Block) -> FramePlan:
        """A block's frames by themselves, in pixels of its extent."""
        return FramePlan(
            _part(self.rows, block.row),
            _part(self.columns, block.column),
        )


def _part(axis: BlockAxis, block: int) -> FrameAxis:
    start, end = axis.extent(block)
    starts = tuple(axis.frames.starts[k] - start for k in axis.members(block))
    return FrameAxis(end - start, axis.frames.size, starts)


def _window(rows: tuple[int, int], columns: tuple[int, int]) -> Window:
    return Window(rows[0], columns[0], rows[1] - rows[0], columns[1] - columns[0])
