"""The three training stages, one after the other, stoppable at any moment.

What a run needs to continue is one file, replaced whole (`training_state`). Samples are drawn by
iteration (`stage_trainer`) and nothing else is random: a resumed run ends as an unbroken one.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from glnet_geo.errors import TrainingError
from glnet_geo.metrics import Scores
from glnet_geo.models.glnet import Form, GLNet
from glnet_geo.models.stages import STAGES, start_outputs, trained_modules, warm_start
from glnet_geo.sampling import FrameSampler
from glnet_geo.schedule import Schedule, Three
from glnet_geo.stage_trainer import Drawn, FrameGeometry, StageTrainer
from glnet_geo.training_log import LogRow
from glnet_geo.training_state import Standing, TrainingState

_SAVE_EVERY_S = 600


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands.

    Attributes:
        stage: The stage in work.
        iteration: Steps done in it.
        done: Steps done in all.
        total: Steps of all stages.
        loss: Mean loss of the last steps.
        mean_iou: The last one on held-out frames, 0-1; None before there is one.
        seconds_left: What the steps to come will take, as far as is known.
    """

    stage: Form
    iteration: int
    done: int
    total: int
    loss: float
    mean_iou: float | None
    seconds_left: float


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What a run is about.

    Attributes:
        sampler: Where frames come from.
        geometry: How frames are seen.
        schedule: How the stages learn.
        epochs: Steps of an epoch in the three stages.
        stages: The stages to run, from the first one on.
        class_weights: K, how much a pixel of each class counts; None for all alike.
        ready: Stages whose branch has weights of its own to start from.
        new_classes: Positions of the classes that those branches do not know.
        validate: Scores the networks in the form that a stage completes; None without held-out
            scenes.
        stage_ended: Called after each stage, with its name and all rows.
        row_added: Called with all rows when there is a new one.
    """

    sampler: FrameSampler
    geometry: FrameGeometry
    schedule: Schedule
    epochs: Three
    stages: tuple[Form, ...] = STAGES
    class_weights: npt.NDArray[np.float32] | None = None
    ready: frozenset[Form] = frozenset()
    new_classes: tuple[int, ...] = ()
    validate: Callable[[Form], Scores] | None = None
    stage_ended: Callable[[Form, list[LogRow]], None] = lambda stage, rows: None
    row_added: Callable[[list[LogRow]], None] = lambda rows: None

    def start(self, net: GLNet, stage: Form) -> None:
        """Gives a stage's networks what the stages before have learned."""
        if stage in self.ready:
            start_outputs(net, stage, self.new_classes)
        else:
            warm_start(net, stage)
        if stage is Form.GLOBAL:
            for twin in net.twins:
                twin.load_state_dict(net.context.state_dict())

    def trainer(self, net: GLNet, stage: Form) -> StageTrainer:
        """What trains a stage of a model."""
        return StageTrainer(
            net, stage, self.sampler, self.geometry, self.schedule, self.class_weights
        )


