"""The whole road on a scene that is made for the purpose and whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from glnet_geo.errors import OutputError
from glnet_geo.grid import Grid
from glnet_geo.legend import DUBAI
from glnet_geo.map_summary import MapSummary
from glnet_geo.metrics import ConfusionMatrix, Scores
from glnet_geo.outputs import check_output, write_whole
from glnet_geo.prediction import predict
from glnet_geo.quicklook import Panel, png_bytes, quicklook
from glnet_geo.raster import read_classes
from glnet_geo.raster_output import class_map, write_scene
from glnet_geo.synthetic import make_scene
from glnet_geo.units import Area, Length
from glnet_geo.vector_summary import VectorSummary
from glnet_geo.vectorizing import Generalisation, vectorize

GSD_M = 0.5
_CRS = "EPSG:32640"  # UTM zone 40 north
_CORNER = (330_000.0, 2_780_000.0)  # easting and northing of the upper left corner
_NAMES = ("scene.tif", "truth.tif", "landcover.tif", "landcover.gpkg", "quicklook.png")
# What a planner would have of such a map: no specks, borders without steps.
_GENERALISATION = Generalisation(min_area=Area(25, "m2"), simplify=Length(1, "m"))


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo made.

    Attributes:
        scene: The synthetic scene.
        truth: Its true classes.
        quicklook: A picture of scene, truth and prediction.
        summary: The prediction and its summary.
        polygons: The polygons of the prediction and their summary.
        scores: Of the prediction against the truth.
    """

    scene: Path
    truth: Path
    quicklook: Path
    summary: MapSummary
    polygons: VectorSummary
    scores: Scores


def run_demo(
    folder: Path | str,
    *,
    size: int = 2448,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> DemoResult:
    """Makes a synthetic scene, maps it with the bundled model, and vectorizes and scores the map.

    Args:
        folder: Where everything is written; made if need be.
        size: Rows and columns of the scene.
        seed: Seed of the scene.
        device: "auto", "cpu", "cuda" and so on.
        overwrite: Whether existing files may be replaced.
        report: Told the frames done and all frames.

    Raises:
        GlnetGeoError: A file exists already or cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    scene, truth, landcover, vector, picture = (folder / name for name in _NAMES)
    for path in (scene, truth, landcover, vector, picture):
        check_output(path, overwrite)
    made = make_scene(size, size, seed)
    grid = Grid.north_up(size, size, *_CORNER, GSD_M, _CRS)
    write_scene(scene, made.pixels, grid)
    with class_map(truth, grid, DUBAI, {"SOURCE": "synthetic scene"}) as writer:
        writer.write(made.labels, grid.window)
    summary = predict(scene, landcover, device=device, overwrite=overwrite, report=report)
    polygons = vectorize(landcover, vector, generalisation=_GENERALISATION, overwrite=overwrite)
    predicted = read_classes(landcover)
    panels = (
        Panel("Scene (synthetic)", made.pixels),
        Panel("Truth", made.labels),
        Panel("Prediction", predicted),
    )
    write_whole(picture, png_bytes(quicklook(panels, DUBAI)))
    scores = ConfusionMatrix(DUBAI).add(made.labels, predicted).scores()
    return DemoResult(scene, truth, picture, summary, polygons, scores)
