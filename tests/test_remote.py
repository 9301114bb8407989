"""Scenes that come over the network, from a server on this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.shutil import copy as copy_raster

from glnet_geo import opening, remote
from glnet_geo.checkpoint import read_card
from glnet_geo.class_raster import ClassRaster
from glnet_geo.errors import RasterError
from glnet_geo.grid import Window
from glnet_geo.legend import LandCover, Legend
from glnet_geo.opening import gdal_environment
from glnet_geo.raster import Chip, SceneReader
from glnet_geo.remote import is_fetched, is_remote, scene_path, without_secrets
from glnet_geo.tiling import FrameExtent
from tests.class_maps import ids, named_map
from tests.file_server import FileServer, serving
from tests.rasters import UTM, noise, placed_tif

TILED = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scene.tif"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setattr(remote, "_WAITS", (0.0, 0.0, 0.0))
    with serving() as running:
        yield running


def read_all(path: Path | str, **choice: Any) -> Chip:
    with SceneReader(path, **choice) as scene:
        return scene.read(scene.grid.window)


def refusal(path: Path | str, **choice: Any) -> str:
    with pytest.raises(RasterError) as error:
        read_all(path, **choice)
    return str(error.value)


class TestRemote:
    @pytest.mark.parametrize(
        "text",
        [
            "https://x.org/a.tif",
            "http://x.org/a.tif",
            "s3://bucket/a.tif",
            "gs://bucket/a.tif",
            "zip+https://x.org/a.zip!b.tif",
            "/vsicurl/https://x.org/a.tif",
            "/vsizip/folder/a.zip/b.tif",
        ],
    )
    def test_what_gdal_fetches_stays_as_it_is(self, text: str) -> None:
        assert scene_path(text) == text
        assert is_remote(text)

    def test_only_what_comes_over_the_network_is_fetched(self) -> None:
        for text in ("https://x.org/a.tif", "s3://b/a.tif", "/vsicurl/https://x.org/a.tif"):
            assert is_fetched(text)
        for text in ("/vsizip/a.zip/b.tif", "/vsimem/a.tif", "/vsitar/a.tar/b.tif", "a.tif"):
            assert not is_fetched(text)
        assert scene_path("file:///data/a.tif") == Path("/data/a.tif")

    @pytest.mark.parametrize("text", ["a.tif", "/data/a.tif", "C://data/a.tif", "../vsi/a.tif"])
    def test_files_are_paths(self, text: str) -> None:
        assert scene_path(text) == Path(text)
        assert not is_remote(text) and not is_remote(Path(text))

    def test_a_local_file_as_text(self, path: Path) -> None:
        pixels = noise(4, 5)
        placed_tif(path, pixels)
        np.testing.assert_array_equal(read_all(str(path)).pixels, pixels)
        assert refusal(f"{path}x") == f"{path}x does not exist."

    def test_windows_samples_and_views(self, path: Path, server: FileServer) -> None:
        url = f"{server.url}/scene.tif"
        pixels = noise(500, 700) | 1
        pixels[:, :100] = 0
        placed_tif(path, pixels, nodata=0, **TILED)
        server.content["scene.tif"] = path.read_bytes()
        window = Window(90, 600, 20, 30)
        with gdal_environment(remote=True), SceneReader(url, n_bands=3) as scene:
            chip = scene.read(window)
            seen = scene.view(250, 350).read(Window(100, 20, 5, 5))
            sample = scene.sample(50)
            assert scene.path == url
            assert scene.files == ()
        np.testing.assert_array_equal(chip.pixels, pixels[:, *window.slices])
        assert (~chip.valid).sum() == 10 * 30
        with SceneReader(path) as local:
            expected = local.view(250, 350).read(Window(100, 20, 5, 5))
            np.testing.assert_array_equal(sample, local.sample(50))
        np.testing.assert_array_equal(seen.pixels, expected.pixels)
        assert set(server.requests) == {"/scene.tif"}

    def test_one_that_is_not_there(self, server: FileServer) -> None:
        with gdal_environment(remote=True):
            message = refusal(f"{server.url}/scene.tif")
        assert "404" in message

    def test_a_busy_server_is_asked_again(self, path: Path, server: FileServer) -> None:
        placed_tif(path, noise(4, 5))
        server.content["busy.tif"] = path.read_bytes()
        server.busy = 1
        with gdal_environment(remote=True):
            assert read_all(f"{server.url}/busy.tif").pixels.shape == (3, 4, 5)

    def test_a_file_system_of_gdals(self) -> None:
        pixels = noise(4, 5)
        with rasterio.MemoryFile() as memory:
            profile = {"count": 3, "height": 4, "width": 5, "dtype": "uint8", **UTM}
            with memory.open(driver="GTiff", **profile) as dataset:
                dataset.write(pixels)
            np.testing.assert_array_equal(read_all(memory.name).pixels, pixels)
        refusal("/vsimem/nowhere.tif")

    def test_settings(self) -> None:
        with gdal_environment(64):
            options = rasterio.env.getenv()
            assert options["GDAL_CACHEMAX"] == 64 * 2**20  # bytes
            assert options["GDAL_DISABLE_READDIR_ON_OPEN"] == "TRUE"
        with gdal_environment(remote=True):
            options = rasterio.env.getenv()
            assert options["GDAL_DISABLE_READDIR_ON_OPEN"] == "EMPTY_DIR"
            assert (options["GDAL_HTTP_MAX_RETRY"], options["GDAL_HTTP_RETRY_DELAY"]) == (3, 1)


class TestBrokenConnections:
    @pytest.mark.parametrize(("spared", "dropped"), list(product(range(4), (1, 3))))
    def test_pixels_are_right_all_the_same(
        self, path: Path, server: FileServer, spared: int, dropped: int
    ) -> None:
        pixels = noise(300, 300)
        placed_tif(path, pixels, **TILED)
        server.content["scene.tif"] = path.read_bytes()
        server.spared, server.dropped = spared, dropped
        with gdal_environment(remote=True):
            np.testing.assert_array_equal(read_all(f"{server.url}/scene.tif").pixels, pixels)

    def test_of_class_rasters_too(self, path: Path, server: FileServer) -> None:
        pixels = noise(300, 300, bands=1)
        placed_tif(path, pixels, **TILED)
        server.content["scene.tif"] = path.read_bytes()
        with gdal_environment(remote=True), ClassRaster(f"{server.url}/scene.tif") as raster:
            server.dropped = 3
            labels, valid = raster.read(raster.grid.window)
        np.testing.assert_array_equal(labels, pixels[0])
        assert valid is None

    def test_a_server_that_answers_again(self, path: Path, server: FileServer) -> None:
        """GDAL by itself keeps in mind that there is no such file."""
        placed_tif(path, noise(30, 30))
        server.content["scene.tif"] = path.read_bytes()
        server.silent = 1
        with gdal_environment(remote=True):
            assert read_all(f"{server.url}/scene.tif").pixels.shape == (3, 30, 30)

    def test_in_the_end_it_is_one_line(self, path: Path, server: FileServer) -> None:
        placed_tif(path, noise(300, 300), **TILED)
        server.content["scene.tif"] = path.read_bytes()
        with gdal_environment(remote=True), SceneReader(f"{server.url}/scene.tif?a=b") as scene:
            server.dropped = 1000
            with pytest.raises(RasterError, match="cannot be read in several attempts") as error:
                scene.read(scene.grid.window)
        assert "\n" not in str(error.value) and "a=b" not in str(error.value)


class TestBuckets:
    def test_s3(self, path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = {
            "AWS_S3_ENDPOINT": server.address,
            "AWS_HTTPS": "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
            "AWS_NO_SIGN_REQUEST": "YES",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        pixels = noise(300, 300)
        placed_tif(path, pixels, **TILED)
        server.content["bucket/folder/scene.tif"] = path.read_bytes()
        for url in ("s3://bucket/folder/scene.tif", "/vsis3/bucket/folder/scene.tif"):
            with gdal_environment(remote=True), SceneReader(url) as scene:
                server.dropped = 1
                window = Window(70, 70, 40, 40)
                found = scene.read(window).pixels
            np.testing.assert_array_equal(found, pixels[:, *window.slices])
        assert {one.partition("?")[0] for one in server.requests} == {"/bucket/folder/scene.tif"}
        with gdal_environment(remote=True):
            refusal("s3://bucket/missing.tif")


class TestSecrets:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("https://me:pw@x.org/a.tif?sig=S,x: no.", "https://x.org/a.tif: no."),
            ("'/vsicurl/https://x.org/a.tif?k=S' is", "'/vsicurl/https://x.org/a.tif' is"),
            ("/vsicurl?url=https%3A%2F%2Fx.org&k=S.", "/vsicurl."),
            ("s3://b/a.tif and gs://c/d.tif?k=S", "s3://b/a.tif and gs://c/d.tif"),
            ("what? me@x.org, a.tif? no", "what? me@x.org, a.tif? no"),
        ],
    )
    def test_texts(self, text: str, shown: str) -> None:
        assert without_secrets(text) == shown
        assert str(RasterError(text)) == shown

    def test_results_have_none(self, path: Path, server: FileServer, cli) -> None:
        covers = LandCover(1, "sea", (0, 0, 9)), LandCover(2, "ice", (9, 9, 9))
        for name, order in (("old.tif", covers), ("new.tif", covers[::-1])):
            places = (LandCover(k, one.name, one.rgb) for k, one in enumerate(order, 1))
            named_map(path, ids([1, 2], [2, 1]), Legend("coast", tuple(places)))
            server.content[name] = path.read_bytes()
        old, new = (
            f"http://me:pw@{server.address}/{name}.tif?sig=s3cret" for name in ("old", "new")
        )
        outputs = path.with_name("change.tif"), path.with_name("scores.json")
        for arguments in (
            ("change", old, new, "-o", outputs[0], "--vectorize", path.with_name("change.gpkg")),
            ("evaluate", old, new, "-o", outputs[1]),
            ("stats", new, "-o", path.with_name("stats.csv")),
        ):
            result = cli(*arguments, "--json")
            assert result.code == 0, result.err
            written = b"".join(one.read_bytes() for one in path.parent.iterdir() if one.is_file())
            told = f"{result.out}{result.err}".encode() + written
            assert b"s3cret" not in told and b"me:pw" not in told, arguments
            assert b"new.tif" in told


class TestPredict:
    @pytest.fixture
    def scene(self, path: Path, server: FileServer) -> bytes:
        """Four by four frames of 256 px, in a COG."""
        source = placed_tif(path.with_name("source.tif"), noise(800, 800) // 8)
        copy_raster(str(source), str(path), driver="COG", compress="deflate", blocksize=128)
        server.content["scene.tif"] = path.read_bytes()
        return server.content["scene.tif"]

    @pytest.fixture
    def aoi(self, tmp_path: Path) -> Path:
        """Within a frame in the middle."""
        x, y = 500_000 + 350 / 2, 5_000_000 - 350 / 2
        frame = geopandas.GeoDataFrame(geometry=[shapely.box(x, y - 20, x + 20, y)])
        frame.set_crs(UTM["crs"]).to_file(tmp_path / "aoi.gpkg")
        return tmp_path / "aoi.gpkg"

    def test_only_the_needed_bytes_are_read_and_no_secret_is_kept(
        self, path: Path, scene: bytes, aoi: Path, server: FileServer, model, cli
    ) -> None:
        url = f"http://me:pw@{server.address}/scene.tif?sig=s3cret"
        remote_map, local_map = path.with_name("remote.tif"), path.with_name("local.tif")
        common = ("--model", model, "--aoi", aoi)
        result = cli("predict", url, "-o", remote_map, *common, "-vv", "--json")
        assert result.code == 0
        assert not any(secret in result.err + result.out for secret in ("s3cret", "me:pw"))
        sent = server.sent
        assert cli("predict", path, "-o", local_map, *common).code == 0
        with rasterio.open(remote_map) as one, rasterio.open(local_map) as other:
            np.testing.assert_array_equal(one.read(), other.read())
            assert one.tags()["SCENE"] == "scene.tif"
        for name in (remote_map, Path(f"{remote_map}.aux.xml")):
            assert b"s3cret" not in name.read_bytes() and b"me:pw" not in name.read_bytes()
        area = Window(350, 350, 40, 40)
        plan = read_card(model).frames(800, 800, FrameExtent.CARD, is_exact=False)
        read = [frame.read for frame in plan if frame.read.intersection(area)]
        blocks = {
            (x, y)
            for window in read
            for x in range(window.left // 128, -(-window.right // 128))
            for y in range(window.top // 128, -(-window.bottom // 128))
        }
        with rasterio.open(path) as dataset:
            sizes = (dataset.get_tag_item(f"BLOCK_SIZE_{x}_{y}", "TIFF", bidx=1) for x, y in blocks)
            needed = sum(map(int, sizes))
        assert needed <= sent <= 1.2 * needed < len(scene) / 2

    def test_a_connection_that_stays_broken(
        self, path: Path, scene: bytes, server: FileServer, model, cli, monkeypatch
    ) -> None:
        # rasterio closes a dataset with the GIL held, and GDAL waits there for what it has asked
        # for ahead: from this server, which needs the GIL.
        monkeypatch.setattr(opening, "_SILENCE_S", 1)
        server.spared, server.dropped = 1, 1000
        output = path.parent / "out" / "map.tif"
        output.parent.mkdir()
        result = cli("predict", f"{server.url}/scene.tif", "-o", output, "--model", model)
        assert result.code == 1 and "cannot be read" in result.error
        assert list(output.parent.iterdir()) == []

    def test_models_are_not_fetched(self, path: Path, scene: bytes, server, model, cli) -> None:
        for name in (f"{server.url}/m.safetensors?k=s3cret", "s3://b/m", "/vsicurl/http://x/m"):
            result = cli("predict", path, "-o", path.with_name("map.tif"), "--model", name)
            assert result.code == 1 and "Weights are never fetched" in result.error
            assert "s3cret" not in result.err
        assert server.requests == []

    def test_logs_hide_secrets(self, capsys: pytest.CaptureFixture[str]) -> None:
        from glnet_geo.cli.main import configure_logging, log_as_json

        for prepare in (lambda: None, log_as_json):
            configure_logging(0)
            prepare()
            logging.getLogger("glnet_geo.x").warning("%s is far", "https://x.org/a.tif?k=s3cret")
            shown = capsys.readouterr().err
            assert "https://x.org/a.tif is far" in shown and "s3cret" not in shown
