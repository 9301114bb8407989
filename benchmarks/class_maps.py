"""Class maps to vectorize: blobs of seven classes, salt noise and a wedge without data.

    python benchmarks/class_maps.py m20.tif [--height 20000] [--width 20000] [--seed 0]

A pixel's class is the largest of seven smooth random fields (cubic B-splines on coarse grids, two
scales added), then a few pixels take another class, then a wedge in the upper left corner has no
data. At 20,000 x 20,000 that makes some 190,000 4-connected polygons with 17.6 million vertices;
texture and shares are the same at any size. Rows are made and written 512 at a time.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

CLASSES = 7  # ids 1-7
NODATA = 255
SCALES = ((48, 127), (12, 12))  # pixels a cell, largest value on the grid
SALT = 2.6e-4  # of the pixels
WEDGE = 0.25  # of the width, in the first row
_STRIP = 512


def spline_weights(first: int, count: int, cell: int) -> tuple[int, np.ndarray]:
    """Cubic B-spline weights of grid nodes at pixels.

    Args:
        first: The first pixel.
        count: How many pixels.
        cell: Pixels between nodes.

    Returns:
        The first node, and weights as pixels x nodes: multiples of 1/256, so that sums in float32
        are exact and every machine makes the same map.
    """
    place = (np.arange(first, first + count) + 0.5) / cell
    origin = int(place[0])
    distance = np.abs(place[:, None] - origin - np.arange(-1, int(place[-1]) - origin + 3))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clip(0) ** 3 / 6
    weights = np.where(distance < 1, near, far)
    return origin, (np.round(weights * 256) / 256).astype(np.float32)


class Field:
    """Seven smooth random fields of one scale."""

    def __init__(self, width: int, cell: int, largest: int, seed: int) -> None:
        self._cell = cell
        self._largest = largest
        self._seed = seed
        self._nodes = width // cell + 4
        self._columns = [
            (left, *spline_weights(left, min(_STRIP, width - left), cell))
            for left in range(0, width, _STRIP)
        ]

    def _node_row(self, row: int) -> np.ndarray:
        """Values at a row of nodes, classes x nodes."""
        generator = np.random.default_rng((self._seed, self._cell, row))
        values = generator.integers(-self._largest, self._largest + 1, (self._nodes, CLASSES))
        return values.T.astype(np.float32)

    def rows(self, top: int, count: int) -> np.ndarray:
        """Node columns at pixel rows, classes x rows x nodes."""
        origin, weights = spline_weights(top, count, self._cell)
        nodes = np.stack([self._node_row(origin + k) for k in range(weights.shape[1])])
        return np.einsum("rk,kcn->crn", weights, nodes)

    def block(self, rows: np.ndarray, index: int) -> np.ndarray:
        """A block of columns at full resolution, classes x rows x columns."""
        _, origin, weights = self._columns[index]
        return rows[:, :, origin : origin + weights.shape[1]] @ weights.T


def make_strip(fields: list[Field], top: int, count: int, width: int, salt) -> np.ndarray:
    """Classes of some rows, without the wedge; `salt` is the strip's random generator."""
    strip = np.empty((count, width), np.uint8)
    rows = [field.rows(top, count) for field in fields]
    for index, left in enumerate(range(0, width, _STRIP)):
        total = sum(field.block(one, index) for field, one in zip(fields, rows, strict=True))
        strip[:, left : left + _STRIP] = total.argmax(axis=0) + 1
    places = salt.integers(0, strip.size, salt.binomial(strip.size, SALT))
    flat = strip.reshape(-1)
    # A step of 1 to 6 always leads to another class.
    flat[places] = (flat[places] - 1 + salt.integers(1, CLASSES, len(places))) % CLASSES + 1
    return strip


def strips(height: int, width: int, seed: int = 0):
    """The map from top to bottom, strip by strip: uint8, rows x width, ids 1-7 and 255."""
    fields = [Field(width, cell, largest, seed) for cell, largest in SCALES]
    for top in range(0, height, _STRIP):
        count = min(_STRIP, height - top)
        strip = make_strip(fields, top, count, width, np.random.default_rng((seed, top)))
        edge = WEDGE * width * (1 - np.arange(top, top + count) / height)
        strip[np.arange(width) < edge[:, None]] = NODATA
        yield strip


def make_class_map(path: Path, height: int, width: int, seed: int = 0) -> None:
    """Writes the map as a tiled, deflate-compressed GeoTIFF of 0.5 m pixels."""
    import rasterio
    from affine import Affine
    from rasterio.windows import Window

    profile = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "count": 1,
        "dtype": "uint8",
        "nodata": NODATA,
        "crs": "EPSG:32640",
        "transform": Affine(0.5, 0, 330_000, 0, -0.5, 2_780_000),
        "tiled": True,
        "blockxsize": _STRIP,
        "blockysize": _STRIP,
        "compress": "deflate",
        "bigtiff": "if_safer",
    }
    with rasterio.Env(GDAL_CACHEMAX=64), rasterio.open(path, "w", **profile) as dataset:
        top = 0
        for strip in strips(height, width, seed):
            dataset.write(strip, 1, window=Window(0, top, width, len(strip)))
            top += len(strip)


def main() -> None:
    """Writes a map."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--height", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    make_class_map(options.path, options.height, options.width, options.seed)


if __name__ == "__main__":
    main()
