"""Which bands are read: by number, name or mark, and what is said where none fits."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from glnet_geo.bands import BandChoice, BandInfo, BandTable
from glnet_geo.errors import RasterError

RGB = ("red", "green", "blue")
RGBN = (*RGB, "nir")


def table(marks: Sequence[str], descriptions: Sequence[str] = ()) -> BandTable:
    descriptions = descriptions or [""] * len(marks)
    pairs = enumerate(zip(marks, descriptions, strict=True), 1)
    bands = tuple(BandInfo(k, mark, text) for k, (mark, text) in pairs)
    return BandTable("scene.tif", bands, "Choose bands with --bands.")


def numbers(marks: Sequence[str], wanted: Sequence[int | str], **more: Sequence[str]) -> list[int]:
    return list(table(marks, **more).choose(wanted, None, ()).numbers)


class TestWanted:
    def test_numbers_and_names_in_the_order_given(self) -> None:
        marks = ("blue", "green", "red", "undefined")
        assert numbers(marks, [4, "red", "2", " 1 "]) == [4, 3, 2, 1]

    @pytest.mark.parametrize("name", ["nir", "NIR", " Nir "])
    def test_case_and_blanks_do_not_count(self, name: str) -> None:
        assert numbers(RGBN, [name]) == [4]
        assert numbers(("gray",) * 4, [name], descriptions=("a", "b", "c", " nIR")) == [4]

    def test_a_description_comes_before_a_colour_interpretation(self) -> None:
        marks, descriptions = ("red", "green", "blue"), ("swir", "Red", "")
        assert numbers(marks, ["red", "green", "SWIR"], descriptions=descriptions) == [2, 2, 1]

    def test_a_number_is_never_a_description(self) -> None:
        assert numbers(RGB, ["2"], descriptions=("2", "3", "1")) == [2]

    def test_the_same_band_twice(self) -> None:
        assert numbers(RGB, [1, "red", "1"]) == [1, 1, 1]

    def test_a_part_of_a_description_is_not_enough(self) -> None:
        with pytest.raises(RasterError, match="no band 'red'"):
            numbers(("gray",), ["red"], descriptions=("red band",))

    @pytest.mark.parametrize("wanted", ["nir", "", "²"])
    def test_no_such_name(self, wanted: str) -> None:
        with pytest.raises(RasterError) as caught:
            numbers(("blue", "green", "red", "undefined"), [1, wanted])
        assert str(caught.value) == (
            f"scene.tif has no band {wanted!r}. It has 1 (blue), 2 (green), 3 (red), "
            "4 (undefined). Choose bands with --bands."
        )

    @pytest.mark.parametrize("wanted", [0, -1, 5, "5", "0"])
    def test_no_such_number(self, wanted: int | str) -> None:
        with pytest.raises(RasterError, match=rf"has no band {int(wanted)}\. It has 1 \(red\)"):
            numbers(RGBN, [wanted])

    def test_a_name_of_several_bands(self) -> None:
        with pytest.raises(RasterError) as caught:
            numbers(("gray", "undefined", "undefined"), ["undefined"], descriptions=("", "a", "B8"))
        assert str(caught.value) == (
            "scene.tif has several bands 'undefined'. It has 1 (gray), 2 (a), 3 (B8). "
            "Choose bands with --bands."
        )

    def test_descriptions_are_listed_beside_marks(self) -> None:
        with pytest.raises(RasterError, match=r"It has 1 \(B4, red\), 2 \(B8\), 3 \(undefined\)\."):
            numbers(("red", "undefined", "undefined"), ["B9"], descriptions=("B4", "B8", ""))

    def test_of_many_bands_the_first_are_listed(self) -> None:
        with pytest.raises(RasterError, match=r"15 \(gray\), 16 \(gray\) and 204 more\. Choose"):
            numbers(["gray"] * 220, ["nir"])

    @pytest.mark.parametrize(("wanted", "count"), [([1], "1 band"), ([1, 2, 3, 4], "4 bands")])
    def test_another_number_than_needed(self, wanted: list[int], count: str) -> None:
        with pytest.raises(RasterError, match=f"^{count} chosen of scene.tif; 3 are needed. Choos"):
            table(RGBN).choose(wanted, 3, RGB)

    def test_what_is_wanted_is_no_guess(self) -> None:
        assert table(("gray",) * 5).choose([1, 2, 3], 3, RGB) == BandChoice((1, 2, 3))


class TestFound:
    @pytest.mark.parametrize(
        ("marks", "found"),
        [
            (("red", "green", "blue", "nir"), (1, 2, 3)),
            (("blue", "green", "red", "nir"), (3, 2, 1)),
            (("alpha", "blue", "green", "red"), (4, 3, 2)),
            (("red", "green", "blue", "alpha"), (1, 2, 3)),
        ],
    )
    @pytest.mark.parametrize("names", [RGB, ()])
    def test_red_green_and_blue_by_their_marks(
        self, marks: Sequence[str], found: tuple[int, ...], names: Sequence[str]
    ) -> None:
        assert table(marks).choose([], 3, names) == BandChoice(found)

    @pytest.mark.parametrize("names", [RGB, ()])
    def test_red_green_and_blue_by_their_descriptions(self, names: Sequence[str]) -> None:
        bands = table(("gray", *["undefined"] * 3), ("Blue", "Green", "Red", "NIR"))
        assert bands.choose([], 3, names) == BandChoice((3, 2, 1))

    def test_names_come_in_the_models_order(self) -> None:
        assert table(RGBN).choose([], 2, ("nir", "red")) == BandChoice((4, 1))
        assert table(RGBN).choose([], None, ("nir", "red")) == BandChoice((4, 1))

    @pytest.mark.parametrize(
        ("marks", "descriptions"),
        [
            (("gray", "undefined", "undefined", "undefined"), ()),
            (("red", "green", "undefined", "undefined"), ()),
            (("red", "green", "blue", "blue"), ()),
            (("gray",) * 4, ("red", "green", "blue", "Blue")),
        ],
        ids=["none", "not all", "two marks", "two descriptions"],
    )
    def test_the_first_bands_where_not_each_name_is_found_once(
        self, marks: Sequence[str], descriptions: Sequence[str]
    ) -> None:
        choice = table(marks, descriptions).choose([], 3, RGB)
        assert choice == BandChoice((1, 2, 3), is_guess=True)

    def test_as_many_bands_as_needed_are_no_guess(self) -> None:
        assert table(("gray",) * 3).choose([], 3, RGB) == BandChoice((1, 2, 3))
        assert table(("gray", "alpha")).choose([], 1, ("pan",)) == BandChoice((1,))

    def test_alpha_is_none_of_the_first_bands(self) -> None:
        bands = table(("alpha", "gray", "gray", "gray"))
        assert bands.choose([], 2, ()) == BandChoice((2, 3), is_guess=True)
        assert bands.choose([], None, ()) == BandChoice((2, 3, 4))

    def test_names_of_another_number_of_bands_say_nothing(self) -> None:
        assert table(("blue", "green", "red")).choose([], 2, RGB).numbers == (1, 2)

    @pytest.mark.parametrize(
        ("marks", "n_bands", "message"),
        [
            (("gray", "gray"), 3, "has 2 bands; 3 are needed"),
            (("gray",), 3, "has 1 band; 3 are needed"),
            (("red", "green", "blue", "alpha"), 4, "has 3 bands and a mask; 4 are needed"),
            (("alpha",), None, "has 0 bands and a mask; 1 is needed"),
        ],
    )
    def test_too_few(self, marks: Sequence[str], n_bands: int | None, message: str) -> None:
        with pytest.raises(RasterError, match=f"^scene.tif {message}. Choose bands"):
            table(marks).choose([], n_bands, ())


class TestPalettes:
    @pytest.mark.parametrize("wanted", [[], [1], ["1"], ["palette"]])
    def test_its_colours_are_read_where_three_bands_are_needed(
        self, wanted: list[int | str]
    ) -> None:
        assert table(("palette",)).choose(wanted, 3, RGB) == BandChoice((1,), is_expanded=True)

    def test_with_alpha_beside_it(self) -> None:
        choice = table(("palette", "alpha")).choose([], 3, RGB)
        assert choice == BandChoice((1,), is_expanded=True)

    @pytest.mark.parametrize("n_bands", [1, None])
    def test_its_indices_are_read_else(self, n_bands: int | None) -> None:
        assert table(("palette",)).choose([], n_bands, ()) == BandChoice((1,))

    def test_one_band_of_several_is_no_picture(self) -> None:
        assert table(("palette", "gray", "gray")).choose([], 3, ()) == BandChoice((1, 2, 3))

    def test_four_bands_are_not_in_it(self) -> None:
        with pytest.raises(RasterError, match="has 1 band; 4 are needed"):
            table(("palette",)).choose([], 4, ())
