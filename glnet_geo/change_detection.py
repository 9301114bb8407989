"""Two maps to what changed between them: the whole of `glnet-geo change`.

Memory follows a strip of the maps, and patches of change that are not complete at its lower edge.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from glnet_geo.boundary_scores import MOST_PX
from glnet_geo.change_files import check_change_files, picture_of, write_table
from glnet_geo.change_legend import ChangeLegend
from glnet_geo.change_matrix import RULES, ChangeTally
from glnet_geo.change_output import CodeSpool, write_changes
from glnet_geo.change_rules import ChangeRows, PatchFilter, ShiftFilter
from glnet_geo.change_source import MapInput, MapPair, PairReading
from glnet_geo.change_summary import ChangeSummary, change_files
from glnet_geo.class_table import MapClass
from glnet_geo.errors import GlnetGeoError, RasterError
from glnet_geo.geopackage import check_replaced
from glnet_geo.ground import Ground
from glnet_geo.legend import Legend
from glnet_geo.map_summary import peak_bytes
from glnet_geo.opening import gdal_environment
from glnet_geo.outputs import check_not_input, publish, working_folder
from glnet_geo.remote import ScenePath, is_remote, scene_label, scene_path
from glnet_geo.units import Area, Length
from glnet_geo.vector_formats import format_of
from glnet_geo.vector_layer import GEOPACKAGE
from glnet_geo.vector_summary import VectorSummary
from glnet_geo.vectorizing import Generalisation, vectorize

LAYER = "change"
"""The layer of the polygons of change."""


@dataclass(frozen=True, slots=True)
class ChangeRules:
    """Which differences between two maps are no changes, in the order in which they are left out.

    Attributes:
        min_confidence: A change counts only where each confidence raster that is given has at
            least this.
        tolerance: How far the maps may be shifted against each other, see `ShiftFilter`.
        min_area: Smaller patches of change are none, see `PatchFilter`.
        connectivity: 4: pixels that touch in a corner alone are not connected. 8: they are.
    """

    min_confidence: float | None = None
    tolerance: Length | None = None
    min_area: Area | None = None
    connectivity: int = 4

    def to_dict(self) -> dict[str, str]:
        """Those that are asked for, as they were given."""
        given = {
            "confidence": self.min_confidence,
            "tolerance": self.tolerance,
            "min_area": self.min_area,
        }
        return {name: str(value) for name, value in given.items() if value is not None}


def detect_change(
    old: ScenePath,
    new: ScenePath,
    output: Path | str,
    *,
    align: bool = False,
    rules: ChangeRules = ChangeRules(),
    old_confidence: ScenePath | None = None,
    new_confidence: ScenePath | None = None,
    polygons: Path | str | None = None,
    aoi: Path | str | None = None,
    legend: Legend | None = None,
    old_band: int | None = None,
    new_band: int | None = None,
    safe: bool = False,
    overwrite: bool = False,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> ChangeSummary:
    """Makes a map of what changed between two maps, a table and a picture of from what to what.

    The map of changes has the old map's grid, one value for what did not change, and one for each
    transition that occurs; the table and the picture lie beside it, see `change_files`. Only
    pixels where both maps have a class count. What a rule leaves out counts as what it was.

    Args:
        old: A class raster of any origin, or a URL of one.
        new: Another one. Classes are the same by name where both maps have names, else by id.
        output: The map of changes, a GeoTIFF.
        align: Whether the new map, and confidence, may be read on the old map's grid.
        rules: Which differences are no changes.
        old_confidence: A raster on the grid of the old map: how sure it is of each pixel.
        new_confidence: The same of the new map.
        polygons: A vector file with the polygons of all that changed; None for none.
        aoi: A vector file: only what lies in its polygons is compared.
        legend: The classes of both maps; None for those that they name.
        old_band: The old map's band with the class ids; None for the only one.
        new_band: The new map's likewise.
        safe: Whether nothing of the files is trusted, see docs/security.md.
        overwrite: Whether existing outputs may be replaced.
        report: Told the rows done and all rows.

    Raises:
        GlnetGeoError: A file cannot be read or written, grids differ, classes do not match, or
            there is nothing to compare; existing outputs stay as they were.
    """
    started = time.monotonic()
    output = Path(output)
    polygons, aoi = (None if one is None else Path(one) for one in (polygons, aoi))
    _check_confidence(rules, old_confidence, new_confidence)
    given = (
        MapInput(scene_path(str(old)), old_band, _path_of(old_confidence)),
        MapInput(scene_path(str(new)), new_band, _path_of(new_confidence)),
    )
    paths = [path for one in given for path in one.paths] + ([aoi] if aoi else [])
    check_change_files(output, polygons, overwrite, [Path(p) for p in paths if not is_remote(p)])
    if polygons is not None and format_of(polygons) == GEOPACKAGE and polygons.exists():
        check_replaced([LAYER], polygons, "Choose another file")
    options = PairReading(align, legend, rules.min_confidence, aoi, safe)
    with (
        gdal_environment(remote=any(one.is_fetched for one in given)),
        MapPair(*given, options) as pair,
    ):
        for path in (*change_files(output), *([polygons] if polygons else [])):
            check_not_input(path, pair.files)
        filters = _filters(rules, pair.ground, pair.grid.width)
        tally = ChangeTally(pair.ground)
        with (
            working_folder(output) as folder,
            CodeSpool(folder / "codes", pair.grid.width) as spool,
        ):
            # Ends the reading ahead before the rasters are closed, also after an error.
            with closing(_filtered(pair.read_rows(), filters)) as strips:
                for rows in strips:
                    spool.add(tally.add(rows))
                    report(rows.top + rows.height, pair.grid.height)
            work = _Work(given, output, pair, rules, tally, started)
            return work.finish(folder, spool, polygons)


def _path_of(given: ScenePath | None) -> ScenePath | None:
    return None if given is None else scene_path(str(given))


def _check_confidence(
    rules: ChangeRules, old_confidence: ScenePath | None, new_confidence: ScenePath | None
) -> None:
    has_any = old_confidence is not None or new_confidence is not None
    if has_any and rules.min_confidence is None:
        raise GlnetGeoError(
            "Confidence rasters need a limit. Give one with --min-confidence, such as 0.8."
        )
    if not has_any and rules.min_confidence is not None:
        raise GlnetGeoError(
            "--min-confidence needs --old-confidence, --new-confidence or both. glnet-geo predict "
            "--confidence writes such rasters."
        )


def _filters(rules: ChangeRules, ground: Ground, width: int) -> list[ShiftFilter | PatchFilter]:
    filters: list[ShiftFilter | PatchFilter] = []
    if rules.tolerance is not None:
        pixels = rules.tolerance.in_pixels(ground, "--tolerance")
        if pixels > MOST_PX:
            raise RasterError(
                f"A tolerance of {rules.tolerance} is {pixels:.4g} pixels, and at most {MOST_PX:g} "
                "are possible. Choose a smaller one with --tolerance"
            )
        # A shift by a part of a pixel moves borders by a whole one.
        filters.append(ShiftFilter(math.ceil(pixels - 1e-6)))
    if rules.min_area is not None:
        limits = rules.min_area.in_pixels(ground, "--min-area")
        filters.append(PatchFilter(limits, width, rules.connectivity))
    return filters


def _filtered(
    strips: Iterable[ChangeRows], filters: Sequence[ShiftFilter | PatchFilter]
) -> Generator[ChangeRows]:
    """What is left after all filters."""
    if not filters:
        yield from strips
        return
    last = filters[-1]
    for rows in _filtered(strips, filters[:-1]):
        yield from last.push(rows)
    yield from last.finish()


@dataclass(frozen=True, slots=True)
class _Work:
    """A comparison whose pixels have all been looked at."""

    given: tuple[MapInput, MapInput]
    output: Path
    pair: MapPair
    rules: ChangeRules
    tally: ChangeTally
    started: float

    def finish(self, folder: Path, spool: CodeSpool, polygons: Path | None) -> ChangeSummary:
        """Writes everything, the map of changes last."""
        known = self.pair.classes.classes
        order = sorted(self.tally.positions(), key=lambda k: known[k].id)
        self._check(order)
        kept = self.tally.kept(order)
        changed = np.argwhere(kept.pixels[:-1, :-1] * (1 - np.eye(len(order), dtype=np.int64)))
        pairs = [(order[here], order[there]) for here, there in changed.tolist()]
        legend = ChangeLegend.of([(known[here], known[there]) for here, there in pairs])
        codes = {256 * a + b: one.id for (a, b), one in zip(pairs, legend.transitions, strict=True)}
        found: list[VectorSummary] = []
        summary = self._summary(order, legend)
        table, picture = folder / "table", folder / "picture"
        write_table(table, summary)
        picture_of(summary).save(picture)

        def place_others(product: Path) -> None:
            if polygons is not None:
                found.append(self._vectorize(product, polygons, legend))
            publish(table, summary.files[1])
            publish(picture, summary.files[2])

        tags = {"TIFFTAG_SOFTWARE": f"glnet-geo {version('glnet-geo')}", **self._tags()}
        grid = self.pair.grid
        write_changes(self.output, folder, grid, spool, codes, legend, tags, place_others)
        return replace(
            summary,
            polygons=found[0] if found else None,
            seconds=time.monotonic() - self.started,
            peak_bytes=peak_bytes(),
        )

    def _check(self, order: Sequence[int]) -> None:
        """Refuses maps without anything to compare, or whose ids mean different things."""
        old, new = self.given
        if not order:
            raise RasterError(
                f"There is nothing to compare: {old.path} and {new.path} have no pixel where both "
                "have a class. Check their nodata values, the AOI, and that they belong together."
            )
        mapped = self.tally.mapped(order).pixels
        has_old, has_new = mapped[:-1, -1] > 0, mapped[-1, :-1] > 0
        if self.pair.classes.is_open and not (has_old & has_new).any():
            known = self.pair.classes.classes
            names = [
                ", ".join(known[k].name for k, has in zip(order, some, strict=True) if has)
                for some in (has_old, has_new)
            ]
            raise RasterError(
                f"{old.path} and {new.path} have no class in common: {names[0]} in the one, "
                f"{names[1]} in the other. Give the legend of both with --legend"
            )

    def _summary(self, order: Sequence[int], legend: ChangeLegend) -> ChangeSummary:
        pair, tally = self.pair, self.tally
        classes: tuple[MapClass, ...] = tuple(pair.classes.classes[k] for k in order)
        return ChangeSummary(
            self.given[0].path,
            self.given[1].path,
            self.output,
            pair.grid,
            classes,
            legend,
            tally.mapped(order),
            tally.kept(order),
            {rule: tally.suppressed(RULES[rule], order) for rule in self.rules.to_dict()},
            self.rules.to_dict(),
            pair.grid.height * pair.grid.width - tally.pixels,
            pair.ground.rule,
            pair.ground.unit,
            pair.is_aligned,
            tuple(pair.notes),
            None,
            0.0,
            None,
        )

    def _tags(self) -> dict[str, str]:
        """What the map of changes says of itself."""
        old, new = (scene_label(one.path) for one in self.given)
        rules = {name.upper(): value for name, value in self.rules.to_dict().items()}
        return {"OLD": old, "NEW": new, **rules}

    def _vectorize(self, product: Path, polygons: Path, legend: ChangeLegend) -> VectorSummary:
        texts: Mapping[str, Mapping[int, str]] = {
            "old_class": {one.id: one.old.name for one in legend.transitions},
            "new_class": {one.id: one.new.name for one in legend.transitions},
        }
        tags = {name.lower(): value for name, value in self._tags().items()}
        return vectorize(
            product,
            polygons,
            generalisation=Generalisation(self.rules.connectivity),
            exclude=[legend.classes[0].name],
            layer=LAYER,
            metadata={**tags, "source": self.output.name},
            texts=texts,
            overwrite=True,
        )
