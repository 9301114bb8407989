"""Polygons in files: whole or not at all, in batches, from WKB."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
from pyogrio.errors import CRSError, DataLayerError, DataSourceError

from glnet_geo.arrow_stream import Blobs, Column, Field
from glnet_geo.class_table import MapClass
from glnet_geo.errors import GlnetGeoError, OutputError
from glnet_geo.geopackage import (
    add_index,
    add_styles,
    check_layers,
    check_replaced,
    copy_geopackage,
    features_of,
    remove_journals,
    write_lock,
)
from glnet_geo.layer_writer import LayerWriter
from glnet_geo.outputs import publish
from glnet_geo.qgis_style import MOST_CLASSES, categorized_qml, own_style_path, style_path
from glnet_geo.vector_formats import check_size, convert, format_of, remove_leftovers
from glnet_geo.vector_layer import (
    DISK_HINT,
    GEOPACKAGE,
    NEW_GEOPACKAGE,
    GeometryType,
    Layer,
    configure_gdal,
    copy_layer,
    without_crs_warning,
    writing,
)

CLASS_ID, CLASS = "class_id", "class"
"""Names of the fields with a polygon's class, which layers and styles go by."""

_END = 1 << 16  # bytes of a file in which its fields are named

_log = logging.getLogger(__name__)


class PolygonFile(AbstractContextManager["PolygonFile"]):
    """A vector file in the making.

    The polygons go to a GeoPackage in the working folder as they come, in a thread of its own.
    What is wanted otherwise, several layers, one more in an existing file, another format, is made
    of that by `finish`, so that memory stays that of a few batches. `publish` puts it in place.

    Args:
        folder: Where it is made, see `outputs.working_folder`.
        output: The file; its extension is its format.
        layers: Names of its layers, of several only in a GeoPackage. Of several, each gets the
            polygons of its classes.
        fields: The fields in order; among them `CLASS_ID` and `CLASS`.
        crs: CRS of the coordinates or None.
        metadata: What is to be known about each layer; a GeoPackage and GeoParquet keep it.
        is_multi: Whether the features are multipolygons.
        append: Whether a GeoPackage keeps the layers that it has.
        overwrite: Whether one of the same name is replaced then.
        pixel_m: The shorter side of the pixels that polygons are made of, in metres: GeoJSON
            rounds coordinates.

    Raises:
        OutputError: The format is not known or cannot do what is asked, a layer exists or has a
            name that GDAL refuses, or the file cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        output: Path,
        layers: Sequence[str],
        fields: Sequence[Field],
        crs: str | None,
        metadata: Mapping[str, str],
        *,
        is_multi: bool = False,
        append: bool = False,
        overwrite: bool = False,
        pixel_m: float | None = None,
    ) -> None:
        self._folder, self._output = folder, output
        self._pixel_m = pixel_m
        self._layers = layers
        self._can_replace = overwrite
        self._driver = format_of(output)
        self._is_added = append and output.exists()
        self._check_request(append)
        staging = folder / "polygons.gpkg"
        geometry_type: GeometryType = "MultiPolygon" if is_multi else "Polygon"
        configure_gdal()
        with writing(output):
            crs = _accepted_crs(folder / "probe.gpkg", layers, crs)
        self._made = Layer(staging, layers[0], crs, geometry_type, fields, metadata)
        self._writer = LayerWriter(self._made, output)
        self._features = self._bytes = 0
        self._files: dict[Path, Path] = {}
        self._lock = ExitStack()

    def __exit__(self, *_: object) -> None:
        with self._lock, suppress(GlnetGeoError):
            self._writer.close()

    def write(
        self, wkb: Blobs | npt.NDArray[np.object_], columns: Sequence[npt.NDArray[Any]]
    ) -> None:
        """Writes some features; returns when it may have the next ones.

        Args:
            wkb: The geometries, N; best as they come from one buffer, else N times bytes.
            columns: The values of each field, N each. They must not be changed afterwards.

        Raises:
            OutputError: The disk is full, or the format cannot hold as much.
        """
        geometries = wkb if isinstance(wkb, Blobs) else Blobs.of(wkb.tolist())
        self._features += len(geometries)
        sizes = np.diff(geometries.offsets)
        self._bytes += int(sizes.sum())
        check_size(self._output, self._features, self._bytes, int(sizes.max(initial=0)))
        values = [_column(*pair) for pair in zip(self._made.fields, columns, strict=True)]
        self._writer.write([geometries, *values])

    def finish(self, styles: Mapping[str, Sequence[MapClass]]) -> None:
        """Makes the output of what was written.

        Args:
            styles: For each layer its classes, in whose colours QGIS shows it if they are not
                too many.

        Raises:
            OutputError: The disk is full, or another program has locked or changed the GeoPackage
                that layers are added to.
        """
        self._writer.close()
        self._check_complete(self._made.source, [self._made.name])
        qmls = {
            layer: categorized_qml(classes, CLASS) if len(classes) <= MOST_CLASSES else None
            for layer, classes in styles.items()
        }
        if self._driver == GEOPACKAGE:
            is_made = len(self._layers) == 1 and not self._is_added
            target = self._made.source if is_made else self._assembled(styles)
            add_styles(target, qmls, self._output)
            self._files = {target: self._output}
        else:
            self._files = self._styled(qmls) | convert(
                self._made, self._features, self._output, self._folder, self._pixel_m
            )

    def publish(self) -> None:
        """Puts the output in place, the files beside it first.

        Raises:
            OutputError: Another program has it open.
        """
        with self._lock:
            if os.name == "nt":
                # Windows replaces no file that is open.
                self._lock.close()
            put_in_place(self._files, self._output)

    def _check_request(self, append: bool) -> None:
        if self._driver == GEOPACKAGE:
            existing = self._output if self._is_added else None
            check_layers(self._layers, existing, self._can_replace)
            if not append and self._output.exists():
                check_replaced(self._layers, self._output)
        elif append:
            raise OutputError(
                f"{self._output} is no GeoPackage. --append adds layers to GeoPackages only."
            )
        elif len(self._layers) > 1:
            raise OutputError(f"{self._output} can hold one layer only. Name a GeoPackage (.gpkg).")

    def _check_complete(self, path: Path, layers: Sequence[str]) -> None:
        found = sum(features_of(path, layer) for layer in layers)
        with writing(self._output, DISK_HINT):
            infos = [pyogrio.read_info(path, layer=layer) for layer in layers]
        lacks_metadata = self._made.metadata and not all(one["layer_metadata"] for one in infos)
        if found != self._features or lacks_metadata:
            raise OutputError(f"{self._output} cannot be written: its end is missing{DISK_HINT}.")

    def _assembled(self, styles: Mapping[str, Sequence[MapClass]]) -> Path:
        """The GeoPackage with all its layers, each with the polygons of its classes."""
        target = self._folder / "layers.gpkg"
        if self._is_added:
            # Until it is replaced, or what others write meanwhile would be lost.
            self._lock.enter_context(write_lock(self._output))
            copy_geopackage(self._output, target)
            check_layers(self._layers, target, self._can_replace, self._output)
        if len(self._layers) > 1:
            add_index(self._made.source, self._made.name, CLASS_ID, self._output)
        for layer in self._layers:
            ids = ", ".join(str(one.id) for one in styles[layer])
            where = f"{CLASS_ID} IN ({ids})" if len(self._layers) > 1 else None
            with writing(self._output, DISK_HINT):
                copy_layer(
                    self._made, target, layer, where=where, layer_options={"OVERWRITE": "YES"}
                )
        self._check_complete(target, self._layers)
        return target

    def _styled(self, qmls: Mapping[str, str | None]) -> dict[Path, Path]:
        """The style as a file, unless that would take the place of another file's style."""
        (qml,) = qmls.values()
        if qml is None or (place := own_style_path(self._output)) is None:
            return {}
        style = self._folder / "style.qml"
        style.write_text(qml, "utf-8")
        return {style: place}


