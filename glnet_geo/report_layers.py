"""The pictures of a report, read in as few pixels as they have: map, scene, confidence."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from glnet_geo.alignment import grid_differences, has_place, onto_grid
from glnet_geo.chip import Chip
from glnet_geo.class_raster import ClassRaster
from glnet_geo.class_table import MapClass
from glnet_geo.errors import RasterError
from glnet_geo.grid import Grid, Window
from glnet_geo.opening import open_raster
from glnet_geo.pyramids import Bytes, Pyramid, level_sizes, palette_pyramid, photo_pyramid
from glnet_geo.radiometry import find_stretch
from glnet_geo.raster import SceneReader
from glnet_geo.remote import ScenePath
from glnet_geo.scene_view import scaled

_MAP_PIXELS = 26_000_000  # of the finest level: 5000 x 5000 of a map of 10000 x 10000
_SCENE_PIXELS = 12_000_000
_ROWS = 512
_COLORS = ("red", "green", "blue")
_BANDS_ADVICE = "Choose three with --bands"

# From unsure to sure; light and dark, so that they stay apart without colours.
_RAMP = np.array(
    [(48, 10, 74), (122, 28, 109), (190, 55, 82), (238, 105, 37), (252, 180, 60), (252, 253, 191)]
)
_SHADES = 24


def shade_colors() -> Bytes:
    """Colours of confidence from 0 to 1, N x 3."""
    places = np.linspace(0, len(_RAMP) - 1, _SHADES)
    bands = [np.interp(places, np.arange(len(_RAMP)), band) for band in _RAMP.T]
    return np.stack(bands, axis=-1).round().astype(np.uint8)


def map_pyramid(reader: ClassRaster, classes: Sequence[MapClass], budget: int) -> Pyramid:
    """The map, each class in exactly its colour.

    Args:
        reader: The class raster.
        classes: All classes that it has, at most 254.
        budget: Bytes that it may take.
    """
    level = _finest(reader.grid, _MAP_PIXELS)
    none = len(classes)
    ids = np.array([one.id for one in classes], np.int64)
    order = np.argsort(ids)
    positions = np.full((level.height, level.width), none, np.uint8)
    for window in level.rows(_ROWS):
        if not none:
            break
        labels, valid = reader.read_reduced(level, window)
        rank = np.searchsorted(ids[order], labels).clip(0, none - 1)
        is_class = ids[order][rank] == labels
        if valid is not None:
            is_class &= valid
        positions[window.slices] = np.where(is_class, order[rank], none)
    colors = np.array([one.rgb for one in classes], np.uint8).reshape(-1, 3)
    return palette_pyramid(positions, colors, budget)


def scene_pyramid(
    path: ScenePath, grid: Grid, bands: Sequence[int | str], budget: int, safe: bool
) -> tuple[Pyramid, bool]:
    """The scene on the map's grid in three of its bands, or in grey.

    Args:
        path: The scene.
        grid: The map's grid.
        bands: Which bands are red, green and blue; empty for those that say so, else the first.
        budget: Bytes that it may take.
        safe: Whether nothing of the file is trusted.

    Returns:
        It, and whether it had to be brought onto the grid.

    Raises:
        RasterError: It cannot be read, or has no place on the map's grid.
    """
    level = _finest(grid, _SCENE_PIXELS)
    with ExitStack() as stack:
        reader = stack.enter_context(_open_scene(path, bands, safe))
        is_aligned = bool(grid_differences(grid, reader.grid))
        if is_aligned:
            _check_place(path, grid, reader.grid)
            there = scaled(grid, level.height, level.width)
            source = stack.enter_context(open_raster(path, safe))
            # There is no mean of the indices of a palette.
            has_means = "palette" not in reader.band_marks
            aligned = stack.enter_context(onto_grid(path, source, there, has_means))
            reader = SceneReader(path, reader.bands, _needed(reader), dataset=aligned, safe=safe)
        stretch = find_stretch(reader)
        view = reader.view(level.height, level.width)
        pixels = np.zeros((3, level.height, level.width), np.uint8)
        valid = np.zeros((level.height, level.width), np.bool_)
        for window in level.rows(_ROWS):
            chip = view.read(window)
            pixels[:, *window.slices] = stretch.apply(chip.pixels)  # one band for all three
            valid[window.slices] = chip.valid
    if is_aligned and not valid.any():
        raise RasterError(f"{path} does not overlap the map, or has no data there.")
    return photo_pyramid(pixels, valid, budget), is_aligned


def _needed(reader: SceneReader) -> int:
    """Bands that a reader of the same file is to be asked for: a palette is read as three."""
    return 3 if reader.n_bands == 3 else 1


def _open_scene(path: ScenePath, bands: Sequence[int | str], safe: bool) -> SceneReader:
    if len(bands) not in (0, 1, 3):
        raise RasterError(
            f"{len(bands)} bands of {path} are chosen to be shown. Choose three, or one in grey."
        )
    if bands:
        return SceneReader(path, bands, len(bands), _BANDS_ADVICE, safe=safe)
    with SceneReader(path, safe=safe) as probe:
        is_grey = len(probe.bands) < 3 and probe.band_marks[0] != "palette"
        first = probe.bands[0]
    if is_grey:
        return SceneReader(path, [first], 1, _BANDS_ADVICE, safe=safe)
    return SceneReader(path, None, 3, _BANDS_ADVICE, _COLORS, safe=safe)


def _check_place(path: ScenePath, grid: Grid, own: Grid) -> None:
    if has_place(grid) and has_place(own):
        return
    differences = ", ".join(grid_differences(grid, own))
    raise RasterError(
        f"{path} does not lie on the grid of the map ({differences}). Give the scene that the map "
        "was made of."
    )


class CountingReader(SceneReader):
    """A confidence raster that counts the values of what is read of it.

    Attributes:
        counts: Pixels by confidence, in ranges of the same width from 0 to 1.
    """

    counts: np.ndarray[tuple[int, ...], np.dtype[np.int64]]

    def __init__(self, path: ScenePath, bins: int, safe: bool = False) -> None:
        super().__init__(path, safe=safe)
        self.counts = np.zeros(bins, np.int64)

    def read(self, window: Window) -> Chip:
        """See `SceneReader.read`.

        Raises:
            RasterError: Values are no confidence.
        """
        chip = super().read(window)
        values = _in_units(self, chip)[chip.valid]
        if values.size and not (values.min() >= 0 and values.max() <= 1 + 1e-6):
            raise RasterError(
                f"{self.path} has values beyond 0 to 1. Give a raster that glnet-geo predict "
                "--confidence has written."
            )
        bins = len(self.counts)
        places = np.minimum((values * bins).astype(np.int64), bins - 1)
        self.counts += np.bincount(places, minlength=bins)
        return chip


def _in_units(reader: SceneReader, chip: Chip) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    scale, offset = reader.units
    return np.asarray(chip.pixels[0] * scale + offset, np.float64)


def confidence_pyramid(reader: SceneReader, budget: int) -> Pyramid:
    """How sure the map is, in shades from unsure to sure.

    Args:
        reader: Values of 0 to 1 on the map's grid.
        budget: Bytes that it may take.
    """
    level = _finest(reader.grid, _SCENE_PIXELS)
    view = reader.view(level.height, level.width)
    shades = np.full((level.height, level.width), _SHADES, np.uint8)
    for window in level.rows(_ROWS):
        chip = view.read(window)
        values = np.clip(_in_units(reader, chip), 0, 1)
        shades[window.slices] = np.where(
            chip.valid, np.minimum((values * _SHADES).astype(np.uint8), _SHADES - 1), _SHADES
        )
    return palette_pyramid(shades, shade_colors(), budget, is_nominal=False)


def _finest(grid: Grid, most_pixels: int) -> Window:
    return Window(0, 0, *level_sizes(grid.height, grid.width, most_pixels)[-1])
