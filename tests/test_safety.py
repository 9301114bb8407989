"""`--safe`: files that strangers made, each of them a real one."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import struct
import tracemalloc
import zlib
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.enums import Resampling
from rasterio.shutil import copy as copy_raster

from glnet_geo import safety
from glnet_geo.class_raster import ClassRaster
from glnet_geo.errors import BatchError, FeaturesError, GlnetGeoError, RasterError
from glnet_geo.evaluation import evaluate
from glnet_geo.grid import Window
from glnet_geo.opening import gdal_environment
from glnet_geo.outlines import read_outlines
from glnet_geo.raster import SceneReader
from glnet_geo.scene_inputs import find_inputs
from glnet_geo.vectorizing import vectorize
from tests.file_server import serving
from tests.rasters import UTM, noise, placed_tif

TILED = {"tiled": True, "blockxsize": 64, "blockysize": 64}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "given").mkdir()
    return tmp_path / "given" / "scene.tif"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A raster that nobody shall get at."""
    return placed_tif(tmp_path / "secret.tif", noise(64, 64))


def refusal(path: Path | str) -> str:
    """Why a raster is refused, by all that open some."""
    with gdal_environment(), pytest.raises(RasterError) as first:
        SceneReader(path, safe=True)
    with gdal_environment(), pytest.raises(RasterError) as second:
        ClassRaster(path, safe=True)
    assert str(first.value) == str(second.value)
    assert "\n" not in str(first.value)
    return str(first.value)


def png_head(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and holds no pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


class TestFormats:
    @pytest.mark.parametrize("name", ["mosaic.vrt", "scene.tif"])
    def test_a_virtual_raster_under_any_name(self, path: Path, outside: Path, name: str) -> None:
        vrt = path.with_name(name)
        copy_raster(str(outside), str(vrt), driver="VRT")
        with SceneReader(vrt) as scene:  # it is one that GDAL reads
            assert scene.grid.width == 64
        assert "is no GeoTIFF, PNG, JPEG or JPEG 2000" in refusal(vrt)

    def test_a_tile_index(self, path: Path, outside: Path) -> None:
        index = path.with_name("index.gti.gpkg")
        box = shapely.box(500_000, 4_999_968, 500_032, 5_000_000)
        frame = geopandas.GeoDataFrame({"location": [str(outside)]}, geometry=[box])
        frame.set_crs("EPSG:32633").to_file(index)
        assert "is no GeoTIFF" in refusal(index)
        index.with_name("index.tif").write_text(
            f"<GDALTileIndexDataset><IndexDataset>{index}</IndexDataset></GDALTileIndexDataset>"
        )
        assert "is no GeoTIFF" in refusal(index.with_name("index.tif"))

    def test_archives_and_prefixes(self, path: Path, outside: Path) -> None:
        archive = shutil.make_archive(str(path.with_suffix("")), "zip", path.parent.parent)
        for name in (f"/vsizip/{archive}/secret.tif", f"/vsisubfile/0,{outside}", "/vsimem/a.tif"):
            assert "is no local file, and --safe reads no others" in refusal(name)
        assert "is no GeoTIFF" in refusal(Path(archive))
        assert "does not exist" in refusal(f"GTIFF_DIR:1:{outside}")
        assert "does not exist" in refusal(path)
        os.mkfifo(path)
        assert "is no regular file" in refusal(path)

    @pytest.mark.parametrize("suffix", ["png", "jpg", "jp2"])
    def test_pictures_pass(self, path: Path, suffix: str) -> None:
        placed_tif(path, noise(40, 50))
        picture = path.with_suffix(f".{suffix}")
        drivers = {"png": "PNG", "jpg": "JPEG", "jp2": "JP2OpenJPEG"}
        copy_raster(str(path), str(picture), driver=drivers[suffix])
        with SceneReader(picture, safe=True) as scene:
            assert scene.read(scene.grid.window).pixels.shape == (3, 40, 50)


class TestNetwork:
    def test_urls(self) -> None:
        with serving() as server:
            for name in (f"{server.url}/a.tif", f"/vsicurl/{server.url}/a.tif", "s3://b/a.tif"):
                assert "is no local file" in refusal(name)
            assert server.requests == []

    def test_gdal_follows_what_metadata_name(self, path: Path, outside: Path) -> None:
        """Or the next test would be of no use."""
        placed_tif(path, noise(600, 600), **TILED)
        with rasterio.Env(GDAL_PAM_ENABLED=False), rasterio.open(path, "r+") as dataset:
            dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(outside))
        with SceneReader(path) as scene:
            assert outside in scene.files

    @pytest.mark.parametrize("domain", ["OVERVIEWS", "overviews", "GEOLOCATION"])
    def test_metadata_that_name_a_file_elsewhere(self, path: Path, domain: str) -> None:
        placed_tif(path, noise(600, 600), **TILED)
        with serving() as server:
            link = f"/vsicurl/{server.url}/a.tif"
            with rasterio.Env(GDAL_PAM_ENABLED=False), rasterio.open(path, "r+") as dataset:
                dataset.update_tags(ns=domain, OVERVIEW_FILE=link, X_DATASET=link)
            assert "names other files in its metadata" in refusal(path)
            assert server.requests == []


