"""Whether the edges of tiles show in the maps that `glnet-geo batch` makes of them.

    python benchmarks/tile_seams.py SCENE [--tile 512]

Cuts a scene into tiles, maps them with the bundled model, and prints how often neighbouring pixels
differ across the edges of tiles against anywhere else; 1.0 is an edge that does not show. Once as
it is by default, where adjacent tiles are mapped as one scene, and once with `--no-neighbours`.
Prints also how many pixels differ from the map of the undivided scene. Exits with 1 where the
default's ratio is above 1.10.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from seams import LIMIT, Lines

from glnet_geo.batch_report import BatchOptions
from glnet_geo.batching import batch
from glnet_geo.grid import Grid, Window
from glnet_geo.prediction import predict
from glnet_geo.raster import SceneReader, read_classes
from glnet_geo.raster_output import write_scene


def cut(scene: Path, tile: int, folder: Path) -> tuple[Path, np.ndarray]:
    """The scene as a GeoTIFF in a projected CRS, and its tiles; its path and pixels."""
    with SceneReader(scene, n_bands=3) as reader:
        pixels = reader.read(reader.grid.window).pixels
    grid = Grid.north_up(*pixels.shape[1:], 330_000, 2_780_000, 0.5, "EPSG:32640")
    write_scene(folder / "scene.tif", pixels, grid)
    (folder / "tiles").mkdir()
    for row in range(0, grid.height, tile):
        for column in range(0, grid.width, tile):
            part = np.ascontiguousarray(pixels[:, row : row + tile, column : column + tile])
            window = Window(row, column, *part.shape[1:])
            path = folder / "tiles" / f"{row // tile:03}-{column // tile:03}.tif"
            write_scene(path, part, grid.crop(window))
    return folder / "scene.tif", pixels


def joined(tiles: Path, out: Path, tile: int, height: int, width: int) -> np.ndarray:
    """The maps of the tiles, side by side."""
    labels = np.empty((height, width), np.uint8)
    for path in sorted(tiles.glob("*.tif")):
        row, column = (int(part) * tile for part in path.stem.split("-"))
        labels[row : row + tile, column : column + tile] = read_classes(out / path.name)
    return labels


def main() -> None:
    """Prints a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", type=Path)
    parser.add_argument("--tile", type=int, default=512)
    options = parser.parse_args()
    passed = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene, pixels = cut(options.scene, options.tile, folder)
        height, width = pixels.shape[1:]
        predict(scene, folder / "whole.tif")
        whole = read_classes(folder / "whole.tif")
        lines = Lines(height, width)
        edges = [range(options.tile, length, options.tile) for length in (height, width)]
        lines.add(Window(0, 0, height, width), *edges)
        print(f"{width} x {height} px in tiles of {options.tile} px")
        print(f"{'':<16}{'across edges':>14}{'unlike the undivided scene':>30}")
        for label, neighbours in (("as one scene", True), ("no neighbours", False)):
            out = folder / label
            batch([str(folder / "tiles")], out, options=BatchOptions(neighbours=neighbours))
            labels = joined(folder / "tiles", out, options.tile, height, width)
            ratio, unlike = lines.ratio(labels), (labels != whole).mean()
            print(f"{label:<16}{ratio:14.2f}{100 * unlike:28.2f} %", flush=True)
            passed &= not neighbours or ratio <= LIMIT
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
