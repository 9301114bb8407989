"""GLNet: a branch that sees the whole frame small, one that sees patches at full resolution.

Chen et al., "Collaborative Global-Local Networks for Memory-Efficient Segmentation of Ultra-High
Resolution Images", CVPR 2019. What each step computes is fixed by tests/data/reference/README.md,
whose step numbers are given below. Nothing is kept between calls.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

import torch
from torch import Tensor, nn

from glnet_geo.models.backbones import BACKBONES
from glnet_geo.models.fpn import FPN, Decoded, DecoderWidths, StageMaps, resize_like
from glnet_geo.models.sharing import FramePatch, Merging, crop_all
from glnet_geo.tiling import PatchLayout


class Form(StrEnum):
    """How much of GLNet a model has; each value is the outcome of one training stage."""

    GLOBAL = "global"
    GLOBAL_TO_LOCAL = "global_to_local"
    BOTH_WAYS = "both_ways"


@dataclass(frozen=True, slots=True)
class Architecture:
    """Everything that fixes the shapes and the arithmetic of the networks.

    Attributes:
        backbone: A name in `BACKBONES`.
        n_classes: Number of outputs.
        form: How many of the branches there are.
        widths: Widths of the decoders.
        mean: Subtracted from every band after division by 255; its length is the band count.
        std: What the result is divided by, band by band.
    """

    backbone: str
    n_classes: int
    form: Form = Form.BOTH_WAYS
    widths: DecoderWidths = field(default_factory=DecoderWidths)
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    @property
    def bands(self) -> int:
        """Number of bands that the networks take."""
        return len(self.mean)


class Branch(nn.Module):
    """A backbone and its decoder.

    Args:
        architecture: Shapes of the networks.
        fused: Whether the decoder takes the other branch's maps.
    """

    def __init__(self, architecture: Architecture, fused: bool) -> None:
        super().__init__()
        self.backbone = BACKBONES[architecture.backbone](architecture.bands)
        self.decoder = FPN(
            self.backbone.channels, architecture.widths, architecture.n_classes, fused
        )

    def forward(self, pixels: Tensor, other: StageMaps | None = None) -> Decoded:
        """Segments N x bands x H x W normalised pixels, given the other branch's maps if fused."""
        decoded: Decoded = self.decoder(self.backbone(pixels), other)
        return decoded


class GLNet(nn.Module):
    """The branches of a model.

    Attributes:
        context: The global branch of stage 1, which feeds the local one.
        local: The local branch, fused with the maps of `context`.
        feedback: The global branch of stage 3, fused with the merged local maps.
        ensemble: The head over the last maps of the local and of the global branch.
    """

    local: Branch | None
    feedback: Branch | None
    ensemble: nn.Conv2d | None

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        has_local = architecture.form is not Form.GLOBAL
        has_feedback = architecture.form is Form.BOTH_WAYS
        self.context = Branch(architecture, fused=False)
        self.local = Branch(architecture, fused=True) if has_local else None
        self.feedback = Branch(architecture, fused=True) if has_feedback else None
        joined = 2 * architecture.widths.features
        self.ensemble = (
            nn.Conv2d(joined, architecture.n_classes, 3, padding=1) if has_local else None
        )
        self._twins = nn.ModuleList()

    @property
    def twins(self) -> list[Branch]:
        """While it is trained, branches like `context` that do not know some of the scenes."""
        return [twin for twin in self._twins if isinstance(twin, Branch)]

    def add_twins(self, count: int) -> None:
        """Prepares for cross-fitting: each of some folds of the scenes gets a twin of `context`.

        A twin learns from all scenes but those of its fold, and the later stages see these with its
        eyes: what `context` says of scenes that it knows by heart is better than it will ever be
        elsewhere, and they would learn to rely on it (as in stacking, Wolpert 1992).
        """
        self._twins = nn.ModuleList(copy.deepcopy(self.context) for _ in range(count))

    def to_channels_last(self, device: torch.device) -> Self:
        """Moves the networks to a device, in the memory layout that convolutions like best."""
        # torch's stubs do not know the keyword.
        return self.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def in_form(self, form: Form) -> GLNet:
        """The same networks, not copied, without twins and without those that a form lacks."""
        net = copy.copy(self)
        net._modules = dict(self._modules)
        net._twins = nn.ModuleList()
        if form is not Form.BOTH_WAYS:
            net.feedback = None
        if form is Form.GLOBAL:
            net.local = net.ensemble = None
        return net

    def normalize(self, pixels: Tensor) -> Tensor:
        """Scales N x bands x H x W pixels of 0-255 to what the backbones were trained on."""
        shape = (1, -1, 1, 1)
        mean = pixels.new_tensor(self.architecture.mean, dtype=torch.float32).view(shape)
        std = pixels.new_tensor(self.architecture.std, dtype=torch.float32).view(shape)
        scaled = (pixels.float() / 255).sub_(mean).div_(std)
        return scaled.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, slots=True)
