"""A class raster to polygons: the whole of `glnet-geo vectorize`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from glnet_geo.arrow_stream import Blobs
from glnet_geo.class_raster import ClassRaster
from glnet_geo.class_rows import read_rows
from glnet_geo.class_table import ClassTable, MapClass
from glnet_geo.errors import OutputError
from glnet_geo.geopackage import layer_names
from glnet_geo.georeference import ground_of
from glnet_geo.ground import Ground
from glnet_geo.lattice import LatticePolygons
from glnet_geo.map_summary import peak_bytes
from glnet_geo.opening import gdal_environment
from glnet_geo.outputs import check_not_input, check_output, working_folder
from glnet_geo.polygon_fields import PolygonFields
from glnet_geo.raster import SceneReader
from glnet_geo.remote import is_fetched, is_remote, scene_path
from glnet_geo.runs import NOTHING, Runs
from glnet_geo.sieve import Sieve
from glnet_geo.tracing import Tracer
from glnet_geo.units import Area, Length
from glnet_geo.vector_output import PolygonFile
from glnet_geo.vector_summary import VectorSummary

DEFAULT_LAYER = "landcover"

_MOST_LAYERS = 256  # that a run makes
_BATCH = 1 << 20  # vertices that are written together
_KEPT_TAGS = ("MODEL", "MODEL_SHA256", "SCENE")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Generalisation:
    """What is left out of the polygons, in the order in which it happens.

    Attributes:
        connectivity: 4: pixels that touch in a corner alone are not connected. 8: they are, and
            features are multipolygons.
        min_area: Smaller regions dissolve, see `Sieve`.
        fill_holes: Smaller holes vanish, nodata in them included, see `holes`.
        simplify: Tolerance of the borders, see `simplifying`.
    """

    connectivity: int = 4
    min_area: Area | None = None
    fill_holes: Area | None = None
    simplify: Length | None = None

    def to_dict(self) -> dict[str, str]:
        """As the layer's metadata shows it."""
        return {
            "connectivity": str(self.connectivity),
            "min_area": str(self.min_area or "none"),
            "fill_holes": str(self.fill_holes or "none"),
            "simplify": str(self.simplify or "none"),
        }


