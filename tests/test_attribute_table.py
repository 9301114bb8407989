"""Attribute tables in the forms that other programs write."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pyogrio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glnet_geo.attribute_table import AttributeTable, Column
from glnet_geo.legend import LandCover, Legend
from glnet_geo.sidecar import sidecar_xml


def table(*columns: tuple[str, int, int, list[Any]], **bins: float) -> AttributeTable:
    """Of columns as (name, type, usage, values), by way of XML."""
    root = ET.Element("GDALRasterAttributeTable", {k: str(v) for k, v in bins.items()})
    for name, kind, usage, _ in columns:
        field = ET.SubElement(root, "FieldDefn")
        for tag, text in (("Name", name), ("Type", str(kind)), ("Usage", str(usage))):
            ET.SubElement(field, tag).text = text
    for values in zip(*(values for *_, values in columns), strict=True):
        row = ET.SubElement(root, "Row")
        for value in values:
            ET.SubElement(row, "F").text = str(value)
    return AttributeTable.from_xml(ET.fromstring(ET.tostring(root)))


def dbf(path: Path, **columns: Any) -> bytes:
    """A dBASE table that GDAL writes."""
    pyogrio.write_dataframe(pd.DataFrame(columns), path, driver="ESRI Shapefile")
    return path.read_bytes()


class TestXml:
    def test_ours(self) -> None:
        legend = Legend("l", (LandCover(3, "a<b>&", (1, 2, 3)), LandCover(7, "ü", (4, 5, 6))))
        element = ET.fromstring(sidecar_xml(legend)).find(".//GDALRasterAttributeTable")
        assert element is not None
        read = AttributeTable.from_xml(element)
        assert read.names() == {3: "a<b>&", 7: "ü"}
        assert read.colors() == {3: (1, 2, 3), 7: (4, 5, 6)}

    def test_columns_go_by_their_usage_before_their_name(self) -> None:
        read = table(
            ("Value", 0, 0, [70, 80]),
            ("Klasse", 0, 5, [7, 8]),
            ("Class_Name", 2, 0, ["x", "y"]),
            ("Bezeichnung", 2, 2, ["Wald", "See"]),
        )
        assert read.names() == {7: "Wald", 8: "See"}

    @pytest.mark.parametrize("value", ["Value", "VALUE", "Pixel_Value", "class id"])
    @pytest.mark.parametrize("name", ["Class_Name", "Land_Cover", "EVT_NAME", "LABEL3", "Klasse"])
    def test_columns_without_usage_go_by_their_name(self, value: str, name: str) -> None:
        # As ArcGIS writes them; reals are whole numbers all the same.
        read = table(
            ("OID", 0, 0, [0, 1]), (value, 1, 0, ["11.0", "1.2e1"]), (name, 2, 0, ["a", "b"])
        )
        assert read.names() == {11: "a", 12: "b"}

    def test_of_several_texts_the_one_that_is_a_name_is_taken(self) -> None:
        read = table(
            ("Value", 0, 5, [1]),
            ("CODE_18", 2, 0, ["111"]),
            ("Comment", 2, 0, ["!"]),
            ("Name", 2, 2, [" "]),
            ("LABEL3", 2, 0, ["Continuous urban fabric"]),
        )
        assert read.names() == {1: "Continuous urban fabric"}

    def test_without_a_name_among_several_texts_there_is_none(self) -> None:
        read = table(("Value", 0, 5, [1]), ("A", 2, 0, ["x"]), ("B", 2, 0, ["y"]))
        assert read.names() == {}

    @pytest.mark.parametrize(("first", "step", "ids"), [(0, 1, [0, 1]), (-0.5, 1, [0, 1])])
    def test_rows_may_be_bins(self, first: float, step: float, ids: list[int]) -> None:
        # As ERDAS has them.
        read = table(("Class_Names", 2, 2, ["a", "b"]), Row0Min=first, BinSize=step)
        assert list(read.names()) == ids

    @pytest.mark.parametrize("bins", [{}, {"Row0Min": 0, "BinSize": 0.5}, {"Row0Min": "nan"}])
    def test_other_rows_without_values_mean_nothing(self, bins: dict[str, float]) -> None:
        assert table(("Class_Names", 2, 2, ["a", "b"]), **bins).names() == {}
        assert table(("N", 2, 2, ["a"]), Row0Min="inf", BinSize=1).names() == {}

    def test_colours_may_be_shares_of_one(self) -> None:
        values = ("Value", 0, 5, [1, 2])
        read = table(values, ("Red", 1, 6, [0, 1.0]), ("G", 1, 7, [0.5, 0]), ("b", 1, 8, [1, 0]))
        assert read.colors() == {1: (0, 128, 255), 2: (255, 0, 0)}
        cut = table(values, ("Red", 0, 6, [0, 1]), ("G", 0, 7, [1, 0]), ("b", 0, 8, [1, 0]))
        assert cut.colors() == {}

    def test_colours_that_are_none_are_left_out(self) -> None:
        values = ("Value", 0, 5, [1, 2, 3, "x"])
        read = table(
            values,
            ("Red", 0, 0, [0, 300, "", 4]),
            ("Green", 0, 0, [9, 1, 1, 4]),
            ("Blue", 0, 0, [1, 1, 1, 4]),
        )
        assert read.colors() == {1: (0, 9, 1)}
        assert table(values, ("Red", 0, 6, [1, 2, 3, 4])).colors() == {}

    def test_rows_and_columns_that_do_not_match(self) -> None:
        text = (
            "<R><FieldDefn><Name>Value</Name><Usage>5</Usage></FieldDefn><FieldDefn><Type>2</Type>"
            "</FieldDefn><FieldDefn/><Row><F>1</F></Row><Row><F>2</F><F>b</F><F/><F>9</F></Row></R>"
        )
        assert AttributeTable.from_xml(ET.fromstring(text)).names() == {1: "", 2: "b"}

    def test_an_empty_one(self) -> None:
        empty = AttributeTable.from_xml(ET.Element("GDALRasterAttributeTable", BinSize="1"))
        assert (empty.names(), empty.colors()) == ({}, {})
        no_rows = table(*((name, 0, 0, []) for name in ("Value", "Red", "Green", "Blue")))
        assert (no_rows.names(), no_rows.colors()) == ({}, {})


class TestDbf:
    def test_as_corine_has_it(self, tmp_path: Path) -> None:
        data = dbf(
            tmp_path / "t.dbf",
            Value=np.array([1, 44, -5], np.int32),
            Count=[1e9, 5.0, 2.0],
            CODE_18=["111", "523", "999"],
            LABEL3=["Continuous urban fabric", "Sea and ocean", "Fjäll"],
            Red=[0.9, 0.0, 0.2],
            Green=[0.0, 0.95, 0.2],
            Blue=[0.3, 1.0, 0.2],
        )
        read = AttributeTable.from_dbf(data)
        assert read.names() == {1: "Continuous urban fabric", 44: "Sea and ocean", -5: "Fjäll"}
        assert read.colors() == {1: (230, 0, 76), 44: (0, 242, 255), -5: (51, 51, 51)}
        assert read.columns[0] == Column("Value", 0, 0, ("1", "44", "-5"))

    def test_whole_colours_and_deleted_records(self, tmp_path: Path) -> None:
        data = dbf(
            tmp_path / "t.dbf",
            VALUE=[1, 2],
            Class_Name=["a", "b"],
            RED=[1, 1],
            GREEN=[0, 1],
            BLUE=[1, 255],
        )
        start, length = (int.from_bytes(data[k : k + 2], "little") for k in (8, 10))
        assert data[start : start + 1] == b" "
        read = AttributeTable.from_dbf(data[:start] + b"*" + data[start + 1 :])
        assert read.names() == {2: "b"}
        assert read.colors() == {2: (1, 1, 255)}
        # As if the file had been cut in its second record.
        cut = AttributeTable.from_dbf(data[: start + 2 * length - 1])
        assert cut.names() == {1: "a"}

    def test_old_code_pages(self, tmp_path: Path) -> None:
        data = dbf(tmp_path / "t.dbf", VALUE=[1], NAME=["caf?"])
        assert AttributeTable.from_dbf(data.replace(b"caf?", b"caf\xe9")).names() == {1: "café"}

    @given(st.binary(max_size=200))
    def test_nothing_breaks_it(self, data: bytes) -> None:
        read = AttributeTable.from_dbf(data)
        read.names()
        read.colors()


texts = st.lists(st.text(max_size=4), max_size=3)


@given(st.lists(st.tuples(st.text(max_size=4), st.integers(0, 3), st.integers(0, 9), texts)))
def test_nothing_breaks_the_reading(columns: list[tuple[str, int, int, list[str]]]) -> None:
    n_rows = min((len(values) for *_, values in columns), default=0)
    read = AttributeTable(tuple(Column(n, k, u, tuple(v[:n_rows])) for n, k, u, v in columns))
    read.names()
    read.colors()
