"""Speed, peak memory and soundness of `glnet-geo vectorize` against GDAL's polygonizer.

    python benchmarks/vectorizing.py [--quick] [--runs 3] [--json FILE]

Maps of seven blobby classes (`class_maps.py`) of 10,000 x 10,000, 20,000 x 20,000 and 40,000 rows x
20,000 columns are made into GeoPackages by GDALPolygonize, by `rasterio.features.shapes`
(`polygonizers.py`) and by the command, each a child process, in turns. Peak memory is what the
operating system accounts for. "x ours" compares least seconds; polygons, vertices (closing points
included) and whether `shapely.coverage_is_valid` holds are read from the files: for all polygons of
maps of up to 10,000 x 10,000, else for those of a window of 5000 x 5000 in the middle.

Exits with 1 where the command is slower than GDAL at 20,000 x 20,000, takes more than 1 GB, or 20 %
more for twice the rows, or where its coverage is not valid or its polygons are not as many or as
large as GDAL's. `--quick` takes small maps, and looks at the polygons alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from class_maps import make_class_map

PEAK_GIGABYTES = 1.0
GROWTH = 1.20
OURS, GDAL, SHAPES = "vectorize (ours)", "GDALPolygonize", "rasterio shapes"
_WHOLE = 10_000  # pixels on a side up to which the whole coverage is checked
_WINDOW = 5000
_BATCH = 100_000


@dataclass(frozen=True)
class Task:
    """A map, who vectorizes it and how often."""

    height: int
    width: int
    tools: tuple[str, ...]
    runs: int


@dataclass
class Row:
    """What a tool took for a map, and what came out."""

    height: int
    width: int
    tool: str
    seconds: list[float] = field(default_factory=list)
    gigabytes: list[float] = field(default_factory=list)
    said: dict = field(default_factory=dict)
    polygons: int = 0
    vertices: int = 0
    area: float = 0.0
    coverage_is_valid: bool = False

    @property
    def peak(self) -> float:
        """The most GB of all runs."""
        return max(self.gigabytes)


def tasks(quick: bool, runs: int) -> list[Task]:
    """The last two maps differ in their rows alone."""
    everyone = (GDAL, SHAPES, OURS)
    if quick:
        return [Task(2000, 2000, everyone, 1), Task(4000, 2000, (GDAL, OURS), 1)]
    return [
        Task(10_000, 10_000, everyone, 1),
        Task(20_000, 20_000, everyone, runs),
        Task(40_000, 20_000, (GDAL, OURS), 1),
    ]


def command_of(tool: str, source: Path, output: Path) -> list[str]:
    """The command line of a tool."""
    if tool == OURS:
        words = ["-m", "glnet_geo", "vectorize", str(source), "-o", str(output)]
        return [sys.executable, *words, "--overwrite", "--quiet", "--json"]
    script = Path(__file__).with_name("polygonizers.py")
    name = {GDAL: "gdal", SHAPES: "shapes"}[tool]
    return [sys.executable, str(script), name, str(source), str(output)]


def measure(command: list[str], answer: Path) -> tuple[float, float]:
    """Wall seconds and peak GB of a child process, whose stdout goes to a file."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    to_file = (os.POSIX_SPAWN_OPEN, 1, str(answer), flags, 0o600)
    started = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=[to_file])
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - started
    if status:
        sys.exit(f"{' '.join(command)} failed")
    return seconds, usage.ru_maxrss * 1024 / 1e9