def vectorize(
    raster: Path | str,
    output: Path | str,
    *,
    band: int | None = None,
    generalisation: Generalisation = Generalisation(),
    classes: Sequence[str] = (),
    exclude: Sequence[str] = (),
    confidence: Path | str | None = None,
    dissolve: bool = False,
    layer: str = DEFAULT_LAYER,
    layer_per_class: bool = False,
    layer_suffix: str = "",
    metadata: Mapping[str, str] = MappingProxyType({}),
    texts: Mapping[str, Mapping[int, str]] = MappingProxyType({}),
    append: bool = False,
    safe: bool = False,
    overwrite: bool = False,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> VectorSummary:
    """Makes polygons of a class raster.

    They are a valid coverage: without gaps and overlaps, and neighbours share their borders vertex
    for vertex. Areas are planar in projected CRSs but Web Mercator, so that they equal pixels times
    the area of a pixel, else those on the ellipsoid; the layer's metadata says which.

    Memory follows a strip of the raster and what is not complete at its lower edge.

    Args:
        raster: Any raster of whole numbers that GDAL opens, or a URL of one.
        output: The vector file; its extension is its format.
        band: The band with the class ids; None for the only one.
        generalisation: What is left out.
        classes: Names or ids of the classes to write; empty for all.
        exclude: Names or ids of the classes not to write.
        confidence: A raster on the same grid, whose mean over each polygon is written.
        dissolve: Whether to make one multipolygon of each class, which all have to fit in memory.
        layer: Name of the layer.
        layer_per_class: Whether to make a layer of each class instead, with its name.
        layer_suffix: What follows the names of all layers, so that they differ from others'.
        metadata: More for the layers to say of themselves.
        texts: More fields by name: what they say of each class, by id.
        append: Whether a GeoPackage keeps the layers that it has.
        safe: Whether nothing of the rasters is trusted, see docs/security.md.
        overwrite: Whether an existing output, or with `append` an existing layer, may be replaced.
        report: Told the rows done and all rows.

    Raises:
        GlnetGeoError: Something about raster, options or output stands in the way; an existing
            output stays as it was.
    """
    started = time.monotonic()
    source, output = scene_path(str(raster)), Path(output)
    confidence = None if confidence is None else Path(confidence)
    inputs = [Path(one) for one in (source, confidence) if one and not is_remote(one)]
    check_output(output, overwrite or append, tuple(inputs))
    with ExitStack() as stack:
        stack.enter_context(gdal_environment(remote=is_fetched(source)))
        reader = stack.enter_context(ClassRaster(source, band, safe=safe))
        measured = None
        if confidence:
            measured = stack.enter_context(SceneReader(confidence, safe=safe))
        check_not_input(output, reader.files)
        ground = ground_of(reader.grid)
        chosen = _Choice.of(reader.classes, classes, exclude)
        named = _class_layers(reader, chosen) if layer_per_class else {layer: None}
        layers = {f"{name}{layer_suffix}": one for name, one in named.items()}
        # Ends the reading ahead before the rasters are closed, also after an error.
        traced = stack.enter_context(
            closing(_trace(reader, measured, ground, generalisation, report))
        )
        pieces: Iterable[LatticePolygons] = (
            polygons.select(chosen.includes(polygons.value)) for polygons in traced
        )
        if dissolve:
            pieces = _dissolved(pieces)
        is_multi = dissolve or generalisation.connectivity == 8
        # The pixels of filled holes are known by number only, not by row.
        is_exact = not generalisation.simplify and (
            ground.is_uniform or not generalisation.fill_holes
        )
        table = PolygonFields(reader.classes, ground, is_exact, bool(confidence), texts)
        folder = stack.enter_context(working_folder(output))
        file = stack.enter_context(
            PolygonFile(
                folder,
                output,
                list(layers),
                table.fields,
                reader.grid.crs if reader.grid.is_georeferenced else None,
                {**_metadata(reader, ground, generalisation, chosen), **metadata},
                is_multi=is_multi,
                append=append,
                overwrite=overwrite,
                pixel_m=min(reader.grid.pixel_sides_m or (0.0,)) or None,
            )
        )
        for polygons in pieces:
            for batch in polygons.batches(_BATCH):
                file.write(Blobs(*batch.to_wkb(reader.grid, is_multi)), table.columns(batch))
        found = [reader.classes.of(class_id) for class_id in sorted(table.totals)]
        file.finish({name: [one] if one else found for name, one in layers.items()})
        file.publish()
    if not table.totals:
        name = metadata.get("source", raster)
        _log.warning("%s has nothing to make polygons of. The layer is empty.", name)
    return VectorSummary(
        output,
        tuple(layers),
        reader.grid,
        tuple(table.totals[one.id] for one in found),
        ground.rule,
        ground.unit,
        table.n_vertices,
        time.monotonic() - started,
        peak_bytes(),
    )


def _trace(
    reader: ClassRaster,
    measured: SceneReader | None,
    ground: Ground,
    generalisation: Generalisation,
    report: Callable[[int, int], None],
) -> Generator[LatticePolygons]:
    """The polygons, as they become complete."""
    grid, holes = reader.grid, generalisation.fill_holes
    tolerance = generalisation.simplify
    tracer = Tracer(
        grid.height,
        grid.width,
        generalisation.connectivity,
        ground.row_area,
        n_sums=2 if measured else 0,
        tolerance=tolerance.in_pixels(ground, "--simplify") if tolerance else 0.0,
        hole_limits=holes.in_pixels(ground, "--fill-holes") if holes else None,
    )
    least = generalisation.min_area
    limits = least.in_pixels(ground, "--min-area") if least else None
    done = 0
    for rows, sums in _sieved(reader, measured, limits, generalisation.connectivity):
        yield from tracer.push(rows, sums)
        done += rows.height
        report(done, grid.height)


def _sieved(
    reader: ClassRaster,
    measured: SceneReader | None,
    limits: npt.NDArray[np.float64] | None,
    connectivity: int,
) -> Iterator[tuple[Runs, npt.NDArray[np.float64] | None]]:
    """Rows without small regions."""
    strips = read_rows(reader, measured)
    if limits is None:
        yield from ((strip.runs, strip.sums) for strip in strips)
        return
    sieve, waiting = Sieve(reader.grid.width, 1.0, connectivity), _WaitingSums()
    for strip in strips:
        rows = slice(strip.runs.top, strip.runs.top + strip.runs.height)
        if strip.sums is not None:
            waiting.add(strip.runs, strip.sums)
        for runs in sieve.push(strip.runs, 1 / limits[rows]):
            yield runs, waiting.take(runs) if measured else None
    for runs in sieve.finish():
        yield runs, waiting.take(runs) if measured else None


class _WaitingSums:
    """Sums over runs that the sieve holds back, and of which it makes longer ones."""

    def __init__(self) -> None:
        self._places = np.empty(0, np.int64)
        self._sums = np.empty((0, 2))

    def add(self, runs: Runs, sums: npt.NDArray[np.float64]) -> None:
        """Takes what the sieve takes."""
        self._places = np.concatenate([self._places, runs.places])
        self._sums = np.concatenate([self._sums, sums])

    def take(self, runs: Runs) -> npt.NDArray[np.float64]:
        """The sums over what the sieve gives."""
        end = np.searchsorted(self._places, (runs.top + runs.height) * runs.width)
        first = np.searchsorted(self._places, runs.places)
        sums: npt.NDArray[np.float64] = np.add.reduceat(self._sums[:end], first)
        self._places, self._sums = self._places[end:], self._sums[end:]
        return sums


def _dissolved(pieces: Iterable[LatticePolygons]) -> Iterator[LatticePolygons]:
    """One feature of each class, by id."""
    by_class: dict[int, list[LatticePolygons]] = {}
    for polygons in pieces:
        for value in np.unique(polygons.value):
            chosen = polygons.select(polygons.value == value)
            by_class.setdefault(int(value), []).append(chosen)
    for value in sorted(by_class):
        yield LatticePolygons.joined(by_class.pop(value)).dissolved()


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which classes are written.

    Attributes:
        wanted: Their ids; None for all but the others.
        unwanted: Ids of those that are not.
    """

    wanted: frozenset[int] | None
    unwanted: frozenset[int]

    @classmethod
    def of(cls, table: ClassTable, classes: Sequence[str], exclude: Sequence[str]) -> _Choice:
        return cls(table.find(classes) if classes else None, table.find(exclude))

    def includes(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of the class ids are among them."""
        chosen = ~np.isin(values, list(self.unwanted))
        if self.wanted is not None:
            chosen &= np.isin(values, list(self.wanted))
        return chosen

    def to_dict(self) -> dict[str, str]:
        """As the layer's metadata shows it."""
        wanted = "all" if self.wanted is None else ",".join(map(str, sorted(self.wanted)))
        return {"classes": wanted, "exclude": ",".join(map(str, sorted(self.unwanted))) or "none"}


def _class_layers(reader: ClassRaster, chosen: _Choice) -> dict[str, MapClass | None]:
    """A layer for each class that the raster has, by its id.

    Raises:
        OutputError: There are too many.
    """
    found: set[int] = set()
    for strip in read_rows(reader):
        found.update(np.unique(strip.runs.value).tolist())
    ids = np.array(sorted(found - {NOTHING}), np.int64)
    classes = [reader.classes.of(int(one)) for one in ids[chosen.includes(ids)]]
    if not classes:
        return {DEFAULT_LAYER: None}
    if len(classes) > _MOST_LAYERS:
        raise OutputError(
            f"{reader.path} has {len(classes)} classes, and --layer-per-class makes at most "
            f"{_MOST_LAYERS} layers. Choose some with --classes, or leave it out."
        )
    names = layer_names({one.id: one.name for one in classes})
    return {names[one.id]: one for one in classes}


def _metadata(
    reader: ClassRaster, ground: Ground, generalisation: Generalisation, chosen: _Choice
) -> dict[str, str]:
    """What the layer says of itself; a URL without its query, which may hold a password."""
    name = str(reader.path)
    return {
        "software": f"glnet-geo {version('glnet-geo')}",
        "source": Path(name.partition("?")[0] if is_remote(name) else name).name,
        **{key.lower(): reader.tags[key] for key in _KEPT_TAGS if key in reader.tags},
        "areas": ground.rule,
        **generalisation.to_dict(),
        **chosen.to_dict(),
    }
