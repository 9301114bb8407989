"""GLNet for prediction: the same function as `glnet`'s, in less work.

`glnet.segment_frame` says what is computed, and training runs the same networks. Here batch norms
are parts of convolutions (`folding`), the fused branches are taken apart (`fused_branch`), of a
local patch only the heads' few outputs are kept, and what is not asked for is left out: the local
logits, and the global ones where there are patches. All of it is exact but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glnet_geo.models.enlarging import by_taps, sum_taps
from glnet_geo.models.fpn import Levels, StageMaps, gather, resize_like
from glnet_geo.models.fused_branch import FusedBranch, Place
from glnet_geo.models.glnet import FrameLogits, GLNet
from glnet_geo.models.sharing import FramePatch, Merging, crop_all
from glnet_geo.tiling import PatchLayout


class _Biases(NamedTuple):
    """Of the heads, 1 x K x 1 x 1."""

    joint: Tensor
    local: Tensor
    whole: Tensor


class InferenceNet:
    """A model's networks, prepared for prediction; the model itself is left as it is.

    Args:
        net: The model, in eval mode, wherever it is.
        device: Where to run.
        dtype: Floating-point type of weights and maps. All but float32 changes results.
        keeps_branches: Whether to give the logits of the local and of the last global branch too.
    """

    def __init__(
        self,
        net: GLNet,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        keeps_branches: bool = False,
    ) -> None:
        self._dtype = dtype
        self._keeps_branches = keeps_branches
        place = Place(device, dtype)
        mean = torch.tensor(net.architecture.mean, device=device).view(1, -1, 1, 1)
        std = torch.tensor(net.architecture.std, device=device).view(1, -1, 1, 1)
        self._gain, self._offset = 1 / (255 * std), -mean / std
        self._local: FusedBranch | None = None
        self._feedback: FusedBranch | None = None
        with torch.no_grad():
            self._context = place.network(net.context)
            if net.local is None or net.ensemble is None:
                return
            classifiers = [
                branch.decoder.classify for branch in (net.local, net.feedback or net.context)
            ]
            heads = (net.ensemble, *classifiers)
            self._biases = _Biases(*(_bias_of(head, place) for head in heads))
            own, other = net.ensemble.weight.chunk(2, 1)
            local, whole = ([one.weight] if keeps_branches else [] for one in classifiers)
            self._local = FusedBranch(net.local, [own, *local], place)
            if net.feedback is not None:
                self._feedback = FusedBranch(net.feedback, [other, *whole], place)
            else:
                self._context_taps = place.tensor(by_taps(other)).chunk(4, 1)

    def normalize(self, pixels: Tensor) -> Tensor:
        """Scales N x bands x H x W pixels of 0-255 to what the backbones were trained on."""
        # Floats in planes, then the layout: the quickest way from uint8, by a factor of two.
        scaled = (pixels.float() * self._gain).add_(self._offset)
        return scaled.to(self._dtype, memory_format=torch.channels_last)

    def segment(
        self,
        view: Tensor,
        read_patches: Callable[[Sequence[FramePatch]], Tensor],
        layout: PatchLayout,
        batch_size: int = 1,
    ) -> FrameLogits:
        """Segments one frame (steps 6 to 8, or 12 in the form with both ways).

        No patch's maps outlive it, and nothing waits for the device.

        Args:
            view: 1 x bands x h x w, normalised: the whole frame, small.
            read_patches: Gives the normalised pixels of P patches, P x bands x p x p.
            layout: The frame's patches.
            batch_size: Patches that run at a time.

        Returns:
            The global form's whole or the other forms' patches, float32; all that there is where
            branches are kept.
        """
        with torch.inference_mode():
            if self._local is None:
                return FrameLogits(self._context(view).logits.float())
            local, feedback = self._local, self._feedback
            shared = self._context.decoder.share(self._context.backbone(view))
            mixed_laterals = local.mix_laterals(shared)
            merging = None if feedback is None else Merging(shared, layout)
            patches = [FramePatch(0, window) for window in layout.windows]
            batches = [patches[k : k + batch_size] for k in range(0, len(patches), batch_size)]
            joint, alone = [], []
            for batch in batches:
                under = mixed_laterals.map(partial(crop_all, layout=layout, patches=batch))
                stages, outputs = local(read_patches(batch), under)
                taps, *own = self._apart(outputs)
                joint.append(sum_taps(taps, *taps.shape[-2:]).add_(self._biases.joint))
                alone += [sum_taps(one, *one.shape[-2:]).add_(self._biases.local) for one in own]
                if merging is not None:
                    merging.add(stages, batch)
            taps, whole = self._last_of_whole(view, shared, merging)
            for logits, batch in zip(joint, batches, strict=True):
                logits += sum_taps(crop_all(taps, layout, batch), *logits.shape[-2:])
            if whole is None:
                return FrameLogits(None, torch.cat(joint).float())
            return FrameLogits(whole.float(), torch.cat(joint).float(), torch.cat(alone).float())

    def _last_of_whole(
        self, view: Tensor, shared: StageMaps, merging: Merging | None
    ) -> tuple[Tensor, Tensor | None]:
        """What the last global branch gives the ensemble, as taps; and its logits if kept."""
        if self._feedback is None or merging is None:
            logits = None
            if self._keeps_branches:
                logits = self._context.decoder.classify(gather(*shared.smooth2))
            return self._taps_of_context(shared.smooth2), logits
        mixed = self._feedback.mix_laterals(merging.mean())
        taps, *own = self._apart(self._feedback(view, mixed)[1])
        if not own:
            return taps, None
        return taps, sum_taps(own[0], *own[0].shape[-2:]).add_(self._biases.whole)

    def _apart(self, outputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs for the ensemble, and those for the branch's own classifier if it is kept."""
        return outputs.chunk(1 + self._keeps_branches, 1)

    def _taps_of_context(self, smooth2: Levels) -> Tensor:
        """Nine outputs a class, of the context branch's last map, which is four levels joined."""
        finest, *coarser = (
            F.conv2d(level, taps)
            for level, taps in zip(smooth2, reversed(self._context_taps), strict=True)
        )
        for level in coarser:
            finest += resize_like(level, finest)
        return finest


def _bias_of(head: nn.Conv2d, place: Place) -> Tensor:
    assert head.bias is not None
    return place.tensor(head.bias.clone()).view(1, -1, 1, 1)
