"""How the files of a pair are read: what is known of them before a pixel is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from glnet_geo.alignment import compare_grids, has_place
from glnet_geo.class_table import MapClass
from glnet_geo.errors import GlnetGeoError, RasterError
from glnet_geo.evaluation_pairs import Pair
from glnet_geo.grid import Grid, Window
from glnet_geo.label_sources import ColorLabels, LabelSource, RasterLabels, is_picture
from glnet_geo.legend import Legend
from glnet_geo.map_mosaic import overlaps
from glnet_geo.outlines import is_vector
from glnet_geo.reference_labels import PolygonLabels
from glnet_geo.remote import ScenePath

_PARALLEL = 1e-6


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """How files are read; see `evaluation.evaluate`."""

    legend: Legend | None = None
    align: bool = False
    attribute: str | None = None
    layer: str | None = None
    band: int | None = None
    reference_band: int | None = None
    safe: bool = False


@dataclass(frozen=True, slots=True)
class PairPlan:
    """What is known of a pair.

    Attributes:
        pair: The files.
        grid: The prediction's grid, on which they are compared.
        is_aligned: Whether the reference is read on it instead of its own.
        predicted: Classes that the prediction names, by value.
        reference: Classes that the reference names, by value.
        notes: What to know.
    """

    pair: Pair
    grid: Grid
    is_aligned: bool = False
    predicted: Mapping[int, MapClass] = field(default_factory=dict)
    reference: Mapping[int, MapClass] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def open_prediction(self, options: ReadingOptions) -> LabelSource:
        """Opens the prediction."""
        return _open_raster(self.pair.prediction, options, options.band)

    def open_reference(self, options: ReadingOptions) -> LabelSource:
        """Opens the reference, on the grid on which it is compared."""
        path = self.pair.reference
        if isinstance(path, Path) and is_vector(path):
            legend = options.legend
            known = legend.classes if legend is not None else self.predicted.values()
            field, layer = options.attribute, options.layer
            return PolygonLabels(path, self.grid, field, layer, known, options.safe)
        if options.attribute or options.layer:
            raise GlnetGeoError(f"{path} is no vector file: leave --attribute and --layer out.")
        onto = self.grid if self.is_aligned else None
        return _open_raster(path, options, options.reference_band, onto)


def plan_pair(pair: Pair, options: ReadingOptions) -> PairPlan:
    """Looks at both files.

    Raises:
        GlnetGeoError: One of them cannot be read, or they lie on different grids.
    """
    prediction = pair.prediction
    if isinstance(prediction, Path) and is_vector(prediction):
        raise RasterError(f"{prediction} is a vector file. A prediction is a class raster.")
    plan = PairPlan(pair, Grid(1, 1))
    with closing(plan.open_prediction(options)) as source:
        grid, predicted = source.grid, source.named
    plan = PairPlan(pair, grid, predicted=predicted)
    with closing(plan.open_reference(options)) as source:
        is_aligned, notes = compare_grids(
            (prediction, grid), (pair.reference, source.grid), options.align, "prediction"
        )
        return PairPlan(pair, grid, is_aligned, predicted, source.named, notes + source.notes)


def _open_raster(
    path: ScenePath, options: ReadingOptions, band: int | None, onto: Grid | None = None
) -> LabelSource:
    if band is not None or not is_picture(path, options.safe):
        return RasterLabels(path, band, onto, options.safe)
    if options.legend is None:
        raise RasterError(
            f"{path} is a picture (red, green, blue). If it shows classes in colours, give their "
            "legend with --legend; if one of its bands holds class ids, choose it with --band or "
            "--reference-band"
        )
    return ColorLabels(path, options.legend, onto, options.safe)


def overlap_notes(plans: Sequence[PairPlan]) -> list[str]:
    """Which predictions share ground, so that its pixels count twice."""
    by_crs: dict[str, list[PairPlan]] = defaultdict(list)
    for plan in plans:
        if has_place(plan.grid):
            by_crs[plan.grid.crs or ""].append(plan)
    notes = []
    for plans_there in by_crs.values():
        first = plans_there[0].grid
        # The bounds of a grid that is turned hold ground that is not its own.
        group = [plan for plan in plans_there if _is_parallel(first, plan.grid)]
        boxes = [_box(first, plan.grid) for plan in group]
        for j, k in overlaps(boxes).tolist():
            shared = boxes[j].intersection(boxes[k])
            if shared is not None:
                notes.append(
                    f"{group[j].pair.prediction} and {group[k].pair.prediction} overlap in about "
                    f"{shared.height * shared.width:,} px, which count twice"
                )
    return sorted(notes)


def _is_parallel(first: Grid, grid: Grid) -> bool:
    relative = ~first.transform @ grid.transform
    along, across = abs(relative.a) + abs(relative.e), abs(relative.b) + abs(relative.d)
    return bool(across < _PARALLEL * along)


def _box(first: Grid, grid: Grid) -> Window:
    """The bounds of a grid in pixels of another one of its CRS."""
    to_pixel = ~first.transform @ grid.transform
    corners = np.array([to_pixel @ (x, y) for x in (0, grid.width) for y in (0, grid.height)])
    left, top = np.round(corners.min(axis=0)).astype(int).tolist()
    right, bottom = np.round(corners.max(axis=0)).astype(int).tolist()
    return Window(top, left, max(bottom - top, 1), max(right - left, 1))
