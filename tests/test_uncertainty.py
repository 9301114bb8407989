"""What is told of how sure a map is, from scores alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from glnet_geo.models.disagreement import disagreement
from glnet_geo.models.glnet import FrameLogits
from glnet_geo.tiling import PatchLayout
from glnet_geo.uncertainty import Gauge, Layer

NAMES = {0: "building", 2: "road", 3: "water"}


def softmax(scores: np.ndarray) -> np.ndarray:
    return torch.from_numpy(scores.astype(np.float64)).softmax(0).numpy()


def scores_of(height=7, width=11, seed=0):
    return np.random.default_rng(seed).normal(0, 3, (5, height, width)).astype(np.float32)


def test_probabilities_are_the_softmax_of_classes_that_count():
    scores = scores_of()
    expected = 254 * softmax(scores[[0, 2, 3]] / 1.5)
    values = Gauge(NAMES, (Layer.PROBABILITIES,), 1.5).measure(scores)
    assert values.dtype == np.uint8
    assert np.abs(values - expected).max() <= 0.501


def test_confidence_is_calibrated_or_a_margin():
    scores = scores_of()
    ordered = np.sort(softmax(scores[[0, 2, 3]] / 2), 0)
    calibrated = Gauge(NAMES, (Layer.CONFIDENCE,), 2.0)
    assert np.abs(calibrated.measure(scores)[0] - 254 * ordered[-1]).max() <= 0.501
    assert "calibrated with temperature 2" in calibrated.meaning(Layer.CONFIDENCE)
    ordered = np.sort(softmax(scores[[0, 2, 3]]), 0)
    margin = Gauge(NAMES, (Layer.CONFIDENCE,), None)
    assert np.abs(margin.measure(scores)[0] - 254 * (ordered[-1] - ordered[-2])).max() <= 0.501
    assert margin.meaning(Layer.CONFIDENCE).startswith("margin")


def test_layers_follow_each_other_in_the_order_asked_for():
    layers = (Layer.DISAGREEMENT, Layer.PROBABILITIES, Layer.CONFIDENCE)
    gauge, scores = Gauge(NAMES, layers, None), scores_of()
    scores = np.concatenate([scores, np.full((1, 7, 11), 0.5, np.float32)])
    values = gauge.measure(scores)
    assert gauge.n_bands == len(values) == 5
    assert gauge.slices()[Layer.PROBABILITIES] == slice(1, 4)
    assert gauge.bands(Layer.PROBABILITIES) == ("building", "road", "water")
    assert (values[0] == 127).all()
    alone = Gauge(NAMES, (Layer.CONFIDENCE,), None).measure(scores)
    assert np.array_equal(values[4], alone[0])


def test_a_single_class_is_sure():
    scores = scores_of()
    for temperature in (1.0, None):
        gauge = Gauge({1: "land"}, (Layer.PROBABILITIES, Layer.CONFIDENCE), temperature)
        assert (gauge.measure(scores) == 254).all()


def test_scores_of_any_size_stay_finite():
    scores = np.array([1e30, -1e30, 0, 5, 5], np.float32)[:, None, None]
    gauge = Gauge(NAMES, (Layer.PROBABILITIES, Layer.CONFIDENCE), 1.0)
    assert gauge.measure(scores).ravel().tolist() == [254, 0, 0, 254]


@pytest.mark.parametrize(
    ("whole", "expected"),
    [([9.0, -9.0, 50.0], 0.0), ([-9.0, 9.0, -50.0], 1.0), ([0.0, 0.0, 3.0], 0.5)],
)
def test_disagreement_is_what_does_not_overlap(whole, expected):
    """Of two classes that count; the third is not looked at."""
    layout = PatchLayout.cover(96, 160, 96)
    count = len(layout.windows)
    local = torch.tensor([9.0, -9.0, 7.0]).view(1, 3, 1, 1).expand(count, 3, 24, 24)
    logits = torch.tensor(whole).view(1, 3, 1, 1).expand(1, 3, 16, 20)
    found = disagreement(FrameLogits(logits, local, local), layout, (0, 1))
    assert found.shape == (count, 1, 24, 24)
    torch.testing.assert_close(found, torch.full_like(found, expected), atol=1e-4, rtol=0)


def test_disagreement_looks_under_each_patch():
    layout = PatchLayout.cover(96, 192, 96)
    sides = torch.full((1, 2, 24, 48), 9.0)
    sides[:, 0, :, :24] = -9
    sides[:, 1, :, 24:] = -9
    local = torch.tensor([9.0, -9.0]).view(1, 2, 1, 1).expand(len(layout.windows), 2, 24, 24)
    found = disagreement(FrameLogits(sides, local, local), layout, (0, 1))
    assert found[0].min() > 0.99 and found[-1].max() < 0.01
