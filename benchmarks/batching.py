"""Throughput of `glnet_geo.batch` against the bare networks, and of its engines.

    python benchmarks/batching.py [--size 6000] [--tile 1000] [--runs 3] [--scattered]

Cuts a synthetic scene into tiles (GeoTIFFs, deflate) and maps them with the bundled model:

- bare networks: the same frames, read before, through the same segmenter, in one process;
- in process: the batch as it is by default;
- two workers: the batch in two processes of a local Dask cluster.

Each run is a process of its own; they alternate. The seconds are those from the first look at a
grid to the last finished map; starting Python and workers, and loading the model, are left out as
they do not depend on the tiles. Prints minimum and median, and the ratios to the bare networks.
With `--scattered` tiles have gaps between them, so that each is a scene by itself. Exits with 1
where the batch takes more than 1.05 times the bare networks, or two workers take longer than it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from prediction import in_child

LIMIT = 1.05
WAYS = ("bare networks", "in process", "two workers")


def make_tiles(folder: Path, size: int, tile: int, gap: int) -> None:
    """A synthetic scene in tiles, which lie a gap of pixels apart."""
    from glnet_geo.grid import Grid
    from glnet_geo.raster_output import write_scene
    from glnet_geo.synthetic import make_scene

    pixels = make_scene(size, size).pixels
    for row in range(0, size, tile):
        for column in range(0, size, tile):
            part = np.ascontiguousarray(pixels[:, row : row + tile, column : column + tile])
            left = 330_000 + 0.5 * (column + column // tile * gap)
            top = 2_780_000 - 0.5 * (row + row // tile * gap)
            grid = Grid.north_up(*part.shape[1:], left, top, 0.5, "EPSG:32640")
            write_scene(folder / f"tile_{row // tile:02}_{column // tile:02}.tif", part, grid)


class Clock:
    """Takes the time between the first event of a batch and the last."""

    def __init__(self) -> None:
        self.first = self.last = 0.0

    def __getattr__(self, name: str):
        def take(*arguments: object) -> None:
            self.last = time.perf_counter()
            self.first = self.first or self.last

        return take


def bare(tiles: Path, gap: bool) -> float:
    """Seconds of the networks over the frames of all tiles."""
    import torch

    from glnet_geo.allocation import reuse_memory
    from glnet_geo.checkpoint import read_model
    from glnet_geo.frame_source import Footing, FrameSource
    from glnet_geo.modelzoo import find_model
    from glnet_geo.radiometry import Stretch
    from glnet_geo.raster import SceneReader
    from glnet_geo.scene_facts import read_facts
    from glnet_geo.segmenter import GLNetSegmenter
    from glnet_geo.tile_groups import group_tiles
    from glnet_geo.tile_mosaic import PlacedTile, TileMosaic

    reuse_memory()
    paths = {path.stem: path for path in sorted(tiles.glob("*.tif"))}
    net, card = read_model(find_model("dubai-urban"))
    segmenter = GLNetSegmenter(net, card, torch.device("cpu"))
    chips = []
    for mosaic in group_tiles({name: read_facts(path) for name, path in paths.items()}):
        places = [PlacedTile(name, paths[name], at) for name, at in mosaic.places.items()]

        def open_scene(places=places, grid=mosaic.grid):
            return TileMosaic(places, grid, SceneReader, {})

        source = FrameSource(open_scene, Footing.of_scene(mosaic.grid), Stretch())
        plan = segmenter.frames(mosaic.grid.height, mosaic.grid.width)
        chips += [ready.chip for ready in source.read(plan) if ready is not None]
    started = time.perf_counter()
    for chip in chips:
        for _ in segmenter(chip):
            pass
    return time.perf_counter() - started


def batched(tiles: Path, workers: int) -> float:
    """Seconds of a batch over the tiles."""
    from glnet_geo.batch_resources import segmenter_of
    from glnet_geo.batching import batch
    from glnet_geo.checkpoint import model_hash
    from glnet_geo.dask_engine import DaskEngine
    from glnet_geo.engines import InProcessEngine
    from glnet_geo.map_options import MapOptions
    from glnet_geo.modelzoo import find_model
    from glnet_geo.precision import Precision
    from glnet_geo.tiling import FrameExtent

    def start(shared):
        if not workers:
            digest = model_hash(find_model("dubai-urban"))
            segmenter_of("dubai-urban", digest, "cpu", Precision.AUTO, False, FrameExtent.CARD)
            return InProcessEngine()
        engine = DaskEngine.local(workers)
        return engine

    clock = Clock()
    with tempfile.TemporaryDirectory() as name:
        maps = MapOptions(device="cpu")
        report = batch([str(tiles)], Path(name), maps=maps, start_engine=start, events=clock)
    assert report.exit_code == 0, report.to_dict()
    return clock.last - clock.first


def run_child(way: str, tiles: Path) -> float:
    """Seconds of one way, in a process of its own."""
    command = [sys.executable, __file__, "--child", way, "--tiles", str(tiles)]
    # As the command line has it.
    environment = {"GOMP_SPINCOUNT": "10000", **os.environ}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(json.loads(result.stdout.splitlines()[-1]))


def main() -> None:
    """Prints a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=6000)
    parser.add_argument("--tile", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scattered", action="store_true")
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--tiles", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        ways = (bare, lambda tiles, _: batched(tiles, 0), lambda tiles, _: batched(tiles, 2))
        print(json.dumps(dict(zip(WAYS, ways, strict=True))[options.child](options.tiles, False)))
        return
    with tempfile.TemporaryDirectory() as name:
        tiles = Path(name)
        gap = options.tile if options.scattered else 0
        in_child(make_tiles, tiles, options.size, options.tile, gap)
        seconds = {way: [] for way in WAYS}
        for _ in range(options.runs):
            for way in WAYS:
                seconds[way].append(run_child(way, tiles))
    megapixels = options.size**2 / 1e6
    print(f"{len(range(0, options.size, options.tile)) ** 2} tiles, {megapixels:.0f} Mpx")
    print(f"{'':<16}{'min s':>8}{'median':>8}{'Mpx/s':>8}{'ratio':>8}")
    least = {way: min(found) for way, found in seconds.items()}
    for way, found in seconds.items():
        ratio = least[way] / least[WAYS[0]]
        middle = statistics.median(found)
        print(f"{way:<16}{least[way]:8.1f}{middle:8.1f}{megapixels / least[way]:8.2f}{ratio:8.3f}")
    passed = least["in process"] <= LIMIT * least["bare networks"]
    passed &= least["two workers"] <= least["in process"]
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
