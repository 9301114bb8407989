"""A stratified random sample of a class raster: the whole of `glnet-geo sample`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from glnet_geo.class_raster import ClassRaster
from glnet_geo.class_rows import read_rows
from glnet_geo.errors import RasterError
from glnet_geo.features import AreaOfInterest
from glnet_geo.georeference import ground_of
from glnet_geo.grid import Grid
from glnet_geo.ground import Ground
from glnet_geo.map_summary import peak_bytes
from glnet_geo.opening import gdal_environment
from glnet_geo.outputs import check_not_input, check_output, working_folder
from glnet_geo.remote import ScenePath, is_fetched, is_remote, scene_path
from glnet_geo.runs import Runs
from glnet_geo.sample_design import SampleDesign, Stratum
from glnet_geo.sample_drawing import ClassExtent, draw_pixels, measure_classes
from glnet_geo.sample_layer import LAYER, DrawnPixels, check_sample_output, write_sample
from glnet_geo.sample_size import SampleSize
from glnet_geo.vector_output import put_in_place

BY_RULE = SampleSize()
"""As many points as the paper's rule says."""


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What a finished drawing says of itself.

    Attributes:
        output: The GeoPackage.
        layer: Its layer.
        grid: The raster's grid.
        design: The strata and how they were drawn from.
        seconds: Time taken.
        peak_bytes: Most memory that this process has held so far; None where the operating
            system does not say.
    """

    output: Path
    layer: str
    grid: Grid
    design: SampleDesign
    seconds: float
    peak_bytes: int | None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "output": str(self.output),
            "layer": self.layer,
            "crs": self.grid.crs_label,
            "points": self.design.points,
            "seed": self.design.seed,
            "area_rule": self.design.area_rule,
            "unit": self.design.unit,
            "strata": [self.design.to_dict(one) for one in self.design.strata],
            "seconds": round(self.seconds, 3),
            "peak_bytes": self.peak_bytes,
        }


def draw_sample(
    raster: Path | str,
    output: Path | str,
    *,
    band: int | None = None,
    size: SampleSize = BY_RULE,
    seed: int = 0,
    aoi: Path | str | None = None,
    classes: Sequence[str] = (),
    exclude: Sequence[str] = (),
    overwrite: bool = False,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> SampleSummary:
    """Draws points to be labelled from a class raster, at centres of its pixels.

    The strata are the raster's classes; nodata is none. Within a stratum all areas are as likely.
    The points come in random order, so that the first ones are a sample as well. Memory follows a
    strip of the raster.

    Args:
        raster: Any raster of whole numbers that GDAL opens, or a URL of one.
        output: The GeoPackage.
        band: The band with the class ids; None for the only one.
        size: How many points.
        seed: Another one gives other points.
        aoi: A vector file: only what lies in its polygons is drawn from.
        classes: Names or ids of the classes to draw from; empty for all.
        exclude: Names or ids of the classes not to draw from.
        overwrite: Whether an existing output may be replaced.
        report: Told the rows done, in both passes, and all rows.

    Raises:
        GlnetGeoError: Something about raster, options or output stands in the way; an existing
            output stays as it was.
    """
    started = time.monotonic()
    source, output = scene_path(str(raster)), Path(output)
    aoi = None if aoi is None else Path(aoi)
    inputs = [Path(one) for one in (source, aoi) if one and not is_remote(one)]
    check_output(output, overwrite, tuple(inputs))
    check_sample_output(output)
    with ExitStack() as stack:
        stack.enter_context(gdal_environment(remote=is_fetched(source)))
        reader = stack.enter_context(ClassRaster(source, band))
        check_not_input(output, reader.files)
        wanted = reader.classes.find(classes) if classes else None
        unwanted = reader.classes.find(exclude)
        area = AreaOfInterest.read(aoi, reader.grid) if aoi else None
        folder = stack.enter_context(working_folder(output))
        rows = _Rows(reader, area, report)
        ground = ground_of(reader.grid)
        found = {
            one: extent
            for one, extent in measure_classes(rows.read(0), ground).items()
            if one not in unwanted and (wanted is None or one in wanted)
        }
        if not found:
            raise RasterError(_nothing(reader, aoi, bool(classes or exclude)))
        design = _design(reader, found, size, ground, seed)
        pixels = _draw(rows, design, ground, reader.grid.width)
        staged = folder / "sample.gpkg"
        metadata = {
            "software": f"glnet-geo {version('glnet-geo')}",
            **design.to_metadata(),
            "aoi": aoi.name if aoi else "none",
            "aoi_sha256": area.digest if area else "",
        }
        write_sample(staged, output, pixels, reader.grid, design.legend, metadata)
        put_in_place({staged: output}, output)
    return SampleSummary(
        output, LAYER, reader.grid, design, time.monotonic() - started, peak_bytes()
    )


def digest_of(path: ScenePath) -> str:
    """sha256 of a raster's file, in hexadecimal; "" where it is no local file."""
    if is_remote(path) or not Path(path).is_file():
        return ""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RasterError(f"{path} cannot be read: {error.strerror}.") from error


@dataclass(frozen=True, slots=True)
class _Rows:
    """Reads a raster's rows, twice."""

    reader: ClassRaster
    aoi: AreaOfInterest | None
    report: Callable[[int, int], None]

    def read(self, already: int) -> Iterator[Runs]:
        """From the top; `already` are the rows done before that."""
        height = self.reader.grid.height
        for strip in read_rows(self.reader, aoi=self.aoi):
            yield strip.runs
            self.report(already + strip.runs.top + strip.runs.height, 2 * height)


def _design(
    reader: ClassRaster,
    found: dict[int, ClassExtent],
    size: SampleSize,
    ground: Ground,
    seed: int,
) -> SampleDesign:
    extents = found.values()
    counts = size.allocate([one.area for one in extents], [one.pixels for one in extents])
    strata = tuple(
        Stratum(one, reader.classes.of(one).name, extent.pixels, extent.area, n)
        for (one, extent), n in zip(found.items(), counts, strict=True)
    )
    # An id alone is no name that the map knows.
    known = {one.id: one.name for one in reader.classes.known.values() if one.name != str(one.id)}
    legend = dict(sorted((known | {one.id: one.name for one in strata}).items()))
    name = str(reader.path)
    # A URL without its query, which may hold a password.
    source = Path(name.partition("?")[0] if is_remote(name) else name).name
    return SampleDesign(
        source, digest_of(reader.path), strata, legend, ground.rule, ground.unit, seed
    )


def _draw(rows: _Rows, design: SampleDesign, ground: Ground, width: int) -> DrawnPixels:
    generator = np.random.default_rng(design.seed)
    height = rows.reader.grid.height
    drawn = draw_pixels(lambda: rows.read(height), design.strata, ground, width, generator)
    places = np.concatenate([*drawn.values()])
    strata = np.repeat([*drawn], [len(some) for some in drawn.values()]).astype(np.int64)
    order = generator.permutation(len(places))
    return DrawnPixels(places[order], strata[order])


def _nothing(reader: ClassRaster, aoi: Path | None, is_chosen: bool) -> str:
    if is_chosen:
        return f"{reader.path} has no pixels of the chosen classes. Look at --classes and --exclude"
    if aoi:
        return f"{reader.path} has no pixels with a class in {aoi}. Draw a larger area."
    return f"{reader.path} has nothing but nodata. There is nothing to draw a sample from."
