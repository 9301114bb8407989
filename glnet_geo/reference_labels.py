"""Polygons with a class as labels on the grid of a raster."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError
from shapely.errors import ShapelyError

from glnet_geo.chip import Mask
from glnet_geo.class_raster import Labels
from glnet_geo.class_table import MapClass, palette_color
from glnet_geo.errors import FeaturesError
from glnet_geo.features import AreaOfInterest, Outlines
from glnet_geo.grid import Grid, Window
from glnet_geo.raster import reason_of

VECTOR_SUFFIXES = (
    *(".gpkg", ".shp", ".geojson", ".json", ".geojsonl", ".geojsons"),
    *(".fgb", ".gdb", ".kml", ".gml", ".sqlite", ".parquet", ".geoparquet"),
)
_ATTRIBUTE = "class"  # as `vectorize` writes it
_TEXTS = 1 << 32
"""The value of the first class that is known by its name, beyond all ids."""
_TWICE = -(1 << 40)
"""The value where polygons of several classes lie."""


def is_vector(path: Path) -> bool:
    """Whether a file's name is that of a vector file."""
    return path.suffix.lower() in VECTOR_SUFFIXES


class PolygonLabels:
    """Polygons of a vector file as class ids on a grid, in any CRS.

    A pixel has the class of the polygon that its centre lies in. What lies in none is not valid.

    Args:
        path: GeoPackage, GeoJSON, Shapefile or the like.
        grid: The grid.
        attribute: The field that holds the class: whole numbers are ids, texts names. None for
            "class", or else the only field.
        layer: The layer; None for the only one.

    Attributes:
        path: The file.
        grid: The grid.
        block_height: 1; any rows are as good as others.
        files: The file.
        named: Classes that are known by their names, by value.

    Raises:
        FeaturesError: The file is missing or no vector file, the layer or the field is missing, or
            a field has no classes.
    """

    block_height = 1

    def __init__(
        self, path: Path, grid: Grid, attribute: str | None = None, layer: str | None = None
    ) -> None:
        if not path.exists():
            raise FeaturesError(f"{path} does not exist.")
        self.path, self.grid, self.files = path, grid, (path,)
        self._layer = _choose_layer(path, layer)
        self._attribute = _choose_attribute(path, self._layer, attribute)
        frame = _read(path, self._layer, self._attribute, read_geometry=False)
        # An empty class cell labels nothing.
        texts = sorted({text for one in frame[self._attribute] if (text := _text(one))})
        if not texts:
            raise FeaturesError(f"{path} has no values in the field {self._attribute!r}.")
        self._values = {text: _value(text, place) for place, text in enumerate(texts)}
        self.named: Mapping[int, MapClass] = {
            value: MapClass(value, text, palette_color(place))
            for place, (text, value) in enumerate(self._values.items())
            if is_name(value)
        }
        self._texts = {value: text for text, value in self._values.items()}

    def read(self, window: Window) -> tuple[Labels, Mask | None]:
        """Values of a window; those in polygons of several classes are one of their own."""
        labels = np.zeros((window.height, window.width), np.int64)
        covered = np.zeros(labels.shape, np.bool_)
        for value, area in self._areas.items():
            if not area.touches(window):
                continue
            inside = area.mask(window)
            labels[inside] = np.where(covered[inside], _TWICE, value)
            covered |= inside
        return labels, covered

    def describe(self, value: int) -> str:
        """The value as the file has it."""
        return self._texts.get(value, "several at once")

    def close(self) -> None:
        """Nothing is open."""

    @cached_property
    def _areas(self) -> dict[int, AreaOfInterest]:
        """The area of each value."""
        frame = _read(self.path, self._layer, self._attribute, read_geometry=True)
        texts = frame.pop(self._attribute).map(_text)
        frame = frame.assign(text=texts)[texts.notna()]
        # Collections may hold collections.
        while (kinds := frame.geom_type).str.contains("Multi|Collection", na=False).any():
            frame = frame.explode(index_parts=False)
        frame = frame[(kinds == "Polygon") & ~frame.geometry.is_empty]
        areas = {}
        for text, part in frame.groupby("text"):
            outlines = Outlines(self.path, part.geometry.reset_index(drop=True))
            areas[self._values[text]] = AreaOfInterest.place(outlines, self.grid, False)
        if not any(area.touches(self.grid.window) for area in areas.values()):
            raise FeaturesError(
                f"{self.path} has no polygons that overlap the prediction. Check the CRS and the "
                "coordinates of both."
            )
        return areas


def is_ambiguous(value: int) -> bool:
    """Whether a value stands for polygons of several classes."""
    return value == _TWICE


def is_name(value: int) -> bool:
    """Whether a value stands for a class that has a name only."""
    return value >= _TEXTS


def _choose_layer(path: Path, layer: str | None) -> str:
    """The one that is asked for, or the only one that may hold polygons."""
    try:
        layers = {str(name): kind for name, kind in pyogrio.list_layers(path)}
    except (DataSourceError, DataLayerError) as error:
        raise FeaturesError(_unreadable(path, error)) from error
    if layer is not None:
        if layer not in layers:
            raise FeaturesError(f"{path} has no layer {layer!r}. It has {_listed(list(layers))}.")
        return layer
    names = [
        name
        for name, kind in layers.items()
        if kind is not None and "Point" not in kind and "Line" not in kind
    ]
    if not names:
        raise FeaturesError(f"{path} has no layer with polygons.")
    if len(names) > 1:
        raise FeaturesError(
            f"{path} has several layers with polygons: {_listed(names)}. Choose one with --layer"
        )
    return names[0]


def _choose_attribute(path: Path, layer: str, attribute: str | None) -> str:
    names = [str(name) for name in pyogrio.read_info(path, layer=layer)["fields"]]
    if not names:
        raise FeaturesError(f"{path} has no field that says the classes of its polygons.")
    if attribute is not None:
        if attribute not in names:
            raise FeaturesError(f"{path} has no field {attribute!r}. It has {_listed(names)}.")
        return attribute
    if _ATTRIBUTE in names:
        return _ATTRIBUTE
    if len(names) > 1:
        raise FeaturesError(
            f"{path} has several fields: {_listed(names)}. Choose the one that says the class "
            "with --attribute"
        )
    return names[0]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 16} more" if len(names) > 16 else ""
    return f"{', '.join(names[:16])}{more}"


def _read(path: Path, layer: str, attribute: str, read_geometry: bool) -> Any:
    """A data frame of the field, with the geometries if need be."""
    try:
        return pyogrio.read_dataframe(
            path,
            layer=layer,
            columns=[attribute],
            force_2d=True,
            read_geometry=read_geometry,
            **({"on_invalid": "fix"} if read_geometry else {}),
        )
    except (DataSourceError, DataLayerError, ShapelyError) as error:
        raise FeaturesError(_unreadable(path, error)) from error


def _unreadable(path: Path, error: Exception) -> str:
    reason = reason_of(error).partition("; It might help")[0].rstrip(".")
    return f"{path} cannot be read as a vector file: {reason}."


def _text(value: Any) -> str | None:
    """A cell's content; whole numbers without decimals, None for none."""
    if value is None or value != value:  # NaN
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(str(value).split()) or None


def _value(text: str, place: int) -> int:
    """A whole number itself, or what stands for a name."""
    return int(text) if re.fullmatch("-?[0-9]{1,9}", text) else _TEXTS + place
