"""`glnet-geo change`: options, files, messages and exit codes."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from PIL import Image

from glnet_geo import change_detection
from glnet_geo.legend import LandCover, Legend
from tests.class_maps import layers_of, named_map, patches
from tests.conftest import CliResult
from tests.rasters import noise, placed_tif, write_tif

Run = Callable[..., CliResult]
CITY = Legend(
    "city",
    (
        LandCover(1, "building", (60, 16, 152)),
        LandCover(2, "land", (132, 41, 246)),
        LandCover(3, "Straße; „neu“", (110, 193, 228)),
    ),
)


@pytest.fixture
def maps(tmp_path: Path) -> tuple[Path, Path]:
    """200 x 200 pixels of land and road; the new one is a pixel off and has 20 x 20 of building."""
    old = np.full((200, 200), 2, np.uint8)
    old[:, 100:104] = 3
    old[150:170, 20:60] = 1
    new = np.roll(old, (1, -1), (0, 1))
    new[40:60, 40:60] = 1
    new[90:92, 10:12] = 1
    new[:3] = 255
    return named_map(tmp_path / "old.tif", old, CITY), named_map(tmp_path / "new.tif", new, CITY)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_summary_can_be_pasted_into_a_mail(
    cli: Run, maps: tuple[Path, Path], tmp_path: Path
) -> None:
    output = tmp_path / "change.tif"
    rules = ("--tolerance", "1px", "--min-area", "50m2", "--vectorize", tmp_path / "change.gpkg")
    result = cli("change", *maps, "-o", output, *rules)
    assert (result.code, result.out) == (0, "")
    *lines, foot = result.err.splitlines()
    assert lines == [
        f"{output}   200 x 200 px, 0.5 m, EPSG:32633, 1 transition",
        "  unchanged              0.975 ha    99.0 %",
        "  land -> building       0.010 ha     1.0 %",
        "  no change by --tolerance 1 px: 0.013 ha",
        "  no change by --min-area 50 m2: < 0.001 ha",
        "  not compared, without data in one of the maps: 600 px",
        "  areas: planar in EPSG:32633",
        f"  from what to what: {tmp_path / 'change.csv'}, {tmp_path / 'change.png'}",
        f"  {tmp_path / 'change.gpkg'}: 1 polygons",
    ]
    assert re.fullmatch(r"  in \d+\.\d s, peak \d\.\d GB", foot)
    assert layers_of(tmp_path / "change.gpkg") == ["change"]


def test_json_is_one_object_that_says_the_same(
    cli: Run, maps: tuple[Path, Path], tmp_path: Path
) -> None:
    output = tmp_path / "change.tif"
    result = cli("change", *maps, "-o", output, "--tolerance", "0.5m", "--json", "-q")
    assert result.out.count("\n") == 1 and result.err == ""
    table = json.loads(result.out)
    assert [one["name"] for one in table["classes"]] == [one.name for one in CITY.classes]
    (transition,) = table["transitions"]
    assert (transition["old"], transition["new"]) == ("land", "building")
    assert (transition["pixels"], transition["area_ha"]) == (404, 0.0101)
    assert table["rules"] == {"tolerance": "0.5 m"}
    assert table["matrix"]["pixels"][1][0] == 404
    mapped = table["matrix_as_mapped"]
    assert np.sum(mapped["pixels"], axis=1).tolist() == mapped["old_pixels"]
    assert np.sum(mapped["pixels"], axis=0).tolist() == mapped["new_pixels"]
    assert table["matrix"]["old_pixels"] == mapped["old_pixels"]
    assert table["not_compared_pixels"] == 600 and table["polygons"] is None


class TestFiles:
    def test_map_table_and_picture_lie_beside_each_other(
        self, cli: Run, maps: tuple[Path, Path], tmp_path: Path
    ) -> None:
        folder = tmp_path / "out"
        folder.mkdir()
        assert cli("change", *maps, "-o", folder / "c.tif", "-q").code == 0
        names = ["c.csv", "c.png", "c.tif", "c.tif.aux.xml"]
        assert sorted(path.name for path in folder.iterdir()) == names
        rows = list(csv.reader((folder / "c.csv").read_text("utf-8").splitlines()))
        assert rows[0][3:] == [*(one.name for one in CITY.classes), "(sum)"]
        with Image.open(folder / "c.png") as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert min(pixels.shape[:2]) > 400
        assert (pixels[..., 2] > pixels[..., 0].astype(int) + 60).mean() > 0.02

    def test_numbers_have_dots_and_text_is_utf8_whatever_the_locale(
        self, maps: tuple[Path, Path], tmp_path: Path
    ) -> None:
        command = [sys.executable, "-m", "glnet_geo", "change", *map(str, maps)]
        environment = {**os.environ, "LC_ALL": "de_DE", "PYTHONUTF8": "0", "LANG": "C"}
        subprocess.run(
            [*command, "-o", str(tmp_path / "c.tif")],
            env=environment,
            check=True,
            capture_output=True,
        )
        text = (tmp_path / "c.csv").read_text("utf-8")
        assert "kept,ha,Straße; „neu“," in text and re.search(r",0\.\d+\n", text)

    def test_an_existing_output_needs_overwrite(
        self, cli: Run, maps: tuple[Path, Path], tmp_path: Path
    ) -> None:
        for name in ("c.tif", "c.csv", "c.png", "c.gpkg"):
            (tmp_path / name).write_bytes(b"older")
            words = ("-o", tmp_path / "c.tif", "--vectorize", tmp_path / "c.gpkg", "-q")
            result = cli("change", *maps, *words)
            assert result.code == 1 and f"{name} exists. Use --overwrite" in result.error
            (tmp_path / name).unlink()
        (tmp_path / "c.tif").write_bytes(b"older")
        assert cli("change", *maps, *words, "--overwrite").code == 0
        assert (tmp_path / "c.tif").stat().st_size > 1000

    def test_a_geopackage_with_other_layers_is_kept(
        self, cli: Run, maps: tuple[Path, Path], tmp_path: Path
    ) -> None:
        assert cli("vectorize", maps[0], "-o", tmp_path / "c.gpkg", "-q").code == 0
        before = files(tmp_path)
        words = ("-o", tmp_path / "c.tif", "--vectorize", tmp_path / "c.gpkg", "--overwrite")
        result = cli("change", *maps, *words)
        assert result.code == 1 and "'landcover', which --overwrite would delete" in result.error
        assert "Choose another file" in result.error and files(tmp_path) == before

    def test_a_failed_run_leaves_everything_as_it_was(
        self,
        cli: Run,
        maps: tuple[Path, Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        words = ("-o", tmp_path / "c.tif", "--vectorize", tmp_path / "c.gpkg", "-q")
        assert cli("change", *maps, *words).code == 0
        before = files(tmp_path), sorted(tmp_path.iterdir())

        def fail(*arguments: Any, **options: Any) -> None:
            raise KeyboardInterrupt

        for name in ("vectorize", "write_table", "write_changes"):
            with monkeypatch.context() as patch:
                patch.setattr(change_detection, name, fail)
                result = cli("change", *reversed(maps), *words, "--overwrite")
            assert (result.code, result.err.strip()) == (130, "Interrupted.")
            assert (files(tmp_path), sorted(tmp_path.iterdir())) == before

    def test_ctrl_c_leaves_nothing(self, tmp_path: Path) -> None:
        paths = [placed_tif(tmp_path / f"{k}.tif", patches(3000, 3000, k)) for k in range(2)]
        before = files(tmp_path)
        command = [sys.executable, "-m", "glnet_geo", "change", *map(str, paths)]
        command += ["-o", str(tmp_path / "c.tif"), "--min-area", "20px"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            while not (tmp_path / ".c.tif.part" / "codes").exists():
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert process.stderr.read().splitlines()[-1] == "Interrupted."
        assert process.returncode == 130 and files(tmp_path) == before
        assert len(list(tmp_path.iterdir())) == 2


def wrong(folder: Path) -> dict[str, tuple[list[Any], str]]:
    """Arguments that cannot work, and what is said about them."""
    one = named_map(folder / "one.tif", patches(9, 9, classes=2))
    photo = placed_tif(folder / "photo.tif", noise(9, 9), photometric="RGB")
    floats = placed_tif(folder / "floats.tif", np.zeros((9, 9), np.float32))
    several = placed_tif(folder / "several.tif", noise(9, 9, 2))
    far = placed_tif(folder / "far.tif", patches(9, 9), transform=Affine(0.5, 0, 9e5, 0, -0.5, 9e5))
    utm34 = placed_tif(folder / "utm34.tif", patches(9, 9), crs="EPSG:32634")
    nowhere = write_tif(folder / "nowhere.tif", patches(9, 8))
    empty = placed_tif(folder / "empty.tif", np.zeros((9, 9), np.uint8), nodata=0)
    strange = named_map(folder / "strange.tif", patches(9, 9, classes=4))
    sea = Legend("sea", (LandCover(0, "sea", (0, 0, 9)), LandCover(1, "ice", (9, 9, 9))))
    other = named_map(folder / "other.tif", patches(9, 9, classes=2), sea)
    sure = placed_tif(folder / "sure.tif", np.ones((9, 9), np.float32))
    (folder / "text.tif").write_text("no raster")
    return {
        "missing": ([folder / "no.tif", one], "no.tif does not exist"),
        "missing new": ([one, folder / "no.tif"], "no.tif does not exist"),
        "no raster": ([one, folder / "text.tif"], "not a raster"),
        "picture": ([one, photo], "is a picture"),
        "floats": ([floats, one], "float32 pixels"),
        "bands": ([one, several], "several bands"),
        "no such band": ([one, several, "--new-band", "3"], "no band 3"),
        "elsewhere": ([one, far], "px off. Use --align"),
        "CRS": ([one, utm34], "EPSG:32634 instead of EPSG:32633. Use --align"),
        "no place": ([one, nowhere, "--align"], "has no place on the ground"),
        "no overlap": ([one, far, "--align"], "nothing to compare"),
        "no data": ([one, empty], "nothing to compare"),
        "values": ([one, strange], r"strange.tif has values.*\(2, 3\).*--legend"),
        "classes": ([one, other], "no class in common: building, .* in the one, sea, ice"),
        "legend": ([one, one, "--legend", "nonsense"], "neither a file nor a legend"),
        "tolerance": ([one, one, "--tolerance", "200px"], "at most 100"),
        "AOI": ([one, one, "--aoi", folder / "no.gpkg"], "no.gpkg does not exist"),
        "no limit": ([one, one, "--old-confidence", sure], "--min-confidence"),
        "no confidence": ([one, one, "--min-confidence", "0.8"], "--old-confidence"),
        "confidence": (
            [one, one, "--new-confidence", folder / "no.tif", "--min-confidence", "0.8"],
            "no.tif does not exist",
        ),
        "grid of confidence": (
            [one, one, "--new-confidence", nowhere, "--min-confidence", "0.8"],
            "nowhere.tif does not lie on the grid",
        ),
        "bands of confidence": (
            [one, one, "--new-confidence", several, "--min-confidence", "0.8"],
            "2 bands; one is needed",
        ),
        "vector format": ([one, one, "--vectorize", folder / "c.xyz"], "none of the extensions"),
        "two outputs": ([one, one, "--vectorize", folder / "c.csv"], "two outputs at once"),
    }


def test_a_problem_is_one_line(cli: Run, tmp_path: Path) -> None:
    cases = wrong(tmp_path)
    before = files(tmp_path)
    for kind, (arguments, words) in cases.items():
        result = cli("change", *arguments, "-o", tmp_path / "c.tif")
        assert result.code == 1 and result.out == "", kind
        assert re.search(words, result.error), (kind, result.error)
        assert (files(tmp_path), len(list(tmp_path.iterdir()))) == (before, len(before)), kind


def test_outputs_are_geotiffs_and_no_inputs(
    cli: Run, maps: tuple[Path, Path], tmp_path: Path
) -> None:
    assert "change.tif" in cli("change", *maps, "-o", tmp_path / "c.csv").error
    result = cli("change", *maps, "-o", maps[0], "--overwrite")
    assert "is the input itself" in result.error
    assert "folder" in cli("change", *maps, "-o", tmp_path / "no" / "c.tif").error


@pytest.mark.parametrize(
    "words",
    [
        ("--tolerance", "1"),
        ("--min-area", "50"),
        ("--min-confidence", "much"),
        ("--connectivity", "6"),
    ],
)
def test_what_has_no_unit_or_sense_is_a_usage_error(
    cli: Run, maps: tuple[Path, Path], tmp_path: Path, words: tuple[str, str]
) -> None:
    assert cli("change", *maps, "-o", tmp_path / "c.tif", *words).code == 2
    assert cli("change", maps[0], "-o", tmp_path / "c.tif").code == 2


def test_safe_takes_geotiffs(cli: Run, maps: tuple[Path, Path], tmp_path: Path) -> None:
    assert cli("change", *maps, "-o", tmp_path / "c.tif", "--safe", "-q").code == 0
    (tmp_path / "map.vrt").write_text("<VRTDataset/>")
    result = cli("change", maps[0], tmp_path / "map.vrt", "-o", tmp_path / "d.tif", "--safe")
    assert result.code == 1 and "map.vrt" in result.error
