"""Where a convolution of an enlarged map is cheaper by sums of rows: what `split_conv` counts with.

    python benchmarks/sums.py [--runs 20]

For layers of the paper's decoder and of the bundled model's: milliseconds of the plain form (the
map enlarged, its channels put behind those of the larger one, one convolution) and with the map
taken apart, and what `split_conv` chooses by counting. Exits with 1 where its choice costs more
than a fifth over the better form.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from unittest import mock

import torch
from frames import alternate

from glnet_geo.allocation import reuse_memory
from glnet_geo.models import split_conv
from glnet_geo.models.split_conv import SplitConv2d

LAYERS = (
    # channels of each map, outputs, side of the small map, side of the result
    (256, 256, 26, 127),
    (256, 256, 13, 64),
    (256, 256, 7, 32),
    (256, 128, 26, 127),
    (128, 63, 64, 127),
    (128, 63, 16, 127),
    (64, 64, 36, 136),
    (64, 64, 18, 68),
    (64, 64, 5, 17),
    (64, 16, 36, 136),
    (32, 64, 68, 136),
    (16, 64, 36, 136),
    (256, 256, 100, 127),
)
TOLERANCE = 1.2


def forced(apart: bool, layer: SplitConv2d, maps: list[torch.Tensor], side: int) -> None:
    """Runs a layer with the small map taken apart or not."""

    def choose(x: torch.Tensor, *_: object) -> bool:
        return apart and x.shape[-1] < side

    with torch.inference_mode(), mock.patch.object(split_conv, "_is_cheaper_apart", choose):
        layer(maps, side, side)


def main() -> None:
    """Prints a row for each layer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    reuse_memory()
    passed = True
    print(
        f"{'channels':>8}{'outputs':>9}{'from':>6}{'to':>6}{'plain ms':>10}{'apart ms':>10}  chosen"
    )
    for channels, outputs, small, large in LAYERS:
        weight = torch.randn(outputs, 2 * channels, 3, 3)
        layer = SplitConv2d(weight, torch.zeros(outputs), [channels] * 2)
        maps = [
            torch.randn(1, channels, side, side).contiguous(memory_format=torch.channels_last)
            for side in (large, small)
        ]
        runners = {apart: partial(forced, apart, layer, maps, large) for apart in (False, True)}
        timings = alternate(options.runs, runners)
        plain, apart = timings[False].least, timings[True].least
        is_apart = split_conv._is_cheaper_apart(maps[1], weight[:, :channels], large, large)
        chosen = apart if is_apart else plain
        sizes = f"{channels:>8}{outputs:>9}{small:>6}{large:>6}"
        name = "apart" if is_apart else "plain"
        print(f"{sizes}{plain * 1e3:10.2f}{apart * 1e3:10.2f}  {name}", flush=True)
        passed &= chosen <= TOLERANCE * min(plain, apart)
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
