"""Labels that are polygons, in any CRS, with a column that says their classes."""

from __future__ import annotations

import numpy as np

from glnet_geo.datasets import LabelledScene
from glnet_geo.errors import DatasetError
from glnet_geo.features import AreaOfInterest, GridPolygons, no_overlap, place
from glnet_geo.grid import Grid, Window
from glnet_geo.label_columns import candidates, fitting_column, listed, texts_of
from glnet_geo.label_values import UNKNOWN, LabelValues, LabelWindow
from glnet_geo.legend import IGNORED
from glnet_geo.outlines import Outlines, column_names, read_outlines

_LAYER_ADVICE = "Name the one that holds the labels: layer, in the dataset file."
_IGNORE = "ignore"


class PolygonLabels:
    """Polygons of a vector file as labels on the grid of an image.

    A pixel has the class of the last polygon, in the order of the file, that its centre lies in.
    A polygon without a class is ignored.

    Args:
        scene: Image and labels.
        image: The image's grid.
        values: What the labels' values stand for.
        area: What lies outside of it is ignored; None for no such area.

    Attributes:
        notes: What was decided.

    Raises:
        FeaturesError: The labels cannot be read or placed.
        DatasetError: They do not overlap the image, no column or not the one that is asked for
            holds the classes, or what is unlabelled is no class.
    """

    def __init__(
        self,
        scene: LabelledScene,
        image: Grid,
        values: LabelValues,
        area: AreaOfInterest | None = None,
    ) -> None:
        self._area = area
        self._outside = _position_outside(scene, values)
        outlines = _read(scene)
        column, self._texts = _classes(scene, outlines, values)
        self._rows = outlines.rows
        positions = [IGNORED if text is None else values.of_text(text) for text in self._texts]
        self._positions = np.array(positions, np.int16)
        self._polygons = GridPolygons.of(place(outlines, image), image)
        if not self._polygons.near(image.window).size:
            raise DatasetError(no_overlap(outlines, image, scene.image))
        self.notes = _notes(scene, column, self._texts.count(None), self._outside, values)

    def read(self, window: Window) -> LabelWindow:
        """The labels of a window of the image's grid."""
        burnt = self._polygons.burn(window, (self._rows + 1).astype(np.int32))
        positions = np.append(np.int16(self._outside), self._positions)[burnt]
        if self._area is not None:
            positions[~self._area.mask(window)] = IGNORED
        is_unknown = positions == UNKNOWN
        unknown: dict[str, int] = {}
        for row in np.unique(burnt[is_unknown]) - 1:
            text = str(self._texts[row])
            unknown[text] = unknown.get(text, 0) + 1
        positions[is_unknown] = IGNORED
        return LabelWindow(positions.astype(np.uint8), unknown)

    def touches(self, window: Window) -> bool:
        """Whether anything in a window may not be ignored."""
        if self._area is not None and not self._area.touches(window):
            return False
        if self._outside != IGNORED:
            return True
        rows = self._rows[self._polygons.near(window)]
        return bool((self._positions[rows] != IGNORED).any())

    def close(self) -> None:
        """Nothing is open."""


def _position_outside(scene: LabelledScene, values: LabelValues) -> int:
    if scene.unlabelled.strip().casefold() == _IGNORE:
        return IGNORED
    position = values.of_name(scene.unlabelled)
    if position == UNKNOWN:
        names = [one.name for one in values.legend.classes]
        raise DatasetError(
            f"What is unlabelled in {scene.labels} is to be {scene.unlabelled!r}, which is no "
            f"class of {values.legend.name!r}. It is {_IGNORE!r} or one of: {listed(names)}."
        )
    return position


def _read(scene: LabelledScene) -> Outlines:
    """The polygons, with the columns that may hold their classes."""
    wanted = candidates(column_names(scene.labels, scene.layer), scene.attribute)
    return read_outlines(scene.labels, scene.layer, wanted, _LAYER_ADVICE)


def _classes(
    scene: LabelledScene, outlines: Outlines, values: LabelValues
) -> tuple[str, list[str | None]]:
    """The column with the classes, and what it says of each feature; None where it is NULL."""
    if scene.attribute is not None:
        names = candidates(outlines.columns, scene.attribute)
        if not names:
            raise DatasetError(
                f"{scene.labels} has no column {scene.attribute!r}. {_columns_of(scene)}"
            )
        texts = texts_of(outlines.columns[names[0]])
        if texts.count(None) == len(texts):
            raise DatasetError(f"{scene.labels} has no values in the column {names[0]!r}.")
        return names[0], texts
    name = fitting_column(outlines.columns, lambda text: values.of_text(text) != UNKNOWN)
    if name is not None:
        return name, texts_of(outlines.columns[name])
    raise DatasetError(
        f"{scene.labels} has no column of which every value is a class of "
        f"{values.legend.name!r}. {_columns_of(scene)} Name the one with the classes: attribute, "
        "in the dataset file."
    )


def _columns_of(scene: LabelledScene) -> str:
    names = column_names(scene.labels, scene.layer)
    return f"Its columns are: {listed(names)}." if names else "It has no columns."


def _notes(
    scene: LabelledScene, column: str, nulls: int, outside: int, values: LabelValues
) -> tuple[str, ...]:
    name = scene.labels.name
    notes = [f"{name}: the column {column!r} names the classes."]
    if nulls:
        notes.append(f"Features of {name} without a class are ignored: {nulls}.")
    if outside == IGNORED:
        notes.append(f"What lies outside the polygons of {name} is ignored.")
    else:
        land_cover = values.legend.classes[outside]
        notes.append(f"What lies outside the polygons of {name} is {land_cover.name!r}.")
    return tuple(notes)
