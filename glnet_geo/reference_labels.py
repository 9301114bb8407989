"""Polygons with a class as labels on the grid of a raster."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from glnet_geo.chip import Mask
from glnet_geo.class_raster import Labels
from glnet_geo.class_table import MapClass, fold, palette_color
from glnet_geo.errors import FeaturesError
from glnet_geo.features import GridPolygons, no_overlap, place
from glnet_geo.grid import Grid, Window
from glnet_geo.label_columns import candidates, fitting_column, listed, texts_of
from glnet_geo.legend import LandCover
from glnet_geo.outlines import Outlines, column_names, read_outlines

Codes = npt.NDArray[np.int32]
"""The place of a polygon's class among those of its file, from 1; N."""

_ATTRIBUTE = "class"  # as `vectorize` writes it
_TEXTS = 1 << 32
"""The value of the first class that is known by its name, beyond all ids."""
_TWICE = -(1 << 40)
"""The value where polygons of several classes lie."""
_LAYER_ADVICE = "Choose one with --layer"


class PolygonLabels:
    """Polygons of a vector file as class ids on a grid, in any CRS.

    A pixel has the class of the polygon that its centre lies in. What lies in none is not valid.

    Args:
        path: GeoPackage, GeoJSON, Shapefile or the like.
        grid: The grid.
        attribute: The field that holds the class: whole numbers are ids, texts names. None for
            "class", or else the only field, or else the first of those that are usual ("label",
            "landcover" and the like) that holds nothing but known classes.
        layer: The layer; None for the only one with polygons.
        known: Known classes.
        safe: Whether nothing of the file is trusted, see `safe_vectors`.

    Attributes:
        path: The file.
        grid: The grid.
        block_height: 1; any rows are as good as others.
        files: The file.
        named: Classes that are known by their names, by value.
        notes: Which field was chosen among several.

    Raises:
        FeaturesError: The file is missing or no vector file, the layer or the field is missing, or
            a field has no classes.
    """

    block_height = 1

    def __init__(
        self,
        path: Path,
        grid: Grid,
        attribute: str | None = None,
        layer: str | None = None,
        known: Iterable[LandCover | MapClass] = (),
        safe: bool = False,
    ) -> None:
        self.path, self.grid, self.files = path, grid, (path,)
        names = column_names(path, layer, safe)
        wanted = candidates(names, attribute) or names[:1]
        self._outlines = read_outlines(path, layer, wanted, _LAYER_ADVICE, safe)
        field = _choose_field(self._outlines, names, attribute, known)
        self.notes = _notes(self._outlines, names, attribute, field)
        self._cells = texts_of(self._outlines.columns[field])
        texts = sorted({text for text in self._cells if text is not None})
        if not texts:
            raise FeaturesError(f"{path} has no values in the field {field!r}.")
        self._values = {text: _value(text, rank) for rank, text in enumerate(texts)}
        self.named: Mapping[int, MapClass] = {
            value: MapClass(value, text, palette_color(rank))
            for rank, (text, value) in enumerate(self._values.items())
            if is_name(value)
        }
        self._texts = {value: text for text, value in self._values.items()}

    def read(self, window: Window) -> tuple[Labels, Mask | None]:
        """Values of a window; those in polygons of several classes are one of their own."""
        polygons, codes, values = self._placed
        last, first = polygons.burn_both(window, codes)
        labels = values[last]
        labels[last != first] = _TWICE
        return labels, last > 0

    def describe(self, value: int) -> str:
        """The value as the file has it."""
        return self._texts.get(value, "several at once")

    def close(self) -> None:
        """Nothing is open."""

    @cached_property
    def _placed(self) -> tuple[GridPolygons, Codes, Labels]:
        """The polygons by their classes, the code of each, and the value of each code."""
        # Values are ordered as texts are; an empty cell labels nothing.
        code_of = {None: 0} | {text: code for code, text in enumerate(self._values, 1)}
        codes = np.array([code_of[text] for text in self._cells], np.int32)[self._outlines.rows]
        # Where the last polygon and the first one are of one class, so are all between them.
        order = np.argsort(codes, kind="stable")[np.count_nonzero(codes == 0) :]
        outlines = replace(self._outlines, polygons=self._outlines.polygons.iloc[order])
        polygons = GridPolygons.of(place(outlines, self.grid), self.grid)
        if not polygons.near(self.grid.window).size:
            raise FeaturesError(no_overlap(outlines, self.grid, "the prediction"))
        return polygons, codes[order], np.array([0, *self._values.values()], np.int64)


def is_ambiguous(value: int) -> bool:
    """Whether a value stands for polygons of several classes."""
    return value == _TWICE


def is_name(value: int) -> bool:
    """Whether a value stands for a class that has a name only."""
    return value >= _TEXTS


def _choose_field(
    outlines: Outlines,
    names: list[str],
    attribute: str | None,
    known: Iterable[LandCover | MapClass],
) -> str:
    path, columns = outlines.path, outlines.columns
    if not names:
        raise FeaturesError(f"{path} has no field that says the classes of its polygons.")
    if attribute is not None:
        for name in candidates(columns, attribute):
            return name
        raise FeaturesError(f"{path} has no field {attribute!r}. It has {listed(names)}.")
    if _ATTRIBUTE in columns:
        return _ATTRIBUTE
    if len(names) == 1:
        return names[0]
    classes = {text for one in known for text in (str(one.id), fold(one.name))}
    field = fitting_column(columns, lambda text: fold(text) in classes)
    if field is None:
        raise FeaturesError(
            f"{path} has several fields: {listed(names)}. Choose the one that says the class "
            "with --attribute"
        )
    return field


def _notes(
    outlines: Outlines, names: list[str], attribute: str | None, field: str
) -> tuple[str, ...]:
    if attribute is not None or field == _ATTRIBUTE or len(names) == 1:
        return ()
    return (f"{outlines.path}: the field {field!r} says the classes",)


def _value(text: str, rank: int) -> int:
    """A whole number itself, or what stands for a name."""
    return int(text) if re.fullmatch("-?[0-9]{1,9}", text) else _TEXTS + rank
