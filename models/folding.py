"""A network without what only training needs: the same function, fewer passes over the maps."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn
from torch.nn.utils import fuse_conv_bn_weights

from glnet_geo.models.efficientnet_lite import SameConv2d

Network = TypeVar("Network", bound=nn.Module)


def folded(network: Network, pads_kernels: bool = False) -> Network:
    """A copy of a network in eval mode, in which batch norms are part of convolutions.

    Args:
        network: The network.
        pads_kernels: Whether depthwise convolutions are to pad their kernels, see `SameConv2d`.

    Returns:
        The copy.
    """
    # A norm belongs to the convolution that it is a child of, or else to the one that is registered
    # just before it, as in the modules of this package.
    network = copy.deepcopy(network)
    for parent in list(network.modules()):
        if isinstance(parent, SameConv2d):
            parent.pads_kernel = pads_kernels and parent.groups > 1
        convolution = parent
        for name, child in list(parent.named_children()):
            if not isinstance(child, nn.BatchNorm2d):
                convolution = child
                continue
            assert isinstance(convolution, nn.Conv2d)
            assert child.running_mean is not None and child.running_var is not None
            convolution.weight, convolution.bias = fuse_conv_bn_weights(
                convolution.weight,
                convolution.bias,
                child.running_mean,
                child.running_var,
                child.eps,
                child.weight,
                child.bias,
            )
            setattr(parent, name, nn.Identity())
    return network
