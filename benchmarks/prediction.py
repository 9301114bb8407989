"""Speed and peak memory of `glnet-geo predict` on a 2448 x 2448 scene.

    python benchmarks/prediction.py [--size 2448] [--short]

Runs the command as a child process, once with the bundled model and once with the reference's
networks (ResNet-50, decoder 256/128, patches of 508; random weights, which cost the same), and
prints seconds of wall clock, seconds of processor and the child's peak resident memory, as the
operating system accounts for them. `--short` runs the bundled model alone. Exits with 1 where a
limit is passed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """What a run must keep to at 2448 x 2448 on two cores."""

    seconds: float
    gigabytes: float


BUNDLED = Limits(seconds=30, gigabytes=1.5)
REFERENCE = Limits(seconds=300, gigabytes=2.5)


def make_reference_model(path: Path) -> None:
    """A model file with the paper's networks and random weights."""
    from frames import reference_card

    from glnet_geo.checkpoint import save_model
    from glnet_geo.models.glnet import GLNet

    card = reference_card()
    save_model(GLNet(card.architecture), card, path)


def make_scene_file(path: Path, height: int, width: int) -> None:
    """A synthetic scene as a GeoTIFF."""
    from glnet_geo.grid import Grid
    from glnet_geo.raster_output import write_scene
    from glnet_geo.synthetic import make_scene

    grid = Grid.north_up(height, width, 330_000, 2_780_000, 0.5, "EPSG:32640")
    write_scene(path, make_scene(height, width).pixels, grid)


def in_child(function, *arguments) -> None:
    """Runs a preparation in a child, so that its memory is nobody's."""
    pid = os.fork()
    if pid == 0:
        function(*arguments)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit(f"{function.__name__} failed")


def measure(command: list[str]) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak GB of a child process."""
    started = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - started
    if status:
        sys.exit(f"{' '.join(command)} failed")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9


def main() -> None:
    """Prints a row for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=2448)
    parser.add_argument("--short", action="store_true", help="the bundled model alone")
    options = parser.parse_args()
    passed = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene, reference = folder / "scene.tif", folder / "reference.safetensors"
        in_child(make_scene_file, scene, options.size, options.size)
        rows = [("bundled model", "dubai-urban", BUNDLED)]
        if not options.short:
            in_child(make_reference_model, reference)
            rows.append(("reference networks", str(reference), REFERENCE))
        print(f"{options.size} x {options.size} px, {os.cpu_count()} processors")
        print(f"{'':<20}{'wall s':>9}{'cpu s':>9}{'Mpx/s':>9}{'peak GB':>9}")
        for label, model, limits in rows:
            command = [sys.executable, "-m", "glnet_geo", "predict", str(scene), "-q"]
            command += ["--overwrite", "-o", str(folder / "map.tif"), "--model", model]
            wall, cpu, peak = measure(command)
            speed = options.size**2 / 1e6 / wall
            print(f"{label:<20}{wall:9.1f}{cpu:9.1f}{speed:9.2f}{peak:9.2f}", flush=True)
            passed &= wall <= limits.seconds and peak <= limits.gigabytes
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
