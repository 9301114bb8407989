"""A map as one page to look at: the whole of `glnet-geo report`."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from glnet_geo.class_raster import ClassRaster
from glnet_geo.class_rows import read_rows
from glnet_geo.errors import RasterError
from glnet_geo.evaluation import evaluate
from glnet_geo.evaluation_result import Evaluation
from glnet_geo.georeference import ground_of
from glnet_geo.grid import Grid
from glnet_geo.legend import Legend
from glnet_geo.map_summary import peak_bytes
from glnet_geo.opening import gdal_environment
from glnet_geo.outline_drawing import draw_outlines
from glnet_geo.outputs import check_not_input, check_output, publish, working_folder
from glnet_geo.pyramids import n_bytes
from glnet_geo.remote import ScenePath, is_fetched, is_remote, scene_label, scene_path
from glnet_geo.report_content import Certainty, ClassShare, ReportContent, ScenePicture
from glnet_geo.report_layers import (
    CountingReader,
    confidence_pyramid,
    map_pyramid,
    scene_pyramid,
)
from glnet_geo.report_page import report_page
from glnet_geo.runs import Runs
from glnet_geo.sample_drawing import ClassExtent, measure_classes

_MOST_CLASSES = 254
_BINS = 20
# Of a page below 5 MB. The scene takes what the others leave.
_PICTURE_BYTES = 4_650_000
_MAP_BYTES, _OUTLINE_BYTES, _CONFIDENCE_BYTES = 1_700_000, 850_000, 500_000


@dataclass(frozen=True, slots=True)
class ReportSources:
    """What a report shows besides the map; None for what is left out.

    Attributes:
        scene: The scene that the map was made of, or another one of the same place.
        bands: Its bands that are shown as red, green and blue, or the one in grey; empty for those
            that say so, else the first ones.
        polygons: A vector file whose outlines are drawn, such as `vectorize` writes.
        layer: Its layer.
        confidence: A raster of how sure the map is, as `predict` writes it.
        reference: A class raster or polygons to score the map against.
        legend: The classes of the reference, see `evaluate`.
        ignore: Values of the reference that count nowhere, ids or names.
        align: Whether a reference on another grid is read on the map's.
        attribute: Field of a vector reference that holds the class.
    """

    scene: ScenePath | None = None
    bands: tuple[int | str, ...] = ()
    polygons: Path | str | None = None
    layer: str | None = None
    confidence: ScenePath | None = None
    reference: ScenePath | None = None
    legend: Legend | None = None
    ignore: tuple[str, ...] = ()
    align: bool = False
    attribute: str | None = None

    def local_files(self) -> tuple[Path, ...]:
        """Those of them that are files of this machine."""
        given = (self.scene, self.polygons, self.confidence, self.reference)
        paths = (scene_path(str(one)) for one in given if one is not None)
        return tuple(Path(one) for one in paths if not is_remote(one))


@dataclass(frozen=True, slots=True)
class ReportSummary:
    """What a finished report says of itself.

    Attributes:
        output: The page.
        n_bytes: Its size.
        classes: The classes that occur, the largest first.
        nodata_pixels: Pixels without one.
        area_rule: How areas were measured.
        unit: "m" where areas are in square metres, "px" where they are in pixels.
        mean_confidence: 0-1; None where nobody knows.
        evaluation: Scores; None without a reference.
        shown: Rows and columns of the finest picture of the map in the page.
        seconds: Time taken, reading and writing included.
        peak_bytes: Most memory that this process has held so far; None where the operating
            system does not say.
    """

    output: Path
    n_bytes: int
    classes: tuple[ClassShare, ...]
    nodata_pixels: int
    area_rule: str
    unit: Literal["m", "px"]
    mean_confidence: float | None
    evaluation: Evaluation | None
    shown: tuple[int, int]
    seconds: float
    peak_bytes: int | None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        area = "area_px" if self.unit == "px" else "area_m2"
        scores = self.evaluation.scores if self.evaluation else None
        return {
            "output": str(self.output),
            "bytes": self.n_bytes,
            "area_rule": self.area_rule,
            "classes": [
                {
                    "id": one.land_cover.id,
                    "name": one.land_cover.name,
                    "pixels": one.pixels,
                    area: one.area,
                    "share": one.share,
                    "mean_confidence": one.confidence,
                }
                for one in self.classes
            ],
            "nodata_pixels": self.nodata_pixels,
            "mean_confidence": self.mean_confidence,
            "mean_iou": scores and scores.mean_iou,
            "accuracy": scores and scores.accuracy,
            "shown_height": self.shown[0],
            "shown_width": self.shown[1],
            "seconds": round(self.seconds, 3),
            "peak_bytes": self.peak_bytes,
        }


_NOTHING_ELSE = ReportSources()


def write_report(
    raster: ScenePath,
    output: Path | str,
    *,
    sources: ReportSources = _NOTHING_ELSE,
    band: int | None = None,
    safe: bool = False,
    overwrite: bool = False,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> ReportSummary:
    """Writes a page that shows a class raster to people, with nothing to load from anywhere.

    Areas are those of all pixels. Pictures have as many pixels as fit into a page below 5 MB;
    memory follows these, a strip of the raster and the polygons.

    Args:
        raster: Any raster of whole numbers that GDAL opens, or a URL of one.
        output: The HTML file.
        sources: What is shown besides.
        band: The band with the class ids; None for the only one.
        safe: Whether nothing of the files is trusted, see docs/security.md.
        overwrite: Whether an existing output may be replaced.
        report: Told the rows done and all rows.

    Raises:
        GlnetGeoError: A file cannot be read, does not fit to the map, or the output exists or
            cannot be written; an existing one stays as it was.
    """
    started = time.monotonic()
    path, output = scene_path(str(raster)), Path(output)
    local = () if is_remote(path) else (Path(path),)
    check_output(output, overwrite, (*local, *sources.local_files()))
    fetched = any(
        is_fetched(one)
        for one in (path, sources.scene, sources.confidence, sources.reference)
        if one is not None
    )
    with (
        gdal_environment(remote=fetched),
        ClassRaster(path, band, safe=safe) as reader,
        working_folder(output) as folder,
    ):
        check_not_input(output, reader.files)
        content = _content(reader, path, sources, safe, report)
        if sources.reference is not None:
            content = replace(content, evaluation=_evaluate(path, sources, band, safe))
        finished = folder / "finished"
        finished.write_text(report_page(content), "utf-8")
        size = finished.stat().st_size
        publish(finished, output)
    certainty, finest = content.certainty, content.picture[-1]
    return ReportSummary(
        output,
        size,
        content.classes,
        content.nodata_pixels,
        content.area_rule,
        content.unit,
        certainty.mean if certainty else None,
        content.evaluation,
        (finest.height, finest.width),
        time.monotonic() - started,
        peak_bytes(),
    )


def _content(
    reader: ClassRaster,
    path: ScenePath,
    sources: ReportSources,
    safe: bool,
    report: Callable[[int, int], None],
) -> ReportContent:
    """All but the scores."""
    grid, ground = reader.grid, ground_of(reader.grid)
    outlines = None
    if sources.polygons is not None:  # what fails soonest comes first
        outlines = draw_outlines(Path(sources.polygons), sources.layer, grid, _OUTLINE_BYTES, safe)
    with ExitStack() as stack:
        measured = None
        if sources.confidence is not None:
            confidence_file = scene_path(str(sources.confidence))
            measured = CountingReader(confidence_file, _BINS, safe)
            stack.callback(measured.close)
        rows = _Rows(reader, measured, report)
        extents = measure_classes(rows.read(), ground)
        if len(extents) > _MOST_CLASSES:
            raise RasterError(
                f"{path} has {len(extents):,} different values; a report shows {_MOST_CLASSES} "
                "classes at most. Is it a class raster?"
            )
        classes = _shares(reader, rows, extents)
        certainty = None if measured is None else _certainty(measured, rows.mean_of(extents))
    picture = map_pyramid(reader, [one.land_cover for one in classes], _MAP_BYTES)
    spent = len(outlines.path) if outlines else 0
    spent += n_bytes(picture) + (n_bytes(certainty.picture) if certainty else 0)
    scene = None
    if sources.scene is not None:
        scene = _scene_picture(sources, grid, _PICTURE_BYTES - spent, safe)
    known = reader.classes.known.values()
    absent = [one.name for one in known if one.id not in extents and one.name != str(one.id)]
    return ReportContent(
        scene_label(path),
        grid,
        classes,
        tuple(absent),
        grid.height * grid.width - sum(one.pixels for one in classes),
        ground.rule,
        ground.unit,
        picture,
        reader.tags,
        _file_facts(path),
        scene,
        outlines,
        certainty,
    )


def _shares(
    reader: ClassRaster, rows: _Rows, extents: Mapping[int, ClassExtent]
) -> tuple[ClassShare, ...]:
    """The classes, the largest first."""
    whole = sum(one.area for one in extents.values())
    return tuple(
        ClassShare(
            reader.classes.of(one),
            extent.pixels,
            extent.area,
            extent.area / whole if whole else 0.0,
            rows.mean_of([one]),
        )
        for one, extent in sorted(extents.items(), key=lambda pair: -pair[1].area)
    )


def _certainty(measured: CountingReader, mean: float | None) -> Certainty:
    return Certainty(
        mean,
        measured.tags.get("VALUES", ""),
        tuple(measured.counts.tolist()),
        scene_label(measured.path),
        confidence_pyramid(measured, _CONFIDENCE_BYTES),
    )


def _scene_picture(sources: ReportSources, grid: Grid, budget: int, safe: bool) -> ScenePicture:
    path = scene_path(str(sources.scene))
    picture, is_aligned = scene_pyramid(path, grid, sources.bands, budget, safe)
    return ScenePicture(scene_label(path), picture, is_aligned)


class _Rows:
    """Reads a map's rows once, and sums confidence by class on the way."""

    def __init__(
        self,
        reader: ClassRaster,
        measured: CountingReader | None,
        report: Callable[[int, int], None],
    ) -> None:
        self._reader, self._measured, self._report = reader, measured, report
        self._sums: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = {}

    def read(self) -> Iterator[Runs]:
        """From the top."""
        height = self._reader.grid.height
        for strip in read_rows(self._reader, self._measured):
            if strip.sums is not None:
                values, which = np.unique(strip.runs.value, return_inverse=True)
                for k, value in enumerate(values.tolist()):
                    sums = strip.sums[which == k].sum(axis=0)
                    self._sums[value] = self._sums.get(value, np.zeros(2)) + sums
            yield strip.runs
            self._report(strip.runs.top + strip.runs.height, height)

    def mean_of(self, class_ids: Iterable[int]) -> float | None:
        """Mean confidence of classes; None where none of their pixels has any."""
        sums = [self._sums[one] for one in class_ids if one in self._sums]
        total, count = np.sum(sums, axis=0) if sums else (0.0, 0.0)
        return float(total / count) if count else None


def _evaluate(path: ScenePath, sources: ReportSources, band: int | None, safe: bool) -> Evaluation:
    return evaluate(
        path,
        sources.reference,
        legend=sources.legend,
        ignore=sources.ignore,
        align=sources.align,
        attribute=sources.attribute,
        band=band,
        safe=safe,
    )


def _file_facts(path: ScenePath) -> dict[str, str]:
    """When a local file was written, and what tells it from all others."""
    if is_remote(path) or not Path(path).is_file():
        return {}
    try:
        changed = datetime.fromtimestamp(Path(path).stat().st_mtime, UTC)
        with Path(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RasterError(f"{path} cannot be read: {error.strerror}.") from error
    return {"Written": f"{changed:%Y-%m-%d %H:%M} UTC", "SHA-256": digest}
