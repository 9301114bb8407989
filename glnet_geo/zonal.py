"""Classes of a raster by zone: the whole of `glnet-geo stats`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from glnet_geo.class_raster import ClassRaster
from glnet_geo.class_rows import read_rows, read_strips, strip_windows
from glnet_geo.errors import FeaturesError, RasterError
from glnet_geo.feature_table import FeatureTable, read_features
from glnet_geo.features import no_overlap, read_outlines
from glnet_geo.georeference import ground_of
from glnet_geo.ground import Floats, Ground
from glnet_geo.map_summary import peak_bytes
from glnet_geo.opening import gdal_environment
from glnet_geo.outlines import Outlines
from glnet_geo.outputs import check_distinct, check_not_input
from glnet_geo.remote import is_fetched, is_remote, scene_label, scene_path, without_secrets
from glnet_geo.runs import Runs
from glnet_geo.sample_drawing import measure_classes
from glnet_geo.zone_coverage import ClassStrip, ZoneTally, check_classes
from glnet_geo.zone_files import ZoneFiles
from glnet_geo.zone_names import zone_names
from glnet_geo.zone_polygons import LEAST_PIXELS, ZonePolygons
from glnet_geo.zone_statistics import ZoneStatistics, in_unit

_LISTED = 10  # zones that a warning names
_ADVICE = "Choose one with --layer"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Areas in Z zones, in square metres or pixels.

    Attributes:
        by_class: By class id, Z each.
        nodata: Where the raster has no data, Z.
        outside: Beyond the raster, Z.
        has_place: Which zones have a polygon, Z.
        names: What to call each zone.
        features: What the zones' file says; None for the whole raster.
    """

    by_class: dict[int, Floats]
    nodata: Floats
    outside: Floats
    has_place: npt.NDArray[np.bool_]
    names: list[str]
    features: FeatureTable | None = None

    def areas(self, ids: Sequence[int]) -> tuple[Floats, Floats, Floats, Floats]:
        """By zone the areas of some classes, Z x K, and all that is mapped, without data, outside.

        NaN for zones without a place.
        """
        nothing = np.zeros(len(self.names))
        chosen = np.stack([self.by_class.get(one, nothing) for one in ids], axis=1)
        mapped = sum(self.by_class.values(), nothing)
        missing = np.where(self.has_place, 0.0, np.nan)
        return (
            chosen + missing[:, None],
            mapped + missing,
            self.nodata + missing,
            self.outside + missing,
        )


