"""The losses of the paper (sections 3.3 and 4.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from glnet_geo.legend import IGNORED


def focal_loss(
    logits: Tensor, target: Tensor, gamma: float = 3.0, class_weights: Tensor | None = None
) -> Tensor:
    """Mean focal loss over the pixels that are not ignored (Lin et al., ICCV 2017).

    Args:
        logits: N x K x H x W.
        target: N x H x W, integer positions 0..K-1 or `IGNORED`.
        gamma: Focusing exponent; 3 in the paper.
        class_weights: K, how much a pixel of each class counts in the mean; None for all alike.

    Returns:
        A scalar; 0 where every pixel is ignored.

    Raises:
        ValueError: Logits and target differ in height or width.
    """
    if logits.shape[-2:] != target.shape[-2:]:
        raise ValueError(f"logits {tuple(logits.shape)} do not fit target {tuple(target.shape)}")
    target = target.long()
    counted = target != IGNORED
    position = target.where(counted, 0)
    # Logits may be of half precision, whose steps near a loss of 1 are as large as what it learns.
    log_p = F.log_softmax(logits.float(), 1).gather(1, position[:, None])[:, 0]
    # The reference's clamp of the probability to [1e-7, 1 - 1e-7].
    p = log_p.exp().clamp(1e-7, 1 - 1e-7)
    loss = -((1 - p) ** gamma) * p.log()
    if class_weights is None:
        return (loss * counted).sum() / counted.sum().clamp(min=1)
    weights = class_weights[position] * counted
    # Where nothing counts the sum is 0 as well.
    return (loss * weights).sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)


def lovasz_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over the classes that occur of the Lovasz extension of 1 - IoU.

    Lovasz-softmax, Berman et al., "The Lovasz-Softmax loss", CVPR 2018, over all images of a batch
    together.

    Args:
        logits: N x K x H x W.
        target: N x H x W, integer positions 0..K-1 or `IGNORED`.

    Returns:
        A scalar; 0 where every pixel is ignored.
    """
    counted = target != IGNORED
    p = F.softmax(logits.float(), 1).movedim(1, 0)[:, counted]
    is_class = target[counted].long() == torch.arange(len(p), device=p.device)[:, None]
    errors, order = torch.where(is_class, 1 - p, p).sort(1, descending=True)
    hits = is_class.gather(1, order).to(p.dtype)
    occurring = hits.sum(1, keepdim=True)
    union = occurring + (1 - hits).cumsum(1)
    # 1 - IoU, were all pixels up to each one wrong; a class that does not occur counts nowhere.
    jaccard = 1 - (occurring - hits.cumsum(1)) / union.clamp(min=1)
    rise = jaccard.diff(dim=1, prepend=jaccard.new_zeros(len(p), 1))
    is_present = occurring[:, 0] > 0
    return (errors * rise).sum(1)[is_present].sum() / is_present.sum().clamp(min=1)


def feature_regularization(local: Tensor, other: Tensor, counted: Sequence[bool]) -> Tensor:
    """Mean squared distance of the local branch's last map from the global one's.

    Args:
        local: N x C x H x W.
        other: The global map under the same patches, resized to the same shape.
        counted: Which of the N count.

    Returns:
        A scalar; 0 where none counts.
    """
    if not any(counted):
        return local.new_zeros(())
    if not all(counted):
        local, other = local[list(counted)], other[list(counted)]
    return F.mse_loss(local.float(), other.float())


FEATURE_WEIGHT = 0.15
"""Weight of `feature_regularization` (the paper's lambda)."""


def downsample_labels(labels: Tensor, height: int, width: int) -> Tensor:
    """Nearest labels at another size, pixel centres as Pillow's NEAREST places them.

    Args:
        labels: N x H x W, integers.
        height: Rows of the result.
        width: Columns of the result.
    """
    rows = _nearest(labels.shape[-2], height, labels.device)
    columns = _nearest(labels.shape[-1], width, labels.device)
    return labels[..., rows[:, None], columns[None, :]]


def _nearest(length: int, size: int, device: torch.device) -> Tensor:
    centres = (torch.arange(size, device=device, dtype=torch.float64) + 0.5) * (length / size)
    return centres.floor().long().clamp(max=length - 1)
