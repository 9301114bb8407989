"""GLNet for prediction: the same function as `glnet`'s, in less work.

`glnet.segment_frame` says what is computed, and training runs the same networks. Here batch norms
are parts of convolutions (`folding`), the fused branches are taken apart (`fused_branch`), of a
local patch only the ensemble's few outputs are kept, and what nothing uses is left out: the local
logits, and the global ones where there are patches. All of it is exact but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from glnet_geo.models.enlarging import by_taps, sum_taps
from glnet_geo.models.fpn import Levels, resize_like
from glnet_geo.models.fused_branch import FusedBranch, Place
from glnet_geo.models.glnet import FrameLogits, GLNet
from glnet_geo.models.sharing import FramePatch, Merging, crop_all
from glnet_geo.tiling import PatchLayout


class InferenceNet:
    """A model's networks, prepared for prediction; the model itself is left as it is.

    Args:
        net: The model, in eval mode, wherever it is.
        device: Where to run.
        dtype: Floating-point type of weights and maps. All but float32 changes results.
    """

    def __init__(
        self, net: GLNet, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        self._dtype = dtype
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
            assert net.ensemble.bias is not None
            own, other = net.ensemble.weight.chunk(2, 1)
            self._bias = place.tensor(net.ensemble.bias.clone()).view(1, -1, 1, 1)
            self._local = FusedBranch(net.local, own, place)
            if net.feedback is not None:
                self._feedback = FusedBranch(net.feedback, other, place)
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
            The global form's whole or the other forms' patches, float32.
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
            joint = []
            for batch in batches:
                under = mixed_laterals.map(partial(crop_all, layout=layout, patches=batch))
                stages, taps = local(read_patches(batch), under)
                joint.append(sum_taps(taps, *taps.shape[-2:]).add_(self._bias))
                if merging is not None:
                    merging.add(stages, batch)
            if feedback is None or merging is None:
                whole = self._taps_of_context(shared.smooth2)
            else:
                _, whole = feedback(view, feedback.mix_laterals(merging.mean()))
            for logits, batch in zip(joint, batches, strict=True):
                logits += sum_taps(crop_all(whole, layout, batch), *logits.shape[-2:])
            return FrameLogits(None, torch.cat(joint).float())

    def _taps_of_context(self, smooth2: Levels) -> Tensor:
        """Nine outputs a class, of the context branch's last map, which is four levels joined."""
        finest, *coarser = (
            F.conv2d(level, taps)
            for level, taps in zip(smooth2, reversed(self._context_taps), strict=True)
        )
        for level in coarser:
            finest += resize_like(level, finest)
        return finest
