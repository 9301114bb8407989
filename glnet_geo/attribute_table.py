"""Attribute tables of class rasters: what the pixel values are called and how they are coloured.

Two forms are read: GDAL's, in XML, and the `.vat.dbf` that ArcGIS puts beside a raster. Neither has
fixed columns, so that they are recognised by what GDAL says they are for, or else by usual names.
Tables come from anybody: what makes no sense in them is left out, without an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from glnet_geo.class_table import Color

# GDALRATFieldUsage in gdal.h: https://gdal.org/api/raster_c_api.html
_NAME, _VALUE, _RED, _GREEN, _BLUE = 2, 5, 6, 7, 8
# GDALRATFieldType in gdal.h.
_INTEGER, _REAL, _STRING = 0, 1, 2

# As in tables of ArcGIS, ERDAS, LANDFIRE, NLCD and CORINE; small letters and digits alone.
_VALUE_COLUMNS = ("value", "pixelvalue", "classvalue", "classid", "gridcode", "code", "id", "dn")
_NAME_COLUMNS = ("classname", "landcover", "label", "name", "class", "category", "desc")
_PADDING = " \0"  # of the fields of a dBASE table
_RGB_COLUMNS = ((_RED, "red"), (_GREEN, "green"), (_BLUE, "blue"))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an attribute table.

    Attributes:
        name: Its name.
        kind: GDAL's field type: 0 integer, 1 real, 2 string.
        usage: GDAL's field usage; 0 where it does not say.
        values: What stands in each row.
    """

    name: str
    kind: int
    usage: int
    values: tuple[str, ...]

    @property
    def key(self) -> str:
        """The name in small letters and digits alone."""
        return re.sub("[^a-z0-9]", "", self.name.casefold())

    @property
    def has_text(self) -> bool:
        """Whether it is of strings that are not all empty."""
        return self.kind == _STRING and any(value.strip() for value in self.values)


@dataclass(frozen=True, slots=True)
class AttributeTable:
    """An attribute table.

    Attributes:
        columns: Its columns, all of the same length.
        bins: Value of the first row and step from row to row, where rows stand for equal bins.
    """

    columns: tuple[Column, ...] = ()
    bins: tuple[float, float] | None = None

    @classmethod
    def from_xml(cls, table: ET.Element) -> AttributeTable:
        """Reads a `GDALRasterAttributeTable` element, as in `.aux.xml` files and virtual rasters.

        Args:
            table: The element; https://gdal.org/drivers/raster/vrt.html describes it.
        """
        rows = [[field.text or "" for field in row.iterfind("F")] for row in table.iterfind("Row")]
        columns = []
        for index, field in enumerate(table.iterfind("FieldDefn")):
            kind, usage = (_whole(field.findtext(part, "")) or 0 for part in ("Type", "Usage"))
            values = tuple(row[index] if index < len(row) else "" for row in rows)
            columns.append(Column(field.findtext("Name", ""), kind, usage, values))
        try:
            bins = float(table.attrib["Row0Min"]), float(table.attrib["BinSize"])
        except (KeyError, ValueError):
            return cls(tuple(columns))
        return cls(tuple(columns), bins)

    @classmethod
    def from_dbf(cls, data: bytes) -> AttributeTable:
        """Reads a dBASE table, as ArcGIS puts it beside a raster under the name `.vat.dbf`.

        Args:
            data: The file; https://www.loc.gov/preservation/digital/formats/fdd/fdd000325.shtml
                describes it.
        """
        n_records, start, length = (
            int.from_bytes(data[first:last], "little")
            for first, last in ((4, 8), (8, 10), (10, 12))
        )
        n_records = min(n_records, max(len(data) - start, 0) // length if length else 0)
        records = [data[start + k * length :][:length] for k in range(n_records)]
        # The first byte says whether a record is deleted.
        rows = [record for record in records if record[:1] != b"*"]
        columns, left = [], 1
        for field in _dbf_fields(data[32:start]):
            right = left + field[16]
            kind = _STRING if field[11:12] == b"C" else _REAL if field[17] else _INTEGER
            values = tuple(decoded(row[left:right]).strip(_PADDING) for row in rows)
            columns.append(Column(decoded(field[:11].split(b"\0")[0]), kind, 0, values))
            left = right
        return cls(tuple(columns))

    def names(self) -> dict[int, str]:
        """Names by value; none where no column tells them."""
        column = self._name_column()
        if column is None:
            return {}
        return {
            value: name
            for value, name in zip(self._values(), column.values, strict=True)
            if value is not None
        }

    def colors(self) -> dict[int, Color]:
        """Colours by value; none where there are no columns of them."""
        found = [self._find(usage, [name]) for usage, name in _RGB_COLUMNS]
        columns = [column for column in found if column is not None]
        if len(columns) < 3:
            return {}
        parts = [[_real(text) for text in column.values] for column in columns]
        # ArcGIS writes shares of one.
        is_share = not any(part > 1 for values in parts for part in values)
        if is_share and all(column.kind != _REAL for column in columns):
            return {}  # GDAL has cut them to whole numbers
        colors = {}
        for value, *rgb in zip(self._values(), *parts, strict=True):
            color = _color(rgb, 255 if is_share else 1)
            if value is not None and color is not None:
                colors[value] = color
        return colors

    def _values(self) -> list[int | None]:
        """The pixel value of each row."""
        column = self._find(_VALUE, _VALUE_COLUMNS)
        if column is not None:
            return [_whole(text) for text in column.values]
        n_rows = len(self.columns[0].values) if self.columns else 0
        first, step = self.bins or (math.nan, math.nan)
        if step != 1 or not math.isfinite(first):
            return [None] * n_rows
        # A bin that begins at -0.5 holds 0, as does one that begins at 0.
        return [math.ceil(first) + row for row in range(n_rows)]

    def _find(self, usage: int, keys: Sequence[str]) -> Column | None:
        """The column of a usage, or else the first of some names."""
        by_usage = (column for column in self.columns if column.usage == usage)
        by_name = (column for key in keys for column in self.columns if column.key == key)
        return next(by_usage, next(by_name, None))

    def _name_column(self) -> Column | None:
        texts = [column for column in self.columns if column.has_text]
        by_usage = [column for column in texts if column.usage == _NAME]
        by_name = [column for key in _NAME_COLUMNS for column in texts if key in column.key]
        only = texts if len(texts) == 1 else []
        return next(iter(by_usage + by_name + only), None)


def decoded(data: bytes) -> str:
    """Text of a file that does not say its code page: UTF-8, or else that of old Windows."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _dbf_fields(descriptors: bytes) -> Iterator[bytes]:
    """The descriptors of a dBASE table's fields; a carriage return stands behind the last."""
    for place in range(0, len(descriptors) - 31, 32):
        if descriptors[place] == 0x0D:
            return
        yield descriptors[place : place + 32]


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        value = _real(text)
    return int(value) if value.is_integer() else None


def _real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _color(parts: Sequence[float], scale: int) -> Color | None:
    if not all(0 <= part * scale <= 255 for part in parts):
        return None
    red, green, blue = (round(part * scale) for part in parts)
    return red, green, blue
