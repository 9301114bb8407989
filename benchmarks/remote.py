"""How many bytes of a scene on a server prediction reads, beside those that it needs.

    python benchmarks/remote.py [--side 6000] [--block 512]

Serves a synthetic scene, a cloud-optimized GeoTIFF compressed with deflate, from this machine and
reads what `predict` reads of it with areas of interest of several sizes. Prints for each the bytes
that were sent, those of the blocks under the windows that were read, and their ratio. Exits with 1
where a ratio is above 1.2.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely
from prediction import make_scene_file
from rasterio.shutil import copy as copy_raster

from glnet_geo.checkpoint import read_card
from glnet_geo.frame_source import Footing, FrameSource
from glnet_geo.map_options import area_of
from glnet_geo.modelzoo import DEFAULT_MODEL, find_model
from glnet_geo.opening import gdal_environment
from glnet_geo.radiometry import find_stretch
from glnet_geo.raster import SceneReader
from glnet_geo.tiling import FrameExtent

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.file_server import serving

LIMIT = 1.2
SHARES = (0.02, 0.1, 0.4, 1.0)
"""Sides of the areas of interest, of that of the scene."""


def main() -> None:
    """Measures all areas."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=6000)
    parser.add_argument("--block", type=int, default=512)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_scene_file(folder / "source.tif", options.side, options.side)
        scene = folder / "scene.tif"
        profile = {"compress": "deflate", "predictor": "yes", "blocksize": options.block}
        copy_raster(str(folder / "source.tif"), str(scene), driver="COG", **profile)
        ratios = [measure(scene, folder, share) for share in SHARES]
    sys.exit(max(ratios) > LIMIT)


def measure(scene: Path, folder: Path, share: float) -> float:
    """Reads the frames that touch an area in the middle; prints and returns the ratio."""
    card = read_card(find_model(DEFAULT_MODEL))
    # Under another name each time: GDAL keeps what it has read of a URL.
    name = f"scene-{share}.tif"
    with serving() as server:
        server.content[name] = scene.read_bytes()
        open_scene = partial(SceneReader, f"{server.url}/{name}", n_bands=3)
        with gdal_environment(remote=True), open_scene() as reader:
            grid = reader.grid
            aoi = make_area(folder / f"{share}.gpkg", grid, share)
            area, stretch = area_of(aoi, grid), find_stretch(reader)
            footing = Footing.of_scene(grid)
            plan = card.frames(grid.height, grid.width, FrameExtent.CARD, is_exact=False)
            source = FrameSource(open_scene, footing, stretch, area, folder, remote=True)
            frames = sum(frame is not None for frame in source.read(plan))
        sent = server.sent
    windows = [frame.read for frame in plan if area.touches(frame.read)]
    needed = bytes_under(scene, windows)
    print(
        f"area of {share:.0%} of the side: {frames} of {len(plan)} frames, {sent:,} bytes sent, "
        f"{needed:,} needed of {scene.stat().st_size:,}, ratio {sent / needed:.3f}"
    )
    return sent / needed


def make_area(path: Path, grid, share: float) -> Path:
    """A square around the middle of a grid, as a vector file."""
    low, high = (1 - share) / 2, (1 + share) / 2
    corners = [grid.transform @ (part * grid.width, part * grid.height) for part in (low, high)]
    (left, top), (right, bottom) = corners
    box = shapely.box(min(left, right), min(top, bottom), max(left, right), max(top, bottom))
    geopandas.GeoDataFrame(geometry=[box], crs=grid.crs).to_file(path)
    return path


def bytes_under(scene: Path, windows) -> int:
    """Compressed bytes of the blocks that windows touch, each once."""
    with rasterio.open(scene) as dataset:
        height, width = dataset.block_shapes[0]
        touched = np.zeros((-(-dataset.height // height), -(-dataset.width // width)), bool)
        for one in windows:
            rows = slice(one.top // height, -(-one.bottom // height))
            touched[rows, one.left // width : -(-one.right // width)] = True
        blocks = np.argwhere(touched).tolist()
        sizes = (dataset.get_tag_item(f"BLOCK_SIZE_{x}_{y}", "TIFF", bidx=1) for y, x in blocks)
        return sum(int(size or 0) for size in sizes)


if __name__ == "__main__":
    main()
