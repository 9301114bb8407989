"""Areas and accuracies from labelled samples: the papers' figures, their formulas, and coverage."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glnet_geo.area_estimates import AreaEstimates, estimate_areas
from glnet_geo.cli.area_table import describe_areas
from glnet_geo.sample_design import SampleDesign, Stratum

# Olofsson et al. 2014, tables 4 and 8: deforestation, forest gain, stable forest and non-forest.
NAMES = ("deforestation", "forest gain", "stable forest", "stable non-forest")
MAPPED = (200_000, 150_000, 3_200_000, 6_450_000)  # Landsat pixels
COUNTS = ((66, 0, 5, 4), (0, 55, 8, 12), (1, 0, 153, 11), (2, 1, 9, 313))
PIXEL_M2 = 900.0


def design_of(names: Sequence[str], pixels: Sequence[int], area: float = 1.0) -> SampleDesign:
    strata = tuple(
        Stratum(k, name, n, n * area)
        for k, (name, n) in enumerate(zip(names, pixels, strict=True))
        if n
    )
    return SampleDesign("map.tif", "", strata, dict(enumerate(names)), "planar", "m")


def from_counts(
    counts: Sequence[Sequence[int]], pixels: Sequence[int], area: float = 1.0
) -> AreaEstimates:
    """Estimates where the strata are the map's classes, from counts by map and reference."""
    names = NAMES[: len(counts)]
    strata = [i for i, row in enumerate(counts) for n in row for _ in range(n)]
    reference = [names[j] for row in counts for j, n in enumerate(row) for _ in range(n)]
    mapped_areas = {name: n * area for name, n in zip(names, pixels, strict=True)}
    design = design_of(names, pixels, area)
    return estimate_areas(design, strata, [names[i] for i in strata], reference, mapped_areas)


class TestTheExampleOfOlofsson:
    """Section 5.2 of the paper, on page 54."""

    found = from_counts(COUNTS, MAPPED, PIXEL_M2)

    def test_areas_in_hectares(self) -> None:
        areas = {
            one.name: (round(one.area.value / 1e4), round(one.area.margin / 1e4))
            for one in self.found.classes
        }
        assert areas == {
            "deforestation": (21_158, 6_158),
            "forest gain": (11_686, 3_756),
            "stable forest": (285_770, 15_510),
            "stable non-forest": (581_386, 16_282),
        }
        assert [one.mapped_area for one in self.found.classes] == [n * PIXEL_M2 for n in MAPPED]
        assert sum(one.area.value for one in self.found.classes) == pytest.approx(9e9)

    def test_standard_error_in_pixels(self) -> None:
        (deforestation, *_) = self.found.classes
        assert deforestation.area.value / PIXEL_M2 == pytest.approx(235_086, abs=1)
        assert deforestation.area.standard_error / PIXEL_M2 == pytest.approx(34_907, abs=1)

    def test_accuracies(self) -> None:
        users = [one.users_accuracy for one in self.found.classes]
        producers = [one.producers_accuracy for one in self.found.classes]
        assert [round(one.value, 2) for one in users if one] == [0.88, 0.73, 0.93, 0.96]
        assert [round(one.margin, 2) for one in users if one] == [0.07, 0.10, 0.04, 0.02]
        assert [round(one.value, 2) for one in producers if one] == [0.75, 0.85, 0.93, 0.96]
        # For forest gain eq. 7 gives 0.25, and for non-forest 0.02.
        assert [round(one.margin, 2) for one in producers if one] == [0.21, 0.25, 0.03, 0.02]
        overall = self.found.overall_accuracy
        assert (round(overall.value, 3), round(overall.margin, 3)) == (0.947, 0.018)

    def test_matrix_of_area_proportions(self) -> None:
        # Table 9; eq. 4.
        np.testing.assert_allclose(
            self.found.matrix,
            [
                [0.0176, 0, 0.0013, 0.0011],
                [0, 0.0110, 0.0016, 0.0024],
                [0.0019, 0, 0.2967, 0.0213],
                [0.0040, 0.0020, 0.0179, 0.6212],
            ],
            atol=5.1e-5,
        )

    def test_the_table_can_be_pasted_into_a_mail(self) -> None:
        lines = describe_areas(self.found).splitlines()
        assert lines[0] == "Areas by 640 labelled points, ± is the 95 % confidence interval"
        (line,) = (one for one in lines if "deforestation" in one)
        assert line.split() == [
            *("deforestation", "18,000.0", "ha", "21,157.8", "±", "6,157.6", "ha"),
            *("0.880", "±", "0.074", "0.749", "±", "0.213"),
        ]
        assert lines[-2:] == ["  overall accuracy 0.947 ± 0.018", "  areas: planar"]
        assert len({len(one) for one in lines[1:-2]}) == 1

    def test_json(self) -> None:
        table = self.found.to_dict()
        assert table["points"] == 640 and table["area_m2"] == 9e9
        assert table["classes"][0]["adjusted_area_m2"]["margin_95"] == pytest.approx(61_576_343.9)
        assert [one["labelled"] for one in table["strata"]] == [75, 75, 165, 325]


