"""The frames of a scene, read ahead and made ready for the network."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glnet_geo.buffers import LADDER, Buffers
from glnet_geo.filling import Mask, fill_invalid
from glnet_geo.grid import Grid, Window
from glnet_geo.opening import gdal_environment
from glnet_geo.radiometry import Stretch
from glnet_geo.raster import Chip, SceneReader
from glnet_geo.scene import Scene
from glnet_geo.spooling import spool_window
from glnet_geo.tiling import Frame, FramePlan, ViewAxis
from glnet_geo.validity import Validity

if TYPE_CHECKING:
    from glnet_geo.features import AreaOfInterest

_BY_MASK = Validity(any_valid=True)
_MARGIN = 2  # pixels of the scene that resampling may look at beyond a window


@dataclass(frozen=True, slots=True)
class Footing:
    """How the pixels that the network sees (the view) lie on those of the scene.

    Attributes:
        rows: From top to bottom.
        columns: From left to right.
    """

    rows: ViewAxis
    columns: ViewAxis

    @classmethod
    def of_scene(cls, grid: Grid) -> Footing:
        """The scene's own pixels."""
        return cls(ViewAxis(grid.height, grid.height), ViewAxis(grid.width, grid.width))

    @property
    def is_scene(self) -> bool:
        """Whether they are the scene's own."""
        return all(axis.scene == axis.view for axis in (self.rows, self.columns))

    def under(self, window: Window) -> Window | None:
        """The scene's pixels whose centres lie in a window of the view; None without any."""
        top, bottom = self.rows.first(window.top), self.rows.first(window.bottom)
        left, right = self.columns.first(window.left), self.columns.first(window.right)
        if top == bottom or left == right:
            return None
        return Window(top, left, bottom - top, right - left)

    def over(self, window: Window, reach: bool = False) -> Window:
        """The view's pixels at the centres of those of a window of the scene.

        Args:
            window: The window.
            reach: Whether those that it is resampled into count too.
        """
        if self.is_scene:
            return window
        top, bottom = _over(self.rows, window.top, window.bottom, reach)
        left, right = _over(self.columns, window.left, window.right, reach)
        return Window(top, left, bottom - top, right - left)


def _over(axis: ViewAxis, start: int, end: int, reach: bool) -> tuple[int, int]:
    if not reach:
        return axis.under(start, start + 1)[0], axis.under(end - 1, end)[0] + 1
    scale = axis.view / axis.scene
    first = max(math.floor((start - _MARGIN) * scale), 0)
    return first, min(math.ceil((end + _MARGIN) * scale), axis.view)


@dataclass(frozen=True, slots=True)
class ReadyFrame:
    """A frame, ready for the network.

    Attributes:
        chip: Its uint8 pixels, filled where they are invalid, and which are valid.
        wanted: H x W; True where a pixel is valid and inside the area of interest.
    """

    chip: Chip
    wanted: Mask


def _as_it_is(chip: Chip) -> Chip:
    return chip


@dataclass(frozen=True, slots=True)
class FrameSource:
    """Reads frames one ahead of the network, in a thread with handles of its own.

    Attributes:
        open_scene: Opens the scene.
        footing: The view that the frames are windows of.
        stretch: Mapping of the scene's pixel values to 0-255.
        area: The area of interest; None for all of the scene.
        folder: Where a striped scene is kept in tiles, a row of frames at a time; None where it
            may be read in windows, decoding the same strips again and again.
        remote: Whether the scene is fetched.
        stage: What else is done with a frame before its turn.
        buffers: What may be held in memory.
    """

    open_scene: Callable[[], Scene]
    footing: Footing
    stretch: Stretch
    area: AreaOfInterest | None = None
    folder: Path | None = None
    remote: bool = False
    stage: Callable[[Chip], Chip] = _as_it_is
    buffers: Buffers = LADDER[0]

    def spools(self, scene: Scene, plan: FramePlan) -> bool:
        """Whether a scene is put down in tiles, a row of frames at a time, if there is a folder."""
        is_whole = len(plan.columns.starts) == 1 and plan.columns.size == self.footing.columns.scene
        # Names would become quantities there.
        return scene.is_striped and not scene.is_nominal and not is_whole

    def read(
        self, plan: FramePlan, first_row: int = 0, part: Window | None = None
    ) -> Generator[ReadyFrame | None]:
        """Yields the plan's frames from a row on; None for those in which no pixel is wanted.

        Args:
            plan: The frames.
            first_row: The row of frames to begin with.
            part: The part of the view that the plan is of; None for all of it.

        Raises:
            RasterError: The scene is damaged or has vanished.
        """
        part = part or Window(0, 0, self.footing.rows.view, self.footing.columns.view)
        rows = range(first_row, len(plan.rows.starts))
        frames = (frame.within(part) for row in rows for frame in plan.row(row))
        with ThreadPoolExecutor(1) as pool:
            worker = pool.submit(_Worker, self, plan, part).result()
            try:
                ahead = pool.submit(worker.prepare, next(frames))
                for frame in frames:
                    ready, ahead = ahead.result(), pool.submit(worker.prepare, frame)
                    yield ready
                    del ready
                yield ahead.result()
            finally:
                pool.submit(worker.close).result()


