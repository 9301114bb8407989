"""A time to train in, turned into steps of the three stages."""

from __future__ import annotations

import copy
import math
import time

from glnet_geo.errors import TrainingError
from glnet_geo.models.glnet import Form, GLNet
from glnet_geo.schedule import Three
from glnet_geo.training import Course

_SHARES = (0.2, 0.65, 0.15)  # of the time, by stage
_RESERVE = 0.05  # of the time: machines are not equally fast all the time
_WARM_UP = 1  # steps that are not counted
_TIMED_S = 8.0  # seconds that are, at least
_FEWEST = 5  # steps of a stage that are worth the name

Seconds = tuple[float, ...]
"""Of a step in each of the stages."""


def time_steps(net: GLNet, course: Course) -> Seconds:
    """Tries out each stage of a run on a copy of the networks, with its first frames."""
    return tuple(_time_stage(net, course, stage) for stage in course.stages)


def _time_stage(net: GLNet, course: Course, stage: Form) -> float:
    net = copy.deepcopy(net)
    course.start(net, stage)
    trainer = course.trainer(net, stage)
    started, steps = time.monotonic(), 0
    for drawn in trainer.draws(0, 1_000_000):
        trainer.step(drawn, 0.0)
        steps += 1
        if steps == _WARM_UP:
            started = time.monotonic()
        elif time.monotonic() - started > _TIMED_S:
            break
    return (time.monotonic() - started) / (steps - _WARM_UP)


def plan_steps(budget_s: float, fixed_s: float, step_s: Seconds) -> Three:
    """Steps of the three stages that a time allows for.

    Args:
        budget_s: The time in seconds.
        fixed_s: What of it goes to anything but steps: what has passed, validations, scores.
        step_s: Seconds of a step in each of the stages, from the first one on.

    Returns:
        0 for stages that there are not.

    Raises:
        TrainingError: It is too short.
    """
    left = budget_s * (1 - _RESERVE) - fixed_s
    shares = [share / sum(_SHARES[: len(step_s)]) for share in _SHARES[: len(step_s)]]
    steps = [int(left * share / each) for share, each in zip(shares, step_s, strict=True)]
    if min(steps) < _FEWEST:
        each = [_FEWEST * one / share for share, one in zip(shares, step_s, strict=True)]
        needed = math.ceil((max(each) + fixed_s) / (1 - _RESERVE) / 60)
        raise TrainingError(
            f"--time-budget is too short: {_FEWEST} steps a stage take {needed} minutes "
            "here, scores included. Give more time, or a smaller frame or backbone."
        )
    first, second, third = (*steps, 0, 0)[:3]
    return first, second, third
