"""Speed, peak memory and soundness of `glnet-geo stats` with 500 zones.

    python benchmarks/zones.py [--quick] [--spanning 500] [--map FILE]

A map of seven blobby classes (`class_maps.py`) of 20,000 x 20,000 is measured in 400 districts that
share jagged borders, in 80 blobs that overlap them and each other, and in 20 stars that span the
whole map; with `--spanning`, in so many stars alone. The command is a child process, and peak
memory is what the operating system accounts for.

Exits with 1 where it takes 60 s or 1 GB or more, or where the districts' areas by class do not add
up to those of the whole map. `--quick` takes a map of 4000 x 4000, and `--map` one
that `class_maps.py` has made before.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from class_maps import make_class_map
from prediction import in_child, measure

SECONDS = 60.0
GIGABYTES = 1.0
DISTRICTS = 20  # in rows and columns
BLOBS = 80
STARS = 20
_PIXEL = 0.5
_LEFT, _TOP = 330_000, 2_780_000
_EDGE = 100  # vertices of a district's side


def districts(side: int, rng: np.random.Generator) -> list:
    """A partition of the map; coordinates in pixels."""
    import shapely

    step, n = side / DISTRICTS, DISTRICTS
    corners = np.stack(np.meshgrid(np.arange(n + 1.0), np.arange(n + 1.0)), axis=-1) * step
    corners[1:-1, 1:-1] += rng.uniform(-0.2, 0.2, (n - 1, n - 1, 2)) * step

    def jagged(start: np.ndarray, end: np.ndarray, is_border: bool) -> np.ndarray:
        along = np.linspace(0, 1, _EDGE)[:, None]
        line = start + along * (end - start)
        if not is_border:
            # To the sides alone, and less towards the corners: nothing crosses anything.
            strays = along * (1 - along) * rng.normal(0, 0.016, (_EDGE, 1))
            line += strays * (start - end)[::-1] * (1, -1)
        return line

    across = {
        (y, x): jagged(corners[y, x], corners[y, x + 1], y in (0, n))
        for y in range(n + 1)
        for x in range(n)
    }
    down = {
        (y, x): jagged(corners[y, x], corners[y + 1, x], x in (0, n))
        for y in range(n)
        for x in range(n + 1)
    }
    return [
        shapely.Polygon(
            np.concatenate([across[y, x], down[y, x + 1], across[y + 1, x][::-1], down[y, x][::-1]])
        )
        for y in range(n)
        for x in range(n)
    ]


def stars(count: int, side: int, reach: tuple[float, float], vertices: int, rng) -> list:
    """Jagged polygons around random places, as large as a part of the map's side."""
    import shapely

    angles = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    found = []
    for _ in range(count):
        centre = rng.uniform(0.3, 0.7, 2) * side if reach[1] > 0.3 else rng.uniform(0, side, 2)
        radius = rng.uniform(*reach) * side * (1 + 0.3 * np.sin(5 * angles))
        radius = radius + rng.normal(0, 8, vertices)
        ring = centre + radius[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
        found.append(shapely.Polygon(ring))
    return found


def make_zones(path: Path, side: int, spanning: int | None) -> None:
    """Writes the zones, the districts first."""
    import geopandas
    import shapely

    rng = np.random.default_rng(0)
    if spanning is None:
        polygons = [
            *districts(side, rng),
            *stars(BLOBS, side, (0.02, 0.15), 400, rng),
            *stars(STARS, side, (0.4, 0.7), 5000, rng),
        ]
    else:
        polygons = stars(spanning, side, (0.4, 0.7), 5000, rng)

    def to_ground(pixels: np.ndarray) -> np.ndarray:
        return pixels * (_PIXEL, -_PIXEL) + (_LEFT, _TOP)

    names = [f"zone {number}" for number in range(len(polygons))]
    placed = shapely.transform(np.array(polygons), to_ground)
    geopandas.GeoDataFrame({"name": names}, geometry=placed, crs="EPSG:32640").to_file(path)


def sums_by_class(zones: list[dict]) -> dict[int, float]:
    """Areas of all zones together."""
    found: dict[int, float] = {}
    for zone in zones:
        for one in zone["classes"]:
            found[one["id"]] = found.get(one["id"], 0.0) + one["area"]
    return found


def main() -> None:
    """Measures, and says whether the limits are kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--spanning", type=int)
    parser.add_argument("--map", type=Path)
    options = parser.parse_args()
    side = 4000 if options.quick else 20_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = options.map or folder / "map.tif"
        # A child starts with the peak of its parent, which has to stay small.
        if options.map is None:
            in_child(make_class_map, path, side, side)
        in_child(make_zones, folder / "zones.gpkg", side, options.spanning)
        n_districts = 0 if options.spanning else DISTRICTS**2
        command = [sys.executable, "-m", "glnet_geo", "stats", str(path), "-q"]
        zonal = [*command, "--zones", str(folder / "zones.gpkg")]
        wall, cpu, peak = measure([*zonal, "-o", str(folder / "zones.csv")])
        said = [subprocess.check_output([*one, "--json"]) for one in (command, zonal)]
    whole, by_zone = (json.loads(one)["zones"] for one in said)
    print(f"{side} x {side} px, {len(by_zone)} zones: {wall:.1f} s, cpu {cpu:.1f} s, {peak:.2f} GB")
    passed = wall < SECONDS and peak < GIGABYTES
    if n_districts:
        parts, total = sums_by_class(by_zone[:n_districts]), sums_by_class(whole)
        error = max(abs(parts[one] / total[one] - 1) for one in total)
        print(f"districts against the whole map: {error:.1e} off at most")
        passed &= error < 1e-7
    sys.exit(not passed)


if __name__ == "__main__":
    main()
