"""The branches that a training stage does not train, prepared as for prediction.

They compute the same as the plain ones (`inference` says how), in half the work or less: in stage 3
the frozen local branch, which sees every patch of a frame, is most of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from glnet_geo.models.fpn import Decoded, StageMaps
from glnet_geo.models.fused_branch import FusedBranch, Place
from glnet_geo.models.glnet import Branch, GLNet
from glnet_geo.models.sharing import FramePatch, crop_all
from glnet_geo.tiling import PatchLayout


class FrozenContext:
    """A global branch of stage 1, as stages 2 and 3 use it.

    Args:
        branch: The branch; it is copied from, and left as it is.
        place: Where to run.
    """

    def __init__(self, branch: Branch, place: Place) -> None:
        with torch.no_grad():
            self._branch = place.network(branch)
        self._dtype = place.dtype

    def __call__(self, views: Tensor) -> Decoded:
        """Decodes B x bands x g x g normalised views."""
        with torch.no_grad():
            decoded: Decoded = self._branch(views.to(self._dtype))
            return decoded


class FrozenLocal:
    """The local branch, as stage 3 uses it.

    Args:
        net: The model; it is copied from, and left as it is.
        place: Where to run.
    """

    def __init__(self, net: GLNet, place: Place) -> None:
        assert net.local is not None
        with torch.no_grad():
            self._branch = FusedBranch(net.local, (), place)
        self._dtype = place.dtype

    def mix(self, context: StageMaps) -> StageMaps:
        """What `__call__` takes, of the frozen global branch's maps of B frames."""
        with torch.no_grad():
            return self._branch.mix_laterals(context)

    def __call__(
        self, pixels: Tensor, mixed: StageMaps, layout: PatchLayout, patches: Sequence[FramePatch]
    ) -> tuple[StageMaps, Tensor]:
        """Runs on some patches.

        Args:
            pixels: P x bands x p x p, normalised.
            mixed: From `mix`.
            layout: The patches of every frame.
            patches: Which frame and place each of the P patches has.

        Returns:
            The maps to share, and the last map, P x C x p/4 x p/4.
        """
        with torch.no_grad():
            under = mixed.map(partial(crop_all, layout=layout, patches=patches))
            return self._branch(pixels.to(self._dtype), under)
