"""Names and colours of classes: what is cleaned, what is told apart, what words find."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glnet_geo.class_table import ClassTable, MapClass, palette_color
from glnet_geo.errors import RasterError

Names = dict[int, str]
NLCD = {11: "Open Water", 21: "Developed, Open Space", 22: "Developed, Low Intensity", 41: "Forest"}

words = st.text(st.sampled_from("aAsSß ,()12-\n\x07"), max_size=6)
ids = st.integers(-3, 30)


def table(*names: Names, colors: list[dict[int, tuple[int, int, int]]] | None = None) -> ClassTable:
    return ClassTable.merged("map.tif", names, colors or [])


def name_of(name: str) -> str:
    return table({1: name}).of(1).name


class TestNames:
    def test_the_first_place_that_has_one_says_it(self) -> None:
        classes = table({1: "water", 2: " "}, {1: "lake", 2: "wood", 3: "rock"})
        assert [classes.of(k).name for k in (1, 2, 3)] == ["water", "wood", "rock"]

    def test_a_class_without_one_is_called_by_its_id(self) -> None:
        assert table({1: "water", 2: ""}).of(2).name == "2"
        assert table().of(-7) == MapClass(-7, "-7", palette_color(-7))

    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("  wet\n\tland ", "wet land"),
            ("a\x1b[31mb", "a\ufffd[31mb"),
            ("Wald & Wiese 水", "Wald & Wiese 水"),
            ("a\u202eb", "a\ufffdb"),
            ("x" * 300, "x" * 100),
        ],
    )
    def test_they_are_one_printable_line(self, given: str, kept: str) -> None:
        assert name_of(given) == kept

    def test_shared_ones_get_their_ids(self) -> None:
        classes = table({3: "Forest", 4: "forest", 5: "water"})
        assert [classes.of(k).name for k in (3, 4, 5)] == ["Forest (3)", "forest (4)", "water"]

    def test_one_that_passes_for_another_id_gets_its_own(self) -> None:
        classes = table({3: "7", 4: "4", 5: "wood (4)", 6: "wood (2000)"})
        assert [classes.of(k).name for k in (3, 4, 5, 6)] == [
            "7 (3)",
            "4",
            "wood (4) (5)",
            "wood (2000)",
        ]

    @given(st.dictionaries(ids, words), st.sets(ids))
    def test_no_two_classes_are_called_the_same(self, names: Names, others: set[int]) -> None:
        classes = table(names)
        called = [classes.of(k).name.casefold() for k in names.keys() | others]
        assert len(set(called)) == len(called)
        assert all(name and name.isprintable() for name in called)


class TestColours:
    def test_the_first_place_that_has_one_says_it(self) -> None:
        classes = table(colors=[{1: (9, 9, 9)}, {1: (8, 8, 8), 2: (7, 7, 7)}])
        assert [classes.of(k).rgb for k in (1, 2)] == [(9, 9, 9), (7, 7, 7)]

    def test_black_is_one_for_classes_with_a_name_only(self) -> None:
        black = (0, 0, 0)
        classes = table({0: "shade"}, colors=[{0: black, 1: black, 2: (1, 2, 3)}])
        assert classes.of(0).rgb == black
        assert classes.of(1).rgb == palette_color(1) != black

    def test_black_for_every_class_is_none(self) -> None:
        black = {0: (0, 0, 0), 1: (0, 0, 0)}
        classes = table({0: "a", 1: "b"}, colors=[black, {0: (5, 5, 5)}])
        assert classes.of(0).rgb == (5, 5, 5)
        assert classes.of(1).rgb == palette_color(1)

    def test_the_palette_has_27_of_its_own_and_then_begins_again(self) -> None:
        assert palette_color(0) == (0xCC, 0x66, 0x77)
        assert palette_color(8) == (0xAA, 0x44, 0x99)
        assert len({palette_color(k) for k in range(27)}) == 27
        assert [palette_color(k) for k in range(-27, 0)] == [palette_color(k) for k in range(27)]
        # Next ones differ clearly, the first of each turn too.
        for k in range(26):
            near = zip(palette_color(k), palette_color(k + 1), strict=True)
            assert sum(abs(a - b) for a, b in near) > 60


class TestFinding:
    @pytest.mark.parametrize(
        ("words", "ids"),
        [
            (["forest"], {41}),
            ([" OPEN  water ", "41"], {11, 41}),
            (["Developed, Open Space"], {21}),
            (["developed,open space,forest,99"], {21, 41, 99}),
            (["Developed", "Low Intensity", "-5"], {22, -5}),
            ([], set()),
        ],
    )
    def test_names_in_any_case_and_ids(self, words: list[str], ids: set[int]) -> None:
        assert table(NLCD).find(words) == ids

    def test_a_shared_name_means_all_who_have_it(self) -> None:
        classes = table({3: "Forest", 4: "forest", 5: "7"})
        assert classes.find(["forest"]) == {3, 4}
        assert classes.find(["forest (4)"]) == {4}
        assert classes.find(["7"]) == {5}

    @pytest.mark.parametrize("word", ["wood", "", "1.5", "1_1", "9" * 20, "water"])
    def test_what_is_not_there_is_said_with_what_is(self, word: str) -> None:
        with pytest.raises(RasterError) as caught:
            table(NLCD).find(["forest", word])
        assert str(caught.value) == (
            f"map.tif has no class {word!r}. It has Open Water; Developed, Open Space; "
            "Developed, Low Intensity; Forest. Ids are taken as well."
        )

    def test_without_names_ids_are_asked_for(self) -> None:
        classes = table({1: "1"}, colors=[{2: (1, 1, 1)}])
        with pytest.raises(RasterError, match=r"'a'\. Its classes have no names: give their ids\."):
            classes.find(["a"])

    def test_long_lists_are_cut(self) -> None:
        with pytest.raises(RasterError, match=r"n23 and 6 more\. Ids"):
            table({k: f"n{k}" for k in range(30)}).find(["a"])

    @given(st.dictionaries(ids, words))
    def test_every_class_is_found_by_what_it_is_called(self, names: Names) -> None:
        classes = table(names)
        # A name wins over the id of a class that has none.
        for class_id in classes.known:
            assert class_id in classes.find([classes.of(class_id).name])