class _Worker:
    """What lives in the reading thread."""

    def __init__(self, source: FrameSource, plan: FramePlan, part: Window) -> None:
        self._source = source
        self._part = part
        with gdal_environment(source.buffers.cache_mb, source.remote):
            self._scene = source.open_scene()
        self._spool: _Spool | None = None
        if source.folder is not None and source.spools(self._scene, plan):
            self._spool = _Spool(self._scene, source.folder / "spool")

    def close(self) -> None:
        if self._spool is not None:
            self._spool.close()
        self._scene.close()

    def prepare(self, frame: Frame) -> ReadyFrame | None:
        footing, area = self._source.footing, self._source.area
        window = footing.under(frame.read)
        if window is None or (area is not None and not area.touches(window)):
            return None
        chip = self._read(frame.read)
        wanted = chip.valid
        if area is not None and footing.is_scene:
            wanted = wanted & area.mask(window)
        if not wanted.any():
            return None
        fill_invalid(chip.pixels, chip.valid)
        return ReadyFrame(self._source.stage(chip), wanted)

    def _read(self, window: Window) -> Chip:
        """Reads a window of the view as uint8."""
        footing, scene = self._source.footing, self._scene
        size = (window.height, window.width)
        pixels = np.empty((scene.n_bands, *size), np.uint8)
        valid = np.empty(size, np.bool_)
        buffers = self._source.buffers
        with gdal_environment(buffers.cache_mb, self._source.remote):
            if self._spool is not None:
                scene = self._spool.holding(self._under(window))
            view = scene.view(footing.rows.view, footing.columns.view)
            # In parts: floats of a whole frame would take more memory than the network.
            for part in window.rows(max(buffers.read_pixels // window.width, 1)):
                chip, rows = view.read(part), part.relative_to(window).slices[0]
                pixels[:, rows] = self._source.stretch.apply(chip.pixels)
                valid[rows] = chip.valid
        return Chip(pixels, valid, view.grid.crop(window))

    def _under(self, window: Window) -> Window:
        """The scene's pixels, over the width of the part, that a window of the view is made of."""
        footing = self._source.footing
        top, bottom = _reach(footing.rows, window.top, window.bottom)
        left, right = _reach(footing.columns, self._part.left, self._part.right)
        return Window(top, left, bottom - top, right - left)


def _reach(axis: ViewAxis, start: int, end: int) -> tuple[int, int]:
    """The scene's pixels that some of the view's are made of: first and end."""
    scale = axis.scene / axis.view
    first = max(math.floor(start * scale) - _MARGIN, 0)
    return first, min(math.ceil(end * scale) + _MARGIN, axis.scene)


class _Spool:
    """A window of a striped scene, in tiles."""

    def __init__(self, scene: Scene, path: Path) -> None:
        self._scene = scene
        self._path = path
        self._window: Window | None = None
        self._tiles: SceneReader | None = None

    def holding(self, window: Window) -> SceneReader:
        """The scene in tiles, of which those of the window are filled."""
        if self._tiles is None or window != self._window:
            self.close()
            spool_window(self._scene, window, self._path)
            # Its mask says what is valid, whatever the bands hold.
            self._tiles, self._window = SceneReader(self._path, validity=_BY_MASK), window
        return self._tiles

    def close(self) -> None:
        """Removes the file."""
        if self._tiles is not None:
            self._tiles.close()
            self._tiles = None
        self._path.unlink(missing_ok=True)
