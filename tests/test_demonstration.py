from __future__ import annotations

import numpy as np
import pyogrio
import rasterio
from PIL import Image

from glnet_geo.legend import DUBAI
from glnet_geo.metrics import ConfusionMatrix


def test_demo_makes_what_it_says(cli, tmp_path):
    folder = tmp_path / "new" / "demo"
    result = cli("demo", "-o", folder, "--size", 700)
    assert result.code == 0, result.err
    names = ["landcover.gpkg", "landcover.tif", "quicklook.png", "scene.tif", "truth.tif"]
    assert sorted(p.name for p in folder.iterdir() if p.suffix != ".xml") == names
    assert "synthetic scene" in result.out and "nothing was trained" in result.out

    arrays, grids = {}, set()
    for name in ("scene.tif", "truth.tif", "landcover.tif"):
        assert str(folder / name) in result.out
        with rasterio.open(folder / name) as dataset:
            arrays[name] = dataset.read()
            grids.add((dataset.crs, dataset.transform, dataset.width, dataset.height))
            assert dataset.crs == "EPSG:32640" and dataset.res == (0.5, 0.5)
    assert len(grids) == 1
    truth, predicted = arrays["truth.tif"][0], arrays["landcover.tif"][0]
    scores = ConfusionMatrix(DUBAI).add(truth, predicted).scores()
    assert f"mean IoU {scores.mean_iou:.3f}" in result.out
    polygons = pyogrio.read_dataframe(folder / "landcover.gpkg", layer="landcover")
    assert polygons.crs == "EPSG:32640" and set(polygons["class"]) <= {
        c.name for c in DUBAI.classes
    }
    assert f"{len(polygons)} polygons" in result.out
    with Image.open(folder / "quicklook.png") as picture:
        colors = {color for _, color in picture.convert("RGB").getcolors(picture.width * 2000)}
    assert {c.rgb for c in DUBAI.classes} <= colors
    assert np.array_equal(np.unique(truth), [1, 2, 3, 4, 5])


def test_demo_keeps_what_is_there(cli, tmp_path):
    (tmp_path / "truth.tif").write_text("mine")
    result = cli("demo", "-o", tmp_path, "--size", 300)
    assert result.code == 1 and "--overwrite" in result.error
    assert [p.name for p in tmp_path.iterdir()] == ["truth.tif"]
    assert (tmp_path / "truth.tif").read_text() == "mine"


def test_demo_where_no_folder_can_be(cli, tmp_path):
    (tmp_path / "file").write_text("")
    result = cli("demo", "-o", tmp_path / "file" / "demo", "--size", 300)
    assert result.code == 1 and "cannot be made" in result.error