def test_the_example_of_stehman() -> None:
    """Section 4 of the paper, whose strata are not the map's classes."""
    strata = [k for k in range(4) for _ in range(10)]
    mapped = "AAAAAAABBB" + "ABBBBBBBBB" + "BBCCCCCCBB" + "DDDDDDDDDD"
    reference = "AAAAACBABC" + "ABBBBBAABB" + "CCCCCDDBBA" + "DDDDDDDCCB"
    design = design_of("ABCD", (40_000, 30_000, 20_000, 10_000))
    found = estimate_areas(design, strata, [*mapped], [*reference])
    a, b, c, _ = found.classes
    total = design.area
    assert b.users_accuracy and b.producers_accuracy
    figures = [
        (a.area.value / total, a.area.standard_error / total),
        (c.area.value / total, c.area.standard_error / total),
        (found.overall_accuracy.value, found.overall_accuracy.standard_error),
        (b.users_accuracy.value, b.users_accuracy.standard_error),
    ]
    published = [(0.35, 0.082), (0.20, 0.064), (0.63, 0.085), (0.574, 0.125)]
    np.testing.assert_allclose(figures, published, atol=6e-4)
    assert b.producers_accuracy.value == pytest.approx(0.794, abs=6e-4)
    assert found.matrix[1][2] == pytest.approx(0.08)
    assert not found.is_mapped_area_known
    assert a.mapped_area == pytest.approx(total * (0.4 * 0.7 + 0.3 * 0.1))


def special_case(
    counts: Sequence[Sequence[int]], pixels: Sequence[int]
) -> dict[str, list[float | None]]:
    """Standard errors by eqs. 5, 6, 7 and 10 of Olofsson et al., as they stand there."""
    n = np.array(counts, float)
    n_i, big_n = n.sum(axis=1), np.array(pixels, float)
    w, k = big_n / big_n.sum(), range(len(counts))
    users = np.diag(n) / n_i
    v_users = users * (1 - users) / (n_i - 1)
    overall = math.sqrt(sum(w[i] ** 2 * v_users[i] for i in k))
    spread = n / n_i[:, None] * (1 - n / n_i[:, None]) / (n_i[:, None] - 1)
    areas = [math.sqrt(sum(w[i] ** 2 * spread[i, j] for i in k)) for j in k]
    producers: list[float | None] = []
    for j in k:
        n_j = sum(big_n[i] / n_i[i] * n[i, j] for i in k)
        if not n_j:
            producers.append(None)
            continue
        p = big_n[j] * n[j, j] / n_i[j] / n_j
        first = big_n[j] ** 2 * (1 - p) ** 2 * v_users[j]
        rest = p**2 * sum(big_n[i] ** 2 * spread[i, j] for i in k if i != j)
        producers.append(math.sqrt((first + rest) / n_j**2))
    return {"overall": [overall], "areas": [*areas], "users": [*np.sqrt(v_users)], "p": producers}


ROW = st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(lambda row: sum(row) >= 2)


