from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from glnet_geo.labelled_scene import Sample
from glnet_geo.legend import IGNORED
from glnet_geo.metrics import ConfusionMatrix
from glnet_geo.models.glnet import Form, GLNet
from glnet_geo.models.stages import STAGES
from glnet_geo.precision import Precision
from glnet_geo.schedule import Optimizer, Schedule
from glnet_geo.stage_trainer import Drawn, FrameGeometry, StageTrainer
from glnet_geo.tiling import PatchLayout
from glnet_geo.time_budget import time_steps
from glnet_geo.training import Course, TrainingRun
from tests.models import small_card

SIDE = 160
SCHEDULE = Schedule(frames=(2, 2, 1))
FAST = replace(
    SCHEDULE,
    learning_rates=(3e-3,) * 3,
    backbone_rate=1.0,
    context_dropout=0.0,
    frames=(2, 2, 2),
)


class NoiseSampler:
    """Frames of noise, labelled in their upper left quarter if they are sparse; of some scenes."""

    n_scenes = 4

    def __init__(self, is_sparse=False, scenes=(0, 1, 2, 3)):
        self._is_sparse = is_sparse
        self._scenes = scenes

    def draw(self, rng, size):
        pixels = rng.integers(0, 256, (3, size, size), np.uint8)
        target = rng.integers(0, 5, (size, size), np.uint8)
        if self._is_sparse:
            target[size // 2 :] = target[:, size // 2 :] = IGNORED
        return Sample(pixels, target, "noise.tif", self._scenes[target[0, 0] % len(self._scenes)])


@pytest.fixture
def net():
    torch.manual_seed(0)
    return GLNet(small_card().architecture)


def geometry():
    return FrameGeometry(PatchLayout.cover(SIDE, SIDE, 96), 64)


def trainer(net, stage, schedule=SCHEDULE, **options):
    return StageTrainer(net, stage, NoiseSampler(True), geometry(), schedule, **options)


def steps(made, count):
    losses = [made.step(drawn, 0.0) for drawn in made.draws(0, count)]
    assert np.isfinite(losses).all()
    return losses


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.BF16])
def test_every_stage_learns(net, stage, precision):
    losses = steps(trainer(net, stage, replace(FAST, precision=precision)), 10)
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_learns_cross_fitted(net, stage):
    net.add_twins(2)
    losses = steps(trainer(net, stage, FAST), 10)
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


