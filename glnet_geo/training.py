"""The three training stages, one after the other, stoppable at any moment.

Every batch is drawn from a generator seeded by (seed, stage, iteration), so that a resumed run
continues with the batches that an unbroken one would have drawn.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from glnet_geo.errors import TrainingError
from glnet_geo.grid import Window
from glnet_geo.models.glnet import Form, GLNet
from glnet_geo.models.losses import downsample_labels
from glnet_geo.models.sharing import FramePatch
from glnet_geo.models.stages import (
    STAGES,
    PatchBatch,
    feedback_step,
    global_step,
    local_step,
    prepare_stage,
    warm_start,
)
from glnet_geo.radiometry import shrink
from glnet_geo.sampling import Augmentation, FrameSampler, Sample
from glnet_geo.tiling import PatchLayout

_SAVE_EVERY_S = 120


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast each stage learns.

    Attributes:
        iterations: Steps of the three stages.
        learning_rates: Rates that the three stages start from.
        frames: Frames a step in the three stages.
        patches: Patches that run at a time in stages 2 and 3; in stage 2 batch norm sees these.
        drawn: Patches drawn from a step's frames in stage 2; None takes all, as the paper does.
        power: Exponent of the polynomial decay to 0, per step.
        weight_decay: L2 penalty inside Adam.
        seed: Seed of sampling and of fresh weights.
        augmentation: How samples vary.
    """

    iterations: tuple[int, int, int]
    learning_rates: tuple[float, float, float] = (1e-3, 5e-4, 2e-4)
    frames: tuple[int, int, int] = (4, 2, 1)
    patches: int = 4
    drawn: int | None = 4
    power: float = 0.9
    weight_decay: float = 1e-4
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    @classmethod
    def reference(cls, iterations: tuple[int, int, int], seed: int) -> Schedule:
        """The paper's rates, batches and augmentation (section 4.1)."""
        return cls(
            iterations,
            learning_rates=(5e-5, 2e-5, 5e-5),
            frames=(6, 6, 6),
            patches=6,
            drawn=None,
            weight_decay=5e-4,
            seed=seed,
            augmentation=Augmentation(scale=1, brightness=0, contrast=1),
        )


