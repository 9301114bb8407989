"""Frames through a segmenter, blended, into class ids on the scene's own grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from typing import Protocol

import numpy as np
import numpy.typing as npt

from glnet_geo.blending import Blender, FrameScores, Strips, best_class
from glnet_geo.filling import Mask
from glnet_geo.frame_source import Footing, FrameSource, ReadyFrame
from glnet_geo.grid import Window
from glnet_geo.legend import NODATA, Legend
from glnet_geo.raster import Chip
from glnet_geo.scene import Scene
from glnet_geo.tiling import Frame, FramePlan

Labels = npt.NDArray[np.uint8]
_CHUNK_PIXELS = 4_000_000  # of the scene that are finished at a time


class Segmenter(Protocol):
    """What turns pixels into scores; the network is one, tests use others.

    Attributes:
        legend: The classes, in the order of the scores.
    """

    legend: Legend

    def frames(self, height: int, width: int) -> FramePlan:
        """The frames that a scene of this size is covered with."""

    def __call__(self, chip: Chip) -> Iterator[FrameScores]:
        """Scores of a frame's uint8 pixels C x H x W, in bands of K x n x W from the top."""


class LabelWriter(Protocol):
    """Takes what is finished."""

    def write(self, labels: Labels, window: Window) -> None:
        """Takes class ids H x W (`NODATA` where there is none) and their window of the scene."""


class LabelSink(Protocol):
    """Where a map goes, row of frames by row of frames."""

    def part(self, index: int, rows: Window | None) -> AbstractContextManager[LabelWriter]:
        """Takes some rows, of full width; each of their pixels comes once.

        A row of frames may finish no pixel of a scene that is coarser than its view: None.
        """


def map_scene(
    source: FrameSource,
    segmenter: Segmenter,
    sink: LabelSink,
    strips: Strips,
    first_row: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Predicts a scene frame by frame.

    Args:
        source: Reads the frames.
        segmenter: What scores a frame.
        sink: Takes the class ids; the parts partition the scene.
        strips: Keeps scores from one row of frames to the next.
        first_row: The row of frames to begin with; `strips` holds what those above left.
        report: Told the frames done and all frames.
    """
    footing = source.footing
    plan = segmenter.frames(footing.rows.view, footing.columns.view)
    blender = Blender(plan, strips)
    done = first_row * len(plan.columns.starts)
    with (
        closing(source.read(plan, first_row)) as frames,
        _Finisher(source, segmenter.legend) as finisher,
    ):
        for row in range(first_row, len(plan.rows.starts)):
            with sink.part(row, _rows_of(footing, plan, row)) as writer:
                for column, frame in enumerate(plan.row(row)):
                    report(done, len(plan))
                    done += 1
                    ready = next(frames)
                    if ready is None:
                        blender.skip()
                        finisher.write_nodata(writer, frame)
                        continue
                    bands = blender.add(row, column, segmenter(ready.chip))
                    for top, scores in bands:
                        finisher.write(writer, frame, ready, top, best_class(scores))
            strips.drop_before(row)
    report(len(plan), len(plan))


def _rows_of(footing: Footing, plan: FramePlan, row: int) -> Window | None:
    top, bottom = plan.rows.cores[row]
    return footing.under(Window(top, 0, bottom - top, footing.columns.view))


class _Finisher(AbstractContextManager["_Finisher"]):
    """Turns classes of the view into class ids of the scene."""

    def __init__(self, source: FrameSource, legend: Legend) -> None:
        self._source = source
        self._ids = legend.ids
        self._scene: Scene | None = None
        self._stack = ExitStack()

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def write_nodata(self, writer: LabelWriter, frame: Frame) -> None:
        """Writes the core of a frame in which nothing is wanted."""
        window = self._source.footing.under(frame.core)
        for chunk in _chunks(window):
            writer.write(np.full((chunk.height, chunk.width), NODATA, np.uint8), chunk)

    def write(
        self, writer: LabelWriter, frame: Frame, ready: ReadyFrame, top: int, positions: Labels
    ) -> None:
        """Writes some rows of a frame's core.

        Args:
            writer: Where to.
            frame: The frame.
            ready: Its pixels.
            top: First row of the view.
            positions: Positions of classes from there on, n x (columns of the core).
        """
        footing, labels = self._source.footing, self._ids[positions]
        core = Window(top, frame.core.left, *positions.shape)
        if footing.is_scene:
            labels[~ready.wanted[core.relative_to(frame.read).slices]] = NODATA
            writer.write(labels, core)
            return
        # The nearest pixel of the view: class ids have no values in between.
        for chunk in _chunks(footing.under(core)):
            rows = np.array(footing.rows.under(chunk.top, chunk.bottom)) - core.top
            columns = np.array(footing.columns.under(chunk.left, chunk.right)) - core.left
            enlarged = labels[rows[:, None], columns]
            enlarged[~self._wanted(chunk)] = NODATA
            writer.write(enlarged, chunk)

    def _wanted(self, window: Window) -> Mask:
        if self._scene is None:
            self._scene = self._source.open_scene()
            self._stack.callback(self._scene.close)
        area = self._source.area
        valid = self._scene.read(window).valid
        return valid if area is None else valid & area.mask(window)


def _chunks(window: Window | None) -> Iterator[Window]:
    """Parts of a window, of full width, that memory can hold; none of none."""
    if window is not None:
        yield from window.rows(max(_CHUNK_PIXELS // window.width, 1))