def test_a_twin_does_not_learn_from_its_fold(net):
    net.add_twins(2)
    before = [next(twin.parameters()).clone() for twin in net.twins]
    sampler = NoiseSampler(scenes=(0, 1))
    steps(StageTrainer(net, Form.GLOBAL, sampler, geometry(), SCHEDULE), 1)
    after = [next(twin.parameters()) for twin in net.twins]
    assert torch.equal(before[0], after[0]) and not torch.equal(before[1], after[1])
    # It saw what the branch itself saw.
    for one, other in zip(net.context.parameters(), net.twins[1].parameters(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("stage", [Form.GLOBAL_TO_LOCAL, Form.BOTH_WAYS])
def test_scenes_are_seen_through_the_twin_that_does_not_know_them(net, stage):
    """The other twin and the branch itself have nothing to do with the loss."""
    net.add_twins(2)
    with torch.no_grad():
        for number, twin in enumerate(net.twins, 1):
            twin.decoder.toplayer.bias.add_(0.3 * number)

    def loss(fold, **changed):
        again = copy.deepcopy(net)
        with torch.no_grad():
            for name, value in changed.items():
                branch = again.context if name == "context" else again.twins[int(name[-1])]
                branch.decoder.toplayer.bias.fill_(value)
        sampler = NoiseSampler(scenes=(2 * fold, 2 * fold + 1))
        made = StageTrainer(again, stage, sampler, geometry(), SCHEDULE)
        return steps(made, 1)[0]

    for fold in (0, 1):
        plain = loss(fold)
        assert loss(fold, **{f"twin{1 - fold}": 3.0, "context": 5.0}) == plain
        assert loss(fold, **{f"twin{fold}": 3.0}) != plain


def test_twins_are_not_part_of_the_model(net):
    keys = set(net.state_dict())
    net.add_twins(2)
    assert set(net.state_dict()) > keys
    assert set(net.in_form(Form.BOTH_WAYS).state_dict()) == keys


@pytest.mark.parametrize("frames", [1, 2])
def test_stage_3_keeps_its_statistics_where_a_batch_is_one_frame(net, frames):
    norm = net.feedback.backbone._bn0
    before = norm.running_mean.clone()
    steps(trainer(net, Form.BOTH_WAYS, replace(SCHEDULE, frames=(2, 2, frames))), 1)
    assert torch.equal(norm.running_mean, before) == (frames == 1)


def test_half_precision_scales_its_gradients_as_far_as_they_stay_finite(net):
    made = trainer(net, Form.GLOBAL, replace(SCHEDULE, precision=Precision.FP16))
    before, weights = made.scaler.get_scale(), net.context.decoder.classify.weight.clone()
    assert before > 1
    steps(made, 4)
    assert 1 < made.scaler.get_scale() <= before
    assert not torch.equal(net.context.decoder.classify.weight, weights)
    assert all(p.isfinite().all() for p in net.parameters())


def test_accumulated_batches_make_one_step_of_their_mean(net):
    made = trainer(net, Form.GLOBAL)
    drawn = next(made.draws(0, 1))
    first, second = drawn.batches[0][:1], drawn.batches[0][1:]

    def gradients(*batches):
        again = GLNet(net.architecture)
        again.load_state_dict(net.state_dict())
        schedule = replace(SCHEDULE, accumulate=len(batches))
        made = trainer(again, Form.GLOBAL, schedule)
        made.step(Drawn(drawn.rng, list(batches)), 0.0)
        return [p.grad for p in again.context.parameters()]

    for one, other, both in zip(
        gradients(first), gradients(second), gradients(first, second), strict=True
    ):
        torch.testing.assert_close((one + other) / 2, both, rtol=1e-4, atol=1e-6)


def test_optimizers_differ(net):
    kinds = [
        type(trainer(net, Form.GLOBAL, replace(SCHEDULE, optimizer=kind)).optimizer)
        for kind in Optimizer
    ]
    assert kinds == [torch.optim.Adam, torch.optim.AdamW]


def test_class_weights_change_what_is_learned(net):
    weights = np.array([1, 1, 1, 1, 50], np.float32)
    plain, weighted = (
        steps(trainer(net, Form.GLOBAL, class_weights=one), 1)[0] for one in (None, weights)
    )
    assert plain != weighted


def test_rate_comes_down_to_nothing(net):
    made = trainer(net, Form.GLOBAL)
    rates = [made.rate(done) for done in (0, 0.5, 1)]
    assert rates[0] == 1e-3 and rates[0] > rates[1] > rates[2] == 0


def course(**options):
    return Course(NoiseSampler(), geometry(), SCHEDULE, (2, 2, 2), **options)


def test_timing_leaves_the_networks_alone(net, monkeypatch):
    monkeypatch.setattr("glnet_geo.time_budget._TIMED_S", 0.0)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    assert min(time_steps(net, course())) > 0
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key]), key


class Scored:
    """Scores from a list, and the weights that had them."""

    def __init__(self, net, values):
        self._net, self._values = net, iter(values)
        self.weights = []

    def __call__(self, stage):
        matrix = ConfusionMatrix(small_card().legend)
        ids = np.full(100, 1, np.uint8)
        predicted = ids.copy()
        predicted[round(100 * next(self._values)) :] = 2
        self.weights.append({k: v.clone() for k, v in self._net.context.state_dict().items()})
        return matrix.add(ids, predicted).scores()


def test_a_stage_that_gets_no_better_ends_with_its_best_weights(net, tmp_path):
    scored = Scored(net, [0.3, 0.6, 0.5, 0.4, *[0.5] * 10])
    plan = replace(SCHEDULE, patience=2, validations=10)
    about = replace(course(validate=scored), schedule=plan)
    run = TrainingRun(net, about, tmp_path / "state", {})
    run.start((10, 1, 1))
    seen = []
    run.run(seen.append)
    assert [at.iteration for at in seen if at.stage is Form.GLOBAL] == [1, 2, 3, 4]
    for key, value in net.context.state_dict().items():
        assert torch.equal(value, scored.weights[1][key]), key
    assert seen[-1].mean_iou == pytest.approx(0.25)  # of two classes, one of which is never there