@dataclass(frozen=True, slots=True)
class FrameGeometry:
    """How a training frame is seen.

    Attributes:
        layout: Its patches.
        global_size: Side of its global view in pixels.
    """

    layout: PatchLayout
    global_size: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands.

    Attributes:
        stage: The stage in work.
        iteration: Steps done in it.
        loss: Mean loss of the last steps.
    """

    stage: Form
    iteration: int
    loss: float


class TrainingRun:
    """One run through the three stages.

    Args:
        net: The networks, in the form with both ways; changed in place.
        sampler: Where frames come from.
        geometry: How frames are seen.
        schedule: How long and how fast.
        state_file: Where the state for resuming is kept.
        identity: What must be equal for a state to be resumed, as JSON-able values.
    """

    def __init__(
        self,
        net: GLNet,
        sampler: FrameSampler,
        geometry: FrameGeometry,
        schedule: Schedule,
        state_file: Path,
        identity: dict[str, Any],
    ) -> None:
        self._net = net
        self._sampler = sampler
        self._geometry = geometry
        self._schedule = schedule
        self._state_file = state_file
        self._identity = json.dumps({**identity, "schedule": asdict(schedule)}, sort_keys=True)
        self._stage = 0
        self._iteration = 0
        self._optimizer: torch.optim.Optimizer | None = None

    def resume(self) -> bool:
        """Takes up the kept state, if there is one.

        Raises:
            TrainingError: The state is damaged or belongs to another run.
        """
        if not self._state_file.exists():
            return False
        try:
            state = torch.load(self._state_file, weights_only=True, map_location="cpu")
            if state["identity"] != self._identity:
                raise TrainingError(
                    f"{self._state_file} belongs to a run with other data or parameters. "
                    "Start afresh without --resume."
                )
            self._net.load_state_dict(state["net"])
            self._stage, self._iteration = state["stage"], state["iteration"]
            if state["optimizer"] is not None:
                self._optimizer = self._make_optimizer()
                self._optimizer.load_state_dict(state["optimizer"])
        except TrainingError:
            raise
        except Exception as error:  # a damaged file raises anything
            raise TrainingError(
                f"{self._state_file} cannot be resumed ({type(error).__name__}). "
                "Start afresh without --resume."
            ) from None
        return True

    def run(self, report: Callable[[Progress], None]) -> None:
        """Trains what is left, keeping the state every few minutes.

        Ctrl-C lets the step in work end, keeps the state and then raises KeyboardInterrupt; a
        second one does not wait.

        Raises:
            TrainingError: The loss is no number any more.
        """
        with _deferred_interrupt() as is_interrupted:
            while self._stage < len(STAGES):
                self._run_stage(report, is_interrupted)
                self._stage, self._iteration, self._optimizer = self._stage + 1, 0, None
                self._save()
        self._net.eval().requires_grad_(False)

    def _run_stage(
        self, report: Callable[[Progress], None], is_interrupted: Callable[[], bool]
    ) -> None:
        stage, total = STAGES[self._stage], self._schedule.iterations[self._stage]
        if self._optimizer is None:
            warm_start(self._net, stage)
            self._optimizer = self._make_optimizer()
        prepare_stage(self._net, stage)
        saved = time.monotonic()
        recent: list[float] = []
        for samples in self._batches(total):
            for group in self._optimizer.param_groups:
                group["lr"] = self._rate(self._iteration / total)
            self._optimizer.zero_grad()
            loss = self._step(stage, samples)
            if not np.isfinite(loss):
                raise TrainingError(
                    f"The loss of stage {stage} is no number at iteration {self._iteration}. "
                    "Look for damaged images or labels, or try another seed."
                )
            self._optimizer.step()
            self._iteration += 1
            recent = [*recent[-19:], loss]
            report(Progress(stage, self._iteration, float(np.mean(recent))))
            if is_interrupted() or time.monotonic() - saved > _SAVE_EVERY_S:
                self._save()
                saved = time.monotonic()
            if is_interrupted():
                raise KeyboardInterrupt

    def _make_optimizer(self) -> torch.optim.Optimizer:
        parameters = prepare_stage(self._net, STAGES[self._stage])
        return torch.optim.Adam(parameters, self._rate(0), weight_decay=self._schedule.weight_decay)

    def _rate(self, done: float) -> float:
        rate = self._schedule.learning_rates[self._stage]
        return float(rate * (1 - done) ** self._schedule.power)

    def _batches(self, total: int) -> Iterator[tuple[np.random.Generator, list[Sample]]]:
        """The batches from the present iteration on, each drawn while the one before runs."""
        is_global = STAGES[self._stage] is Form.GLOBAL
        size = self._geometry.global_size if is_global else self._geometry.layout.height
        count = self._schedule.frames[self._stage]

        def draw(iteration: int) -> tuple[np.random.Generator, list[Sample]]:
            rng = np.random.default_rng([self._schedule.seed, self._stage, iteration])
            return rng, [self._sampler.draw(rng, size) for _ in range(count)]

        with ThreadPoolExecutor(1) as pool:
            # The scenes' handles are used by this one thread alone.
            following = pool.submit(draw, self._iteration)
            for iteration in range(self._iteration, total):
                batch = following.result()
                if iteration + 1 < total:
                    following = pool.submit(draw, iteration + 1)
                yield batch

    def _step(self, stage: Form, batch: tuple[np.random.Generator, list[Sample]]) -> float:
        rng, samples = batch
        frames = _Frames(self._net, samples, self._geometry)
        if stage is Form.GLOBAL:
            return global_step(self._net, frames.views, frames.target)
        layout = self._geometry.layout
        every = [FramePatch(f, window) for f in range(len(samples)) for window in layout.windows]
        if stage is Form.GLOBAL_TO_LOCAL:
            with torch.no_grad():
                context = self._net.context(frames.views)
            drawn = sorted(rng.permutation(len(every))[: self._schedule.drawn])
            batches = self._patch_batches(frames, [every[k] for k in drawn])
            return sum(local_step(self._net, context, part, layout).total for part in batches)
        batches = self._patch_batches(frames, every)
        return feedback_step(self._net, frames.views, frames.target, batches, layout).total

    def _patch_batches(
        self, frames: _Frames, patches: Sequence[FramePatch]
    ) -> Iterator[PatchBatch]:
        count = self._schedule.patches
        for start in range(0, len(patches), count):
            yield frames.patches(patches[start : start + count])

    def _save(self) -> None:
        temporary = self._state_file.with_suffix(".new")
        state = {
            "identity": self._identity,
            "stage": self._stage,
            "iteration": self._iteration,
            "net": self._net.state_dict(),
            "optimizer": self._optimizer.state_dict() if self._optimizer else None,
        }
        try:
            torch.save(state, temporary)
            os.replace(temporary, self._state_file)
        except (OSError, RuntimeError) as error:  # torch says either on a full disk
            temporary.unlink(missing_ok=True)
            reason = str(error).splitlines()[0][:100]
            raise TrainingError(
                f"{self._state_file} cannot be written ({reason}). Make room, then use --resume."
            ) from error


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


class _Frames:
    """A batch of frames as the network takes it."""

    def __init__(self, net: GLNet, samples: list[Sample], geometry: FrameGeometry) -> None:
        self._net = net
        self._samples = samples
        self._device = next(net.parameters()).device
        size = geometry.global_size
        views = np.stack([shrink(sample.pixels, size, size) for sample in samples])
        self.views = self._normalize(views)
        self.target = self._shrink_labels([sample.target for sample in samples], size // 4)

    def patches(self, patches: Sequence[FramePatch]) -> PatchBatch:
        pixels = [self._cut(self._samples[p.frame].pixels, p.window) for p in patches]
        labels = [self._cut(self._samples[p.frame].target, p.window) for p in patches]
        target = self._shrink_labels(labels, patches[0].window.height // 4)
        return PatchBatch(self._normalize(np.stack(pixels)), target, patches)

    def _normalize(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        return self._net.normalize(torch.from_numpy(pixels).to(self._device))

    def _shrink_labels(self, labels: list[npt.NDArray[np.uint8]], side: int) -> Tensor:
        return downsample_labels(torch.from_numpy(np.stack(labels)), side, side).to(self._device)

    @staticmethod
    def _cut(array: npt.NDArray[np.uint8], window: Window) -> npt.NDArray[np.uint8]:
        return array[(..., *window.slices)]
