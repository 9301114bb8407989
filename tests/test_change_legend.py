"""Ids, names and colours of transitions."""

from __future__ import annotations

from itertools import pairwise, permutations

import pytest

from glnet_geo.change_legend import UNCHANGED, ChangeLegend
from glnet_geo.class_table import MapClass, palette_color
from glnet_geo.legend import DUBAI, LOVEDA


def classes_of(count: int) -> list[MapClass]:
    return [MapClass(k, f"class {k}", palette_color(k)) for k in range(count)]


def test_ids_are_contiguous_and_the_first_one_is_no_change() -> None:
    a, b, c = classes_of(3)
    legend = ChangeLegend.of([(a, b), (c, a)])
    assert [(one.id, one.name) for one in legend.classes] == [
        (0, "no change"),
        (1, "class 0 -> class 1"),
        (2, "class 2 -> class 0"),
    ]
    assert legend.nodata == 255


def test_the_only_way_to_a_class_has_its_colour() -> None:
    a, b, _ = classes_of(3)
    assert ChangeLegend.of([(a, b)]).transitions[0].rgb == b.rgb


@pytest.mark.parametrize("legend", [DUBAI, LOVEDA], ids=lambda one: one.name)
def test_ways_to_a_class_are_told_apart_by_shade(legend) -> None:
    known = [MapClass(one.id, one.name, one.rgb) for one in legend.classes]
    colors = [one.rgb for one in ChangeLegend.of(list(permutations(known, 2))).classes]
    apart = [
        max(abs(x - y) for x, y in zip(one, other, strict=True))
        for k, one in enumerate(colors)
        for other in colors[:k]
    ]
    assert min(apart) >= 5
    by_target = {
        target.name: [
            one.rgb
            for one in ChangeLegend.of(list(permutations(known, 2))).transitions
            if one.new == target
        ]
        for target in known
    }
    for shades in by_target.values():
        sums = [sum(one) for one in shades]
        assert sums == sorted(sums) and min(b - a for a, b in pairwise(sums)) > 30


def test_no_two_colours_are_the_same_however_many() -> None:
    legend = ChangeLegend.of(list(permutations(classes_of(40), 2)))
    colors = [one.rgb for one in legend.classes]
    assert len(colors) == 1561 and len(set(colors)) == 1561
    assert legend.nodata == 65535


def test_254_transitions_fit_in_a_byte() -> None:
    pairs = list(permutations(classes_of(17), 2))
    assert ChangeLegend.of(pairs[:254]).nodata == 255
    assert ChangeLegend.of(pairs[:255]).nodata == 65535


def test_long_names_are_cut_and_stay_different() -> None:
    long = [MapClass(k, "x" * 90 + str(k), (k, k, k)) for k in range(2)]
    other = MapClass(7, "y", UNCHANGED.rgb)
    legend = ChangeLegend.of([(long[0], other), (long[1], other), (other, long[1])])
    names = [one.name for one in legend.transitions]
    assert len(set(names)) == 3 and max(map(len, names)) <= 100
    assert names[2] == f"y -> {'x' * 46}…"