class TestSideFiles:
    def test_a_link_out_of_the_folder(self, path: Path, outside: Path) -> None:
        path.symlink_to(outside)
        assert "is a link out of its folder" in refusal(path)

    def test_a_link_within_the_folder_passes(self, path: Path) -> None:
        placed_tif(path.with_name("other.tif"), noise(8, 8))
        path.symlink_to(path.with_name("other.tif"))
        with SceneReader(path, safe=True) as scene:
            assert scene.grid.height == 8

    @pytest.mark.parametrize("is_link", [False, True])
    def test_a_mask_beside_it(self, path: Path, outside: Path, is_link: bool) -> None:
        placed_tif(path, noise(64, 64))
        mask = Path(f"{path}.msk")
        mask.symlink_to(outside) if is_link else shutil.copy(outside, mask)
        assert "has its mask in another file, scene.tif.msk" in refusal(path)

    def test_overviews_and_metadata_beside_it_are_not_read(self, path: Path, outside: Path) -> None:
        placed_tif(path, noise(600, 600), **TILED)
        copy_raster(str(outside), f"{path}.ovr", driver="VRT")
        Path(f"{path}.aux.xml").write_text(
            '<PAMDataset><Metadata domain="OVERVIEWS">'
            f'<MDI key="OVERVIEW_FILE">{outside}</MDI></Metadata>'
            "<Metadata><MDI key='CLASS_1'>forged</MDI></Metadata></PAMDataset>"
        )
        with gdal_environment(), SceneReader(path, safe=True) as scene:
            assert scene.files == (path.resolve(),)
            seen = scene.view(60, 60).read(Window(0, 0, 60, 60)).pixels
        for name in (f"{path}.ovr", f"{path}.aux.xml"):
            Path(name).unlink()
        with gdal_environment(), SceneReader(path) as scene:
            expected = scene.view(60, 60).read(Window(0, 0, 60, 60)).pixels
        np.testing.assert_array_equal(seen, expected)

    def test_classes_beside_a_map_are_not_read(self, path: Path, tmp_path: Path) -> None:
        placed_tif(path, np.ones((1, 8, 8), np.uint8))
        frame = geopandas.pd.DataFrame({"Value": [1], "Class": ["forged"]})
        import pyogrio

        pyogrio.write_dataframe(frame, tmp_path / "t.dbf", driver="ESRI Shapefile")
        shutil.move(tmp_path / "t.dbf", f"{path}.vat.dbf")
        with ClassRaster(path) as trusted, ClassRaster(path, safe=True) as safe:
            assert trusted.classes.of(1).name == "forged"
            assert safe.classes.of(1).name == "1"


