"""How quarter-resolution logits are best enlarged: accuracy on held-out scenes.

    python benchmarks/interpolation.py models/zoo/dubai-urban.toml --data FOLDER

Prints the mean IoU on the dataset's held-out scenes for the reference's nearest neighbour and for
bilinear interpolation, with the same frames.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

from glnet_geo.checkpoint import load_model
from glnet_geo.datasets import load_dataset
from glnet_geo.fitting import score_scenes
from glnet_geo.modelzoo import DEFAULT_MODEL, find_model
from glnet_geo.segmenter import GLNetSegmenter, choose_device


def main() -> None:
    """Prints a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    options = parser.parse_args()
    dataset = load_dataset(options.dataset, options.data)
    net, card = load_model(find_model(options.model))
    print(f"{'logits':<12}{'mean IoU':>10}{'accuracy':>10}")
    ways: tuple[Literal["nearest", "bilinear"], ...] = ("nearest", "bilinear")
    for way in ways:
        segmenter = GLNetSegmenter(net, card, choose_device("auto"), interpolation=way)
        scores = score_scenes(dataset.split("val"), segmenter)
        print(f"{way:<12}{scores.mean_iou:10.4f}{scores.accuracy:10.4f}", flush=True)


if __name__ == "__main__":
    main()
