"""Scores worked out by hand, and against counting pixel by pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glnet_geo.legend import DEEPGLOBE, NODATA, LandCover, Legend
from glnet_geo.metrics import ConfusionMatrix, Scores

# Ids neither contiguous nor in order, so that ids and positions cannot be mixed up.
A, B, C, UNSURE = 5, 2, 9, 7
LEGEND = Legend(
    "abc",
    tuple(
        LandCover(i, name, (i, i, i)) for i, name in ((A, "a"), (UNSURE, "?"), (B, "b"), (C, "c"))
    ),
    frozenset({0, UNSURE}),
)


def matrix(reference: list[int], predicted: list[int]) -> ConfusionMatrix:
    return ConfusionMatrix(LEGEND).add(np.array(reference, np.uint8), np.array(predicted, np.uint8))


def scores(reference: list[int], predicted: list[int]) -> Scores:
    return matrix(reference, predicted).scores()


def class_rasters() -> st.SearchStrategy[npt.NDArray[np.uint8]]:
    return arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 1, A, B, C, UNSURE, NODATA]))


def test_matrix_and_scores_by_hand() -> None:
    reference, predicted = [A, A, A, B, B, C], [A, A, B, B, C, C]
    assert matrix(reference, predicted).counts.tolist() == [
        [2, 0, 1, 0],
        [0, 0, 0, 0],
        [0, 0, 1, 1],
        [0, 0, 0, 1],
    ]
    found = scores(reference, predicted)
    assert found.iou == {"a": pytest.approx(2 / 3), "b": pytest.approx(1 / 3), "c": 1 / 2}
    assert found.mean_iou == pytest.approx((2 / 3 + 1 / 3 + 1 / 2) / 3)
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.pixels == 6


def test_an_absent_class_has_no_iou_and_no_part_in_the_mean() -> None:
    found = scores([A, A, B, B], [A, A, B, A])
    assert found.iou == {"a": pytest.approx(2 / 3), "b": 1 / 2, "c": None}
    assert found.mean_iou == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_a_class_that_is_only_predicted_scores_zero() -> None:
    found = scores([A, A], [A, C])
    assert found.iou == {"a": 1 / 2, "b": None, "c": 0.0}
    assert found.mean_iou == 1 / 4


def test_an_ignored_class_has_no_score() -> None:
    assert list(scores([A], [A]).iou) == ["a", "b", "c"]
    assert "unknown" not in ConfusionMatrix(DEEPGLOBE).scores().iou


@pytest.mark.parametrize("ignored", [0, UNSURE, NODATA, 1])
def test_ignored_reference_pixels_count_nowhere(ignored: int) -> None:
    clean = scores([A, A, B], [A, B, B])
    assert scores([A, A, B, ignored, ignored, ignored], [A, B, B, A, B, NODATA]) == clean


@pytest.mark.parametrize("wrong", [NODATA, UNSURE, 0, 1])
def test_a_prediction_that_is_no_counted_class_is_an_error(wrong: int) -> None:
    found = scores([A, A, A, B], [A, wrong, wrong, B])
    assert found.iou == {"a": pytest.approx(1 / 3), "b": 1.0, "c": None}
    assert found.accuracy == 1 / 2
    assert found.pixels == 4


@settings(max_examples=40, deadline=None)
@given(reference=class_rasters(), predicted=class_rasters())
def test_scores_equal_counting_pixel_by_pixel(
    reference: npt.NDArray[np.uint8], predicted: npt.NDArray[np.uint8]
) -> None:
    found = ConfusionMatrix(LEGEND).add(reference, predicted).scores()
    counts = np.isin(reference, [A, B, C])
    assert found.pixels == counts.sum()
    for name, value in (("a", A), ("b", B), ("c", C)):
        both = counts & (reference == value) & (predicted == value)
        either = counts & ((reference == value) | (predicted == value))
        expected = both.sum() / either.sum() if either.any() else None
        assert found.iou[name] == (None if expected is None else pytest.approx(expected))


@settings(max_examples=40, deadline=None)
@given(reference=class_rasters(), predicted=class_rasters(), cut=st.integers(0, 6))
def test_adding_in_parts_equals_adding_at_once(
    reference: npt.NDArray[np.uint8], predicted: npt.NDArray[np.uint8], cut: int
) -> None:
    whole = ConfusionMatrix(LEGEND).add(reference, predicted)
    parts = ConfusionMatrix(LEGEND)
    parts.add(reference[:cut], predicted[:cut]).add(reference[cut:], predicted[cut:])
    np.testing.assert_array_equal(parts.counts, whole.counts)
    assert parts.scores() == whole.scores()


def test_nothing_has_no_scores() -> None:
    for found in (ConfusionMatrix(LEGEND).scores(), scores([0, NODATA], [A, B])):
        assert found.iou == {"a": None, "b": None, "c": None}
        assert found.mean_iou is None
        assert found.accuracy is None
        assert found.pixels == 0


def test_the_json_form_has_four_decimals_and_keeps_what_is_absent() -> None:
    assert scores([A, A, A, B], [A, A, B, B]).to_dict() == {
        "mean_iou": 0.5833,
        "accuracy": 0.75,
        "iou": {"a": 0.6667, "b": 0.5, "c": None},
        "pixels": 4,
    }


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        ConfusionMatrix(LEGEND).add(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))


def test_users_and_producers_accuracy_by_hand() -> None:
    found = scores([A, A, A, B, B, C], [A, A, B, B, C, C])
    assert found.precision == {"a": 1.0, "b": 1 / 2, "c": 1 / 2}
    assert found.recall == {"a": pytest.approx(2 / 3), "b": 1 / 2, "c": 1.0}
    assert found.f1 == {"a": pytest.approx(4 / 5), "b": 1 / 2, "c": pytest.approx(2 / 3)}
    assert found.mean_f1 == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert found.support == {"a": 3, "b": 2, "c": 1}
    # Chance agrees in (3 * 2 + 2 * 2 + 1 * 2) of 36.
    assert found.kappa == pytest.approx((4 / 6 - 12 / 36) / (1 - 12 / 36))
    assert found.scored_classes == 3


def test_what_is_undefined_is_none() -> None:
    found = scores([A, A], [A, C])
    assert found.precision == {"a": 1.0, "b": None, "c": 0.0}
    assert found.recall == {"a": 1 / 2, "b": None, "c": None}
    assert found.f1 == {"a": pytest.approx(2 / 3), "b": None, "c": 0.0}
    assert found.scored_classes == 2
    assert scores([A, A], [A, A]).kappa is None
    assert scores([], []).kappa is None and scores([], []).mean_f1 is None


def test_missed_pixels_lower_recall_and_kappa_but_not_precision() -> None:
    found = scores([A, A, B, B], [A, NODATA, B, B])
    assert found.precision == {"a": 1.0, "b": 1.0, "c": None}
    assert found.recall == {"a": 1 / 2, "b": 1.0, "c": None}
    assert found.kappa == pytest.approx((3 / 4 - 6 / 16) / (1 - 6 / 16))


def test_kappa_of_very_many_pixels_does_not_overflow() -> None:
    counts = np.diag([4 * 10**9, 0, 4 * 10**9, 0])
    matrix = ConfusionMatrix.of_counts(LEGEND, counts, np.array([0, 0, 10**9, 0]))
    assert matrix.scores().kappa == pytest.approx((8 / 9 - 36 / 81) / (1 - 36 / 81))
