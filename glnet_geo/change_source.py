"""Two maps on one grid, strip by strip, with their classes matched."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from glnet_geo.alignment import compare_grids, onto_grid
from glnet_geo.boundary_scores import Positions
from glnet_geo.change_rules import AS_MAPPED, UNSURE, ChangeRows
from glnet_geo.chip import Mask
from glnet_geo.class_matching import (
    NO_CLASS,
    NO_DATA,
    ClassList,
    Ignored,
    Translator,
    listed,
    value_counts,
)
from glnet_geo.class_table import MapClass, fold
from glnet_geo.errors import RasterError
from glnet_geo.features import AreaOfInterest
from glnet_geo.georeference import ground_of
from glnet_geo.grid import Grid, Window
from glnet_geo.label_sources import LabelSource, RasterLabels, strip_height
from glnet_geo.legend import Legend
from glnet_geo.opening import gdal_environment, open_raster
from glnet_geo.raster import SceneReader
from glnet_geo.remote import ScenePath, is_fetched, without_secrets

_PART = 2_000_000  # pixels that are worked on at a time


@dataclass(frozen=True, slots=True)
class MapInput:
    """One of the two maps.

    Attributes:
        path: The class raster.
        band: The band with the class ids; None for the only one.
        confidence: A raster on its grid that says how sure it is; None for no such raster.
    """

    path: ScenePath
    band: int | None = None
    confidence: ScenePath | None = None

    @property
    def paths(self) -> tuple[ScenePath, ...]:
        """Both files."""
        return (self.path,) if self.confidence is None else (self.path, self.confidence)

    @property
    def is_fetched(self) -> bool:
        """Whether any of them comes over the network."""
        return any(map(is_fetched, self.paths))


@dataclass(frozen=True, slots=True)
class PairReading:
    """How the maps are read; see `change_detection.detect_change`."""

    align: bool = False
    legend: Legend | None = None
    min_confidence: float | None = None
    aoi: Path | None = None
    safe: bool = False


class MapPair(AbstractContextManager["MapPair"]):
    """Two open maps on the grid of the old one.

    Args:
        old: The old map.
        new: The new one.
        options: How they are read.

    Attributes:
        grid: The old map's grid.
        ground: How large its pixels are.
        classes: The classes of both.
        is_aligned: Whether the new map is brought onto the grid.
        notes: What to know.
        files: All local files that are read.

    Raises:
        GlnetGeoError: A file cannot be read, grids differ, or the maps have no class in common.
    """

    def __init__(self, old: MapInput, new: MapInput, options: PairReading) -> None:
        self._inputs, self._options = (old, new), options
        with ExitStack() as stack:
            first = stack.enter_context(
                closing(RasterLabels(old.path, old.band, None, options.safe))
            )
            self.grid = first.grid
            self.ground = ground_of(self.grid)
            second, grid_notes = self._open_new(new)
            stack.callback(second.close)
            self._sources: tuple[LabelSource, LabelSource] = (first, second)
            self.classes = match_classes(
                (str(old.path), first.named), (str(new.path), second.named), options.legend
            )
            self._gauges = [
                stack.enter_context(_Gauge(one, self.grid, options))
                for one in (old, new)
                if one.confidence is not None
            ]
            self._aoi = None
            if options.aoi is not None:
                self._aoi = AreaOfInterest.read(options.aoi, self.grid, options.safe)
            files = [one.files for one in self._sources] + [one.files for one in self._gauges]
            self.files = tuple(chain.from_iterable(files))
            notes = [
                *grid_notes,
                *self.classes.notes_on(str(old.path), first.named),
                *self.classes.notes_on(str(new.path), second.named),
            ]
            self.notes = [without_secrets(note) for note in notes]
            ignored = Ignored.of((), options.legend)
            self._translators = [
                Translator(source, self.classes, ignored) for source in self._sources
            ]
            self.close = stack.pop_all().close

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open_new(self, new: MapInput) -> tuple[RasterLabels, tuple[str, ...]]:
        old, options = self._inputs[0], self._options
        source = RasterLabels(new.path, new.band, None, options.safe)
        try:
            self.is_aligned, notes = compare_grids(
                (old.path, self.grid), (new.path, source.grid), options.align, "old map"
            )
        except BaseException:
            source.close()
            raise
        if not self.is_aligned:
            return source, notes
        source.close()
        return RasterLabels(new.path, new.band, self.grid, options.safe), notes

    def read_rows(self) -> Generator[ChangeRows]:
        """The maps from the top, read one strip ahead; what a map is not sure of is marked.

        Raises:
            GlnetGeoError: A file is damaged or has vanished, or a map has values that are no class.
        """

        def read(window: Window) -> ChangeRows:
            with gdal_environment(remote=any(one.is_fetched for one in self._inputs)):
                return self._read(window)

        height = max(_PART // self.grid.width, 1)
        with ThreadPoolExecutor(1) as pool:
            windows = self.grid.window.rows(strip_height(*self._sources))
            ahead = pool.submit(read, next(windows))
            for window in windows:
                rows = ahead.result()
                ahead = pool.submit(read, window)
                yield from rows.parts(height)
            yield from ahead.result().parts(height)

    def _read(self, window: Window) -> ChangeRows:
        outside: Mask | None = None
        if self._aoi is not None:
            outside = ~self._aoi.mask(window)
        old, new = (self._positions(k, window, outside) for k in range(2))
        fate = np.full(old.shape, AS_MAPPED, np.uint8)
        if self._gauges:
            differs = ChangeRows(window.top, old, new, fate).differs
            if differs.any():
                unsure = np.logical_or.reduce([one.is_below(window) for one in self._gauges])
                fate[differs & unsure] = UNSURE
        return ChangeRows(window.top, old, new, fate)

    def _positions(self, index: int, window: Window, outside: Mask | None) -> Positions:
        labels, valid = self._sources[index].read(window)
        if outside is not None:
            valid = ~outside if valid is None else valid & ~outside
        positions = self._translators[index].positions(labels, valid)
        strange = positions == NO_CLASS
        if strange.any():
            self._check_values(index, labels[strange])
            positions[strange] = NO_DATA
        return positions

    def _check_values(self, index: int, values: npt.NDArray[np.integer]) -> None:
        """Refuses values that are none of the classes and not ignored."""
        source, translator = self._sources[index], self._translators[index]
        unknown = [value for value in value_counts(values) if not translator.is_ignored(value)]
        if unknown:
            known = listed([f"{one.id} {one.name}" for one in self.classes.classes])
            raise RasterError(
                f"{self._inputs[index].path} has values that are none of the classes "
                f"({listed([source.describe(one) for one in sorted(unknown)])}). The classes are "
                f"{known}. Declare values that are no data: gdal_edit.py -a_nodata; or give the "
                "legend of both maps with --legend"
            )


class _Gauge(AbstractContextManager["_Gauge"]):
    """How sure a map is of its pixels.

    Args:
        given: The map.
        grid: The grid on which it is read.
        options: How.
    """

    def __init__(self, given: MapInput, grid: Grid, options: PairReading) -> None:
        path = given.confidence
        assert path is not None and options.min_confidence is not None
        self._least = options.min_confidence
        with ExitStack() as stack:
            plain = stack.enter_context(SceneReader(path, safe=options.safe))
            is_aligned, _ = compare_grids(
                (given.path, grid), (path, plain.grid), options.align, "old map"
            )
            if plain.n_bands != 1:
                raise RasterError(f"{path} has {plain.n_bands} bands; one is needed.")
            self._units, self.files = plain.units, plain.files
            if self._units == (1.0, 0.0) and plain.dtype.kind in "iu" and self._least <= 1:
                raise RasterError(
                    f"{path} has whole numbers and no scale that says what they mean. Give "
                    "--min-confidence in its own numbers, such as 80 of 100"
                )
            self._reader = plain
            if is_aligned:
                source = stack.enter_context(open_raster(path, options.safe))
                moved = stack.enter_context(onto_grid(path, source, grid))
                self._reader = SceneReader(path, dataset=moved)
            self.close = stack.pop_all().close

    def __exit__(self, *error: object) -> None:
        self.close()

    def is_below(self, window: Window) -> Mask:
        """Where the map is less sure than it must be, or does not say, H x W."""
        chip, (scale, offset) = self._reader.read(window), self._units
        # Scales such as 1/254 are rounded.
        is_sure = chip.pixels[0] * scale + offset >= self._least - 1e-9
        below: Mask = ~(is_sure & chip.valid)
        return below


def match_classes(
    old: tuple[str, Mapping[int, MapClass]],
    new: tuple[str, Mapping[int, MapClass]],
    legend: Legend | None,
) -> ClassList:
    """The classes of two maps: by name where both have names, else by id.

    Classes that only one of them has are classes of their own.

    Args:
        old: The old map's path, and its classes that have a name, by id.
        new: The same of the new map.
        legend: The classes of both; None for those that they name.

    Raises:
        RasterError: Both have names, and none is the same.
    """
    if legend is not None:
        return ClassList.of_legend(legend)
    named = [[one[1][key] for key in sorted(one[1])] for one in (old, new)]
    if not all(named):
        # What has no name is known by its id.
        return ClassList(named[0] or named[1], is_open=True)
    known = {fold(one.name) for one in named[0]}
    added = [one for one in named[1] if fold(one.name) not in known]
    if len(added) == len(named[1]):
        lists = [listed([one.name for one in some]) for some in named]
        raise RasterError(
            f"{old[0]} and {new[0]} have no class in common: {lists[0]} in the one, {lists[1]} in "
            "the other. Give the legend of both with --legend"
        )
    return ClassList([*named[0], *added])
