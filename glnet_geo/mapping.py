"""Frames through a segmenter, blended, into class ids on the scene's own grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
        """Scores of a frame's uint8 pixels C x H x W, in bands of K x n x W from the top.

        What else is told of pixels may follow the K classes' scores; it is blended as they are.
        """


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


class LayerSink(Protocol):
    """Where goes what else is told of every pixel, row of frames by row of frames."""

    @property
    def n_bands(self) -> int:
        """How many values a pixel has."""

    def measure(self, scores: FrameScores) -> Labels:
        """What is told of some pixels, B x n x W, given all that the segmenter says of them."""

    def part(self, index: int, rows: Window | None) -> AbstractContextManager[LabelWriter]:
        """As that of a `LabelSink`; it takes B x H x W and is finished before that."""


def map_scene(
    source: FrameSource,
    segmenter: Segmenter,
    sink: LabelSink,
    strips: Strips,
    first_row: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
    layers: LayerSink | None = None,
) -> None:
    """Predicts a scene frame by frame.

    Args:
        source: Reads the frames.
        segmenter: What scores a frame.
        sink: Takes the class ids; the parts partition the scene.
        strips: Keeps scores from one row of frames to the next.
        first_row: The row of frames to begin with; `strips` holds what those above left.
        report: Told the frames done and all frames.
        layers: Takes what else is told of the pixels.
    """
    footing = source.footing
    plan = segmenter.frames(footing.rows.view, footing.columns.view)
    blender = Blender(plan, strips)
    done = first_row * len(plan.columns.starts)
    sinks = [sink] if layers is None else [sink, layers]
    with (
        closing(source.read(plan, first_row)) as frames,
        _Finisher(source, segmenter.legend, layers) as finisher,
    ):
        for row in range(first_row, len(plan.rows.starts)):
            rows = _rows_of(footing, plan, row)
            with ExitStack() as parts:
                writers = [parts.enter_context(one.part(row, rows)) for one in sinks]
                for column, frame in enumerate(plan.row(row)):
                    report(done, len(plan))
                    done += 1
                    ready = next(frames)
                    if ready is None:
                        blender.skip()
                        finisher.write_nodata(writers, frame)
                        continue
                    bands = blender.add(row, column, segmenter(ready.chip))
                    for top, scores in bands:
                        finisher.write(writers, frame, ready, top, scores)
            strips.drop_before(row)
    report(len(plan), len(plan))


def _rows_of(footing: Footing, plan: FramePlan, row: int) -> Window | None:
    top, bottom = plan.rows.cores[row]
    return footing.under(Window(top, 0, bottom - top, footing.columns.view))


class _Finisher(AbstractContextManager["_Finisher"]):
    """Turns scores of the view into class ids, and what else is told, of the scene."""

    def __init__(self, source: FrameSource, legend: Legend, layers: LayerSink | None) -> None:
        self._source = source
        self._ids = legend.ids
        self._layers = layers
        self._scene: Scene | None = None
        self._stack = ExitStack()

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def write_nodata(self, writers: Sequence[LabelWriter], frame: Frame) -> None:
        """Writes the core of a frame in which nothing is wanted."""
        depths = [()] if self._layers is None else [(), (self._layers.n_bands,)]
        for chunk in _chunks(self._source.footing.under(frame.core)):
            for writer, depth in zip(writers, depths, strict=True):
                shape = (*depth, chunk.height, chunk.width)
                writer.write(np.full(shape, NODATA, np.uint8), chunk)

    def write(
        self,
        writers: Sequence[LabelWriter],
        frame: Frame,
        ready: ReadyFrame,
        top: int,
        scores: FrameScores,
    ) -> None:
        """Writes some rows of a frame's core.

        Args:
            writers: Where to: class ids, and layers if there are any.
            frame: The frame.
            ready: Its pixels.
            top: First row of the view.
            scores: What the segmenter says from there on, n x (columns of the core) each.
        """
        footing, values = self._source.footing, self._values(scores)
        core = Window(top, frame.core.left, *scores.shape[1:])
        if footing.is_scene:
            unwanted = ~ready.wanted[core.relative_to(frame.read).slices]
            for writer, each in zip(writers, values, strict=True):
                each[..., unwanted] = NODATA
                writer.write(each, core)
            return
        # The nearest pixel of the view: class ids have no values in between.
        for chunk in _chunks(footing.under(core)):
            rows = np.array(footing.rows.under(chunk.top, chunk.bottom)) - core.top
            columns = np.array(footing.columns.under(chunk.left, chunk.right)) - core.left
            unwanted = ~self._wanted(chunk)
            for writer, each in zip(writers, values, strict=True):
                enlarged = each[..., rows[:, None], columns]
                enlarged[..., unwanted] = NODATA
                writer.write(enlarged, chunk)

    def _values(self, scores: FrameScores) -> list[Labels]:
        """Class ids n x m, and layers B x n x m if there are any."""
        labels = self._ids[best_class(scores[: len(self._ids)])]
        return [labels] if self._layers is None else [labels, self._layers.measure(scores)]

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
