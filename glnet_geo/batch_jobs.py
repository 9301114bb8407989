"""The jobs of a batch: blocks of frames through the network, and maps cut from them.

Jobs are small and carry paths, so that any process that sees the same files can run them.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from glnet_geo.batch_resources import Digests, Model, model_of, placed_area, segmenter_of
from glnet_geo.blending import Blender, MemoryStrips, axis_weights
from glnet_geo.block_layout import Block, BlockLayout
from glnet_geo.block_scores import BlockMosaic, BlockScores, Positions, block_path
from glnet_geo.devices import precision_of
from glnet_geo.errors import BatchError, RasterError
from glnet_geo.features import AreaOfInterest
from glnet_geo.frame_source import Footing, FrameSource, ReadyFrame
from glnet_geo.grid import Grid, Window
from glnet_geo.legend import NODATA
from glnet_geo.map_options import MapOptions
from glnet_geo.mapping import Labels
from glnet_geo.opening import gdal_environment
from glnet_geo.polygon_options import PolygonOptions
from glnet_geo.radiometry import Stretch, find_stretch
from glnet_geo.raster import SceneReader
from glnet_geo.raster_output import MapContent, write_map
from glnet_geo.remote import is_fetched
from glnet_geo.scene import Scene
from glnet_geo.tile_mosaic import PlacedTile, TileMosaic
from glnet_geo.vector_summary import VectorSummary

_CHUNK_PIXELS = 4_000_000  # of a map that are written at a time


@dataclass(frozen=True, slots=True)
class MosaicTask:
    """What the jobs of a mosaic, or of a scene by itself, have in common.

    Attributes:
        options: How it is mapped. A bundled model goes by its name: in other processes the
            package may lie elsewhere.
        digests: Of the files that the options name.
        grid: Its grid.
        footing: The view of it that the network sees.
        layout: The blocks of frames.
        folder: Where blocks lie.
        is_lone: Whether it is a scene by itself, which fails if it cannot be read; else what of
            a tile cannot be read has no data.
        attempts: How often a tile that cannot be read is tried.
    """

    options: MapOptions
    digests: Digests
    grid: Grid
    footing: Footing
    layout: BlockLayout
    folder: Path
    is_lone: bool
    attempts: int

    @property
    def model(self) -> Model:
        """The model as this process finds it.

        Raises:
            BatchError: It is another one than the batch began with.
        """
        found = model_of(self.options.model, self.digests.model)
        if found.tags["MODEL_SHA256"] != self.digests.model:
            raise BatchError(f"The model {self.options.model} has changed since the batch began.")
        return found

    @property
    def area(self) -> AreaOfInterest | None:
        """The area of interest on the grid, which need not meet it."""
        aoi = self.options.aoi
        if aoi is None:
            return None
        return placed_area(aoi, self.digests.aoi, self.grid, self.options.safe)

    def open_scene(self, tiles: tuple[PlacedTile, ...], failures: dict[str, str]) -> Scene:
        """Opens the scene, or the mosaic of some of its tiles."""
        open_tile = self.options.opener(self.model.card)
        if self.is_lone:
            return open_tile(tiles[0].path)
        return TileMosaic(tiles, self.grid, open_tile, failures, self.attempts)


@dataclass(frozen=True, slots=True)
class StretchJob:
    """Finds what the pixel values of a scene or mosaic are mapped to; returns a `Stretch`."""

    task: MosaicTask
    tiles: tuple[PlacedTile, ...]

    @property
    def label(self) -> str:
        """For messages."""
        return f"{self.tiles[0].name} (values)"

    def prepare(self) -> None:
        """Nothing to do ahead."""

    def discard(self) -> None:
        """Nothing to let go of."""

    def __call__(self) -> Stretch:
        """Reads a sample of the pixels."""
        remote = any(is_fetched(tile.path) for tile in self.tiles)
        with (
            gdal_environment(remote=remote),
            closing(self.task.open_scene(self.tiles, {})) as scene,
        ):
            return find_stretch(scene, self.task.options.scale)


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What came of a block.

    Attributes:
        failures: Why tiles could not be read, by name.
        seconds: How long it took.
    """

    failures: dict[str, str]
    seconds: float


