"""One frame for the networks of a model, in the plain form and as prepared for prediction."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from glnet_geo.checkpoint import ModelCard, read_model
from glnet_geo.legend import DEEPGLOBE
from glnet_geo.models.glnet import Architecture, FrameLogits, GLNet, segment_frame
from glnet_geo.models.inference import InferenceNet
from glnet_geo.models.sharing import FramePatch
from glnet_geo.modelzoo import find_model
from glnet_geo.radiometry import shrink
from glnet_geo.tiling import PatchLayout

SIDE = 2448
MODELS = ("bundled model", "reference networks")


def reference_card() -> ModelCard:
    """The paper's networks: ResNet-50, decoder 256/128, patches of 508."""
    return ModelCard(
        name="reference",
        version="0",
        legend=DEEPGLOBE,
        bands=("red", "green", "blue"),
        architecture=Architecture("resnet50", len(DEEPGLOBE)),
        frame=SIDE,
        global_size=508,
        patch_size=508,
        overlap=128,
        gsd=None,
        provenance="random weights",
        licence="none",
    )


def load(model: str) -> tuple[GLNet, ModelCard]:
    """One of `MODELS`, in eval mode; the reference's with random weights, which cost the same."""
    if model == MODELS[0]:
        return read_model(find_model("dubai-urban"))
    card = reference_card()
    torch.manual_seed(0)
    net = GLNet(card.architecture).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net, card


@dataclass
class Frame:
    """A frame's pixels and how the networks of a model see them.

    Attributes:
        pixels: uint8 bands x H x W.
        view: uint8 1 x bands x h x w.
        layout: The patches.
    """

    pixels: Tensor
    view: Tensor
    layout: PatchLayout

    @classmethod
    def of(cls, pixels: np.ndarray, card: ModelCard) -> Frame:
        """The frame for a model."""
        view = shrink(pixels, card.global_size, card.global_size)
        layout = PatchLayout.cover(*pixels.shape[1:], card.patch_size)
        return cls(torch.from_numpy(pixels), torch.from_numpy(view)[None], layout)

    def reader(self, normalize: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
        """What gives the networks their patches."""

        def read(patches: list[FramePatch]) -> Tensor:
            windows = [(slice(None), *patch.window.slices) for patch in patches]
            return normalize(torch.stack([self.pixels[window] for window in windows]))

        return read

    def strip(self, count: int) -> PatchLayout:
        """The first patches of the first row alone.

        What a frame costs as a whole, it costs with these few patches too: the difference between
        two counts is the patches'. The maps merged where no patch lies are not numbers.
        """
        full = self.layout
        return PatchLayout(
            full.height, full.width, full.patch_size, full.tops[:1], full.lefts[:count]
        )


class Plain:
    """The networks step by step as in the reference, in PyTorch's default memory layout."""

    def __init__(self, net: GLNet, frame: Frame) -> None:
        self._net, self._frame = net.to(memory_format=torch.contiguous_format), frame

    def _normalize(self, pixels: Tensor) -> Tensor:
        return self._net.normalize(pixels).contiguous()

    def __call__(self, layout: PatchLayout | None = None) -> FrameLogits:
        """Segments the frame, or some of its patches."""
        view, read = self._normalize(self._frame.view), self._frame.reader(self._normalize)
        return segment_frame(self._net, view, read, layout or self._frame.layout)


class Prepared:
    """The networks as prediction runs them."""

    def __init__(self, net: GLNet, frame: Frame, dtype: torch.dtype = torch.float32) -> None:
        self.net = InferenceNet(net, torch.device("cpu"), dtype)
        self._frame = frame

    def __call__(self, layout: PatchLayout | None = None) -> FrameLogits:
        """Segments the frame, or some of its patches."""
        net, frame = self.net, self._frame
        view, read = net.normalize(frame.view), frame.reader(net.normalize)
        return net.segment(view, read, layout or frame.layout)


@dataclass(frozen=True)
class Timing:
    """Seconds of alternated runs."""

    least: float
    median: float


def alternate(
    runs: int, functions: Mapping[Hashable, Callable[[], object]]
) -> dict[Hashable, Timing]:
    """Times functions in turn, after one run each that is not counted."""
    seconds: dict[Hashable, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(runs):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - started)
    return {name: Timing(min(v), statistics.median(v)) for name, v in seconds.items()}