@given(
    st.lists(ROW, min_size=3, max_size=3),
    st.lists(st.integers(100, 10**7), min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_general_estimators_are_the_special_ones_where_strata_are_classes(
    counts: list[list[int]], pixels: list[int]
) -> None:
    found = from_counts(counts, pixels)
    expected = special_case(counts, pixels)
    by_name = {one.name: one for one in found.classes}
    assert found.overall_accuracy.standard_error == pytest.approx(expected["overall"][0], abs=1e-9)
    for j, name in enumerate(NAMES[:3]):
        one = by_name[name]
        total = sum(pixels)
        area, users = expected["areas"][j], expected["users"][j]
        assert one.area.standard_error / total == pytest.approx(area, abs=1e-9)
        assert one.users_accuracy is not None
        assert one.users_accuracy.standard_error == pytest.approx(users, abs=1e-9)
        producers = expected["p"][j]
        if one.producers_accuracy is None:
            assert producers is None
        else:
            assert one.producers_accuracy.standard_error == pytest.approx(producers, abs=1e-9)


def test_intervals_cover_the_truth_about_95_times_in_100() -> None:
    """A map whose errors are known, sampled 400 times."""
    generator = np.random.default_rng(7)
    pixels = np.array([3_000, 17_000, 80_000])
    confusion = np.array([[0.75, 0.15, 0.10], [0.06, 0.84, 0.10], [0.03, 0.07, 0.90]])
    truth = [generator.choice(3, n, p=row) for n, row in zip(pixels, confusion, strict=True)]
    true_areas = np.bincount(np.concatenate(truth), minlength=3)
    right = sum(int((one == k).sum()) for k, one in enumerate(truth))
    covered, runs = np.zeros(4), 400
    for _ in range(runs):
        counts = [
            np.bincount(generator.choice(one, n, replace=False), minlength=3).tolist()
            for one, n in zip(truth, (75, 100, 225), strict=True)
        ]
        found = from_counts(counts, pixels.tolist())
        figures = [(found.overall_accuracy, right / pixels.sum())]
        figures += [(one.area, area) for one, area in zip(found.classes, true_areas, strict=True)]
        covered += [abs(figure.value - true) <= figure.margin for figure, true in figures]
    # Three standard deviations of a count of 400 are 0.033.
    np.testing.assert_array_less(np.abs(covered / runs - 0.95), 0.035)


def test_a_stratum_that_is_labelled_whole_adds_no_error() -> None:
    design = design_of(("rare", "common"), (1, 1000))
    labels = ["common"] + ["common"] * 50
    found = estimate_areas(design, [0] + [1] * 50, ["rare"] + ["common"] * 50, labels)
    assert found.overall_accuracy.value == pytest.approx(1000 / 1001)
    assert found.overall_accuracy.standard_error == 0
    common, rare = found.classes[1], found.classes[0]
    assert (common.area.value, rare.area.value) == (pytest.approx(1001), 0)
    assert rare.producers_accuracy is None and rare.users_accuracy is not None
    assert "-" in describe_areas(found).splitlines()[3].split()


def test_a_class_that_the_map_does_not_have_gets_an_area() -> None:
    design = design_of(("land", "water", "ice"), (100, 900, 0))
    reference = ["land", "ice"] + ["water"] * 3 + ["ice"]
    found = estimate_areas(design, [0, 0, 1, 1, 1, 1], ["land"] * 2 + ["water"] * 4, reference)
    ice = found.classes[2]
    assert (ice.name, ice.area.value) == ("ice", pytest.approx(100 / 2 + 900 / 4))
    assert ice.users_accuracy is None and ice.mapped_area == 0
    assert ice.producers_accuracy is not None and ice.producers_accuracy.value == 0


@pytest.mark.parametrize(
    ("strata", "message"), [([0, 0, 1], "fewer than 2"), ([0, 0, 1, 7], "no strata")]
)
def test_points_that_say_nothing_are_refused(strata: list[int], message: str) -> None:
    names = ["a"] * len(strata)
    with pytest.raises(ValueError, match=message):
        estimate_areas(design_of("ab", (10, 10)), strata, names, names)