class TrainingRun:
    """One run through the three stages.

    Args:
        net: The networks, in the form with both ways; changed in place.
        course: What the run is about.
        state_file: Where the state for resuming is kept.
        identity: What must be equal for a state to be resumed, as JSON-able values.
    """

    def __init__(
        self, net: GLNet, course: Course, state_file: Path, identity: dict[str, Any]
    ) -> None:
        self._net = net
        self._course = course
        self._schedule = course.schedule
        self._state_file = state_file
        identity = {**identity, "schedule": self._schedule.to_dict()}
        self._identity = json.dumps(identity, sort_keys=True)
        self._at = Standing((0, 0, 0))
        self._trainer: StageTrainer | None = None
        self._best: dict[str, Tensor] = {}
        self._saved = time.monotonic()

    @property
    def plan(self) -> Three:
        """Steps of the three stages."""
        return self._at.plan

    @property
    def rows(self) -> list[LogRow]:
        """Of the log, so far."""
        return self._at.rows

    @property
    def seconds(self) -> float:
        """What the run took so far, breaks left out."""
        return sum(self._at.seconds)

    def start(self, plan: Three) -> None:
        """Takes a plan, before the first step.

        Args:
            plan: Steps of the three stages.
        """
        self._at = Standing(plan)

    def resume(self) -> bool:
        """Takes up the kept state and its plan, if there is one.

        Raises:
            TrainingError: The state is damaged or belongs to another run.
        """
        if not self._state_file.exists():
            return False
        state = TrainingState.load(self._state_file, self._identity)
        self._at, self._best = state.standing, state.best
        self._net.load_state_dict(state.net)
        if state.optimizer is not None and state.scaler is not None:
            self._trainer = self._course.trainer(self._net, STAGES[self._at.stage])
            self._trainer.optimizer.load_state_dict(state.optimizer)
            self._trainer.scaler.load_state_dict(state.scaler)
        return True

    def run(self, report: Callable[[Progress], None]) -> None:
        """Trains what is left, keeping the state after every epoch and every ten minutes.

        Ctrl-C lets the step in work end, keeps the state and then raises KeyboardInterrupt; a
        second one does not wait.

        Raises:
            TrainingError: The loss is no number any more.
        """
        with _deferred_interrupt() as is_interrupted:
            while self._at.stage < len(self._course.stages):
                self._run_stage(report, is_interrupted)
                self._end_stage()
        self._net.eval().requires_grad_(False)

    def _run_stage(
        self, report: Callable[[Progress], None], is_interrupted: Callable[[], bool]
    ) -> None:
        at, stage = self._at, STAGES[self._at.stage]
        total, epoch = at.plan[at.stage], self._course.epochs[at.stage]
        every = math.ceil(total / self._schedule.validations)
        if self._trainer is None:
            self._course.start(self._net, stage)
            self._trainer = self._course.trainer(self._net, stage)
        clock = time.monotonic()
        for drawn in self._trainer.draws(at.iteration, total):
            if self._is_stale:
                return
            loss = self._trainer.step(drawn, at.iteration / total)
            if not np.isfinite(loss):
                raise TrainingError(_not_finite(stage, at.iteration, drawn))
            at.iteration += 1
            at.losses.append(loss)
            is_scored = at.iteration % every == 0 or at.iteration == total
            scores = self._validate(stage) if is_scored else None
            clock, before = time.monotonic(), clock
            at.seconds[at.stage] += clock - before
            is_epoch = at.iteration % epoch == 0 or at.iteration == total
            recent = float(np.mean(at.losses[-20:]))
            if is_epoch or scores is not None:
                self._add_row(scores)
            report(self._progress(recent))
            is_late = clock - self._saved > _SAVE_EVERY_S
            if is_epoch or scores is not None or is_late or is_interrupted():
                self._save()
            if is_interrupted():
                raise KeyboardInterrupt

    @property
    def _is_stale(self) -> bool:
        patience = self._schedule.patience
        return patience is not None and self._at.stale >= patience

    def _validate(self, stage: Form) -> Scores | None:
        if self._course.validate is None:
            return None
        scores = self._course.validate(stage)
        at, value = self._at, scores.mean_iou
        if self._schedule.patience is not None and value is not None:
            if at.best is None or value > at.best:
                at.best, at.stale = value, 0
                self._best = {key: x.clone() for key, x in self._trained_state(stage).items()}
            else:
                at.stale += 1
        return scores

    def _trained_state(self, stage: Form) -> dict[str, Tensor]:
        """The weights that a stage changes, by a name of their own."""
        modules = trained_modules(self._net, stage)
        return {
            f"{index}.{key}": value
            for index, module in enumerate(modules)
            for key, value in module.state_dict().items()
        }

    def _end_stage(self) -> None:
        at, stage = self._at, STAGES[self._at.stage]
        if self._best:
            with torch.no_grad():
                for key, value in self._trained_state(stage).items():
                    value.copy_(self._best[key])
        self._course.stage_ended(stage, at.rows)
        self._best, self._trainer = {}, None
        at.end_stage()
        self._save()

    def _add_row(self, scores: Scores | None) -> None:
        at, trainer = self._at, self._trainer
        assert trainer is not None
        at.rows.append(
            LogRow(
                STAGES[at.stage].value,
                at.iteration,
                at.iteration / self._course.epochs[at.stage],
                trainer.rate((at.iteration - 1) / at.plan[at.stage]),
                float(np.mean(at.losses)),
                None if scores is None else scores.mean_iou,
                None if scores is None else scores.accuracy,
                self.seconds,
            )
        )
        at.losses = []
        self._course.row_added(at.rows)

    def _progress(self, loss: float) -> Progress:
        at = self._at
        scored = [row.mean_iou for row in at.rows if row.mean_iou is not None]
        pace = at.seconds[at.stage] / at.iteration
        total = sum(at.plan)
        return Progress(
            STAGES[at.stage],
            at.iteration,
            at.done,
            total,
            loss,
            scored[-1] if scored else None,
            pace * (total - at.done),
        )

    def _save(self) -> None:
        trainer = self._trainer
        state = TrainingState(
            self._at,
            self._net.state_dict(),
            None if trainer is None else trainer.optimizer.state_dict(),
            None if trainer is None else trainer.scaler.state_dict(),
            self._best,
        )
        state.save(self._state_file, self._identity)
        self._saved = time.monotonic()


def _not_finite(stage: Form, iteration: int, drawn: Drawn) -> str:
    images = sorted({sample.image for batch in drawn.batches for sample in batch})
    return (
        f"The loss of stage {stage} is no number at iteration {iteration}, on frames of "
        f"{', '.join(images)}. Look for damaged images or labels, or lower --learning-rates."
    )


@contextmanager
def _deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C into a question: a step cut in two could not be resumed exactly."""
    seen: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number: int, frame: object) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGINT, before)
