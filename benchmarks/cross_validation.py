"""How good the bundled model's recipe is on scenes that it was not trained on, for its card.

    python benchmarks/cross_validation.py FOLDER build/folds       # twenty minutes on two cores
    python benchmarks/cross_validation.py FOLDER build/folds --card dubai-urban.safetensors

FOLDER holds the scenes of the recipe (see NOTICE). Three times some are held out: 5, then 6, then
4, 7 and 8, which overlap on the ground. Each model has the same processor time; what is finished is
kept in the second folder. Their pixels are scored together, and a temperature
is fitted to all of them (`glnet_geo.calibration`). With --card both are written into a model
that was trained on all scenes, whose own scores nobody can know.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from ablation import RECIPE_ITSELF, Run, run_all, without, write_dataset

from glnet_geo.calibration import Calibration, ScoredPixels
from glnet_geo.checkpoint import read_model, save_model
from glnet_geo.datasets import load_dataset
from glnet_geo.labelled_scene import ScenePool
from glnet_geo.metrics import ConfusionMatrix
from glnet_geo.opening import gdal_environment
from glnet_geo.segmenter import GLNetSegmenter
from glnet_geo.validation import Validation, score_scene

FOLDS = ((5,), (6,), (4, 7, 8))


def score(folder: Path, data: Path, minutes: float) -> dict[str, Any]:
    """Scores of all folds together, as a card holds them."""
    device, together, parts = torch.device("cpu"), None, []
    for fold in FOLDS:
        net, card = read_model(folder / f"{Run(RECIPE_ITSELF, fold, 0).name}.safetensors")
        scenes = load_dataset(folder / f"{without(fold)}.toml", data).split("val")
        segmenter = GLNetSegmenter(net, card, device, views=card.views)
        together = together or ConfusionMatrix(card.legend)
        for scene in scenes:
            score_scene(scene, segmenter, card, together)
        with ScenePool(scenes, card.legend, len(card.bands)) as pool:
            parts.append(Validation(pool, card, device).pixels(net, card.architecture.form))
    assert together is not None
    return {
        "cross_validated": "each scene by a model of this recipe that was not trained on it "
        f"({minutes:g} minutes of processor time; folds 5 | 6 | 4, 7, 8)",
        **together.scores().to_dict(),
        "calibration": Calibration.fit(ScoredPixels.join(parts)).to_dict(),
    }


def main() -> None:
    """Trains what is missing and prints the scores."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="Folder with the scenes.")
    parser.add_argument("folder", type=Path, help="Where runs are kept.")
    parser.add_argument("--minutes", type=float, default=7, help="Processor time of a run.")
    parser.add_argument("--card", type=Path, help="Model file to write the scores into.")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for fold in FOLDS:
        write_dataset(chosen.folder, fold)
    runs = [Run(RECIPE_ITSELF, fold, 0) for fold in FOLDS]
    run_all(runs, chosen.folder, chosen.data, chosen.minutes)
    with gdal_environment():
        scores = score(chosen.folder, chosen.data, chosen.minutes)
    print(json.dumps(scores, indent=1))
    if chosen.card is not None:
        net, card = read_model(chosen.card)
        temperature = scores["calibration"]["temperature"]
        card = replace(card, scores=scores, temperature=temperature)
        save_model(net, card, chosen.card, half=True)


if __name__ == "__main__":
    main()
