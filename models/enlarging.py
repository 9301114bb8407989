"""A 3x3 convolution of a bilinearly enlarged map, without the enlarged map.

Let x be a small map, U and V the matrices that enlarge its rows and columns, and S_i the shift by i
in {-1, 0, 1} that brings zeros in at the border. Resizing, shifts and the mixture of channels W_ij
under each of the nine taps act on different axes, so that they commute:

    conv(U x V^T)  =  sum over i, j of  S_i U (W_ij x) V^T S_j^T

The right side mixes channels at the small size, a 1x1 convolution with nine times the outputs, and
enlarges after. A row of S_i U has only two entries that are not zero, so that the enlargement is a
weighted sum of six columns, then of six rows: what `embedding_bag` computes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


def by_taps(weight: Tensor) -> Tensor:
    """The weights of a 3x3 convolution as those of a 1x1 convolution.

    Args:
        weight: O x C x 3 x 3.

    Returns:
        9*O x C x 1 x 1; the outputs under one tap follow each other, taps row by row.
    """
    outputs, inputs = weight.shape[:2]
    return weight.permute(2, 3, 0, 1).reshape(9 * outputs, inputs, 1, 1)


def sum_taps(mixed: Tensor, rows: int, columns: int) -> Tensor:
    """Enlarges, shifts and adds up what a 1x1 convolution with `by_taps` made of a small map.

    Args:
        mixed: N x 9*O x h x w, in any memory layout.
        rows: Of the result.
        columns: Of the result.

    Returns:
        N x O x rows x columns, channels last in memory.
    """
    return _sums(mixed, 3, rows, columns)


def resize_by_sums(x: Tensor, rows: int, columns: int) -> Tensor:
    """As `fpn.resize`; enlarging, in half its time where channels are last in memory."""
    return x if x.shape[-2:] == (rows, columns) else _sums(x, 1, rows, columns)


def _sums(x: Tensor, taps: int, rows: int, columns: int) -> Tensor:
    """Resizes N x taps*taps*O x h x w and adds up the taps: N x O x rows x columns."""
    count, channels, height, width = x.shape
    outputs = channels // taps**2
    # In memory n, h, w, i, j, o, i and j being the taps; then n, h, i, W, o; then n, H, W, o.
    table = x.permute(0, 2, 3, 1).reshape(-1, outputs)
    kind = (x.device, x.dtype)
    across = _terms(width, columns, (count * height, taps, taps), *kind)
    wide = across.sum_of(table).view(-1, columns * outputs)
    down = _terms(height, rows, (count, 1, taps), *kind)
    return down.sum_of(wide).view(count, rows, columns, outputs).permute(0, 3, 1, 2)


class _Terms(NamedTuple):
    """Sums of a few rows of a table each: which rows, and what they are multiplied with."""

    places: Tensor
    weights: Tensor

    def sum_of(self, table: Tensor) -> Tensor:
        # Metal has embedding_bag only in newer releases of PyTorch than the oldest one we take.
        if table.device.type == "mps":
            return self.sum_one_by_one(table)
        return F.embedding_bag(self.places, table, mode="sum", per_sample_weights=self.weights)

    def sum_one_by_one(self, table: Tensor) -> Tensor:
        """The same, term by term."""
        total = table.new_zeros(len(self.places), table.shape[1])
        for places, weights in zip(self.places.T, self.weights.T, strict=True):
            total.addcmul_(table[places], weights[:, None])
        return total


# A frame takes 80 of them at most: three sizes of frames, some 20 MB.
@lru_cache(256)
def _terms(
    length: int,
    target: int,
    around: tuple[int, int, int],
    device: torch.device,
    dtype: torch.dtype,
) -> _Terms:
    """What each place of a resized axis is the sum of.

    Args:
        length: Of the axis before.
        target: Its length after.
        around: The table's shape is a, length, b, taps: for the columns, b is the rows' taps.
        device: Where to.
        dtype: Of the weights.

    Returns:
        Two of a*b*target x terms.
    """
    before, between, taps = around
    matrix = _resize_matrix(length, target)[:, :, None]
    if taps == 3:
        matrix = _shifted(matrix)
    matrix = matrix.flatten(1)
    n_terms = int(matrix.count_nonzero(1).max())
    entry = matrix.abs().topk(n_terms, dim=1).indices
    weight = matrix.gather(1, entry)
    position, tap = entry // taps, entry % taps
    outer = torch.arange(before)[:, None, None, None]
    middle = torch.arange(between)[None, :, None, None]
    index = ((outer * length + position) * between + middle) * taps + tap
    weight = weight.expand(index.shape).reshape(-1, n_terms)
    return _Terms(index.reshape(-1, n_terms).to(device, torch.int32), weight.to(device, dtype))


def _resize_matrix(length: int, target: int) -> Tensor:
    """The matrix, target x length, that resizes an axis as `resize` does."""
    unit = torch.eye(length)
    if length == target:
        return unit
    return F.interpolate(unit[None], target, mode="linear", align_corners=False)[0].T


def _shifted(matrix: Tensor) -> Tensor:
    """Puts S_-1 U, S_0 U and S_1 U beside each other: N x n x 1 to N x n x 3."""
    padded = F.pad(matrix, (0, 0, 0, 0, 1, 1))
    return torch.cat([padded[:-2], matrix, padded[2:]], -1)