def measure_zones(
    raster: Path | str,
    zones: Path | str | None = None,
    output: Path | str | None = None,
    *,
    plot: Path | str | None = None,
    name: str | None = None,
    layer: str | None = None,
    band: int | None = None,
    classes: Sequence[str] = (),
    exclude: Sequence[str] = (),
    long: bool = False,
    safe: bool = False,
    overwrite: bool = False,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> ZoneStatistics:
    """Measures the classes of a raster in zones, or in the whole of it.

    A pixel on the border of a zone counts by the part of it that lies inside. Areas follow the rule
    of `vectorize`. Zones may overlap and lie in each other; each is measured on its own. Memory
    follows a strip of the raster, and the zones.

    Args:
        raster: Any raster of whole numbers that GDAL opens, or a URL of one.
        zones: A vector file with polygons in any CRS; a feature is a zone. None for the whole
            raster.
        output: The table, `.csv`, `.gpkg` or `.parquet`; None for none.
        plot: A PNG with the shares as stacked bars; None for none.
        name: Field of the zones with their names; None to guess.
        layer: Layer of the zones; None for the only one with polygons.
        band: The band with the class ids; None for the only one.
        classes: Names or ids of the classes to tell of; empty for all that occur.
        exclude: Names or ids of the classes not to tell of.
        long: Whether the table has a row for each zone and class, instead of one for each zone.
            It always has for the whole raster.
        safe: Whether nothing of the files is trusted, see docs/security.md.
        overwrite: Whether existing outputs may be replaced.
        report: Told the rows done and all rows.

    Raises:
        GlnetGeoError: Something about raster, zones or outputs stands in the way, or no zone
            overlaps the raster; existing outputs stay as they were.
    """
    started = time.monotonic()
    source = scene_path(str(raster))
    zones, output, plot = (None if one is None else Path(one) for one in (zones, output, plot))
    check_distinct([one for one in (output, plot) if one is not None])
    files = ZoneFiles(output, plot, long or zones is None, has_zones=zones is not None)
    files.check(overwrite, [Path(one) for one in (source, zones) if one and not is_remote(one)])
    with ExitStack() as stack:
        stack.enter_context(gdal_environment(remote=is_fetched(source)))
        reader = stack.enter_context(ClassRaster(source, band, safe=safe))
        for path in files.outputs:
            check_not_input(path, reader.files)
        wanted = reader.classes.find(classes) if classes else None
        unwanted = reader.classes.find(exclude)
        ground = ground_of(reader.grid)
        if zones is None:
            found = _measure_whole(reader, ground, report)
        else:
            found = _measure_zones(reader, _Zones.read(zones, layer, name, safe), ground, report)
        ids = sorted((set(found.by_class) if wanted is None else wanted) - unwanted)
        if not ids:
            raise RasterError(
                f"{raster} has none of the chosen classes. Look at --classes and --exclude"
            )
        measured = _statistics(reader, ground, zones, found, ids)
    _warn(measured)
    files.write(measured, found.features)
    return replace(
        measured,
        output=output,
        plot=plot,
        seconds=time.monotonic() - started,
        peak_bytes=peak_bytes(),
    )


def _statistics(
    reader: ClassRaster, ground: Ground, zones: Path | None, found: _Found, ids: Sequence[int]
) -> ZoneStatistics:
    areas, mapped, nodata, outside = (in_unit(one, ground.unit) for one in found.areas(ids))
    return ZoneStatistics(
        without_secrets(str(reader.path)),
        reader.grid,
        ground.rule,
        "ha" if ground.unit == "m" else "px",
        zones,
        tuple(found.names),
        () if found.features is None else tuple(found.features.columns),
        found.has_place,
        tuple(reader.classes.of(one) for one in ids),
        areas,
        mapped,
        nodata,
        outside,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Zones:
    """The zones of a file.

    Attributes:
        outlines: Their polygons.
        features: All that the file says.
        names: What to call each.
    """

    outlines: Outlines
    features: FeatureTable
    names: list[str]

    @classmethod
    def read(cls, path: Path, layer: str | None, name: str | None, safe: bool) -> _Zones:
        outlines = read_outlines(path, layer, advice=_ADVICE, safe=safe, warn=False)
        features = read_features(path, outlines.layer)
        names = zone_names(path, features.columns, len(features.geometries), name)
        return cls(outlines, features, names)


def _measure_whole(
    reader: ClassRaster, ground: Ground, report: Callable[[int, int], None]
) -> _Found:
    height, width = reader.grid.height, reader.grid.width

    def rows() -> Iterator[Runs]:
        for strip in read_rows(reader):
            yield strip.runs
            report(strip.runs.top + strip.runs.height, height)

    by_class = {
        one: np.array([extent.area]) for one, extent in measure_classes(rows(), ground).items()
    }
    check_classes(reader.path, len(by_class))
    if not by_class:
        raise RasterError(f"{reader.path} has nothing but nodata. There is nothing to measure.")
    whole = ground.area_of(np.full((1, height), width))
    # Rounding must not leave a hair of area without data.
    nodata = whole - sum(by_class.values())
    nodata[nodata < LEAST_PIXELS * ground.mean_area] = 0
    names = [scene_label(reader.path)]
    return _Found(by_class, nodata, np.zeros(1), np.ones(1, np.bool_), names)


def _measure_zones(
    reader: ClassRaster, zones: _Zones, ground: Ground, report: Callable[[int, int], None]
) -> _Found:
    grid, count = reader.grid, len(zones.names)
    placed = ZonePolygons.of(zones.outlines, count, grid, ground)
    tally = ZoneTally(placed.polygons, placed.zones, count)
    # Pixels all count alike until the end, where that is how their areas are rounded once.
    is_uniform = ground.is_uniform
    weights = np.ones(grid.height) if is_uniform else ground.row_area
    windows = (one for one in strip_windows(reader) if tally.touches(one))
    strips = read_strips(reader, windows, lambda runs: ClassStrip.of(reader.path, runs, weights))
    with closing(strips):
        for strip in strips:
            tally.add(strip)
            check_classes(reader.path, tally.n_classes)
            report(strip.window.bottom, grid.height)
    report(grid.height, grid.height)
    scale = ground.row_area[0] if is_uniform else 1.0
    on_raster = sum(tally.by_class.values(), tally.without_data)
    # Less than that is rounding along a border that zone and raster share.
    is_met = on_raster * scale >= LEAST_PIXELS * ground.mean_area
    if not is_met.any():
        raise FeaturesError(no_overlap(zones.outlines, grid, reader.path))
    by_class = {one: found * scale * is_met for one, found in tally.by_class.items()}
    by_class = {one: found for one, found in by_class.items() if found.any()}
    if not by_class:
        raise RasterError(f"{reader.path} has nothing but nodata in {zones.outlines.path}.")
    has_place = np.isin(np.arange(count), placed.zones)
    return _Found(
        by_class,
        tally.without_data * scale * is_met,
        placed.outside,
        has_place,
        zones.names,
        zones.features,
    )


def _warn(found: ZoneStatistics) -> None:
    """Tells of zones that come without figures, in a line each."""
    for chosen, what in (
        (~found.has_place, "no polygon: their figures are empty"),
        (found.is_outside, f"no part on {found.raster}: their figures are 0"),
    ):
        names = [name for name, is_one in zip(found.names, chosen, strict=True) if is_one]
        if names:
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            _log.warning(
                "%s: %d of %d zones have %s (%s%s).",
                found.zone_file,
                len(names),
                len(found.names),
                what,
                ", ".join(names[:_LISTED]),
                more,
            )
