"""What twenty polygons and twenty minutes make of a model, on a town that it has never seen.

    python benchmarks/fine_tuning.py FOLDER            # three quarters of an hour
    python benchmarks/fine_tuning.py FOLDER --minutes 5 --only init

FOLDER holds tile5_sat.jpg and tile5_mask.png of the Dubai set (see NOTICE), on which the bundled
model was not trained. Four polygons of each class are cut out of the mask as a person would draw
them: a blob of 40 to 160 pixels around a random place, as far as it is of the place's class, far
from the others of the class. They are saved in degrees, with names that the bundled model does not
know. Trained are a model that starts from the bundled one, and a new one for comparison. Both map
the scene, and what lies outside the polygons is scored; so is the bundled model's own map.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import geopandas
import numpy as np
import rasterio
import shapely
from affine import Affine
from PIL import Image
from rasterio.features import rasterize, shapes

NAMES = {1: "houses", 2: "open ground", 3: "streets", 4: "green", 5: "sea"}
COLORS = {1: "#3c1098", 2: "#8429f6", 3: "#6ec1e4", 4: "#fedd3a", 5: "#e2a929"}
A_CLASS = 4  # polygons of each
RADII = (40, 160)  # pixels
SMALLEST = 400  # pixels
CANDIDATES = 20  # places that a polygon is chosen among
PLACE = {"crs": "EPSG:32640", "transform": Affine(0.5, 0, 330_000, 0, -0.5, 2_780_000)}
DATASET = """
name = "tile 5, {count} polygons"
legend = {{ name = "town", classes = [{classes}] }}
[[scenes]]
image = "scene.tif"
labels = "polygons.gpkg"
attribute = "use"
split = "train"
"""


def write(path: Path, bands: np.ndarray) -> None:
    """Writes C x H x W uint8 as a tiled GeoTIFF."""
    count, height, width = bands.shape
    profile = {"count": count, "height": height, "width": width, "dtype": "uint8", "tiled": True}
    with rasterio.open(path, "w", driver="GTiff", compress="deflate", **profile, **PLACE) as file:
        file.write(bands)


def draw_polygon(
    mask: np.ndarray, class_id: int, others: list[shapely.Polygon], rng: np.random.Generator
) -> shapely.Polygon:
    """A blob around a place of a class, in pixels, of some random ones the farthest from others."""
    places = np.flatnonzero(mask == class_id)
    while True:
        some = [divmod(int(one), mask.shape[1]) for one in rng.choice(places, CANDIDATES)]
        row, column = max(
            some,
            key=lambda one: min((p.distance(shapely.Point(one[::-1])) for p in others), default=0),
        )
        radius = int(rng.integers(*RADII))
        top, left = max(row - radius, 0), max(column - radius, 0)
        near = mask[top : row + radius + 1, left : column + radius + 1] == class_id
        rows, columns = np.indices(near.shape)
        near &= (rows + top - row) ** 2 + (columns + left - column) ** 2 <= radius**2
        for shape, _ in shapes(near.astype(np.uint8), near):
            drawn = shapely.geometry.shape(shape).simplify(2).buffer(0)
            place = shapely.Point(column - left + 0.5, row - top + 0.5)
            if drawn.geom_type == "Polygon" and drawn.area >= SMALLEST and drawn.contains(place):
                return shapely.affinity.translate(drawn, left, top)


def make_data(source: Path, folder: Path, seed: int) -> int:
    """Writes scene, polygons, what is scored, and the dataset file; returns the labelled pixels."""
    Image.MAX_IMAGE_PIXELS = None
    scene = np.moveaxis(np.array(Image.open(source / "tile5_sat.jpg").convert("RGB")), -1, 0)
    mask = np.array(Image.open(source / "tile5_mask.png"))
    rng = np.random.default_rng(seed)
    drawn: list[tuple[int, shapely.Polygon]] = []
    for class_id in NAMES:
        for _ in range(A_CLASS):
            others = [polygon for one, polygon in drawn if one == class_id]
            drawn.append((class_id, draw_polygon(mask, class_id, others, rng)))
    inside = rasterize([polygon for _, polygon in drawn], mask.shape) > 0
    write(folder / "scene.tif", scene)
    write(folder / "truth.tif", np.where(inside, 0, mask)[None].astype(np.uint8))
    a, b, c, d, e, f = PLACE["transform"][:6]
    placed = [shapely.affinity.affine_transform(p, (a, b, d, e, c, f)) for _, p in drawn]
    table = {"use": [NAMES[class_id] for class_id, _ in drawn]}
    frame = geopandas.GeoDataFrame(table, geometry=placed, crs=PLACE["crs"])
    frame.to_crs("EPSG:4326").to_file(folder / "polygons.gpkg")
    classes = ", ".join(
        f'{{ id = {k}, name = "{NAMES[k]}", color = "{COLORS[k]}" }}' for k in NAMES
    )
    (folder / "town.toml").write_text(DATASET.format(count=len(drawn), classes=classes))
    return int(inside.sum())


def run(*arguments: object) -> str:
    """Runs glnet-geo and returns what it says on stdout."""
    command = [sys.executable, "-m", "glnet_geo", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def score(folder: Path, model: str | Path) -> str:
    """Maps the scene and scores it; a row of the table."""
    landcover = folder / "landcover.tif"
    run("predict", folder / "scene.tif", "-o", landcover, "--model", model, "--overwrite", "-q")
    found = json.loads(
        run("evaluate", landcover, folder / "truth.tif", "--ignore", "0", "--json", "-q")
    )
    shares = "".join(f"{one['iou']:12.3f}" for one in found["classes"])
    return f"{found['mean_iou']:10.3f}{shares}"


def main() -> None:
    """Prints a row for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("init", "new"))
    parser.add_argument("--keep", type=Path, help="Folder for the files that are made.")
    parser.add_argument("--options", default="", help="More options for train.")
    arguments = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        labelled = make_data(arguments.folder, folder, arguments.seed)
        print(f"{len(NAMES) * A_CLASS} polygons, {labelled:,} px", flush=True)
        print(f"{'':<28}  mean IoU" + "".join(f"{name:>12}" for name in NAMES.values()), flush=True)
        print(f"{'bundled model, as it is':<28}{score(folder, 'dubai-urban')}", flush=True)
        starts = {"init": ("--init", "dubai-urban"), "new": ()}
        for name, start in starts.items():
            if arguments.only in (None, name):
                model = folder / f"{name}.safetensors"
                time = ("--time-budget", f"{arguments.minutes}m", *arguments.options.split())
                run("train", folder / "town.toml", "-o", model, *start, *time, "--overwrite")
                title = {"init": "from the bundled model", "new": "a new model"}[name]
                print(
                    f"{f'{title}, {arguments.minutes} min':<28}{score(folder, model)}", flush=True
                )


if __name__ == "__main__":
    main()