@dataclass(slots=True)
class BlockJob:
    """Computes a block of frames and leaves its scores in the task's folder.

    Attributes:
        task: What it belongs to.
        tiles: The tiles that its frames read.
        block: The block.
        stretch: Mapping of pixel values to 0-255.
    """

    task: MosaicTask
    tiles: tuple[PlacedTile, ...]
    block: Block
    stretch: Stretch
    _failures: dict[str, str] = field(default_factory=dict, init=False)
    _frames: Generator[ReadyFrame | None] | None = field(default=None, init=False)
    _first: tuple[ReadyFrame | None, ...] = field(default=(), init=False)

    @property
    def label(self) -> str:
        """For messages."""
        more = f" and {len(self.tiles) - 1} more" if len(self.tiles) > 1 else ""
        return f"{self.tiles[0].name}{more} ({self.block.row}, {self.block.column})"

    def prepare(self) -> None:
        """Reads the first frames."""
        frames = self._read()
        self._first = (next(frames),)
        self._frames = frames

    def discard(self) -> None:
        """Lets go of what was read ahead."""
        if self._frames is not None:
            self._frames.close()
        self._frames, self._first = None, ()

    def __call__(self) -> BlockResult:
        """Runs the frames through the network.

        Raises:
            GlnetGeoError: A scene by itself cannot be read, or the disk is full.
        """
        started = time.monotonic()
        frames = self._frames or self._read()
        try:
            with closing(frames):
                self._map(chain(self._first, frames))
        except RasterError:
            if self._failures.keys() != {tile.name for tile in self.tiles}:
                raise
            # Nothing is left to map; what failed is told tile by tile.
        finally:
            self._frames, self._first = None, ()
        return BlockResult(self._failures, time.monotonic() - started)

    def _read(self) -> Generator[ReadyFrame | None]:
        task, layout = self.task, self.task.layout
        remote = any(is_fetched(tile.path) for tile in self.tiles)
        task.folder.mkdir(parents=True, exist_ok=True)
        open_scene = partial(task.open_scene, self.tiles, self._failures)
        with TemporaryDirectory(
            prefix="spool-", dir=task.folder, ignore_cleanup_errors=True
        ) as folder:
            source = FrameSource(
                open_scene, task.footing, self.stretch, task.area, Path(folder), remote
            )
            yield from source.read(layout.plan(self.block), part=layout.extent(self.block))

    def _map(self, frames: Iterator[ReadyFrame | None]) -> None:
        task, layout = self.task, self.task.layout
        options = task.options
        segmenter = segmenter_of(
            options.model,
            self.task.digests.model,
            options.device,
            options.precision,
            options.reference,
            options.frame,
            options.views_of(task.model.card),
        )
        plan, extent = layout.plan(self.block), layout.extent(self.block)
        columns = layout.columns.members(self.block.column)
        weights = (
            [axis_weights(layout.rows.frames)[self.block.row]],
            axis_weights(layout.columns.frames)[columns.start : columns.stop],
        )
        blender = Blender(plan, MemoryStrips(), weights)
        scores = BlockScores(layout, self.block, len(segmenter.legend))
        for column, frame in enumerate(plan):
            ready = next(frames)
            if ready is None:
                blender.skip()
                continue
            for top, finished in blender.add(0, column, segmenter(ready.chip)):
                place = Window(top, frame.core.left, *finished.shape[1:])
                scores.add(place.within(extent), finished)
        basis = basis_of(self.stretch, self._failures)
        path = block_path(task.folder, self.block)
        scores.save(path, basis, precision_of(segmenter.dtype))


def basis_of(stretch: Stretch, missing: Iterable[str] = ()) -> str:
    """What a block is made of besides its task: how values were mapped, and no missing tile."""
    return f"{stretch} without {sorted(missing)}"