class FrameLogits:
    """What GLNet says of one frame, all at a quarter of the input's resolution.

    Attributes:
        whole: 1 x K x h x w, of the last global branch; may be None where there are patches.
        patches: P x K x h x w, of the ensemble, patch by patch; None in the global form.
        local: P x K x h x w, of the local branch alone; may be None.
    """

    whole: Tensor | None
    patches: Tensor | None = None
    local: Tensor | None = None


def local_maps(
    branch: Branch,
    pixels: Tensor,
    context: StageMaps,
    layout: PatchLayout,
    patches: Sequence[FramePatch],
) -> Decoded:
    """Runs the local branch on some patches (step 7).

    Args:
        branch: The local branch.
        pixels: P x bands x p x p, normalised.
        context: Maps of the frames that the patches come from, B x C x H x W each.
        layout: The patches of every frame.
        patches: Which frame and place each of the P patches has.
    """
    decoded: Decoded = branch(pixels, context.map(lambda x: crop_all(x, layout, patches)))
    return decoded


def features_under(
    whole: Tensor, layout: PatchLayout, patches: Sequence[FramePatch], like: Tensor
) -> Tensor:
    """The global branch's last map under some patches, at the size of the local ones (step 8)."""
    return resize_like(crop_all(whole, layout, patches), like)


def segment_frame(
    net: GLNet,
    view: Tensor,
    read_patches: Callable[[Sequence[FramePatch]], Tensor],
    layout: PatchLayout,
    batch_size: int = 1,
) -> FrameLogits:
    """Segments one frame, step by step as the reference does (steps 6 to 8 or 12).

    This is what GLNet computes; `inference` computes the same in less time and memory.

    Args:
        net: The networks, in eval mode.
        view: 1 x bands x h x w, normalised: the whole frame, small.
        read_patches: Gives the normalised pixels of P patches, P x bands x p x p.
        layout: The frame's patches.
        batch_size: Patches that run at a time.
    """
    with torch.inference_mode():
        context: Decoded = net.context(view)
        if net.local is None or net.ensemble is None:
            return FrameLogits(context.logits)
        merging = None if net.feedback is None else Merging(context.stages, layout)
        patches = [FramePatch(0, window) for window in layout.windows]
        batches = [patches[k : k + batch_size] for k in range(0, len(patches), batch_size)]
        features, own = [], []
        for batch in batches:
            local = local_maps(net.local, read_patches(batch), context.stages, layout, batch)
            features.append(local.features)
            own.append(local.logits)
            if merging is not None:
                merging.add(local.stages, batch)
        last = context
        if net.feedback is not None and merging is not None:
            last = net.feedback(view, merging.mean())
        joint = []
        for local_features, batch in zip(features, batches, strict=True):
            other = features_under(last.features, layout, batch, like=local_features)
            joint.append(net.ensemble(torch.cat([local_features, other], 1)))
        return FrameLogits(last.logits, torch.cat(joint), torch.cat(own))
