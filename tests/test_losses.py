from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from glnet_geo.legend import DUBAI, IGNORED
from glnet_geo.metrics import ConfusionMatrix
from glnet_geo.models.losses import focal_loss, lovasz_loss
from glnet_geo.models.objective import Objective


def labels(seed, classes=5, shape=(2, 12, 14)):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, classes, shape, generator=generator)


@given(st.integers(0, 1000))
def test_lovasz_of_a_decided_map_is_one_minus_its_mean_iou(seed):
    truth, predicted = labels(seed), labels(seed + 1)
    truth[:, :3] = IGNORED
    logits = 200.0 * F.one_hot(predicted, 5).movedim(-1, 1)
    matrix = ConfusionMatrix(DUBAI)
    counted = truth != IGNORED
    matrix.add(DUBAI.ids[truth[counted].numpy()][None], DUBAI.ids[predicted[counted].numpy()][None])
    want = 1 - matrix.scores().mean_iou
    assert lovasz_loss(logits, truth).item() == pytest.approx(want, abs=1e-5)


def test_lovasz_averages_over_the_classes_that_occur():
    truth = torch.zeros(1, 4, 4, dtype=torch.long)
    logits = torch.zeros(1, 3, 4, 4)
    logits[:, 0] = 50
    assert lovasz_loss(logits, truth).item() == pytest.approx(0, abs=1e-6)
    logits[:, 1] = 100
    assert lovasz_loss(logits, truth).item() == pytest.approx(1)


def test_lovasz_of_nothing_is_nothing_and_can_be_run_backward():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = lovasz_loss(logits, torch.full((1, 4, 4), IGNORED))
    loss.backward()
    assert loss == 0 and torch.equal(logits.grad, torch.zeros_like(logits))


def test_lovasz_descends_to_a_better_overlap():
    truth = labels(3)
    logits = torch.zeros(2, 5, 12, 14, requires_grad=True)
    for _ in range(20):
        (gradient,) = torch.autograd.grad(lovasz_loss(logits, truth), logits)
        with torch.no_grad():
            logits -= 200 * gradient
    assert lovasz_loss(logits, truth) < 0.3


def test_objective_adds_the_two():
    truth, logits = labels(4), torch.randn(2, 5, 12, 14)
    joint = Objective(gamma=0, lovasz=0.5).loss(logits, truth)
    torch.testing.assert_close(
        joint, F.cross_entropy(logits, truth) + 0.5 * lovasz_loss(logits, truth)
    )
    torch.testing.assert_close(Objective().loss(logits, truth), focal_loss(logits, truth, 3.0))
