"""A labelled sample and a class raster: error-adjusted areas, the whole of `evaluate --area`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from glnet_geo.area_estimates import AreaEstimates, estimate_areas
from glnet_geo.class_raster import ClassRaster
from glnet_geo.class_rows import read_rows
from glnet_geo.errors import FeaturesError
from glnet_geo.georeference import ground_of
from glnet_geo.grid import Window
from glnet_geo.opening import gdal_environment
from glnet_geo.remote import is_fetched, scene_path
from glnet_geo.sample_design import SampleDesign, Stratum
from glnet_geo.sample_drawing import measure_classes
from glnet_geo.sample_layer import REFERENCE
from glnet_geo.sample_points import SamplePoints
from glnet_geo.sample_size import LEAST
from glnet_geo.stratified_sampling import digest_of

_LISTED = 24  # names that a message lists

_log = logging.getLogger(__name__)


def assess_areas(
    raster: Path | str,
    sample: Path | str,
    *,
    layer: str | None = None,
    band: int | None = None,
    safe: bool = False,
) -> AreaEstimates:
    """Estimates areas and accuracies of a map's classes from a labelled sample.

    The map is the one that the sample was drawn from, or another one that covers it; then the
    estimates still weigh points by the strata that they were drawn from, and mapped areas are
    estimated as well. Classes of sample and map are matched by name, or by id where one has no
    name. Points without a reference are left out, with a warning.

    Args:
        raster: The map: any raster of whole numbers that GDAL opens, or a URL of one.
        sample: What `draw_sample` wrote, labelled; in any format, and any CRS.
        layer: The sample's layer; None for the only one that can be it.
        band: The band with the class ids; None for the only one.
        safe: Whether nothing of the files is trusted, see docs/security.md.

    Raises:
        GlnetGeoError: Something about map or sample stands in the way.
    """
    source, sample = scene_path(str(raster)), Path(sample)
    points = SamplePoints.read(sample, layer, safe)
    labelled = points.select([one != "" for one in points.references])
    if not labelled.names:
        raise FeaturesError(f"{sample} has no labelled points. Fill in its column {REFERENCE!r}.")
    with (
        gdal_environment(remote=is_fetched(source)),
        ClassRaster(source, band, safe=safe) as reader,
    ):
        ids = _classes_at(reader, labelled)
        is_moved = [one != other for one, other in zip(ids, labelled.strata, strict=True)]
        design = points.design
        if design is None:
            labelled.refuse(
                is_moved,
                f"are of another class in {raster}, and the strata's weights are lost. Give the "
                "map that the sample was drawn from, or the sample as it was drawn.",
            )
            design = _recounted(reader, points)
        elif any(is_moved) and design.sha256 == digest_of(source) != "":
            labelled.refuse(
                is_moved,
                f"are of another class than where they were drawn in {raster}. Move them back, or "
                f"empty their {REFERENCE}.",
            )
        names = _Names.of(design, reader, is_same=not any(is_moved))
    _check_strata(points, labelled, design)
    mapped_areas = {names.called(one.id): one.area for one in design.strata}
    return estimate_areas(
        design,
        labelled.strata,
        [names.called(one) for one in ids],
        names.find(labelled),
        None if any(is_moved) else mapped_areas,
    )


def _classes_at(reader: ClassRaster, points: SamplePoints) -> list[int]:
    """The map's class at each point."""
    rows, columns = points.pixels(reader.grid)
    ids, is_nodata = [0] * len(rows), [False] * len(rows)
    pixels = zip(rows.tolist(), columns.tolist(), range(len(rows)), strict=True)
    # From the top, so that a block is decoded once.
    for row, column, place in sorted(pixels):
        labels, valid = reader.read(Window(row, column, 1, 1))
        ids[place], is_nodata[place] = int(labels[0, 0]), valid is not None
    points.refuse(
        is_nodata, f"lie on nodata of {reader.path}. Empty their {REFERENCE}, or give another map."
    )
    return ids


