"""Legends: round trips, and a message for every kind of mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glnet_geo.legend import (
    BUILT_IN,
    DEEPGLOBE,
    DUBAI,
    INRIA,
    ISIC,
    LOVEDA,
    NODATA,
    LandCover,
    Legend,
    LegendError,
    find_legend,
)

WATER = {"id": 1, "name": "water", "color": "#0000ff"}
LAND = {"id": 2, "name": "land", "color": "#80ff00"}
TABLE = {"name": "coast", "ignore": [0], "classes": [WATER, LAND]}
PRINTABLE = st.characters(codec="utf-8", categories=["L", "N", "P", "S"]) | st.just(" ")
NAMES = st.text(PRINTABLE, min_size=1, max_size=20)


@st.composite
def legends(draw: st.DrawFn) -> Legend:
    ids = draw(st.lists(st.integers(0, 254), min_size=1, max_size=8, unique=True))
    names = draw(st.lists(NAMES, min_size=len(ids), max_size=len(ids), unique=True))
    rgb = st.tuples(*[st.integers(0, 255)] * 3)
    classes = [LandCover(i, name, draw(rgb)) for i, name in zip(ids, names, strict=True)]
    ignore = draw(st.frozensets(st.integers(0, 255))) - {ids[0]}
    return Legend(draw(NAMES), tuple(classes), ignore)


@settings(max_examples=30, deadline=None)
@given(legend=legends())
def test_a_legend_survives_json(legend: Legend) -> None:
    assert Legend.from_dict(json.loads(json.dumps(legend.to_dict()))) == legend


def test_the_table_form() -> None:
    coast = Legend(
        "coast",
        (LandCover(1, "water", (0, 0, 255)), LandCover(2, "land", (128, 255, 0))),
        frozenset({0}),
    )
    assert Legend.from_dict(TABLE) == coast
    assert coast.to_dict() == TABLE
    assert Legend.from_dict({"name": "coast", "classes": [WATER]}).ignore == frozenset()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"nodata": 255}, "'nodata'"),
        ({"name": None}, '"name"'),
        ({"name": 5}, '"name"'),
        ({"name": ""}, "legend name ''"),
        ({"name": "two\nlines"}, r"legend name 'two\\nlines'"),
        ({"name": "x" * 101}, "legend name 'xxx"),
        ({"classes": None}, '"classes"'),
        ({"classes": {"1": "water"}}, '"classes"'),
        ({"classes": []}, "'coast' has no classes"),
        ({"ignore": 0}, "'coast' is not a list"),
        ({"ignore": ["0"]}, "'coast' is not a list"),
        ({"ignore": [True]}, "'coast' is not a list"),
        ({"ignore": [256]}, "'coast' ignores values outside"),
        ({"ignore": [-1]}, "'coast' ignores values outside"),
        ({"ignore": [1, 2]}, "'coast' ignores all"),
    ],
)
def test_a_bad_legend_is_told_what_is_wrong(change: dict[str, Any], named: str) -> None:
    with pytest.raises(LegendError, match=named) as caught:
        Legend.from_dict({**TABLE, **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ("water", "got 'water'"),
        ({"id": 1, "name": "water"}, "exactly .*'water'"),
        ({**WATER, "colour": "#0000ff"}, "exactly .*'colour'"),
        ({**WATER, "id": "1"}, "id or name .*'id': '1'"),
        ({**WATER, "id": True}, "id or name .*'id': True"),
        ({**WATER, "id": 1.0}, "id or name .*'id': 1.0"),
        ({**WATER, "name": None}, "id or name .*None"),
        ({**WATER, "id": 255}, "id 255 of 'water'"),
        ({**WATER, "id": -1}, "id -1 of 'water'"),
        ({**WATER, "name": ""}, "name '' of id 1"),
        ({**WATER, "name": "a\x1b[2Jb"}, "of id 1"),
        ({**WATER, "name": "x" * 101}, "of id 1"),
        ({**WATER, "color": "blue"}, "'blue' of class 'water'"),
        ({**WATER, "color": "#00f"}, "'#00f' of class 'water'"),
        ({**WATER, "color": "#0000fg"}, "'#0000fg' of class 'water'"),
        ({**WATER, "color": "#0000ff\n"}, "of class 'water'"),
        ({**WATER, "color": [0, 0, 255]}, r"\[0, 0, 255\] of class 'water'"),
        ({**WATER, "id": 2}, "'coast' has an id or a name twice"),
        ({**WATER, "name": "land"}, "'coast' has an id or a name twice"),
    ],
)
def test_a_bad_class_is_told_what_is_wrong(entry: Any, named: str) -> None:
    with pytest.raises(LegendError, match=named) as caught:
        Legend.from_dict({**TABLE, "classes": [entry, LAND]})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rgb", [(0, 0, 256), (-1, 0, 0), (0, 0), (0, 0, 0, 0)])
def test_a_bad_colour_names_its_class(rgb: Any) -> None:
    with pytest.raises(LegendError, match="'water'"):
        LandCover(1, "water", rgb)


def test_deepglobe_is_as_published() -> None:
    colors = {c.id: (c.name, c.rgb) for c in DEEPGLOBE.classes}
    assert colors == {
        0: ("unknown", (0, 0, 0)),
        1: ("urban", (0, 255, 255)),
        2: ("agriculture", (255, 255, 0)),
        3: ("rangeland", (255, 0, 255)),
        4: ("forest", (0, 255, 0)),
        5: ("water", (0, 0, 255)),
        6: ("barren", (255, 255, 255)),
    }
    assert DEEPGLOBE.ids.tolist() == list(range(7))
    assert DEEPGLOBE.counted == (1, 2, 3, 4, 5, 6)


@pytest.mark.parametrize(
    ("legend", "ids", "counted"),
    [(INRIA, 2, 2), (ISIC, 2, 2), (LOVEDA, 7, 7), (DUBAI, 5, 5), (DEEPGLOBE, 7, 6)],
)
def test_built_in_legends_count_their_classes(legend: Legend, ids: int, counted: int) -> None:
    assert len(legend) == len(legend.ids) == ids
    assert len(legend.counted) == counted
    assert BUILT_IN[legend.name] is legend
    assert Legend.from_dict(legend.to_dict()) == legend


def test_counted_are_positions_not_ids() -> None:
    classes = tuple(LandCover(i, str(i), (i, i, i)) for i in (9, 2, 5))
    legend = Legend("odd", classes, frozenset({2}))
    assert legend.counted == (0, 2)
    assert legend.ids.tolist() == [9, 2, 5]
    assert legend.ids.dtype == np.uint8


def test_the_table_of_colours_is_by_id() -> None:
    legend = Legend("odd", (LandCover(9, "nine", (1, 2, 3)), LandCover(2, "two", (4, 5, 6))))
    table = legend.rgb_table()
    assert table.shape == (256, 3)
    assert table[9].tolist() == [1, 2, 3]
    assert table[2].tolist() == [4, 5, 6]
    assert table[NODATA].tolist() == [255, 255, 255]
    assert table.sum() == 1 + 2 + 3 + 4 + 5 + 6 + 3 * 255


def write_json(folder: Path, text: str | bytes) -> Path:
    path = folder / "legend.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_built_in_legend_is_found_by_name() -> None:
    assert find_legend("loveda") is LOVEDA


def test_a_legend_is_found_in_a_file(tmp_path: Path) -> None:
    german = {**TABLE, "name": "Küste"}
    path = write_json(tmp_path, json.dumps(german, ensure_ascii=False))
    assert find_legend(str(path)) == Legend.from_dict(german)
    assert find_legend("legend.json", tmp_path) == Legend.from_dict(german)


def test_a_missing_legend_is_told_which_ones_there_are(tmp_path: Path) -> None:
    with pytest.raises(LegendError, match=r"deepglob is neither.*deepglobe.*dubai"):
        find_legend("deepglob", tmp_path)


@pytest.mark.parametrize("text", ["name: coast", "", b"\xff\xfe\x00", '{"name": "coast"'])
def test_a_file_that_is_not_json_is_named(tmp_path: Path, text: str | bytes) -> None:
    path = write_json(tmp_path, text)
    with pytest.raises(LegendError, match=r"legend\.json cannot be read as a JSON") as caught:
        find_legend(str(path))
    assert "\n" not in str(caught.value)


def test_a_json_list_is_no_legend(tmp_path: Path) -> None:
    path = write_json(tmp_path, json.dumps([WATER, LAND]))
    with pytest.raises(LegendError, match=r"legend\.json .* top level is not an object"):
        find_legend(str(path))


def test_a_folder_is_no_legend(tmp_path: Path) -> None:
    with pytest.raises(LegendError, match="cannot be read"):
        find_legend(str(tmp_path))
