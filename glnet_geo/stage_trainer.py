"""One training stage: batches of frames in, steps of the optimiser out.

Every batch is drawn from a generator seeded by (seed, stage, iteration), so that a resumed run
continues with the batches that an unbroken one would have drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from glnet_geo.devices import choose_dtype
from glnet_geo.grid import Window
from glnet_geo.labelled_scene import Sample
from glnet_geo.legend import IGNORED
from glnet_geo.models.fpn import Decoded, join_frames
from glnet_geo.models.frozen import FrozenContext, FrozenLocal
from glnet_geo.models.fused_branch import Place
from glnet_geo.models.glnet import Form, GLNet
from glnet_geo.models.losses import downsample_labels
from glnet_geo.models.objective import Objective
from glnet_geo.models.recomputing import keeping_maps
from glnet_geo.models.sharing import FramePatch
from glnet_geo.models.stages import (
    STAGES,
    LocalPass,
    PatchBatch,
    backbone_parameters,
    feedback_step,
    global_step,
    head_parameters,
    local_step,
    prepare_stage,
)
from glnet_geo.radiometry import shrink
from glnet_geo.sampling import FrameSampler
from glnet_geo.schedule import Optimizer, Schedule
from glnet_geo.tiling import PatchLayout


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
class Drawn:
    """What a step is made of.

    Attributes:
        rng: For what else is drawn.
        batches: The frames, batch by batch.
    """

    rng: np.random.Generator
    batches: list[list[Sample]]


class StageTrainer:
    """Trains one stage of a model.

    Args:
        net: The networks, in the form with both ways; changed in place.
        stage: The stage.
        sampler: Where frames come from.
        geometry: How frames are seen.
        schedule: How the stage learns.
        class_weights: K, how much a pixel of each class counts; None for all alike.

    Attributes:
        optimizer: Its state is what a resumed run needs, beside the weights,
        scaler: and this one's, in fp16.
    """

    def __init__(
        self,
        net: GLNet,
        stage: Form,
        sampler: FrameSampler,
        geometry: FrameGeometry,
        schedule: Schedule,
        class_weights: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self._net, self._stage = net, stage
        self._sampler, self._geometry, self._schedule = sampler, geometry, schedule
        self._index = STAGES.index(stage)
        self._device = next(net.parameters()).device
        self._dtype = choose_dtype(schedule.precision, self._device, reference=False)
        self._factors = (1.0, schedule.backbone_rate, schedule.head_rate)
        # One frame is no sample of scenes: its statistics are not those of prediction, and the
        # second global branch, which begins as the first one, has better ones.
        keeps_statistics = stage is Form.BOTH_WAYS and schedule.frames[self._index] == 1
        self.optimizer = self._make_optimizer(prepare_stage(net, stage, keeps_statistics))
        is_scaled = self._dtype == torch.float16
        self.scaler = torch.amp.GradScaler(self._device.type, enabled=is_scaled)
        weights = None if class_weights is None else torch.from_numpy(class_weights)
        self._objective = Objective(
            schedule.focal_gamma,
            schedule.lovasz,
            None if weights is None else weights.to(self._device),
            1 / schedule.accumulate,
            self.scaler.scale,
        )
        place = Place(self._device, self._dtype)
        self._contexts: list[FrozenContext] = []
        if stage is not Form.GLOBAL:
            eyes = net.twins or [net.context]
            self._contexts = [FrozenContext(branch, place) for branch in eyes]
        self._local = FrozenLocal(net, place) if stage is Form.BOTH_WAYS else None

    def rate(self, done: float) -> float:
        """The learning rate when a share of the stage is done: poly, as in the paper."""
        start = self._schedule.learning_rates[self._index]
        return float(start * (1 - done) ** self._schedule.power)

    def draws(self, first: int, total: int) -> Iterator[Drawn]:
        """What the steps from one on are made of, each drawn while the one before runs."""
        with ThreadPoolExecutor(1) as pool:
            # The scenes' handles are used by this one thread alone.
            following = pool.submit(self._draw, first)
            for iteration in range(first, total):
                drawn = following.result()
                if iteration + 1 < total:
                    following = pool.submit(self._draw, iteration + 1)
                yield drawn

    def _draw(self, iteration: int) -> Drawn:
        size = self._geometry.layout.height
        if self._stage is Form.GLOBAL:
            size = self._geometry.global_size
        rng = np.random.default_rng([self._schedule.seed, self._index, iteration])
        count = self._schedule.frames[self._index]
        return Drawn(
            rng,
            [
                [self._sampler.draw(rng, size) for _ in range(count)]
                for _ in range(self._schedule.accumulate)
            ],
        )

    def step(self, drawn: Drawn, done: float) -> float:
        """Makes a step, unless the loss is no number.

        Args:
            drawn: What it is made of.
            done: Share of the stage that is done.

        Returns:
            The loss: the mean over its batches.
        """
        for group, factor in zip(self.optimizer.param_groups, self._factors, strict=True):
            group["lr"] = factor * self.rate(done)
        self.optimizer.zero_grad()
        losses = [self._backward(drawn.rng, samples) for samples in drawn.batches]
        loss = float(np.mean(losses))
        if np.isfinite(loss):
            self.scaler.step(self.optimizer)
            self.scaler.update()
        return loss

    def _make_optimizer(self, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        parts = backbone_parameters(self._net), head_parameters(self._net)
        known = [{id(parameter) for parameter in part} for part in parts]
        rest = [one for one in parameters if not any(id(one) in part for part in known)]
        groups = [
            {"params": some}
            for some in (rest, *([one for one in parameters if id(one) in part] for part in known))
        ]
        rate, decay = self.rate(0), self._schedule.weight_decay
        if self._schedule.optimizer is Optimizer.ADAMW:
            return torch.optim.AdamW(groups, rate, weight_decay=decay)
        return torch.optim.Adam(groups, rate, weight_decay=decay)

    def _backward(self, rng: np.random.Generator, samples: list[Sample]) -> float:
        frames = _Frames(self._net, samples, self._geometry)
        is_mixed = self._dtype != torch.float32
        keeps = not self._schedule.recompute
        with keeping_maps(keeps), torch.autocast(self._device.type, self._dtype, enabled=is_mixed):
            if self._stage is Form.GLOBAL:
                return self._global_loss(frames)
            if self._local is None:
                return self._local_loss(rng, frames)
            return self._feedback_loss(frames, self._local)

    def _global_loss(self, frames: _Frames) -> float:
        loss = global_step(self._net.context, frames.views, frames.target, self._objective)
        for fold, twin in enumerate(self._net.twins):
            others = [k for k, scene in enumerate(frames.scenes) if self._fold(scene) != fold]
            if others:
                global_step(twin, frames.views[others], frames.target[others], self._objective)
        return loss

    def _fold(self, scene: int) -> int:
        """The fold of a scene: neighbours in the dataset, which may lie side by side, share one."""
        return scene * len(self._net.twins) // self._sampler.n_scenes

    def _decode(self, frames: _Frames) -> Decoded:
        """What the global branch makes of frames; where there are twins, one that knows none."""
        if len(self._contexts) == 1:
            return self._contexts[0](frames.views)
        eyes = [self._contexts[self._fold(scene)] for scene in frames.scenes]
        views = torch.split(frames.views, 1)
        return join_frames([eye(view) for eye, view in zip(eyes, views, strict=True)])

    def _local_loss(self, rng: np.random.Generator, frames: _Frames) -> float:
        decoded = self._decode(frames)
        hidden: frozenset[int] = frozenset()
        if not self._net.twins:
            # The global branch knows these scenes by heart; the local one must not rely on what it
            # will not be told elsewhere.
            is_hidden = rng.random(len(frames.views)) < self._schedule.context_dropout
            hidden = frozenset(np.flatnonzero(is_hidden).tolist())
        chosen = frames.every
        if self._schedule.drawn is not None:
            labelled = [patch for patch in chosen if frames.has_labels(patch)]
            order = rng.permutation(len(labelled))[: self._schedule.drawn]
            chosen = [labelled[k] for k in sorted(order)]
        return sum(
            local_step(
                self._net,
                decoded,
                frames.patches(some),
                self._geometry.layout,
                self._objective,
                hidden,
                self._schedule.feature_weight,
            ).total
            for some in self._together(chosen)
        )

    def _feedback_loss(self, frames: _Frames, local: FrozenLocal) -> float:
        together = self._together(frames.every)
        local_pass = LocalPass(
            local,
            self._decode(frames).stages,
            self._geometry.layout,
            lambda index: frames.patches(together[index]),
            len(together),
        )
        target, objective = frames.target, self._objective
        return feedback_step(self._net, frames.views, target, local_pass, objective).total

    def _together(self, patches: Sequence[FramePatch]) -> list[Sequence[FramePatch]]:
        """Patches that run at a time."""
        count = self._schedule.patches
        return [patches[start : start + count] for start in range(0, len(patches), count)]


class _Frames:
    """A batch of frames as the network takes it."""

    def __init__(self, net: GLNet, samples: list[Sample], geometry: FrameGeometry) -> None:
        self._net = net
        self._samples = samples
        self._device = next(net.parameters()).device
        self.scenes = [sample.scene for sample in samples]
        windows = geometry.layout.windows
        self.every = [FramePatch(f, window) for f in range(len(samples)) for window in windows]
        size = geometry.global_size
        views = np.stack([shrink(sample.pixels, size, size) for sample in samples])
        self.views = self._normalize(views)
        self.target = self._shrink_labels([sample.target for sample in samples], size // 4)

    def patches(self, patches: Sequence[FramePatch]) -> PatchBatch:
        pixels = [self._cut(self._samples[p.frame].pixels, p.window) for p in patches]
        target = self._shrink_labels(
            list(map(self._labels, patches)), patches[0].window.height // 4
        )
        return PatchBatch(self._normalize(np.stack(pixels)), target, patches)

    def has_labels(self, patch: FramePatch) -> bool:
        return bool((self._labels(patch) != IGNORED).any())

    def _labels(self, patch: FramePatch) -> npt.NDArray[np.uint8]:
        return self._cut(self._samples[patch.frame].target, patch.window)

    def _normalize(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        return self._net.normalize(torch.from_numpy(pixels).to(self._device))

    def _shrink_labels(self, labels: list[npt.NDArray[np.uint8]], side: int) -> Tensor:
        return downsample_labels(torch.from_numpy(np.stack(labels)), side, side).to(self._device)

    @staticmethod
    def _cut(array: npt.NDArray[np.uint8], window: Window) -> npt.NDArray[np.uint8]:
        return array[(..., *window.slices)]
