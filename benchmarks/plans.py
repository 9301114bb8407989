"""What `glnet-geo plan` foretells of a run, against the run.

    python benchmarks/plans.py [SCENE ...] [--short] [--json FILE]

For a synthetic scene of 5000 x 6000 pixels, one of 9000 x 9000 of which a fifth has data, and each
SCENE, with the bundled model; and for 2448 x 4776 synthetic pixels (two frames), and the first
SCENE, with the reference's networks (ResNet-50, decoder 256/128, patches of 508; random weights,
which cost the same). Every plan and every run is a process of its own, the one right after the
other; the run's seconds are those from start to end, its memory is the most that the operating
system accounts to it. `--short` maps two small scenes with the bundled model. Exits with 1 where a
plan is more than 20 % off in time or 15 % in memory: on a quiet machine none should be.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from memory import BUNDLED, Run, make_large_scene
from prediction import in_child, make_reference_model, make_scene_file, measure

MOST_OFF = {"seconds": 0.20, "bytes": 0.15}


@dataclass(frozen=True)
class Comparison:
    """A plan and its run."""

    scene: str
    model: str
    frames: int
    planned_seconds: float
    seconds: float
    planned_bytes: float
    bytes: float

    def off(self, name: str) -> float:
        """How far the plan is off, as a share of the run's."""
        real = getattr(self, name)
        return getattr(self, f"planned_{name}") / real - 1

    @property
    def is_kept(self) -> bool:
        """Whether it is near enough."""
        return all(abs(self.off(name)) <= most for name, most in MOST_OFF.items())

    def __str__(self) -> str:
        seconds = f"{self.planned_seconds:9.1f}{self.seconds:9.1f}{100 * self.off('seconds'):+8.1f}"
        memory = f"{self.planned_bytes / 1e9:9.3f}{self.bytes / 1e9:9.3f}"
        row = f"{self.scene:<26}{self.model:<12}{self.frames:>7}{seconds}{memory}"
        return f"{row}{100 * self.off('bytes'):+8.1f}{'' if self.is_kept else '  OFF'}"


def compare(scene: Path, label: str, model: str, output: Path) -> Comparison:
    """Plans a run, and makes it."""
    common = [str(scene), "-q", "--device", "cpu", "--model", model]
    start = [sys.executable, "-m", "glnet_geo"]
    planned = subprocess.run([*start, "plan", *common, "--json"], stdout=-1, check=True)
    plan = json.loads(planned.stdout)
    run = [*start, "predict", *common, "--overwrite", "-o", str(output)]
    seconds, _, gigabytes = measure(run)
    name = "bundled" if model == BUNDLED else "reference"
    figures = plan["seconds"], seconds, plan["peak_bytes"], gigabytes * 1e9
    return Comparison(label, name, plan["frames"], *figures)


def make_partly_empty_scene(path: Path, side: int) -> None:
    """A scene whose data are a strip of its width; nodata is 0."""
    import numpy as np
    import rasterio
    from rasterio.windows import Window

    make_large_scene(path, Run("", side, side, 0))
    with rasterio.open(path, "r+") as dataset:
        empty = np.zeros((3, 500, side), np.uint8)
        for top in [*range(0, side // 2, 500), *range(7 * side // 10, side, 500)]:
            rows = min(500, side - top)
            dataset.write(empty[:, :rows], window=Window(0, top, side, rows))


def scenes_of(folder: Path, given: list[Path], short: bool):
    """Scenes with their label and model, made when they are wanted."""
    reference = folder / "reference.safetensors"
    made = folder / "scene.tif"
    sizes = ((700, 900), (1200, 1000)) if short else ((5000, 6000),)
    for height, width in sizes:
        in_child(make_scene_file, made, height, width)
        yield made, f"{width} x {height}", BUNDLED
    if not short:
        in_child(make_partly_empty_scene, made, 9000)
        yield made, "9000 x 9000, partly empty", BUNDLED
    for scene in given:
        yield scene, scene.name, BUNDLED
    if short:
        return
    in_child(make_reference_model, reference)
    in_child(make_scene_file, made, 2448, 4776)
    yield made, "4776 x 2448", str(reference)
    for scene in given[:1]:
        yield scene, scene.name, str(reference)


def main() -> None:
    """Prints a row for each scene and model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenes", type=Path, nargs="*", help="real scenes")
    parser.add_argument("--short", action="store_true", help="small scenes, the bundled model")
    parser.add_argument("--json", type=Path, help="where the figures go")
    options = parser.parse_args()
    title = f"{'scene':<26}{'model':<12}{'frames':>7}{'plan s':>9}{'run s':>9}{'off %':>8}"
    print(f"{title}{'plan GB':>9}{'run GB':>9}{'off %':>8}", flush=True)
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for scene, label, model in scenes_of(folder, options.scenes, options.short):
            found.append(compare(scene, label, model, folder / "map.tif"))
            print(found[-1], flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(one) for one in found], indent=2) + "\n")
    sys.exit(0 if all(one.is_kept for one in found) else 1)


if __name__ == "__main__":
    main()
