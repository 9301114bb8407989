"""Speed and peak memory of `glnet-geo change` on two large maps.

    python benchmarks/changes.py [--quick] [--json FILE]

The old map has seven blobby classes (`class_maps.py`), 20,000 x 20,000 pixels. The new one is the
same scene a pixel further down and to the right, as a careless registration leaves it, with a new
square of 20 x 20 pixels in every 500 x 500. The command runs as a child process: without rules,
with a tolerance of a pixel, with that and a smallest patch of 50 m2, and with a tolerance of ten.
Peak memory is what the operating system accounts for.

Exits with 1 where a run takes more than 1 GB or, of those with at most a pixel of tolerance, more
than 90 s; or where a tolerance leaves more than the squares and a hundredth. `--quick` takes small
maps and has no limit of time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from class_maps import NODATA, make_class_map, strips
from vectorizing import apart, measure

PEAK_GIGABYTES = 1.0
SECONDS = 90.0
SQUARE, EVERY = 20, 500  # pixels
NEW_CLASS = 8
RIM = 0.01  # of what is kept, beside the squares
RULES = {
    "no rule": [],
    "--tolerance 1px": ["--tolerance", "1px"],
    "--tolerance 1px --min-area 50m2": ["--tolerance", "1px", "--min-area", "50m2"],
    "--tolerance 10px": ["--tolerance", "10px"],
}


def make_new_map(path: Path, height: int, width: int) -> None:
    """Writes the new map on the grid of the old one."""
    import rasterio
    from rasterio.windows import Window

    old = path.with_name("old.tif")
    with rasterio.open(old) as dataset:
        profile = dataset.profile
    column = np.arange(width) % EVERY < SQUARE
    above = np.full((1, width), NODATA, np.uint8)
    with rasterio.Env(GDAL_CACHEMAX=64), rasterio.open(path, "w", **profile) as dataset:
        top = 0
        for strip in strips(height, width):
            moved = np.concatenate([above, strip[:-1]])
            above = strip[-1:].copy()
            moved[:, 1:] = moved[:, :-1].copy()
            moved[:, 0] = NODATA
            is_square = (np.arange(top, top + len(strip)) % EVERY < SQUARE)[:, None] & column
            moved[is_square & (moved != NODATA)] = NEW_CLASS
            dataset.write(moved, 1, window=Window(0, top, width, len(moved)))
            top += len(strip)


def run(folder: Path, words: list[str]) -> dict:
    """Runs the command once."""
    output, answer = folder / "change.tif", folder / "answer.json"
    command = [sys.executable, "-m", "glnet_geo", "change"]
    command += [str(folder / "old.tif"), str(folder / "new.tif"), "-o", str(output)]
    # What one run left to write would slow the next.
    os.sync()
    seconds, gigabytes = measure([*command, *words, "--overwrite", "-q", "--json"], answer)
    return {"seconds": seconds, "gigabytes": gigabytes, "said": json.loads(answer.read_text())}


def faults(name: str, found: dict, is_quick: bool) -> list[str]:
    """What is wrong with a run."""
    wrong, said = [], found["said"]
    if found["gigabytes"] > PEAK_GIGABYTES:
        wrong.append(f"more than {PEAK_GIGABYTES} GB")
    if not is_quick and "10px" not in name and found["seconds"] > SECONDS:
        wrong.append(f"more than {SECONDS} s")
    others = [one["pixels"] for one in said["transitions"] if one["new"] != str(NEW_CLASS)]
    # What lay under a square cannot be found a pixel further.
    if RULES[name] and sum(others) > RIM * said["changed_pixels"]:
        wrong.append(f"{sum(others)} px of the shift are taken for a change")
    old, new = (said["matrix_as_mapped"][part] for part in ("old_pixels", "new_pixels"))
    if sum(old) != said["pixels"] or sum(new) != said["pixels"]:
        wrong.append("the sums of the matrix are not the maps' pixels")
    return [f"{name}: {words}" for words in wrong]


def main() -> None:
    """Prints a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small maps, no limit of time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    side = 3000 if options.quick else 20_000
    rows, wrong = {}, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.perf_counter()
        apart(make_class_map, folder / "old.tif", side, side)
        apart(make_new_map, folder / "new.tif", side, side)
        print(f"two maps of {side} x {side} px in {time.perf_counter() - started:.0f} s")
        for rule, words in RULES.items():
            found = rows[rule] = run(folder, words)
            changed = found["said"]["changed_area_ha"]
            print(f"{rule:<33}{found['seconds']:7.1f} s{found['gigabytes']:6.2f} GB", end="")
            print(f"{changed:12,.1f} ha changed", flush=True)
            wrong += faults(rule, found, options.quick)
    for words in wrong:
        print(words)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "wrong": wrong}, indent=2))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
