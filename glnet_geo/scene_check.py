"""What is to be known of a labelled scene before hours are spent on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from glnet_geo.census import Census, take_census
from glnet_geo.datasets import LabelledScene
from glnet_geo.errors import GlnetGeoError
from glnet_geo.grid import Grid, Window
from glnet_geo.labelled_scene import BANDS_ADVICE, OpenScene
from glnet_geo.legend import Legend
from glnet_geo.quicklook import Panel, as_rgb
from glnet_geo.raster import SceneReader
from glnet_geo.validation import ids_of

_STRIP = 256  # rows that are read at a time
_CELL = 256  # pixels on a side of a cell, at most
_SHOWN = 320  # pixels on a side of a sample
_MOST_VALUES = 20  # that are named


@dataclass(frozen=True, slots=True, eq=False)
class CheckedScene:
    """A scene that could be opened, and what is in it.

    Attributes:
        scene: The scene.
        grid: Its grid.
        gsd: Ground sample distance in metres; None where nobody knows.
        pixels: Labelled pixels of each class, K.
        notes: What was decided about its labels.
        unknown: Label values that are neither classes nor ignored, with their pixels; of polygons
            with how often one was met.
        errors: What makes training fail or deceive.
        warnings: What may be meant so.
    """

    scene: LabelledScene
    grid: Grid
    gsd: float | None
    pixels: npt.NDArray[np.int64]
    notes: tuple[str, ...]
    unknown: Mapping[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def labelled(self) -> float:
        """Share of its pixels that has labels, 0-1."""
        return float(self.pixels.sum() / (self.grid.height * self.grid.width))

    def to_dict(self, legend: Legend) -> dict[str, Any]:
        """The JSON form."""
        names = [one.name for one in legend.classes]
        return {
            "image": str(self.scene.image),
            "labels": str(self.scene.labels),
            "split": self.scene.split,
            "height": self.grid.height,
            "width": self.grid.width,
            "gsd_m": None if self.gsd is None else round(self.gsd, 4),
            "crs": self.grid.crs_label,
            "labelled": round(self.labelled, 4),
            "pixels": dict(zip(names, self.pixels.tolist(), strict=True)),
            "unknown": dict(self.unknown),
            "notes": list(self.notes),
        }


def check_scene(
    scene: LabelledScene,
    legend: Legend,
    n_bands: int,
    extent: int,
    samples: int,
    is_new: bool = True,
) -> tuple[CheckedScene, list[list[Panel]]]:
    """Reads a scene to the end.

    Args:
        scene: The scene.
        legend: The classes.
        n_bands: Bands that the model takes.
        extent: Side of a sample in pixels of the scene, at most.
        samples: How many of them.
        is_new: Whether nobody has looked at the image yet, for another split.

    Returns:
        What was found; and for each sample the image, its labels, and both.

    Raises:
        GlnetGeoError: It cannot be opened, or its labels cannot be read.
    """
    with OpenScene(scene, legend, n_bands) as opened:
        shortest = min(opened.grid.height, opened.grid.width)
        census = take_census(opened, len(legend), max(min(_CELL, shortest // 8), 1))
        found = CheckedScene(
            scene, opened.grid, opened.gsd, census.pixels, opened.notes, census.unknown
        )
        if census.unknown:
            found.errors.append(
                f"{scene.labels}: no class of {legend.name!r} has {_listed(census.unknown)}."
            )
        if not census.pixels.any():
            found.errors.append(f"{scene.labels}: no pixel has a label that counts.")
        try:
            if is_new:
                found.warnings.extend(_look_through(scene, n_bands))
            rows = [] if census.unknown else _samples(opened, legend, census, extent, samples)
        except GlnetGeoError as error:
            found.errors.append(str(error))
            rows = []
    return found, rows


def _listed(unknown: Mapping[str, int]) -> str:
    """Values that nobody knows, the most frequent first."""
    values = sorted(unknown.items(), key=lambda item: -item[1])
    named = [f"{value} ({count:,})" for value, count in values[:_MOST_VALUES]]
    more = len(values) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _look_through(scene: LabelledScene, n_bands: int) -> list[str]:
    """Reads every pixel of the image: what is damaged shows itself, and what is empty too."""
    low, high = np.full(n_bands, np.inf), np.full(n_bands, -np.inf)
    with SceneReader(scene.image, scene.bands, n_bands, BANDS_ADVICE) as image:
        bands = image.bands
        for strip in image.grid.window.rows(_STRIP):
            chip = image.read(strip)
            if chip.valid.any():
                inside = chip.pixels[:, chip.valid]
                low = np.minimum(low, inside.min(axis=1))
                high = np.maximum(high, inside.max(axis=1))
    if (low > high).all():
        return [f"{scene.image} has no data at all."]
    constant = np.flatnonzero(low == high)
    if len(constant) == n_bands:
        values = ", ".join(f"{value:g}" for value in dict.fromkeys(low.tolist()))
        return [f"{scene.image} has the value {values} everywhere."]
    if len(bands) < n_bands:
        return []  # a palette, whose colours may well have no red
    return [f"{scene.image} has the value {low[k]:g} all over band {bands[k]}." for k in constant]


def _samples(
    opened: OpenScene, legend: Legend, census: Census, extent: int, count: int
) -> list[list[Panel]]:
    """Frames around labels, a panel each for image, labels, and both."""
    places = np.argwhere(census.labelled)
    if not len(places):
        return []
    chosen = np.random.default_rng(0).permutation(len(places))[:count]
    rows = []
    for row, column in places[chosen]:
        # Half a scene at most: several samples of it are to differ.
        side = max(min(extent, min(opened.grid.height, opened.grid.width) // 2), 1)
        top, left = (
            int(np.clip((cell + 0.5) * census.cell - side / 2, 0, length - side))
            for cell, length in ((row, opened.grid.height), (column, opened.grid.width))
        )
        sample = opened.read(Window(top, left, side, side), _SHOWN)
        image, labels = as_rgb(sample.pixels), ids_of(legend)[sample.target]
        colors = np.moveaxis(legend.rgb_table()[labels], -1, 0)
        known = sample.target < len(legend)
        both = np.where(known, image // 2 + colors // 2, image).astype(np.uint8)
        title = f"{opened.scene.split}: {opened.scene.image.name}"
        rows.append([Panel(title, image), Panel("Labels", labels), Panel("Both", both)])
    return rows