class TestSizes:
    def test_a_picture_of_too_many_pixels(self, path: Path) -> None:
        bomb = path.with_suffix(".png")
        bomb.write_bytes(png_head(200_000, 200_000))
        tracemalloc.start()
        assert "200000 x 200000 px, and --safe reads at most 1e+10 px" in refusal(bomb)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
        tracemalloc.stop()
        bomb.write_bytes(png_head(30_000, 30_000))
        assert "at most 1024 MiB of a picture" in refusal(bomb)

    def test_strips_of_a_gigabyte(self, path: Path) -> None:
        # A single one GDAL decodes row by row.
        size = {"count": 1, "height": 60_000, "width": 35_000, "dtype": "uint8"}
        strip = {"blockysize": 30_000, "sparse_ok": True, "compress": "deflate"}
        with rasterio.open(path, "w", driver="GTiff", **size, **strip, **UTM):
            pass
        assert path.stat().st_size < 10_000
        assert "blocks of 35000 x 30000 px, and --safe reads at most 128 MiB" in refusal(path)

    def test_many_bands(self, path: Path) -> None:
        placed_tif(path, np.zeros((513, 2, 2), np.uint8))
        assert "513 bands, and --safe reads at most 512" in refusal(path)

    def test_an_image_that_cannot_be_read_hides_no_other(self, path: Path) -> None:
        placed_tif(path, noise(256, 256), **TILED)
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2, 4], Resampling.nearest)
        content = bytearray(path.read_bytes())
        (first,) = struct.unpack_from("<I", content, 4)
        (count,) = struct.unpack_from("<H", content, first)
        (second,) = struct.unpack_from("<I", content, first + 2 + 12 * count)
        (count,) = struct.unpack_from("<H", content, second)
        for entry in range(second + 2, second + 2 + 12 * count, 12):
            if struct.unpack_from("<H", content, entry) == (259,):  # compression
                struct.pack_into("<H", content, entry + 8, 12345)  # unknown
        path.write_bytes(content)
        assert "has an image that cannot be read" in refusal(path)

    def test_overviews_and_masks_have_sizes_of_their_own(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        placed_tif(path, noise(256, 256), mask=np.full((256, 256), 255, np.uint8), **TILED)
        with rasterio.Env(GDAL_TIFF_OVR_BLOCKSIZE=128), rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2], Resampling.nearest)
        with SceneReader(path, safe=True) as scene:
            assert scene.read(scene.grid.window).valid.all()
        # The scene's own tiles would pass, those of its overview don't.
        monkeypatch.setattr(safety, "MAX_BLOCK_BYTES", 3 * 64 * 64)
        assert "blocks of 128 x 128 px" in refusal(path)
        monkeypatch.undo()
        monkeypatch.setattr("glnet_geo.safe_raster.MAX_IMAGES", 2)
        assert "more than 2 images" in refusal(path)


class TestVectorFiles:
    @pytest.fixture
    def area(self, path: Path) -> Path:
        box = shapely.box(500_000, 4_999_990, 500_010, 5_000_000)
        frame = geopandas.GeoDataFrame({"class": ["water"]}, geometry=[box], crs="EPSG:32633")
        frame.to_file(path.with_name("area.gpkg"), layer="area")
        frame.to_file(path.with_name("area.geojson"))
        frame.to_file(path.with_name("area.shp"))
        return path.with_name("area.gpkg")

    def refused(self, file: Path) -> str:
        with pytest.raises(FeaturesError) as error:
            read_outlines(file, safe=True)
        return str(error.value)

    def test_what_passes_and_what_does_not(self, area: Path) -> None:
        for suffix in (".gpkg", ".geojson"):
            assert len(read_outlines(area.with_suffix(suffix), safe=True).polygons) == 1
        assert "--safe reads GeoPackage (.gpkg) and GeoJSON" in self.refused(
            area.with_suffix(".shp")
        )
        renamed = area.with_name("renamed.gpkg")
        shutil.copy(area.with_suffix(".shp"), renamed)
        assert "is no GeoPackage" in self.refused(renamed)
        renamed.unlink()
        renamed.symlink_to(area.parent.parent / "secret.gpkg")
        shutil.copy(area, area.parent.parent / "secret.gpkg")
        assert "is a link out of its folder" in self.refused(renamed)

    @pytest.mark.parametrize(
        "sql",
        [
            "CREATE VIEW v AS SELECT * FROM area",
            "CREATE VIRTUAL TABLE v USING fts4(content)",
        ],
    )
    def test_sql_of_a_strangers(self, area: Path, sql: str) -> None:
        with sqlite3.connect(area) as database:
            database.execute(sql)
        database.close()
        assert "has a view or a virtual table" in self.refused(area)

    def test_a_crs_that_is_a_link(self, area: Path) -> None:
        file = area.with_suffix(".geojson")
        content = json.loads(file.read_text())
        with serving() as server:
            for kind in ("link", "url"):
                link = {"type": kind, "properties": {"href": server.url, "url": server.url}}
                file.write_text(json.dumps({**content, "CRS": link}))
                assert "its CRS is a link" in self.refused(file)
            assert server.requests == []

    def test_other_json(self, area: Path) -> None:
        file = area.with_suffix(".geojson")
        for text in ("[1]", '{"type": "Topology"}', '{"layers": 1}'):
            file.write_text(text)
            assert "is no GeoJSON" in self.refused(file)