@dataclass(frozen=True, slots=True)
class TileResult:
    """What came of a tile.

    Attributes:
        content: What its map holds.
        cautions: What whoever reads the map should know.
        seconds: How long it took to cut it out.
    """

    content: MapContent
    cautions: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class TileJob:
    """Cuts the map of a tile, or of a scene by itself, from finished blocks.

    Attributes:
        task: What it belongs to.
        tile: The tile.
        stretch: How its pixel values were mapped, for the tags.
        output: Its map.
    """

    task: MosaicTask
    tile: PlacedTile
    stretch: Stretch
    output: Path

    @property
    def label(self) -> str:
        """For messages."""
        return self.tile.name

    def prepare(self) -> None:
        """Nothing to do ahead."""

    def discard(self) -> None:
        """Nothing to let go of."""

    def __call__(self) -> TileResult:
        """Writes the map.

        Raises:
            GlnetGeoError: The tile or a block cannot be read, or the disk is full.
        """
        started = time.monotonic()
        self.output.parent.mkdir(parents=True, exist_ok=True)
        task, path = self.task, self.tile.path
        card = task.model.card
        open_scene = partial(task.options.opener(card), path)
        area = task.area
        blocks = BlockMosaic(task.layout, task.folder)
        view = task.footing.over(self.tile.place)
        with gdal_environment(remote=is_fetched(path)), open_scene() as scene:
            cautions = tuple(task.options.cautions(scene, card, task.footing))
            tags = {
                **task.model.tags,
                **task.options.tags(scene, card, task.footing, self.stretch, area),
                "PRECISION": ", ".join(sorted(blocks.precisions(view))),
            }
            pieces = self._pieces(card.legend.ids, scene, area, blocks)
            content = write_map(self.output, pieces, scene.grid, card.legend, tags)
        return TileResult(content, cautions, time.monotonic() - started)

    def _pieces(
        self,
        ids: Labels,
        scene: SceneReader,
        area: AreaOfInterest | None,
        blocks: BlockMosaic,
    ) -> Iterator[tuple[Labels, Window]]:
        """The class ids of the tile, some rows at a time."""
        for window in scene.grid.window.rows(max(_CHUNK_PIXELS // scene.grid.width, 1)):
            labels = ids[self._positions(blocks, window)]
            if not scene.is_all_valid:
                labels[~scene.read(window).valid] = NODATA
            if area is not None:
                labels[~area.mask(window.within(self.tile.place))] = NODATA
            yield labels, window

    def _positions(self, blocks: BlockMosaic, window: Window) -> Positions:
        """Positions of classes in a window of the tile."""
        footing, place = self.task.footing, window.within(self.tile.place)
        if footing.is_scene:
            return blocks.read(place)
        # The nearest pixel of the view: class ids have no values in between.
        rows = np.array(footing.rows.under(place.top, place.bottom))
        columns = np.array(footing.columns.under(place.left, place.right))
        top, left = int(rows[0]), int(columns[0])
        seen = blocks.read(Window(top, left, int(rows[-1]) - top + 1, int(columns[-1]) - left + 1))
        nearest: Positions = seen[(rows - top)[:, None], columns - left]
        return nearest


@dataclass(frozen=True, slots=True)
class PolygonJob:
    """Makes polygons of a map that is there; returns their `VectorSummary`.

    Attributes:
        name: The scene's name.
        map: Its map.
        polygons: How they are made.
    """

    name: str
    map: Path
    polygons: PolygonOptions

    @property
    def label(self) -> str:
        """For messages."""
        return f"{self.name} (polygons)"

    def prepare(self) -> None:
        """Nothing to do ahead."""

    def discard(self) -> None:
        """Nothing to let go of."""

    def __call__(self) -> VectorSummary:
        """Makes them.

        Raises:
            GlnetGeoError: See `vectorize`.
        """
        return self.polygons.make(self.map)
