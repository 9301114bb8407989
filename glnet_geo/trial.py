"""A part of a run, by the run's own code, and what it took: time, memory, bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from glnet_geo.blending import FrameScores, StripFiles
from glnet_geo.buffers import Buffers
from glnet_geo.grid import Grid, Window
from glnet_geo.legend import NODATA
from glnet_geo.map_options import MapOptions, gauge_of, model_tags
from glnet_geo.map_summary import peak_bytes
from glnet_geo.mapping import LabelWriter, map_scene
from glnet_geo.preflight import preflight
from glnet_geo.raster import Chip
from glnet_geo.raster_output import MapParts
from glnet_geo.remote import ScenePath
from glnet_geo.scene_setup import SceneSetup, set_up
from glnet_geo.spooling import spool_window
from glnet_geo.stored_bytes import StoredBytes, stored_bytes
from glnet_geo.tiling import FramePlan, PatchLayout
from glnet_geo.uncertainty import Gauge
from glnet_geo.wanted_frames import WantedFrames, find_wanted

Labels = npt.NDArray[np.uint8]

_LEAST_FRAMES = 2  # with scores: the first one is slower
_EMPTY_S = 1.0  # how long frames without data are tried
_PUBLISHED_SIDE = 8192  # pixels; beyond, memory hardly grows and time does in proportion


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """A frame that was tried.

    Attributes:
        has_scores: Whether the network saw it: there is data in it.
        seconds: From the end of the frame before.
    """

    has_scores: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Peaks:
    """The most memory that the process had held by then, in bytes; None where nobody knows.

    Attributes:
        frames: When the frames were done.
        end: When a map of them was finished.
    """

    frames: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class Trial:
    """What was learnt.

    Attributes:
        model: Name and version of the model.
        grid: The scene's grid.
        view: Rows and columns of the pixels that the network sees.
        plan: The frames.
        patches: Patches of a frame.
        patch_size: Side of a patch in pixels.
        views: In how many ways a frame is looked at.
        wanted: Which frames have data.
        to_read: Bytes of the scene.
        warnings: What should be known beforehand.
        device: Type of the device.
        setup_seconds: From the beginning to the first frame.
        frames: The frames that were tried, in order.
        empty_seconds: What a frame without data takes.
        row_seconds: What a row of frames takes beside: of a striped scene the decoding.
        publish_seconds: What finishing the map takes.
        peaks: Memory.
        cached: Bytes that GDAL's cache could have held, of all that the frames tried have read.
        cacheable: The same for the whole run.
    """

    model: str
    grid: Grid
    view: tuple[int, int]
    plan: FramePlan
    patches: int
    patch_size: int
    views: int
    wanted: WantedFrames
    to_read: StoredBytes
    warnings: tuple[str, ...]
    device: str
    setup_seconds: float
    frames: tuple[TimedFrame, ...]
    empty_seconds: float
    row_seconds: float
    publish_seconds: float
    peaks: Peaks
    cached: int
    cacheable: int


class _EnoughError(Exception):
    """Ends a trial."""


class _CountingSegmenter:
    """A segmenter that counts its frames.

    Attributes:
        count: Frames that it was given.
    """

    def __init__(self, setup: SceneSetup) -> None:
        self._segmenter = setup.segmenter
        self.legend = setup.segmenter.legend
        self.count = 0

    def frames(self, height: int, width: int) -> FramePlan:
        return self._segmenter.frames(height, width)

    def __call__(self, chip: Chip) -> Iterator[FrameScores]:
        self.count += 1
        return self._segmenter(chip)


class _Sample:
    """A sink that hands on to another one, and keeps some class ids.

    Attributes:
        labels: Those of the last band of rows that is not all nodata; None before.
    """

    def __init__(self, parts: MapParts) -> None:
        self._parts = parts
        self.labels: Labels | None = None

    @contextmanager
    def part(self, index: int, rows: Window | None) -> Iterator[LabelWriter]:
        with self._parts.part(index, rows) as writer:
            yield _Keeping(self, writer)


@dataclass(frozen=True, slots=True)
class _Keeping:
    sample: _Sample
    writer: LabelWriter

    def write(self, labels: Labels, window: Window) -> None:
        self.writer.write(labels, window)
        if (labels != NODATA).any():
            self.sample.labels = labels.copy()


class _Layers:
    """A sink that works layers out and keeps nothing."""

    def __init__(self, gauge: Gauge) -> None:
        self.n_bands = gauge.n_bands
        self.measure = gauge.measure

    @contextmanager
    def part(self, index: int, rows: Window | None) -> Iterator[Self]:
        yield self

    def write(self, values: Labels, window: Window) -> None:
        pass


class _Clock:
    """Times frames, told of each before it begins, until it is enough.

    Args:
        count_scored: How many frames have been scored so far.
        is_enough: Says so, given the frames and the seconds since the beginning.
    """

    def __init__(
        self,
        count_scored: Callable[[], int],
        is_enough: Callable[[list[TimedFrame], float], bool],
    ) -> None:
        self.frames: list[TimedFrame] = []
        self._count_scored = count_scored
        self._is_enough = is_enough
        self._scored = 0
        self._last = self._first = time.monotonic()
        self._is_running = False

    def __call__(self, done: int, total: int) -> None:
        now, scored = time.monotonic(), self._count_scored()
        if self._is_running:
            self.frames.append(TimedFrame(scored > self._scored, now - self._last))
            if self._is_enough(self.frames, now - self._first):
                raise _EnoughError
        self._last, self._scored, self._is_running = now, scored, True


def run_trial(
    scene: ScenePath, options: MapOptions, buffers: Buffers, folder: Path, seconds: float
) -> Trial:
    """Maps some frames of a scene into a folder, and finishes a map of them.

    Args:
        scene: The scene.
        options: How it is mapped.
        buffers: What may be held in memory.
        folder: Where to; what is in it afterwards is of no use.
        seconds: How long frames are tried; two of them at least.

    Raises:
        GlnetGeoError: Something stands in the way of the real run too.
    """
    began = time.monotonic()
    with set_up(scene, options, folder, buffers) as setup:
        tags = model_tags(setup.card, setup.model_file)
        warnings = tuple(preflight(setup))
        setup_seconds = time.monotonic() - began
        plan = setup.segmenter.frames(setup.footing.rows.view, setup.footing.columns.view)
        wanted = find_wanted(setup, plan)
        row_seconds = _time_spooling(setup, plan, folder)
        frames, labels = _try_frames(setup, wanted.fullest_row, folder, seconds)
        at_frames = peak_bytes()
        publish_seconds = _time_publishing(setup, labels, folder, tags)
        peaks = Peaks(at_frames, peak_bytes())
        empty_seconds = _time_empty(setup, wanted, folder, frames)
        first = next(plan.row(0)).read
        size = setup.card.patch_size
        layout = PatchLayout.cover(max(first.height, size), max(first.width, size), size)
        view = setup.footing.rows.view, setup.footing.columns.view
        to_read = stored_bytes(setup.reader, wanted.read, setup.reader.overview_for(*view))
        map_pixels = setup.reader.grid.height * setup.reader.grid.width
        spooled = 2 if row_seconds else 1
        # One frame more is read ahead.
        share = min((len(frames) + 1) / len(plan), 1.0)
        return Trial(
            tags["MODEL"],
            setup.reader.grid,
            view,
            plan,
            len(layout),
            size,
            options.views_of(setup.card),
            wanted,
            to_read,
            warnings,
            setup.segmenter.device,
            setup_seconds,
            tuple(frames),
            empty_seconds,
            row_seconds,
            publish_seconds,
            peaks,
            round(share * (to_read.decoded * spooled + map_pixels)),
            to_read.decoded * spooled + map_pixels,
        )


def _try_frames(
    setup: SceneSetup, first_row: int, folder: Path, seconds: float
) -> tuple[list[TimedFrame], Labels | None]:
    """Maps frames from a row on, until it is enough; them, and some class ids."""

    def is_enough(frames: list[TimedFrame], elapsed: float) -> bool:
        scored = sum(frame.has_scores for frame in frames)
        return elapsed >= seconds and (scored >= _LEAST_FRAMES or not scored)

    segmenter = _CountingSegmenter(setup)
    clock = _Clock(lambda: segmenter.count, is_enough)
    sink = _Sample(MapParts(folder, folder / "map", setup.reader.grid))
    options = setup.options
    layers = _Layers(gauge_of(setup.card, options)) if options.layers else None
    with suppress(_EnoughError):
        map_scene(setup.source, segmenter, sink, StripFiles(folder), first_row, clock, layers)
    return clock.frames, sink.labels


def _time_empty(
    setup: SceneSetup, wanted: WantedFrames, folder: Path, frames: list[TimedFrame]
) -> float:
    """What a frame takes in which nothing is wanted."""
    if wanted.emptiest_row is None:
        return 0.0
    known = [frame.seconds for frame in frames if not frame.has_scores]
    if not known:
        segmenter = _CountingSegmenter(setup)
        clock = _Clock(lambda: segmenter.count, lambda frames, elapsed: elapsed >= _EMPTY_S)
        sink = _Sample(MapParts(folder, folder / "map", setup.reader.grid))
        with suppress(_EnoughError):
            row = wanted.emptiest_row
            map_scene(setup.source, segmenter, sink, StripFiles(folder), row, clock)
        known = [frame.seconds for frame in clock.frames if not frame.has_scores]
    return float(np.mean(known)) if known else 0.0


def _time_spooling(setup: SceneSetup, plan: FramePlan, folder: Path) -> float:
    """What it takes to put a row of frames down in tiles; 0 where that is not done."""
    if not setup.source.spools(setup.reader, plan):
        return 0.0
    footing = setup.footing
    window = footing.under(Window(0, 0, plan.rows.size, footing.columns.view))
    if window is None:
        return 0.0
    path = folder / "spooled"
    started = time.monotonic()
    spool_window(setup.reader, window, path)
    elapsed = time.monotonic() - started
    path.unlink()
    return elapsed


def _time_publishing(
    setup: SceneSetup, labels: Labels | None, folder: Path, tags: dict[str, str]
) -> float:
    """What it takes to finish a map of such class ids, of the scene's size."""
    grid = setup.reader.grid
    height, width = (min(side, _PUBLISHED_SIDE) for side in (grid.height, grid.width))
    # Long scenes take as many pixels as square ones.
    pixels = min(grid.height * grid.width, _PUBLISHED_SIDE**2)
    height = min(max(pixels // width, 1), grid.height)
    width = min(max(pixels // height, 1), grid.width)
    window = Window(0, 0, height, width)
    made = Path(folder / "made")
    made.mkdir()
    parts = MapParts(made, made / "map", grid.crop(window))
    sample = np.full((1, 1), NODATA, np.uint8) if labels is None else labels
    across = np.tile(sample, (1, -(-width // sample.shape[1])))[:, :width]
    with parts.filled_part(0, window) as writer:
        for rows in window.rows(len(sample)):
            writer.write(across[: rows.height], rows)
    started = time.monotonic()
    parts.publish(setup.card.legend, tags)
    return (time.monotonic() - started) * grid.height * grid.width / (height * width)