def _recounted(reader: ClassRaster, points: SamplePoints) -> SampleDesign:
    """The design of a sample that has lost it, from the map that it was drawn from."""
    _log.warning(
        "%s has lost the strata's weights, as other formats than GeoPackage do. They are those of "
        "whole classes of %s: wrong for a sample that was drawn with --aoi.",
        points.path,
        reader.path,
    )
    ground = ground_of(reader.grid)
    found = measure_classes((strip.runs for strip in read_rows(reader)), ground)
    drawn = Counter(points.strata)
    points.refuse(
        [one not in found for one in points.strata],
        f"are of a stratum that {reader.path} does not have. Give the map that they were drawn "
        "from.",
    )
    strata = tuple(
        Stratum(one, reader.classes.of(one).name, extent.pixels, extent.area, drawn[one])
        for one, extent in found.items()
        if one in drawn
    )
    left_out = [reader.classes.of(one).name for one in found if one not in drawn]
    if left_out:
        _log.warning("Classes without points count nowhere: %s.", ", ".join(left_out[:_LISTED]))
    legend = {one: land_cover.name for one, land_cover in reader.classes.known.items()}
    legend |= {one.id: one.name for one in strata}
    return SampleDesign(
        str(reader.path), "", strata, dict(sorted(legend.items())), ground.rule, ground.unit
    )


def _check_strata(points: SamplePoints, labelled: SamplePoints, design: SampleDesign) -> None:
    """Tells what is not labelled, and refuses a sample of which that is too much."""
    ids = {one.id for one in design.strata}
    points.refuse(
        [one not in ids for one in points.strata],
        "are of a stratum that was not drawn from. Remove them.",
    )
    drawn, counts = Counter(points.strata), Counter(labelled.strata)
    missing = {one.name: drawn[one.id] - counts[one.id] for one in design.strata}
    if any(missing.values()):
        _log.warning(
            "%s: %d of %d points have no %s and are left out: %s.",
            points.path,
            sum(missing.values()),
            len(points.names),
            REFERENCE,
            ", ".join(f"{name} {n}" for name, n in missing.items() if n),
        )
    for one in design.strata:
        if counts[one.id] < min(LEAST, one.pixels):
            raise FeaturesError(
                f"{points.path} has too few labelled points of the stratum {one.name!r}: "
                f"{counts[one.id]} of {one.points}. Label at least {min(LEAST, one.pixels)}."
            )


@dataclass(frozen=True, slots=True)
class _Names:
    """What the classes are called, however map and sample write it.

    Attributes:
        by_key: Names by themselves without their case.
        by_id: Names of the map's classes by id.
        labels: Names by id as labels mean them, those of the sample first.
    """

    by_key: Mapping[str, str]
    by_id: Mapping[int, str]
    labels: Mapping[int, str]

    @classmethod
    def of(cls, design: SampleDesign, reader: ClassRaster, is_same: bool) -> _Names:
        """The names of a sample and a map, which may be the one that it was drawn from."""
        known = reader.classes.known.values()
        in_map = {one.id: one.name for one in known if one.name != str(one.id)}
        by_key: dict[str, str] = {}
        for name in (*design.legend.values(), *in_map.values()):
            by_key.setdefault(name.casefold(), name)
        labels = {**in_map, **design.legend}
        # The same map may have been renamed since then.
        return cls(by_key, labels if is_same else {**design.legend, **in_map}, labels)

    def called(self, class_id: int) -> str:
        """The name of one of the map's classes."""
        name = self.by_id.get(class_id, str(class_id))
        return self.by_key.get(name.casefold(), name)

    def find(self, points: SamplePoints) -> list[str]:
        """The names of the classes that points were labelled as.

        Raises:
            FeaturesError: There are no such classes.
        """
        ids = {str(one): name for one, name in self.labels.items()}
        keys = {**{one: self.by_key[name.casefold()] for one, name in ids.items()}, **self.by_key}
        unknown = sorted({one for one in points.references if one.casefold() not in keys})
        if unknown:
            names = "; ".join([*self.by_key.values()][:_LISTED])
            raise FeaturesError(
                f"{points.path} has {REFERENCE} values that are no classes: "
                f"{', '.join(map(repr, unknown[:_LISTED]))}. The classes are {names}."
            )
        return [keys[one.casefold()] for one in points.references]
