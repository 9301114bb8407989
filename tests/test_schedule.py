from __future__ import annotations

import pytest

from glnet_geo.errors import DatasetError, TrainingError
from glnet_geo.model_options import ModelOptions
from glnet_geo.schedule import FINE_TUNING, Optimizer, Schedule
from glnet_geo.time_budget import plan_steps
from glnet_geo.training_options import TrainingOptions


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rates": (1e-3, 0.0, 1e-4)}, "Learning rates"),
        ({"weight_decay": 1.0}, "Weight decay"),
        ({"rare": 1.5}, "0-1"),
        ({"accumulate": 0}, "at least 1"),
        ({"focal_gamma": -1.0}, "from 0"),
        ({"lovasz": -0.5}, "from 0"),
        ({"class_weights": {"road": 0.0}}, "above 0"),
    ],
)
def test_values_that_make_no_sense_are_refused(values, message):
    with pytest.raises(TrainingError, match=message):
        Schedule(**values)


def test_options_win_over_the_preset_one_by_one():
    options = TrainingOptions(
        init="dubai-urban",
        schedule={"optimizer": Optimizer.ADAMW, "seed": 3},
        augmentation={"scale": 1.0},
    )
    schedule = options.schedule_for(ModelOptions())
    assert schedule.learning_rates == FINE_TUNING.learning_rates
    assert (schedule.optimizer, schedule.seed) == (Optimizer.ADAMW, 3)
    assert schedule.augmentation.scale == 1 and schedule.augmentation.contrast == 1.25


def test_unknown_options_are_refused():
    with pytest.raises(TrainingError, match="'speed'"):
        TrainingOptions(schedule={"speed": 3})
    with pytest.raises(TrainingError, match="either iterations or a time"):
        TrainingOptions(iterations=(1, 1, 1), time_budget_s=60)
    with pytest.raises(DatasetError, match="factors from 1"):
        TrainingOptions(augmentation={"scale": 0.5}).schedule_for(ModelOptions())


def test_a_time_is_shared_out_among_the_stages():
    plan = plan_steps(7200, 600, (2.0, 3.0, 10.0))
    spent = [steps * each for steps, each in zip(plan, (2.0, 3.0, 10.0), strict=True)]
    assert 0.9 * 7200 < sum(spent) + 600 <= 7200
    assert spent[1] > spent[0] > spent[2]


def test_a_time_goes_to_the_stages_that_there_are():
    assert plan_steps(1000, 0, (1.0,)) == (950, 0, 0)
    first, second, third = plan_steps(1000, 0, (1.0, 1.0))
    assert third == 0 and 940 <= first + second <= 950 and second > first


def test_a_time_that_is_too_short_names_one_that_is_not():
    with pytest.raises(TrainingError, match="too short: 5 steps a stage take 7 minutes"):
        plan_steps(100, 60, (2.0, 3.0, 10.0))
    assert min(plan_steps(7 * 60, 60, (2.0, 3.0, 10.0))) >= 5
