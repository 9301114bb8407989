from __future__ import annotations

import numpy as np
import pytest

from glnet_geo.calibration import Calibration, ScoredPixels, calibration_error, fit_temperature


def drawn(scores, seed=0):
    """Classes drawn as likely as the softmax of scores says."""
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    chance = np.random.default_rng(seed).random((len(scores), 1))
    return (p.cumsum(1) < chance).sum(1).astype(np.uint8)


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_scores_that_say_too_much_are_toned_down_by_as_much(factor):
    scores = np.random.default_rng(1).normal(0, 2, (100_000, 5)).astype(np.float32)
    found = Calibration.fit(ScoredPixels(scores * factor, drawn(scores)))
    assert found.temperature == pytest.approx(factor, rel=0.03)
    assert found.error < 0.01 and found.pixels == 100_000
    assert found.error_before == pytest.approx(0, abs=0.01) or factor != 1


def test_calibration_error_by_hand():
    # Three of four are right where 0.6 is claimed: a gap of 0.15, on all pixels.
    scores = np.log(np.array([[0.6, 0.4]] * 4, np.float32))
    assert calibration_error(
        ScoredPixels(scores, np.array([0, 0, 0, 1], np.uint8))
    ) == pytest.approx(0.15)
    # As sure as can be and always wrong.
    scores = np.array([[40.0, 0.0]] * 3, np.float32)
    assert calibration_error(ScoredPixels(scores, np.ones(3, np.uint8))) == pytest.approx(1)


def test_networks_that_know_nothing_get_the_mildest_temperature():
    scores = np.random.default_rng(2).normal(0, 5, (20_000, 3)).astype(np.float32)
    truth = np.random.default_rng(3).integers(0, 3, 20_000).astype(np.uint8)
    assert fit_temperature(ScoredPixels(scores, truth)) > 19
    best = scores.argmax(1).astype(np.uint8)
    assert fit_temperature(ScoredPixels(scores, best)) < 0.06


def test_parts_are_joined_in_order():
    parts = [ScoredPixels(np.full((2, 3), k, np.float32), np.full(2, k, np.uint8)) for k in (1, 0)]
    joined = ScoredPixels.join(parts)
    assert joined.scores.shape == (4, 3) and joined.truth.tolist() == [1, 1, 0, 0]