class TestCommands:
    def test_a_sound_scene_has_the_same_map(self, path: Path, tmp_path: Path, model, cli) -> None:
        placed_tif(path, noise(100, 120), **TILED)
        maps = [tmp_path / "a.tif", tmp_path / "b.tif"]
        for output, options in zip(maps, ((), ("--safe",)), strict=True):
            assert cli("predict", path, "-o", output, "--model", model, *options).code == 0
        with rasterio.open(maps[0]) as one, rasterio.open(maps[1]) as other:
            np.testing.assert_array_equal(one.read(), other.read())
            assert one.tags() == other.tags()
        polygons = tmp_path / "b.gpkg"
        assert cli("vectorize", maps[1], "-o", polygons, "--safe").code == 0
        names = set(geopandas.read_file(polygons, layer="landcover")["class"])
        assert names <= {"building", "land", "road", "vegetation", "water"}
        assert cli("evaluate", maps[0], maps[1], "--safe").code == 0

    def test_refusals_are_one_line_and_leave_nothing(
        self, path: Path, outside: Path, tmp_path: Path, model, cli
    ) -> None:
        vrt = path.with_name("scene.vrt")
        copy_raster(str(outside), str(vrt), driver="VRT")
        output, reference = tmp_path / "out.tif", placed_tif(path, np.ones((1, 8, 8), np.uint8))
        before = sorted(tmp_path.iterdir())
        commands = [
            ("predict", vrt, "-o", output, "--model", model),
            ("predict", "https://x.org/a.tif?key=s3cret", "-o", output, "--model", model),
            ("vectorize", vrt, "-o", tmp_path / "out.gpkg"),
            ("vectorize", path, "-o", tmp_path / "out.gpkg", "--confidence", vrt),
            ("evaluate", vrt, reference),
            ("evaluate", reference, vrt),
        ]
        for command in commands:
            result = cli(*command, "--safe")
            assert result.code == 1
            assert result.error and "s3cret" not in result.err
        assert sorted(tmp_path.iterdir()) == before

    def test_a_checkpoint_is_no_model(self, path: Path, tmp_path: Path, cli) -> None:
        import torch

        placed_tif(path, noise(8, 8))
        torch.save({"a": torch.ones(1)}, tmp_path / "model.pth")
        output = tmp_path / "out.tif"
        result = cli("predict", path, "-o", output, "--model", tmp_path / "model.pth", "--safe")
        assert result.code == 1 and "is not a whole safetensors file" in result.error

    def test_batch_fails_scene_by_scene(self, path: Path, outside: Path, model, cli) -> None:
        placed_tif(path, noise(40, 40))
        copy_raster(str(outside), str(path.with_name("forged.tif")), driver="VRT")
        folder = path.parent.parent / "maps"
        result = cli("batch", path.parent, "-o", folder, "--model", model, "--safe", "--retries=0")
        assert result.code == 1 and "forged" in result.err and "is no GeoTIFF" in result.err
        assert [one.name for one in folder.glob("*.tif")] == ["scene.tif"]

    def test_lists_and_links_do_not_lead_out(self, path: Path, outside: Path) -> None:
        placed_tif(path, noise(8, 8))
        listed = path.with_name("list.txt")
        out = path.parent.parent / "maps"
        listed.write_text("scene.tif\n")
        assert len(find_inputs([str(listed)], exclude=out, safe=True)) == 1
        listed.write_text(f"{outside}\n")
        with pytest.raises(BatchError, match="lies outside of"):
            find_inputs([str(listed)], exclude=out, safe=True)
        listed.unlink()
        (path.parent / "link").symlink_to(outside.parent, target_is_directory=True)
        with pytest.raises(BatchError, match="lies outside of"):
            find_inputs([str(path.parent)], exclude=out, safe=True)
        with pytest.raises(BatchError, match="is no local file"):
            find_inputs(["https://x.org/a.tif"], exclude=out, safe=True)

    def test_pairs_do_not_lead_out(self, path: Path, outside: Path) -> None:
        pairs = path.with_name("pairs.csv")
        pairs.write_text(f"prediction,reference\n{outside},{outside}\n")
        with pytest.raises(GlnetGeoError, match="lies outside of"):
            evaluate(pairs, safe=True)

    def test_python_keyword(self, path: Path, outside: Path, tmp_path: Path) -> None:
        copy_raster(str(outside), str(path), driver="VRT")
        with pytest.raises(RasterError, match="--safe reads nothing else"):
            vectorize(path, tmp_path / "out.gpkg", safe=True)