def put_in_place(files: Mapping[Path, Path], output: Path) -> None:
    """Puts a finished vector file in place of an earlier one, of which nothing stays beside it.

    Args:
        files: Where each file belongs, in the order in which they go there.
        output: The one that is opened.

    Raises:
        OutputError: Another program has it open.
    """
    is_database = format_of(output) == GEOPACKAGE
    remove_leftovers(output, [*files.values()])
    style = style_path(output)
    if not is_database and output.exists() and style not in files.values():
        style.unlink(missing_ok=True)
    for finished, place in files.items():
        # Without its -wal a file that is written to gets a new one, for the new file.
        publish(finished, place, partial(remove_journals, place) if is_database else lambda: None)


def can_hold_layers(output: Path) -> bool:
    """Whether the format of an output has layers, by its extension.

    Raises:
        OutputError: The extension is unknown.
    """
    return format_of(output) == GEOPACKAGE


def is_marked(path: Path, key: str, value: str) -> bool:
    """Whether all layers of a vector file were written with an entry of metadata.

    Formats that do not keep it are taken by their fields.
    """
    if format_of(path) != GEOPACKAGE:
        return _has_class_ids(path.with_suffix(".dbf") if path.suffix == ".shp" else path)
    configure_gdal()
    try:
        layers = [name for name, _ in pyogrio.list_layers(path) if name != "layer_styles"]
        found = [pyogrio.read_info(path, layer=layer)["layer_metadata"] for layer in layers]
    except (DataSourceError, DataLayerError):
        return False
    return bool(found) and all((one or {}).get(key) == value for one in found)


def _has_class_ids(path: Path) -> bool:
    """Whether a file names the field, which all formats do at one of their ends."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        head = file.read(_END)
        file.seek(max(len(head), path.stat().st_size - _END))
        return CLASS_ID.encode() in head + file.read()
    return False


def _column(field: Field, values: npt.NDArray[Any]) -> Column:
    if field.kind == "text":
        return Blobs.of([text.encode() for text in values.tolist()])
    if field.kind == "integer":
        return np.ascontiguousarray(values, np.int64)
    return np.ascontiguousarray(values, np.float64)


def _accepted_crs(probe: Path, layers: Sequence[str], crs: str | None) -> str | None:
    """Tries the names of the layers; the CRS, or None where GDAL does not read what it says."""
    for layer in layers:
        try:
            _add_empty_layer(probe, layer, crs)
        except CRSError:
            _log.warning("The polygons get no CRS, because GDAL does not read this one: %s", crs)
            crs = None
            _add_empty_layer(probe, layer, crs)
    probe.unlink()
    return crs


def _add_empty_layer(path: Path, layer: str, crs: str | None) -> None:
    with without_crs_warning():
        pyogrio.raw.write(
            path,
            np.empty(0, np.object_),
            [],
            [],
            layer=layer,
            driver=GEOPACKAGE,
            geometry_type="Polygon",
            crs=crs,
            dataset_options=NEW_GEOPACKAGE,
        )
