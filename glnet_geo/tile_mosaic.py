"""Adjacent tiles read as one scene."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

from glnet_geo.chip import Chip, Mask, Pixels
from glnet_geo.errors import RasterError
from glnet_geo.grid import Grid, Window
from glnet_geo.raster import SceneReader
from glnet_geo.remote import ScenePath
from glnet_geo.scene_view import SceneView, Source, scaled

_OPEN_TILES = 64
_WIDE = 4096  # pixels of a tile
_SAMPLED_TILES = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PlacedTile:
    """A tile of a mosaic.

    Attributes:
        name: What it is called in messages and results.
        path: Where it is.
        place: Its pixels among those of the mosaic.
    """

    name: str
    path: ScenePath
    place: Window


class TileMosaic(AbstractContextManager["TileMosaic"]):
    """Tiles read as one scene; of the same use as a `SceneReader`. Not to be shared by threads.

    What lies in no tile, and in tiles that cannot be read, is invalid. Where tiles overlap, the
    first that has data counts.

    Args:
        tiles: The tiles, or those of them that matter.
        grid: The mosaic's grid.
        open_tile: Opens a tile.
        failures: Takes why tiles could not be read, by name.
        attempts: How often a tile that cannot be read is tried.

    Attributes:
        path: The first tile, for messages.
        grid: As given.
        n_bands: Bands of the pixels.
        dtype: Their type.
        is_nominal: Whether values are names, of which there is no mean.
        is_striped: Whether narrow windows make GDAL decode the same rows again and again.

    Raises:
        RasterError: None of the tiles can be opened.
    """

    def __init__(
        self,
        tiles: Sequence[PlacedTile],
        grid: Grid,
        open_tile: Callable[[ScenePath], SceneReader],
        failures: dict[str, str],
        attempts: int = 1,
    ) -> None:
        self.path, self.grid = tiles[0].path, grid
        self._failures = failures
        self._tiles = tiles
        self._open_tile = open_tile
        self._attempts = attempts
        self._open: OrderedDict[str, SceneReader] = OrderedDict()
        places = [tile.place for tile in tiles]
        self._bounds = np.array([(p.top, p.left, p.bottom, p.right) for p in places])
        first = next(filter(None, map(self._reader, tiles)), None)
        if first is None:
            raise RasterError("; ".join(self._failures.values()))
        self.n_bands, self.dtype, self.is_nominal = first.n_bands, first.dtype, first.is_nominal
        # Narrow tiles are soon decoded, and few frames touch one.
        self.is_striped = first.is_striped and first.grid.width > _WIDE

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the tiles."""
        while self._open:
            self._open.popitem()[1].close()

    def read(self, window: Window) -> Chip:
        """Reads a window of the grid; pixels of no tile are 0 and invalid."""
        shape = (window.height, window.width)
        pixels: Pixels = np.zeros((self.n_bands, *shape), self.dtype)
        valid: Mask = np.zeros(shape, np.bool_)
        for tile in self._in(window):
            shared = tile.place.intersection(window)
            assert shared is not None
            chip = self._read(tile, shared.relative_to(tile.place))
            if chip is not None:
                here = shared.relative_to(window).slices
                new = chip.valid & ~valid[here]
                np.copyto(pixels[:, *here], chip.pixels, where=new)
                valid[here] |= new
        return Chip(pixels, valid, self.grid.crop(window))

    def view(self, height: int, width: int) -> SceneView:
        """The mosaic in another number of pixels; open as long as it is."""
        source = Source(
            self._read_arrays, self.grid.window, self.n_bands, self.dtype, self.is_nominal
        )
        return SceneView(source, scaled(self.grid, height, width))

    def sample(self, side: int) -> Pixels:
        """Valid pixels of at most 64 tiles from all over the mosaic, C x N.

        Raises:
            RasterError: None of them can be read.
        """
        # Every so many of a list by rows could all lie in one column.
        order = np.random.default_rng(0).permutation(len(self._tiles))[:_SAMPLED_TILES]
        chosen = [self._tiles[k] for k in sorted(order.tolist())]
        whole = sum(tile.place.height * tile.place.width for tile in chosen)
        samples = []
        for tile in chosen:
            reader = self._reader(tile)
            share = (tile.place.height * tile.place.width / whole) ** 0.5
            try:
                if reader is not None:
                    samples.append(reader.sample(max(round(side * share), 1)))
            except RasterError as error:
                self._failures[tile.name] = str(error)
        if not samples:
            raise RasterError("; ".join(self._failures.values()))
        return np.concatenate(samples, axis=1)

    def _in(self, window: Window) -> Sequence[PlacedTile]:
        top, left, bottom, right = self._bounds.T
        inside = (top < window.bottom) & (window.top < bottom)
        inside &= (left < window.right) & (window.left < right)
        return [self._tiles[k] for k in np.flatnonzero(inside).tolist()]

    def _read_arrays(self, window: Window) -> tuple[Pixels, Mask]:
        chip = self.read(window)
        return chip.pixels, chip.valid

    def _read(self, tile: PlacedTile, window: Window) -> Chip | None:
        """A window of a tile; None of one that cannot be read."""
        for _ in range(self._attempts):
            reader = self._reader(tile)
            if reader is None:
                return None
            try:
                chip = reader.read(window)
            except RasterError as error:
                self._open.pop(tile.name).close()
                problem = str(error)
            else:
                return chip
        self._failures[tile.name] = problem
        return None

    def _reader(self, tile: PlacedTile) -> SceneReader | None:
        """A tile, opened; None of one that cannot be, or that is another than it was."""
        if tile.name in self._failures:
            return None
        if tile.name in self._open:
            self._open.move_to_end(tile.name)
            return self._open[tile.name]
        try:
            reader = self._opened(tile)
        except RasterError as error:
            self._failures[tile.name] = str(error)
            return None
        while len(self._open) >= _OPEN_TILES:
            self._open.popitem(last=False)[1].close()
        self._open[tile.name] = reader
        return reader

    def _opened(self, tile: PlacedTile) -> SceneReader:
        for attempt in range(1, self._attempts + 1):
            try:
                reader = self._open_tile(tile.path)
                break
            except RasterError:
                if attempt == self._attempts:
                    raise
        if (reader.grid.height, reader.grid.width) != (tile.place.height, tile.place.width):
            reader.close()
            raise RasterError(f"{tile.path} has changed its size since the batch began.")
        return reader