def apart(function, *arguments):
    """Calls a function in a new process: a child's peak counts what its parent held before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def examine(path: Path, window: float | None) -> dict:
    """Polygons, vertices, area and soundness of a GeoPackage.

    Args:
        path: The GeoPackage; its first layer with geometries is read.
        window: Side of the middle part whose coverage is checked, in map units; None for all.
    """
    import numpy as np
    import pyogrio
    import pyogrio.raw
    import shapely

    layer = next(name for name, kind in pyogrio.list_layers(path) if kind)
    info = pyogrio.read_info(path, layer=layer, force_total_bounds=True)
    vertices, area, kept = 0, 0.0, []
    left, bottom, right, top = info["total_bounds"]
    x, y, half = (left + right) / 2, (bottom + top) / 2, (window or 0) / 2
    middle = shapely.box(x - half, y - half, x + half, y + half)
    for first in range(0, info["features"], _BATCH):
        batch = {"skip_features": first, "max_features": _BATCH}
        wkb = pyogrio.raw.read(path, layer=layer, columns=[], **batch)[2]
        polygons = shapely.from_wkb(wkb)
        vertices += int(shapely.get_num_coordinates(polygons).sum())
        area += float(shapely.area(polygons).sum())
        kept.append(polygons if window is None else polygons[shapely.intersects(polygons, middle)])
    return {
        "polygons": int(info["features"]),
        "vertices": vertices,
        "area": area,
        "coverage_is_valid": bool(shapely.coverage_is_valid(np.concatenate(kept))),
    }


def run(task: Task, folder: Path) -> list[Row]:
    """Runs the tools in turns and examines what the last turn wrote."""
    source, answer = folder / "map.tif", folder / "answer.json"
    apart(make_class_map, source, task.height, task.width)
    rows = [Row(task.height, task.width, tool) for tool in task.tools]
    window = None if max(task.height, task.width) <= _WHOLE else _WINDOW * 0.5
    for turn in range(task.runs):
        for row in rows:
            output = folder / "polygons.gpkg"
            # What one run left to write would slow the next.
            os.sync()
            seconds, gigabytes = measure(command_of(row.tool, source, output), answer)
            row.seconds.append(seconds)
            row.gigabytes.append(gigabytes)
            row.said = json.loads(answer.read_text())
            if turn == task.runs - 1:
                for name, value in apart(examine, output, window).items():
                    setattr(row, name, value)
            output.unlink()
    return rows


def print_rows(rows: list[Row]) -> None:
    """A table for a map."""
    least = min(next(row for row in rows if row.tool == OURS).seconds)
    size = f"{rows[0].width} x {rows[0].height} px"
    print(f"{size:<21}{'runs':>5}{'least s':>9}{'median s':>9}{'x ours':>7}{'peak GB':>8}", end="")
    print(f"{'polygons':>9}{'vertices':>10}  coverage")
    for row in rows:
        ratio = min(row.seconds) / least
        print(f"{row.tool:<21}{len(row.seconds):5}{min(row.seconds):9.1f}", end="")
        print(f"{median(row.seconds):9.1f}{ratio:7.2f}{row.peak:8.2f}{row.polygons:9}", end="")
        print(f"{row.vertices:10}  {'valid' if row.coverage_is_valid else 'not valid'}", flush=True)
    for row in rows:
        if row.tool == SHAPES:
            print(f"  rasterio shapes before writing: {row.said['seconds_before_writing']:.1f} s")


def unsound(rows: list[Row]) -> list[str]:
    """What is wrong with the command's polygons of a map."""
    ours = next(row for row in rows if row.tool == OURS)
    wrong = [] if ours.coverage_is_valid else ["the coverage is not valid"]
    for row in rows:
        if row.polygons != ours.polygons:
            wrong.append(f"{row.tool} has {row.polygons} polygons, not {ours.polygons}")
        if abs(row.area - ours.area) > 1e-9 * row.area:
            wrong.append(f"{row.tool} covers {row.area} m2, not {ours.area}")
    return [f"{ours.width} x {ours.height} px: {words}" for words in wrong]


def excesses(rows: list[Row]) -> list[str]:
    """Which limits the command passes, of all rows of a long benchmark."""
    at = {(row.height, row.tool): row for row in rows}
    ours, gdal, tall = at[20_000, OURS], at[20_000, GDAL], at[40_000, OURS]
    passed = []
    if min(ours.seconds) > min(gdal.seconds):
        passed.append("slower than GDALPolygonize")
    if max(ours.peak, tall.peak) > PEAK_GIGABYTES:
        passed.append(f"more than {PEAK_GIGABYTES} GB")
    if tall.peak >= GROWTH * ours.peak:
        passed.append(f"memory grows by {GROWTH - 1:.0%} or more from 20,000 to 40,000 rows")
    return passed


def main() -> None:
    """Prints a table for each map."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small maps, no limits of speed")
    parser.add_argument("--runs", type=int, default=3, help="turns at 20,000 x 20,000")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    rows, wrong = [], []
    with tempfile.TemporaryDirectory() as name:
        for task in tasks(options.quick, options.runs):
            rows.append(run(task, Path(name)))
            print_rows(rows[-1])
            wrong += unsound(rows[-1])
    flat = [row for of_map in rows for row in of_map]
    said = next(row.said for row in flat if row.tool == GDAL)
    print(f"{os.cpu_count()} processors; GDAL {said['gdal']}, ", end="")
    print(f"its default cache of {said['cache_bytes'] / 1e6:.0f} MB")
    lower, tall = (next(row for row in part if row.tool == OURS) for part in rows[-2:])
    growth = tall.peak / lower.peak
    print(f"memory of {tall.height} rows against {lower.height}: {growth - 1:+.0%}")
    if not options.quick:
        wrong += excesses(flat)
    for words in wrong:
        print(words)
    if options.json:
        figures = {"processors": os.cpu_count(), "rows": [asdict(row) for row in flat]}
        options.json.write_text(json.dumps({**figures, "growth": growth, "wrong": wrong}, indent=2))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
