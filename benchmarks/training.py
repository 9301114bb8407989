"""Seconds of a training step and the most memory of a process that makes them.

    python benchmarks/training.py                  # both architectures, a quarter of an hour
    python benchmarks/training.py --only bundled   # a minute

Each stage of the bundled architecture and of the paper's is trained in a process of its own, on
frames of 2448 x 2448 of two synthetic scenes of 5000 x 4000 pixels, in the batches that `train`
makes by default: 4, 2 and 1 frames for the bundled architecture and 6 for the paper's, whose stage
2 is shown with one: its patches run six at a time, so that memory does not depend on it.
Then the local branch on a patch, as stage 3 would run it unprepared and as it does
(`models/frozen.py`).
Exits with 1 above 3 GB for the bundled architecture, or 8 GB for the paper's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

LIMITS = {"bundled": 3e9, "paper": 8e9}
STEPS = {"bundled": 4, "paper": 1}
SIZE = (5000, 4000)  # rows, columns
DATASET = """
name = "synthetic"
legend = "dubai"
[[scenes]]
image = "0.tif"
labels = "0_labels.tif"
split = "train"
[[scenes]]
image = "1.tif"
labels = "1_labels.tif"
split = "train"
"""


def make_data(folder: Path) -> None:
    """Writes two scenes with their labels, and the dataset file."""
    from glnet_geo.grid import Grid
    from glnet_geo.legend import DUBAI
    from glnet_geo.raster_output import class_map, write_scene
    from glnet_geo.synthetic import make_scene

    grid = Grid.north_up(*SIZE, 330_000.0, 2_780_000.0, 0.5, "EPSG:32640")
    for seed in (0, 1):
        made = make_scene(*SIZE, seed)
        write_scene(folder / f"{seed}.tif", made.pixels, grid)
        with class_map(folder / f"{seed}_labels.tif", grid, DUBAI, {}) as writer:
            writer.write(made.labels, grid.window)
    (folder / "data.toml").write_text(DATASET)


def train_stage(folder: Path, architecture: str, index: int) -> None:
    """Trains one stage, after a first step that is not counted, and prints what it took."""
    from dataclasses import replace

    import torch

    from glnet_geo.allocation import reuse_memory
    from glnet_geo.datasets import load_dataset
    from glnet_geo.labelled_scene import ScenePool
    from glnet_geo.map_summary import peak_bytes
    from glnet_geo.model_options import resolve_options
    from glnet_geo.models.stages import STAGES, warm_start
    from glnet_geo.new_models import new_model
    from glnet_geo.opening import gdal_environment
    from glnet_geo.sampling import FrameSampler
    from glnet_geo.stage_trainer import FrameGeometry, StageTrainer
    from glnet_geo.tiling import PatchLayout
    from glnet_geo.training_options import TrainingOptions

    reuse_memory()
    dataset = load_dataset(folder / "data.toml")
    given = {"preset": "reference"} if architecture == "paper" else {}
    options = resolve_options(given)
    schedule = TrainingOptions().schedule_for(options)
    if architecture == "paper":
        schedule = replace(schedule, frames=(6, 1, 6))
    net = new_model("m", dataset.legend, 3, options, 0).net
    net.to_channels_last(torch.device("cpu"))
    with gdal_environment(128):
        scenes = ScenePool(dataset.scenes, dataset.legend, 3)
        sampler = FrameSampler(scenes, options.frame, schedule.augmentation)
        layout = PatchLayout.cover(options.frame, options.frame, options.patch_size)
        geometry, stage = FrameGeometry(layout, options.global_size), STAGES[index]
        warm_start(net, stage)
        trainer = StageTrainer(net, stage, sampler, geometry, schedule)
        seconds, steps = [], STEPS[architecture]
        for drawn in trainer.draws(0, steps + (architecture == "bundled")):
            started = time.perf_counter()
            trainer.step(drawn, 0.0)
            seconds.append(time.perf_counter() - started)
    print(json.dumps({"seconds": sum(seconds[-steps:]) / steps, "bytes": peak_bytes()}))


def time_local(architecture: str) -> None:
    """Prints how long the local branch takes for a patch, as it is and prepared."""
    import torch

    from glnet_geo.legend import DUBAI
    from glnet_geo.model_options import resolve_options
    from glnet_geo.models.frozen import FrozenContext, FrozenLocal
    from glnet_geo.models.fused_branch import Place
    from glnet_geo.models.glnet import local_maps
    from glnet_geo.models.sharing import FramePatch
    from glnet_geo.new_models import new_model
    from glnet_geo.tiling import PatchLayout

    options = resolve_options({"preset": "reference"} if architecture == "paper" else {})
    net = new_model("m", DUBAI, 3, options, 0).net.eval()
    net.to_channels_last(torch.device("cpu"))
    place = Place(torch.device("cpu"), torch.float32)
    context, local = FrozenContext(net.context, place), FrozenLocal(net, place)
    layout = PatchLayout.cover(options.frame, options.frame, options.patch_size)
    patches = [FramePatch(0, window) for window in layout.windows]
    stages = context(net.normalize(torch.zeros(1, 3, *[options.global_size] * 2))).stages
    mixed = local.mix(stages)
    pixels = net.normalize(torch.zeros(1, 3, *[options.patch_size] * 2))
    seconds: dict[str, list[float]] = {"plain": [], "prepared": []}
    with torch.no_grad():
        for patch in patches[:6]:
            for name in seconds:
                started = time.perf_counter()
                if name == "plain":
                    local_maps(net.local, pixels, stages, layout, [patch])
                else:
                    local(pixels, mixed, layout, [patch])
                seconds[name].append(time.perf_counter() - started)
    print(json.dumps({name: min(values) for name, values in seconds.items()}))


def run_apart(*arguments: str) -> dict[str, float]:
    """What this program prints in a process of its own."""
    command = [sys.executable, __file__, *arguments]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(result.stdout))


def main() -> None:
    """Prints a row for each stage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=LIMITS)
    parser.add_argument("--stage", type=int, choices=(1, 2, 3))
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder and not arguments.stage:
        time_local(arguments.only)
        return
    if arguments.folder:
        train_stage(arguments.folder, arguments.only, arguments.stage - 1)
        return
    passed = True
    print(f"{'networks':<12}{'stage':>6}{'s a step':>10}{'GB':>8}", flush=True)
    with TemporaryDirectory() as folder:
        make_data(Path(folder))
        for name in [arguments.only] if arguments.only else LIMITS:
            times = run_apart("--only", name, "--folder", folder)
            for stage in [arguments.stage] if arguments.stage else (1, 2, 3):
                found = run_apart("--only", name, "--stage", str(stage), "--folder", folder)
                passed &= found["bytes"] <= LIMITS[name]
                row = f"{name:<12}{stage:>6}{found['seconds']:>10.2f}{found['bytes'] / 1e9:>8.2f}"
                print(row, flush=True)
            ratio = times["plain"] / times["prepared"]
            print(f"{name:<12}frozen local branch, plain / prepared: {ratio:.2f}", flush=True)
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
