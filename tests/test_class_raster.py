"""Class rasters of any origin: ids, validity, names and colours, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyogrio
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import MemoryFile
from rasterio.shutil import copy as copy_raster

from glnet_geo.class_raster import ClassRaster, Labels
from glnet_geo.class_table import palette_color
from glnet_geo.errors import RasterError
from glnet_geo.grid import Grid, Window
from glnet_geo.legend import NODATA, LandCover, Legend
from glnet_geo.raster_output import class_map
from glnet_geo.sidecar import sidecar_path, sidecar_xml
from tests.rasters import UTM, coordinate_coded, placed_tif, write_tif

GRAY, OTHER, ALPHA = ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha
LEGEND = Legend("l", (LandCover(0, "shade & <ü>", (0, 0, 0)), LandCover(4, "Wald", (0, 128, 0))))
RAT = (
    '<GDALRasterAttributeTable tableType="thematic">'
    '<FieldDefn index="0"><Name>Value</Name><Type>0</Type><Usage>{value}</Usage></FieldDefn>'
    '<FieldDefn index="1"><Name>{name}</Name><Type>2</Type><Usage>{text}</Usage></FieldDefn>'
    '<FieldDefn index="2"><Name>Red</Name><Type>{kind}</Type><Usage>6</Usage></FieldDefn>'
    '<FieldDefn index="3"><Name>Green</Name><Type>{kind}</Type><Usage>7</Usage></FieldDefn>'
    '<FieldDefn index="4"><Name>Blue</Name><Type>{kind}</Type><Usage>8</Usage></FieldDefn>'
    "{rows}</GDALRasterAttributeTable>"
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "map.tif"


def ids(*rows: Sequence[int], dtype: str = "uint8") -> npt.NDArray[Any]:
    return np.array(rows, dtype)


def plain(path: Path, **profile: Any) -> Path:
    return write_tif(path, ids([0, 1, 2], [4, 7, 255]), **UTM, **profile)


def read_all(path: Path, **choice: Any) -> tuple[Labels, list[list[int]] | None]:
    """All ids, and where they are valid as ones and zeros."""
    with ClassRaster(path, **choice) as raster:
        labels, valid = raster.read(raster.grid.window)
    return labels, None if valid is None else valid.astype(int).tolist()


def known(path: Path) -> dict[int, tuple[str, tuple[int, int, int]]]:
    with ClassRaster(path) as raster:
        return {k: (one.name, one.rgb) for k, one in raster.classes.known.items()}


def names(path: Path) -> dict[int, str]:
    return {k: name for k, (name, _) in known(path).items()}


def refusal(path: Path, **choice: Any) -> str:
    """The message with which a raster is refused: one line."""
    with pytest.raises(RasterError) as caught:
        read_all(path, **choice)
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    return message


def rows(*cells: Sequence[Any]) -> str:
    fields = ("".join(f"<F>{escape(str(cell))}</F>" for cell in row) for row in cells)
    return "".join(f'<Row index="{k}">{field}</Row>' for k, field in enumerate(fields))


def put_beside(path: Path, band: str) -> None:
    text = f'<PAMDataset><PAMRasterBand band="1">{band}</PAMRasterBand></PAMDataset>'
    sidecar_path(path).write_text(text, encoding="utf-8")


def virtual(path: Path, kind: str, nodata: str = "", extra: str = "") -> Path:
    """A virtual raster of 2 x 3 pixels without sources, which are nodata or 0."""
    value = f"<NoDataValue>{nodata}</NoDataValue>" if nodata else ""
    path.write_text(
        f'<VRTDataset rasterXSize="3" rasterYSize="2"><VRTRasterBand dataType="{kind}" band="1">'
        f"{value}{extra}</VRTRasterBand></VRTDataset>"
    )
    return path


class TestReading:
    @pytest.mark.parametrize(
        "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
    )
    def test_every_whole_type_comes_as_it_is(self, path: Path, dtype: str) -> None:
        limits = np.iinfo(dtype)
        largest = min(limits.max, np.iinfo(np.int64).max)
        pixels = ids([limits.min, 0, 5], [1, largest, 9], dtype=dtype)
        with ClassRaster(write_tif(path, pixels, **UTM)) as raster:
            labels, valid = raster.read(raster.grid.window)
            assert raster.dtype == np.dtype(dtype)
        assert labels.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(labels, pixels)
        assert valid is None

    @pytest.mark.parametrize("profile", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 32}])
    @pytest.mark.parametrize(
        "window", [Window(0, 0, 40, 70), Window(3, 5, 11, 7), Window(39, 69, 1, 1)]
    )
    def test_a_window_is_the_slice_of_the_raster(
        self, path: Path, profile: dict[str, Any], window: Window
    ) -> None:
        pixels = coordinate_coded(40, 70)[0]
        with ClassRaster(write_tif(path, pixels, nodata=3 * 70 + 6, **UTM, **profile)) as raster:
            labels, valid = raster.read(window)
            assert raster.block_height == (32 if profile else 40)
        np.testing.assert_array_equal(labels, pixels[window.slices])
        if window.top == 39:
            assert valid is None
        else:
            assert valid is not None
            rows, columns = np.nonzero(~valid)
            assert (rows + window.top, columns + window.left) == ([3], [6])

    @pytest.mark.parametrize("shape", [(1, 50), (50, 1), (1, 1)])
    def test_lines_and_points(self, path: Path, shape: tuple[int, int]) -> None:
        pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        labels, valid = read_all(write_tif(path, pixels, nodata=0, **UTM))
        np.testing.assert_array_equal(labels, pixels)
        assert valid == (pixels > 0).astype(int).tolist()

    def test_bits_come_as_bytes(self, path: Path) -> None:
        labels, valid = read_all(write_tif(path, ids([0, 1], [1, 1]), nbits=1, **UTM))
        assert labels.dtype == np.uint8
        assert (labels.tolist(), valid) == ([[0, 1], [1, 1]], None)

    def test_windows_outside_are_refused(self, path: Path) -> None:
        with ClassRaster(plain(path)) as raster, pytest.raises(ValueError, match="outside"):
            raster.read(Window(0, 0, 3, 3))

    def test_the_grid_the_tags_and_the_files(self, path: Path) -> None:
        with rasterio.open(plain(path), "r+") as dataset:
            dataset.update_tags(MODEL="dubai-urban 1.0", SCENE="scene.tif")
        with ClassRaster(path) as raster:
            assert raster.grid.transform == UTM["transform"]
            assert raster.grid.crs_label == "EPSG:32633"
            assert raster.tags["MODEL"] == "dubai-urban 1.0"
            assert raster.tags["SCENE"] == "scene.tif"
            assert raster.path == path
            assert raster.files == (path,)

    def test_tiles_of_a_virtual_raster(self, tmp_path: Path) -> None:
        left = plain(tmp_path / "left.tif")
        right = write_tif(tmp_path / "right.tif", ids([3, 3, 3], [5, 5, 5]), **UTM)
        sources = "".join(
            f'<SimpleSource><SourceFilename relativeToVRT="1">{tile.name}</SourceFilename>'
            f'<SourceBand>1</SourceBand><SrcRect xOff="0" yOff="0" xSize="3" ySize="2"/>'
            f'<DstRect xOff="{place}" yOff="0" xSize="3" ySize="2"/></SimpleSource>'
            for place, tile in ((0, left), (2, right))
        )
        names_and_tiles = f"<CategoryNames><Category>zero</Category></CategoryNames>{sources}"
        path = virtual(tmp_path / "map.vrt", "Byte", "255", names_and_tiles)
        path.write_text(path.read_text().replace('rasterXSize="3"', 'rasterXSize="6"'))
        labels, valid = read_all(path)
        assert labels.tolist() == [[0, 1, 3, 3, 3, 255], [4, 7, 5, 5, 5, 255]]
        assert valid == [[1, 1, 1, 1, 1, 0]] * 2
        with ClassRaster(path) as raster:
            assert set(raster.files) == {path, left, right}
            assert raster.classes.of(0).name == "zero"

    def test_a_raster_in_memory(self, path: Path) -> None:
        with MemoryFile(plain(path).read_bytes()) as memory, ClassRaster(memory.name) as raster:
            assert raster.read(raster.grid.window)[0].tolist() == [[0, 1, 2], [4, 7, 255]]
            assert raster.files == ()

    def test_damage_is_said(self, path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
        write_tif(path, noise, compress="deflate", **UTM)
        data = path.read_bytes()
        path.write_bytes(data[:-2000] + bytes(2000))
        assert "cannot be read" in refusal(path)


class TestReducedReading:
    """Fewer pixels than the file has."""

    LEVEL = Window(0, 0, 20, 30)

    def test_pixels_are_those_of_the_file(self, path: Path) -> None:
        labels = np.kron(
            np.arange(600, dtype=np.uint16).reshape(20, 30), np.ones((4, 4), np.uint16)
        )
        placed_tif(path, labels)
        with ClassRaster(path) as reader:
            whole, valid = reader.read_reduced(self.LEVEL, self.LEVEL)
            part, _ = reader.read_reduced(self.LEVEL, Window(5, 7, 9, 11))
        assert valid is None
        np.testing.assert_array_equal(whole, labels[::4, ::4])
        np.testing.assert_array_equal(part, whole[5:14, 7:18])

    def test_overviews_are_used(self, path: Path) -> None:
        labels = np.full((80, 120), 1, np.uint8)
        labels[::4, ::4] = 2  # the pixels that the nearest neighbour would take, or none
        labels[1::4, 1::4] = labels[2::4, 2::4] = 2
        placed_tif(path, labels, tiled=True, blockxsize=16, blockysize=16)
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([4], Resampling.mode)
        with ClassRaster(path) as reader:
            found, _ = reader.read_reduced(self.LEVEL, self.LEVEL)
        assert (found == 1).all()

    def test_nodata_and_masks_hold(self, path: Path) -> None:
        labels = np.kron(np.array([[1, 9], [3, 4]], np.uint8), np.ones((10, 10), np.uint8))
        mask = np.full((20, 20), 255, np.uint8)
        mask[:10, :10] = 0
        for profile, expected in (
            ({"nodata": 9}, [[1, 0], [1, 1]]),
            ({"mask": mask}, [[0, 1], [1, 1]]),
        ):
            placed_tif(path, labels, **profile)
            with ClassRaster(path) as reader:
                level = Window(0, 0, 2, 2)
                _, valid = reader.read_reduced(level, level)
            assert valid is not None and valid.astype(int).tolist() == expected

    def test_no_window_reaches_outside(self, path: Path) -> None:
        placed_tif(path, np.zeros((80, 120), np.uint8))
        with ClassRaster(path) as reader, pytest.raises(ValueError, match="reaches outside"):
            reader.read_reduced(self.LEVEL, Window(0, 0, 21, 30))


class TestValidity:
    @given(
        hnp.arrays(np.int16, (3, 4), elements=st.integers(-3, 3)),
        st.integers(-3, 3),
    )
    def test_nodata_is_told_apart_as_gdal_does(
        self, tmp_path_factory: pytest.TempPathFactory, pixels: Any, nodata: int
    ) -> None:
        path = tmp_path_factory.mktemp("nodata") / "map.tif"
        write_tif(path, pixels, nodata=nodata, **UTM)
        labels, valid = read_all(path)
        np.testing.assert_array_equal(labels, pixels)
        with rasterio.open(path) as dataset:
            expected = dataset.read_masks(1) > 0
        assert valid == (None if expected.all() else expected.astype(int).tolist())

    @pytest.mark.parametrize(
        ("dtype", "nodata"),
        [("int16", -32768), ("int8", -128), ("uint16", 65535), ("uint32", 2**32 - 1)],
    )
    def test_nodata_at_the_ends_of_a_type(self, path: Path, dtype: str, nodata: int) -> None:
        pixels = ids([1, nodata], [2, 3], dtype=dtype)
        assert read_all(write_tif(path, pixels, nodata=nodata, **UTM))[1] == [[1, 0], [1, 1]]

    @pytest.mark.parametrize(
        ("kind", "nodata"),
        [("UInt64", str(2**64 - 1)), ("Int64", str(-(2**63))), ("Int64", str(2**53 + 1))],
    )
    def test_nodata_of_64_bits_is_not_rounded(self, path: Path, kind: str, nodata: str) -> None:
        assert read_all(virtual(path, kind, nodata))[1] == [[0, 0, 0]] * 2
        if int(nodata) == 2**53 + 1:
            near = ids([2**53, 2**53 + 1], dtype="int64")
            tile = write_tif(path.with_name("near.tif"), near, **UTM)
            copy_raster(tile, path, driver="VRT")
            text = path.read_text()
            mark = '<VRTRasterBand dataType="Int64" band="1">'
            assert mark in text
            path.write_text(text.replace(mark, f"{mark}<NoDataValue>{nodata}</NoDataValue>"))
            assert read_all(path)[1] == [[1, 0]]

    @pytest.mark.parametrize("nodata", ["-9999", "256", "nan", "0.5", "-3.4e38"])
    def test_nodata_that_no_pixel_can_have_is_none(self, path: Path, nodata: str) -> None:
        assert read_all(virtual(path, "Byte", nodata))[1] is None

    def test_masks_inside_and_beside_the_file(self, tmp_path: Path) -> None:
        mask = ids([255, 0, 255], [255, 255, 0])
        inside = write_tif(tmp_path / "inside.tif", ids([1, 2, 3], [4, 5, 6]), mask=mask, **UTM)
        beside = plain(tmp_path / "beside.tif")
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(beside, "r+") as dataset:
            dataset.write_mask(mask)
        assert Path(f"{beside}.msk").exists()
        for path in (inside, beside):
            assert read_all(path)[1] == [[1, 0, 1], [1, 1, 0]]
        with ClassRaster(beside) as raster:
            assert Path(f"{beside}.msk") in raster.files

    def test_a_mask_and_nodata_both_count(self, path: Path) -> None:
        mask = ids([255, 0, 255], [255, 255, 255])
        write_tif(path, ids([1, 2, 3], [4, 5, 6]), mask=mask, nodata=5, **UTM)
        assert read_all(path)[1] == [[1, 0, 1], [1, 0, 1]]

    @pytest.mark.parametrize("nodata", [None, 4])
    def test_alpha_is_validity(self, path: Path, nodata: int | None) -> None:
        bands = np.stack([ids([1, 2, 3], [4, 5, 6]), ids([255, 0, 1], [255, 255, 255])])
        write_tif(path, bands, marks=[GRAY, ALPHA], nodata=nodata, **UTM)
        labels, valid = read_all(path)
        assert labels.tolist() == [[1, 2, 3], [4, 5, 6]]
        assert valid == [[1, 0, 1], [0 if nodata else 1, 1, 1]]


class TestOurMaps:
    @pytest.fixture
    def ours(self, path: Path) -> Path:
        grid = Grid.north_up(2, 3, 500_000, 5_000_000, 0.5, "EPSG:32633")
        with class_map(path, grid, LEGEND, {"MODEL": "m 1.0"}) as writer:
            writer.write(ids([0, 4, 4], [NODATA, 0, 4]), grid.window)
        return path

    def test_they_are_read_back(self, ours: Path) -> None:
        labels, valid = read_all(ours)
        assert labels.tolist() == [[0, 4, 4], [255, 0, 4]]
        assert valid == [[1, 1, 1], [0, 1, 1]]
        assert known(ours) == {k.id: (k.name, k.rgb) for k in LEGEND.classes}
        with ClassRaster(ours) as raster:
            assert raster.tags["MODEL"] == "m 1.0"
            assert set(raster.files) == {ours, sidecar_path(ours)}
            assert raster.classes.find(["wald"]) == {4}

    def test_without_the_file_beside_them_they_are_the_same(self, ours: Path) -> None:
        sidecar_path(ours).unlink()
        assert known(ours) == {k.id: (k.name, k.rgb) for k in LEGEND.classes}

    def test_their_tags_come_before_what_stands_beside_them(self, ours: Path) -> None:
        other = Legend("o", (LandCover(4, "other", (9, 9, 9)), LandCover(5, "more", (8, 8, 8))))
        sidecar_path(ours).write_bytes(sidecar_xml(other))
        assert names(ours) == {0: "shade & <ü>", 4: "Wald", 5: "more"}


class TestNamesAndColours:
    def test_none(self, path: Path) -> None:
        assert known(plain(path)) == {}

    def test_a_colour_table(self, path: Path) -> None:
        # As ESA WorldCover has it: 256 entries in the file, all but these black.
        colors = {10: (0, 100, 0), 20: (255, 187, 34), 0: (0, 0, 0, 0)}
        with rasterio.open(plain(path), "r+") as dataset:
            dataset.write_colormap(1, colors)
            dataset.update_tags(legend="10  Tree cover\n20  Shrubland\n100 Moss and lichen")
        assert known(path) == {
            10: ("Tree cover", (0, 100, 0)),
            20: ("Shrubland", (255, 187, 34)),
            100: ("Moss and lichen", (0, 0, 0)),
        }
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(legend="see 1 of the manual")
        assert known(path) == {10: ("10", (0, 100, 0)), 20: ("20", (255, 187, 34))}

    def test_an_attribute_table_of_gdal_and_qgis(self, path: Path) -> None:
        cells = ((11, "Open Water", 70, 107, 159), (21, "Developed, Open & so", 222, 197, 197))
        plain(path)
        put_beside(path, RAT.format(value=5, name="Class", text=2, kind=0, rows=rows(*cells)))
        assert known(path) == {
            11: ("Open Water", (70, 107, 159)),
            21: ("Developed, Open & so", (222, 197, 197)),
        }

    def test_an_attribute_table_of_arcgis(self, path: Path) -> None:
        cells = ((-3, "Fjäll", 0.2, 0.4, 1), (7000, "Wasser", 0, 0, 0.5))
        write_tif(path, ids([-3, 7000], dtype="int16"), **UTM)
        table = RAT.format(value=0, name="Land_Cover", text=0, kind=1, rows=rows(*cells))
        put_beside(path, table)
        # Where their usage says that they are colours GDAL cuts them to whole numbers.
        assert known(path) == {
            -3: ("Fjäll", palette_color(-3)),
            7000: ("Wasser", palette_color(7000)),
        }
        for usage in (6, 7, 8):
            table = table.replace(f"<Usage>{usage}</Usage>", "<Usage>0</Usage>")
        put_beside(path, table)
        assert known(path) == {-3: ("Fjäll", (51, 102, 255)), 7000: ("Wasser", (0, 0, 128))}

    def test_an_attribute_table_inside_a_file_of_erdas(self, path: Path) -> None:
        plain(path)
        cells = ((0, "a", 1, 2, 3), (4, "ß", 4, 5, 6))
        put_beside(path, RAT.format(value=5, name="Class", text=2, kind=0, rows=rows(*cells)))
        image = path.with_suffix(".img")
        copy_raster(path, image, driver="HFA")
        sidecar_path(image).unlink(missing_ok=True)
        with ClassRaster(image) as raster:
            assert [raster.classes.of(k).name for k in (0, 4)] == ["a", "ß"]
            assert [raster.classes.of(k).rgb for k in (0, 4)] == [(1, 2, 3), (4, 5, 6)]

    def test_a_table_of_arcgis_in_dbase(self, path: Path) -> None:
        plain(path)
        values = {"Value": [1, 44], "CODE_18": ["111", "523"], "LABEL3": ["Urban", "Sea"]}
        shares = {"Red": [0.9, 0.0], "Green": [0.0, 0.95], "Blue": [0.3, 1.0]}
        side = path.with_name("table.dbf")
        frame = pd.DataFrame({**values, **shares})
        pyogrio.write_dataframe(frame, side, driver="ESRI Shapefile")
        side.rename(f"{path}.vat.dbf")
        assert known(path) == {1: ("Urban", (230, 0, 76)), 44: ("Sea", (0, 242, 255))}
        histogram = (
            "<GDALRasterAttributeTable><FieldDefn><Name>Count</Name><Type>0</Type><Usage>1</Usage>"
            "</FieldDefn><Row><F>6</F></Row></GDALRasterAttributeTable>"
        )
        put_beside(path, histogram)
        assert names(path) == {1: "Urban", 44: "Sea"}
        # Names that GDAL reads come first.
        cells = ((1, "Town", 1, 2, 3),)
        put_beside(path, RAT.format(value=5, name="Class", text=2, kind=0, rows=rows(*cells)))
        assert known(path) == {1: ("Town", (1, 2, 3))}

    def test_category_names(self, path: Path) -> None:
        named = "".join(f"<Category>{name}</Category>" for name in ("sea", "", "rock&#10; face"))
        put_beside(plain(path), f"<CategoryNames>{named}</CategoryNames>")
        assert known(path) == {
            0: ("sea", palette_color(0)),
            2: ("rock face", palette_color(2)),
        }

    def test_colours_that_are_all_black_give_way(self, path: Path) -> None:
        with rasterio.open(plain(path), "r+") as dataset:
            dataset.write_colormap(1, {4: (9, 8, 7)})
        cells = ((4, "a", 0, 0, 0), (7, "b", 0, 0, 0))
        put_beside(path, RAT.format(value=5, name="Class", text=2, kind=0, rows=rows(*cells)))
        assert known(path) == {4: ("a", (9, 8, 7)), 7: ("b", (0, 0, 0))}

    @pytest.mark.parametrize(
        "side",
        [
            b"",
            b"<PAMDataset><PAMRasterBand",
            b"\xff\xfe\x00junk",
            b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]><PAMDataset><PAMRasterBand '
            b'band="1"><CategoryNames><Category>&e;</Category></CategoryNames></PAMRasterBand>'
            b"</PAMDataset>",
        ],
    )
    def test_broken_files_beside_it_do_not_count(self, path: Path, side: bytes) -> None:
        sidecar_path(plain(path)).write_bytes(side)
        Path(f"{path}.vat.dbf").write_bytes(side)
        assert known(path) == {}
        assert read_all(path)[0].tolist() == [[0, 1, 2], [4, 7, 255]]

    def test_names_of_old_code_pages(self, path: Path) -> None:
        put_beside(plain(path), "<CategoryNames><Category>caf?</Category></CategoryNames>")
        side = sidecar_path(path)
        side.write_bytes(side.read_bytes().replace(b"caf?", b"caf\xe9"))
        assert names(path) == {0: "café"}

    def test_those_of_another_band_do_not_count(self, path: Path) -> None:
        write_tif(path, np.zeros((2, 2, 3), np.uint8), photometric="MINISBLACK", **UTM)
        put_beside(path, "<CategoryNames><Category>one</Category></CategoryNames>")
        for band, name in ((1, "one"), (2, "0")):
            with ClassRaster(path, band) as raster:
                assert raster.classes.of(0).name == name

    def test_the_side_files_stay_as_they_are(self, path: Path) -> None:
        put_beside(plain(path), "<CategoryNames><Category>one</Category></CategoryNames>")
        before = {file: file.read_bytes() for file in path.parent.iterdir()}
        names(path)
        assert {file: file.read_bytes() for file in path.parent.iterdir()} == before


class TestRefusals:
    def test_what_is_no_raster(self, tmp_path: Path) -> None:
        assert "does not exist" in refusal(tmp_path / "none.tif")
        assert "is a folder" in refusal(tmp_path)
        junk = tmp_path / "junk.tif"
        junk.write_text("junk")
        assert "is not a raster" in refusal(junk)

    def test_pixels_that_are_no_ids(self, path: Path) -> None:
        write_tif(path, np.zeros((2, 3), np.float32), **UTM)
        assert f"gdal_translate -ot Int32 {path}" in refusal(path)
        assert "complex" in refusal(virtual(path.with_suffix(".vrt"), "CInt16"))
        write_tif(path, np.zeros((2, 3), np.complex64), **UTM)
        assert "complex" in refusal(path)

    def test_several_bands(self, path: Path) -> None:
        bands = np.stack([ids([1, 2]), ids([3, 4])])
        write_tif(path, bands, photometric="MINISBLACK", **UTM)
        with rasterio.open(path, "r+") as dataset:
            dataset.descriptions = ("land cover", "confidence")
        message = refusal(path)
        assert "1 (land cover, gray), 2 (confidence)" in message
        assert message.endswith("--band")
        assert read_all(path, band=2)[0].tolist() == [[3, 4]]
        assert "no band 3" in refusal(path, band=3)
        assert "no band 0" in refusal(path, band=0)

    def test_pictures(self, path: Path) -> None:
        bands = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
        write_tif(path, bands[:3], photometric="RGB", **UTM)
        assert "picture" in refusal(path)
        assert "--band" in refusal(path)
        assert read_all(path, band=2)[0].tolist() == bands[1].tolist()
        write_tif(path, bands, photometric="RGB", **UTM)
        assert "picture" in refusal(path)

    def test_ids_beyond_64_bits_with_a_sign(self, path: Path) -> None:
        write_tif(path, ids([1, 2**63], dtype="uint64"), **UTM)
        assert f"beyond {2**63 - 1}" in refusal(path)
        write_tif(path, ids([1, 2**63], dtype="uint64"), mask=ids([255, 0]), **UTM)
        assert read_all(path)[1] == [[1, 0]]
