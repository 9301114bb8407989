"""How fast `glnet-geo batch` finds and looks at many scenes.

    python benchmarks/listing.py [--files 10000]

Makes small GeoTIFFs that lie side by side, and prints the seconds of each step before the first
frame is computed: listing the folder, reading all grids in threads, finding the mosaics, planning
the work, and writing the manifest. Exits with 1 where listing takes 3 s or more, or grids are read
at less than 500 files a second.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from glnet_geo.batch_events import BatchEvents, Tally
from glnet_geo.batch_ledger import Work
from glnet_geo.batch_plan import Planner
from glnet_geo.batch_report import BatchOptions
from glnet_geo.batch_request import BatchRequest
from glnet_geo.grid import Grid
from glnet_geo.manifest import Manifest
from glnet_geo.map_options import MapOptions
from glnet_geo.raster_output import write_scene
from glnet_geo.scene_facts import read_all_facts
from glnet_geo.scene_inputs import find_inputs
from glnet_geo.tile_groups import group_tiles

LIST_S, FILES_A_SECOND = 3.0, 500
SIDE = 64
A_ROW = 100


def main() -> None:
    """Prints a row for each step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    count = parser.parse_args().files
    with tempfile.TemporaryDirectory() as name:
        tiles, out = Path(name) / "tiles", Path(name) / "out"
        make_files(tiles, count)
        steps = [*measured(tiles, out)]
    print(f"{count} files of {SIDE} x {SIDE} px{'s':>12}{'files/s':>12}")
    for label, seconds in steps:
        print(f"{label:<30}{seconds:12.2f}{count / seconds:12.0f}")
    seconds_of = dict(steps)
    passed = seconds_of["listing"] < LIST_S
    passed &= count / seconds_of["reading grids"] >= FILES_A_SECOND
    sys.exit(0 if passed else 1)


def make_files(folder: Path, count: int) -> None:
    """Tiles side by side."""
    folder.mkdir()
    pixels = np.zeros((3, SIDE, SIDE), np.uint8)
    for k in range(count):
        left, top = 330_000 + k % A_ROW * SIDE / 2, 2_780_000 - k // A_ROW * SIDE / 2
        grid = Grid.north_up(SIDE, SIDE, left, top, 0.5, "EPSG:32640")
        write_scene(folder / f"tile_{k:06}.tif", pixels, grid)


def measured(tiles: Path, out: Path):
    """The steps and their seconds."""
    started = time.perf_counter()

    def lap() -> float:
        nonlocal started
        before, started = started, time.perf_counter()
        return started - before

    scenes = find_inputs([str(tiles)], exclude=out)
    yield "listing", lap()
    facts = {
        scene.name: one
        for scene, one in zip(scenes, read_all_facts(scene.path for scene in scenes), strict=True)
    }
    yield "reading grids", lap()
    mosaics = group_tiles(facts)
    yield "finding mosaics", lap()
    request = BatchRequest.of([str(tiles)], out, MapOptions(), BatchOptions())
    with Manifest(out, "") as manifest:
        lap()
        ledger = request.ledger(manifest)
        tally = Tally(manifest, BatchEvents())
        ledger.enter(tally)
        yield "entering them in the manifest", lap()
        for _ in ledger.mosaics(tally, BatchEvents()):
            pass
        lap()
        planner = Planner(request.card, request.maps, request.digests, out, 1)
        wanted = frozenset(ledger.names(Work.MAP))
        frames = planner.frames_for(mosaics, facts, 2)
        paths = ledger.paths
        for mosaic in mosaics:
            plan = planner.plan(mosaic, manifest.records, paths, wanted, frames)
            for block in plan.blocks:
                plan.block_job(block, None)
        yield "planning", lap()
        manifest.save()
        yield "writing the manifest", lap()


if __name__ == "__main__":
    main()
