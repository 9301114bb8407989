"""How well probabilities, confidence and disagreement find the pixels that a map has wrong.

    python benchmarks/uncertainty.py FOLDER build/folds/without-5.toml MODEL

FOLDER holds the scenes, the dataset file says which of them the model was not trained on (split
"val"); `ablation.py` and `cross_validation.py` leave both behind. For each layer of `predict`:

- the area under the ROC curve for "wrong": the chance that a wrong pixel is doubted more than a
  right one, 0.5 for a layer that knows nothing;
- the accuracy of the pixels that are kept if those are left out which are doubted most.

Then what the layers cost: `predict` with and without each, in turn.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.windows import Window as RasterioWindow

from glnet_geo.checkpoint import read_model
from glnet_geo.datasets import LabelledScene, load_dataset
from glnet_geo.grid import Window
from glnet_geo.labelled_scene import OpenScene
from glnet_geo.legend import IGNORED
from glnet_geo.models.glnet import Form
from glnet_geo.opening import gdal_environment, quiet
from glnet_geo.prediction import predict
from glnet_geo.uncertainty import ONE

KEPT = (1.0, 0.95, 0.9, 0.8, 0.5)
ROWS = 1024

Counts = npt.NDArray[np.int64]
"""2 x 255: right and wrong pixels by how much they are doubted."""


def doubts(layers: dict[str, npt.NDArray[np.uint8]]) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
    """Each layer so that more is more doubtful, 0 to 254."""
    shares = layers["probabilities"].astype(np.float64) / ONE
    terms = -shares * np.log(np.maximum(shares, 1e-9))
    entropy = terms.sum(0) / np.log(len(shares))
    yield "entropy of the probabilities", (ONE * np.clip(entropy, 0, 1)).astype(np.uint8)
    first, second = np.sort(layers["probabilities"], 0)[-1:-3:-1]
    yield "margin of the probabilities", ONE - (first - second)
    yield "confidence", ONE - layers["confidence"][0]
    if "disagreement" in layers:
        yield "disagreement", layers["disagreement"][0]


def count_scene(scene: LabelledScene, model: Path, found: dict[str, Counts]) -> None:
    """Maps a scene with all layers, and counts right and wrong pixels by how doubtful they are."""
    net, card = read_model(model)
    names = ["probabilities", "confidence"]
    if net.architecture.form is not Form.GLOBAL:
        names.append("disagreement")
    with TemporaryDirectory() as name:
        folder = Path(name)
        paths = {layer: folder / f"{layer}.tif" for layer in names}
        predict(scene.image, folder / "map.tif", model=str(model), **paths)
        bands = len(card.bands)
        with gdal_environment(), OpenScene(scene, card.legend, bands) as labels:
            for top in range(0, labels.grid.height, ROWS):
                height = min(ROWS, labels.grid.height - top)
                window = Window(top, 0, height, labels.grid.width)
                box = RasterioWindow(0, top, window.width, height)

                def read(path: Path, box: RasterioWindow = box) -> npt.NDArray[np.uint8]:
                    with quiet(), rasterio.open(path) as dataset:
                        return dataset.read(window=box)

                truth = labels.read_positions(window)
                ids = np.append(card.legend.ids, np.zeros(IGNORED, np.uint8))[truth]
                predicted = read(folder / "map.tif")[0]
                counts = (truth != IGNORED) & (predicted != 255)
                is_wrong = (ids != predicted)[counts]
                layers = {layer: read(path) for layer, path in paths.items()}
                for what, doubt in doubts(layers):
                    values = doubt[counts]
                    found[what][0] += np.bincount(values[~is_wrong], minlength=255)
                    found[what][1] += np.bincount(values[is_wrong], minlength=255)


def roc_area(counts: Counts) -> float:
    """Area under the ROC curve, ties counted half."""
    right, wrong = counts
    below = np.cumsum(right) - right
    return float((wrong * (below + right / 2)).sum() / (right.sum() * wrong.sum()))


def accuracy_of_kept(counts: Counts, share: float) -> float:
    """Accuracy of the least doubtful pixels; of those at the limit, the mean."""
    both = counts.sum(0)
    wanted = share * both.sum()
    taken = np.clip((wanted - (np.cumsum(both) - both)) / np.maximum(both, 1), 0, 1)
    return float((counts[0] * taken).sum() / wanted)


def print_cost(scene: LabelledScene, model: Path, rounds: int) -> None:
    """Times runs with and without layers, in turn."""
    form = read_model(model)[0].architecture.form
    sets: dict[str, tuple[str, ...]] = {
        "none": (),
        "confidence": ("confidence",),
        "probabilities": ("probabilities",),
        "both": ("probabilities", "confidence"),
    }
    if form is not Form.GLOBAL:
        sets["disagreement"] = ("disagreement",)
        sets["all three"] = ("probabilities", "confidence", "disagreement")
    seconds: dict[str, list[float]] = defaultdict(list)
    with TemporaryDirectory() as name:
        for _ in range(rounds):
            for title, layers in sets.items():
                paths = {layer: Path(name) / f"{layer}.tif" for layer in layers}
                started = time.monotonic()
                output = Path(name) / "map.tif"
                predict(scene.image, output, model=str(model), overwrite=True, **paths)
                seconds[title].append(time.monotonic() - started)
    print("\n| layers | s | against none |\n|---|---|---|")
    for title, times in seconds.items():
        pairs = zip(times, seconds["none"], strict=True)
        ratio = statistics.median(one / other for one, other in pairs)
        print(f"| {title} | {statistics.median(times):.2f} | {ratio:.3f} |")


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="Folder with the scenes.")
    parser.add_argument("dataset", type=Path, help="Dataset file whose val scenes are mapped.")
    parser.add_argument("model", type=Path, help="Model file.")
    parser.add_argument(
        "--rounds", type=int, default=3, help="Runs of each kind that are timed; 0 for none."
    )
    chosen = parser.parse_args()
    scenes = load_dataset(chosen.dataset, chosen.data).split("val")
    found: dict[str, Counts] = defaultdict(lambda: np.zeros((2, 255), np.int64))
    for scene in scenes:
        count_scene(scene, chosen.model, found)
    kept = " | ".join(f"accuracy, {100 * share:g} % kept" for share in KEPT)
    print(f"| doubt | area under ROC | {kept} |\n{'|---' * (2 + len(KEPT))}|")
    for what, counts in found.items():
        cells = " | ".join(f"{accuracy_of_kept(counts, share):.3f}" for share in KEPT)
        print(f"| {what} | {roc_area(counts):.3f} | {cells} |")
    if chosen.rounds:
        print_cost(scenes[0], chosen.model, chosen.rounds)


if __name__ == "__main__":
    main()
