"""Features of vector files with all that they say, read type by type."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import shapely

from glnet_geo.outlines import Geometries, failing_as_features_error, is_parquet, read_parquet
from glnet_geo.table_columns import Kind, TableColumn

_EXACT = 2**53  # whole numbers up to which floats have them all
# As NumPy and Arrow name their types.
_KINDS: dict[str, Kind] = {
    "bool": "boolean",
    **dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16"), "int32"),
    **dict.fromkeys(("int64", "uint32"), "int64"),
    **dict.fromkeys(("halffloat", "float", "float32"), "float32"),
    **dict.fromkeys(("double", "float64"), "float64"),
    "datetime64[D]": "date",
    "datetime64[ms]": "datetime",
}


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """The features of a layer.

    Attributes:
        geometries: N as they are in the file, None where there is none.
        crs: Theirs: WKT, "EPSG:..." or None.
        columns: What they say, without the feature id of a database.
    """

    geometries: Geometries
    crs: str | None
    columns: list[TableColumn]


def read_features(path: Path, layer: str) -> FeatureTable:
    """Reads a layer whole.

    Whole numbers, also such beside missing ones, numbers, booleans, dates and texts stay what they
    are. Times of the day, lists, binary values and whole numbers beyond 64 bits with a sign become
    texts: lists as JSON, binary values in hexadecimal. Numbers that are not finite count as
    missing.

    Args:
        path: A vector file that `read_outlines` has read.
        layer: Its layer.

    Raises:
        FeaturesError: It cannot be read.
    """
    with failing_as_features_error(path):
        if is_parquet(path):
            return _from_parquet(path)
        meta, _, wkb, data = pyogrio.raw.read(path, layer=layer, datetime_as_string=True)
        geometries = shapely.from_wkb(wkb, on_invalid="fix")
        types = [str(one) for one in pyogrio.read_info(path, layer=layer)["dtypes"]]
        fields = zip(map(str, meta["fields"]), types, data, strict=True)
        columns = [_column(path, layer, *field) for field in fields]
        return FeatureTable(geometries, meta["crs"], columns)


def _column(path: Path, layer: str, name: str, dtype: str, values: npt.NDArray[Any]) -> TableColumn:
    """A column as GDAL gives it: whole numbers and booleans as floats where some are missing."""
    kind = _KINDS.get(dtype, "text")
    if kind in ("boolean", "int32", "int64") and values.dtype.kind == "f":
        if (np.abs(values) >= _EXACT).any():
            found = _exact_integers(path, layer, name)
            return TableColumn(name, kind, [found.get(row) for row in range(len(values))])
        make = bool if kind == "boolean" else int
        return TableColumn(name, kind, [None if np.isnan(one) else make(one) for one in values])
    if kind in ("float32", "float64"):
        return TableColumn(name, kind, [_finite(one) for one in values.tolist()])
    if kind == "text":
        return TableColumn(name, kind, [_text(one) for one in values])
    return TableColumn(name, kind, values.tolist())


def _exact_integers(path: Path, layer: str, name: str) -> dict[int, int]:
    """By row, large whole numbers that floats would round."""
    query = {"layer": layer, "columns": [name], "read_geometry": False, "return_fids": True}
    all_ids = pyogrio.raw.read(path, **query)[1].tolist()
    rows = {feature_id: row for row, feature_id in enumerate(all_ids)}
    quoted = name.replace('"', '\\"')
    _, ids, _, (values,) = pyogrio.raw.read(path, where=f'"{quoted}" IS NOT NULL', **query)
    return {rows[one]: value for one, value in zip(ids.tolist(), values.tolist(), strict=True)}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | dict):
        return json.dumps(_all_finite(value), ensure_ascii=False, default=str)
    return None if value != value else str(value)


def _all_finite(value: Any) -> Any:
    """A value of JSON, which has no numbers that are not finite."""
    if isinstance(value, list):
        return [_all_finite(one) for one in value]
    if isinstance(value, dict):
        return {key: _all_finite(one) for key, one in value.items()}
    return _finite(value) if isinstance(value, float) else value


def _from_parquet(path: Path) -> FeatureTable:
    frame = read_parquet(path)
    from pyarrow import parquet

    table = parquet.read_table(path)
    columns = [
        _parquet_column(name, table.column(name))
        for name in map(str, frame.columns)
        if name != frame.geometry.name and name in table.column_names
    ]
    crs = None if frame.crs is None else frame.crs.to_wkt()
    return FeatureTable(frame.geometry.to_numpy(), crs, columns)


def _parquet_column(name: str, column: Any) -> TableColumn:
    import pyarrow as pa

    kind, values = _KINDS.get(str(column.type), "text"), column.to_pylist()
    convert: Callable[[Any], Any] = _text
    if pa.types.is_date(column.type):
        kind, convert = "date", date.isoformat
    elif pa.types.is_timestamp(column.type):
        kind, convert = "datetime", datetime.isoformat
    elif pa.types.is_uint64(column.type) and all(one is None or one < 2**63 for one in values):
        return TableColumn(name, "int64", values)
    elif pa.types.is_decimal(column.type):
        kind, convert = "float64", float
    elif kind in ("float32", "float64"):
        convert = _finite
    elif kind != "text":
        return TableColumn(name, kind, values)
    return TableColumn(name, kind, [None if one is None else convert(one) for one in values])
