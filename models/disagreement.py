"""Where the branches of GLNet contradict each other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from glnet_geo.models.fpn import resize_like
from glnet_geo.models.glnet import FrameLogits
from glnet_geo.models.sharing import FramePatch, crop_all
from glnet_geo.tiling import PatchLayout


def disagreement(logits: FrameLogits, layout: PatchLayout, classes: Sequence[int]) -> Tensor:
    """How little what the two branches say alone overlaps, patch by patch.

    Args:
        logits: Of one frame, those of both branches among them.
        layout: Its patches.
        classes: Positions of the classes that count.

    Returns:
        P x 1 x h x w: 1 minus the sum over classes of the smaller one of both probabilities, which
        is half of their L1 distance. 0 where the branches say the same, 1 where they exclude each
        other.
    """
    assert logits.whole is not None and logits.local is not None
    own = logits.local[:, list(classes)]
    whole = logits.whole[:, list(classes)]
    patches = [FramePatch(0, window) for window in layout.windows]
    under = resize_like(crop_all(whole, layout, patches), own)
    overlap = torch.minimum(own.softmax(1), under.softmax(1)).sum(1, keepdim=True)
    return (1 - overlap).clamp_(0, 1)
