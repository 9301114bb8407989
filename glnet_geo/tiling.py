"""Which frames a scene has and which patches a frame has: pure integers.

A *frame* is one GLNet image: a global view of all of it and full-resolution *patches* that cover
it. A scene no larger than a frame is one frame; a larger one is covered by overlapping frames, each
of which finishes its *core*. The arithmetic of patches and of crops of feature maps is that of
the reference implementation (tests/data/reference/README.md, steps 3 and 4), half-to-even rounding
included.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from glnet_geo.grid import Window

MIN_PATCH_OVERLAP = 50
"""Pixels that neighbouring patches share at least (the paper, section 4.1)."""

MIN_FRAME_SCALE, MAX_FRAME_SCALE = 0.8, 1.25
"""How far a frame may depart from the extent that a model was trained on."""


_NEARER_FRAMES = 1.03
"""How many times the fewest patches may be spent on frames nearer the trained extent."""


class FrameExtent(StrEnum):
    """Frames other than of a given number of pixels: as the card says, or all of the scene."""

    CARD = "card"
    SCENE = "scene"


@dataclass(frozen=True, slots=True)
class Frame:
    """A part of a scene that the network sees at once.

    Attributes:
        read: The pixels that the network sees.
        core: The pixels that the frame finishes; inside `read`. Cores partition the scene.
    """

    read: Window
    core: Window

    def __post_init__(self) -> None:
        if not self.read.contains(self.core):
            raise ValueError(f"core {self.core} reaches outside read {self.read}")

    def within(self, outer: Window) -> Frame:
        """The same frame in coordinates in which `outer` is given."""
        return Frame(self.read.within(outer), self.core.within(outer))


@dataclass(frozen=True, slots=True)
class FrameAxis:
    """Where frames lie along one axis of a scene.

    Attributes:
        length: Pixels of the scene.
        size: Pixels of a frame.
        starts: First pixel of each frame, rising from 0; the last frame ends at the border.
    """

    length: int
    size: int
    starts: tuple[int, ...]

    def __post_init__(self) -> None:
        ends = (0, *(start + self.size for start in self.starts))
        gaps = any(start > end for start, end in zip(self.starts, ends, strict=False))
        if gaps or self.starts[0] != 0 or ends[-1] != self.length:
            raise ValueError(f"frames of {self.size} at {self.starts} do not cover {self.length}")

    @property
    def cores(self) -> tuple[tuple[int, int], ...]:
        """First pixel and end of what each frame finishes: all that no later frame reads."""
        return tuple(pairwise((*self.starts, self.length)))


@dataclass(frozen=True, slots=True)
class FramePlan:
    """The frames of a scene, in rows and columns.

    Worked on row by row, from the left, each frame finishes what neither the next one of its
    row nor the next row reads.

    Attributes:
        rows: Where they lie from top to bottom.
        columns: Where they lie from left to right.
    """

    rows: FrameAxis
    columns: FrameAxis

    def __len__(self) -> int:
        return len(self.rows.starts) * len(self.columns.starts)

    def __iter__(self) -> Iterator[Frame]:
        for row in range(len(self.rows.starts)):
            yield from self.row(row)

    def row(self, row: int) -> Iterator[Frame]:
        """The frames of one row, from the left."""
        top, (core_top, core_bottom) = self.rows.starts[row], self.rows.cores[row]
        for left, (core_left, core_right) in zip(
            self.columns.starts, self.columns.cores, strict=True
        ):
            yield Frame(
                Window(top, left, self.rows.size, self.columns.size),
                Window(core_top, core_left, core_bottom - core_top, core_right - core_left),
            )


@dataclass(frozen=True, slots=True)
class ViewAxis:
    """How the pixels of a scene lie under those of a view of it, along one axis.

    The view covers the same ground with another number of pixels.

    Attributes:
        scene: Pixels of the scene.
        view: Pixels of the view.
    """

    scene: int
    view: int

    def first(self, position: int) -> int:
        """The first pixel of the scene whose centre lies at a border in the view, or behind it."""
        return -((self.view - 2 * position * self.scene) // (2 * self.view))

    def under(self, start: int, end: int) -> range | list[int]:
        """The view's pixel at the centre of each of the scene's pixels from `start` to `end`."""
        if self.scene == self.view:
            return range(start, end)
        return [(2 * k + 1) * self.view // (2 * self.scene) for k in range(start, end)]


@dataclass(frozen=True, slots=True)
class Mirror:
    """A way to look at a frame.

    Attributes:
        rows: Whether its bottom is at the top.
        columns: Whether its right side is on the left.
    """

    rows: bool
    columns: bool

    @property
    def axes(self) -> list[int]:
        """The axes of an image ... x H x W that are turned round."""
        return [axis for axis, is_turned in ((-2, self.rows), (-1, self.columns)) if is_turned]


def mirrors(views: int) -> tuple[Mirror, ...]:
    """The ways to look at a frame of which a prediction is the mean: 1, 2 or 4 of them.

    Raises:
        ValueError: There are no such.
    """
    if views not in (1, 2, 4):
        raise ValueError(f"a frame is looked at in 1, 2 or 4 ways, got {views}")
    every = (Mirror(rows, columns) for rows in (False, True) for columns in (False, True))
    return tuple(every)[:views]


@dataclass(frozen=True, slots=True)
class PatchLayout:
    """The patches of a frame.

    Attributes:
        height: Rows of the frame, at least `patch_size`.
        width: Columns of the frame, at least `patch_size`.
        patch_size: Side of a patch in pixels, above `MIN_PATCH_OVERLAP`.
        tops: First row of each row of patches.
        lefts: First column of each column of patches.
    """

    height: int
    width: int
    patch_size: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    @classmethod
    def cover(cls, height: int, width: int, patch_size: int) -> PatchLayout:
        """Covers a frame with the reference's grid of patches.

        Raises:
            ValueError: The frame is smaller than a patch, or a patch no larger than the overlap.
        """
        tops = patch_starts(height, patch_size)
        return cls(height, width, patch_size, tops, patch_starts(width, patch_size))

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    @property
    def windows(self) -> tuple[Window, ...]:
        """The patches in frame pixels, row by row."""
        size = self.patch_size
        return tuple(Window(top, left, size, size) for top in self.tops for left in self.lefts)

    def mirrored(self, mirror: Mirror) -> PatchLayout:
        """The patches of the mirrored frame; they are in the order of its own rows."""
        tops, lefts, size = self.tops, self.lefts, self.patch_size
        if mirror.rows:
            tops = tuple(self.height - size - top for top in reversed(tops))
        if mirror.columns:
            lefts = tuple(self.width - size - left for left in reversed(lefts))
        return PatchLayout(self.height, self.width, size, tops, lefts)

    def crop(self, patch: Window, height: int, width: int) -> Window:
        """Where a patch lies in a feature map of the whole frame.

        Each of the four numbers is rounded on its own, as in the reference. Where that leads
        past the border (a side of exactly twice the patch) the crop ends there.

        Args:
            patch: One of `windows`.
            height: Rows of the feature map.
            width: Columns of the feature map.
        """
        top = _round(patch.top / self.height * height)
        left = _round(patch.left / self.width * width)
        rows = max(_round(height * self.patch_size / self.height), 1)
        columns = max(_round(width * self.patch_size / self.width), 1)
        top, left = min(top, height - 1), min(left, width - 1)
        return Window(top, left, min(rows, height - top), min(columns, width - left))


def patch_starts(length: int, patch_size: int) -> tuple[int, ...]:
    """First pixels of the patches along one axis; the last patch ends at the border.

    Args:
        length: Pixels along the axis, at least `patch_size`.
        patch_size: Side of a patch in pixels, above `MIN_PATCH_OVERLAP`.

    Raises:
        ValueError: One of the two is too small.
    """
    if patch_size <= MIN_PATCH_OVERLAP:
        raise ValueError(f"a patch must exceed {MIN_PATCH_OVERLAP} pixels, got {patch_size}")
    if length < patch_size:
        raise ValueError(f"{length} pixels are fewer than the patch's {patch_size}")
    count = -(-length // patch_size)
    if count == 1:
        return (0,)
    while patch_size - (length - patch_size) / (count - 1) < MIN_PATCH_OVERLAP:
        count += 1
    return tuple(_round(k * (length - patch_size) / (count - 1)) for k in range(count))


def scene_frames(
    height: int,
    width: int,
    frame: int | FrameExtent,
    trained: int,
    overlap: int,
    patch_size: int,
    is_exact: bool = False,
) -> FramePlan:
    """Covers a scene with frames as they are asked for.

    Args:
        height: Rows of the scene.
        width: Columns of the scene.
        frame: Side of the frames, or where it comes from.
        trained: Side of the frames that the model was trained on, in pixels.
        overlap: Pixels that neighbouring frames share at least.
        patch_size: Side of a patch in pixels.
        is_exact: Whether frames have exactly the trained side, if it comes from there.
    """
    extent, scales = trained, (1.0, 1.0)
    if frame is FrameExtent.SCENE:
        extent = max(height, width)
    elif isinstance(frame, int):
        extent = frame
    elif not is_exact:
        scales = (MIN_FRAME_SCALE, MAX_FRAME_SCALE)
    return plan_frames(height, width, extent, overlap, patch_size, scales)


def plan_frames(
    height: int,
    width: int,
    extent: int,
    overlap: int,
    patch_size: int,
    scales: tuple[float, float] = (MIN_FRAME_SCALE, MAX_FRAME_SCALE),
) -> FramePlan:
    """Covers a scene with overlapping frames of nearly the trained extent.

    On each axis the extent is taken, within the given scales, that computes the fewest patch
    pixels, or hardly more and is nearer the trained one. A scene no larger than the largest frame
    may be a single one.

    Args:
        height: Rows of the scene.
        width: Columns of the scene.
        extent: Side of the frames that the model was trained on, in pixels.
        overlap: Pixels that neighbouring frames share at least, below half of `extent`.
        patch_size: Side of a patch in pixels.
        scales: Smallest and largest frame as parts of `extent`.
    """
    sides = math.ceil(scales[0] * extent), math.floor(scales[1] * extent)
    return FramePlan(
        *(
            _axis(length, *_axis_frame_size(length, extent, sides, overlap, patch_size))
            for length in (height, width)
        )
    )


def _axis(length: int, size: int, count: int) -> FrameAxis:
    starts = (k * (length - size) // max(count - 1, 1) for k in range(count))
    return FrameAxis(length, size, tuple(starts))


def _axis_frame_size(
    length: int, extent: int, sides: tuple[int, int], overlap: int, patch_size: int
) -> tuple[int, int]:
    """The size and number of frames along one axis with the fewest patch pixels."""
    smallest, largest = sides
    if length <= smallest:
        return length, 1
    fewest = 1 if length <= largest else -(-(length - overlap) // (largest - overlap))
    candidates = []
    # With a few frames more than the fewest, frames are smaller and may need fewer patches.
    for count in range(fewest, fewest + 5):
        size = max(-(-(length + (count - 1) * overlap) // count), smallest)
        patches = count * len(patch_starts(max(size, patch_size), patch_size))
        candidates.append((size, count, patches))
    most = _NEARER_FRAMES * min(patches for _, _, patches in candidates)
    near = [(size, count) for size, count, patches in candidates if patches <= most]
    return min(near, key=lambda one: abs(one[0] - extent))


def _round(value: float) -> int:
    """Half to even, as the reference's np.round."""
    return round(value)
