"""`glnet-geo evaluate`: options, files, messages and exit codes."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from PIL import Image

from tests.class_maps import ids, named_map, patches, town
from tests.conftest import CliResult
from tests.rasters import noise, placed_tif, write_tif

Run = Callable[..., CliResult]
OLD = b"an older result"
NAMES = ["building", "bare land", "Wald & Wiese"]


@pytest.fixture
def prediction(tmp_path: Path) -> Path:
    return town(tmp_path / "map.tif")


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    labels = ids([0, 0, 1, 1, 4], [0, 0, 1, 4, 4], [1, 1, 0, 0, 4], [1, 0, 0, 9, 1])
    return placed_tif(tmp_path / "truth.tif", labels)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


class TestSummary:
    def test_it_can_be_pasted_into_a_mail(
        self, cli: Run, prediction: Path, reference: Path
    ) -> None:
        result = cli("evaluate", prediction, reference, "--ignore", "9")
        assert (result.code, result.err) == (0, "")
        *lines, foot = result.out.splitlines()
        assert lines == [
            f"{prediction} against {reference}   19 of 20 px counted (95.0 %)",
            "",
            "  class           IoU  precision  recall     F1  boundary F1      support px    share",
            "  building      0.750      1.000   0.750  0.857        1.000               8   42.1 %",
            "  bare land     0.750      0.857   0.857  0.857        1.000               7   36.8 %",
            "  Wald & Wiese  0.600      0.750   0.750  0.750        1.000               4   21.1 %",
            "",
            "  % of a class of the reference predicted as",
            "  reference     building  bare land  Wald & Wiese  (none)",
            "  building          75.0        0.0          12.5    12.5",
            "  bare land          0.0       85.7           0.0    14.3",
            "  Wald & Wiese       0.0       25.0          75.0     0.0",
            "",
            "  mean IoU 0.700 over 3 classes, mean F1 0.821, mean boundary F1 within 3 px 1.000",
            "  overall accuracy 0.789, kappa 0.694",
            "  ignored in the reference: 9: 1 px",
            "  note: The prediction has no data in 10.5 % of the pixels: errors",
        ]
        assert re.fullmatch(r"  \d+\.\d s, peak \d\.\d GB", foot)

    def test_json_is_one_object_that_says_the_same(
        self, cli: Run, prediction: Path, reference: Path
    ) -> None:
        result = cli("evaluate", prediction, reference, "--ignore", "9", "--json")
        assert result.out.count("\n") == 1 and result.err == ""
        table = json.loads(result.out)
        assert [one["name"] for one in table["classes"]] == NAMES
        assert [one["iou"] for one in table["classes"]] == [0.75, 0.75, 0.6]
        assert (table["mean_iou"], table["scored_classes"]) == (0.7, 3)
        assert table["ignored"] == {"9": 1} and table["nodata_pixels"] == 2
        assert table["confusion"]["pixels"][2] == [0, 1, 3, 0]
        assert len(table["notes"]) == 1

    def test_several_pairs_have_a_line_each(self, cli: Run, tmp_path: Path) -> None:
        for folder in ("pred", "ref"):
            (tmp_path / folder).mkdir()
            for k in range(2):
                write_tif(tmp_path / folder / f"{k}.tif", patches(9, 9, k))
        lines = cli("evaluate", tmp_path / "pred", tmp_path / "ref").out.splitlines()
        assert lines[0] == "2 pairs   162 of 162 px counted (100.0 %)"
        assert lines[1].endswith("81 of 81 px, mean IoU 1.000, accuracy 1.000")
        assert lines[2].startswith(f"  {tmp_path / 'pred' / '1.tif'} against ")

    def test_many_classes_leave_the_matrix_to_the_files(self, cli: Run, tmp_path: Path) -> None:
        one = write_tif(tmp_path / "one.tif", np.arange(30, dtype=np.uint8)[None])
        out = cli("evaluate", one, one).out
        assert "confusion matrix of 30 classes: in the files of -o" in out


class TestFiles:
    def test_json_csv_and_png_lie_beside_each_other(
        self, cli: Run, tmp_path: Path, prediction: Path, reference: Path
    ) -> None:
        output = tmp_path / "out" / "scores.json"
        output.parent.mkdir()
        result = cli("evaluate", prediction, reference, "--ignore", "9", "--json", "-o", output)
        assert sorted(files(output.parent)) == ["scores.csv", "scores.json", "scores.png"]
        assert json.loads(output.read_text("utf-8")) == json.loads(result.out)
        rows = list(csv.reader(output.with_suffix(".csv").read_text("utf-8").splitlines()))
        assert rows == [
            ["reference", *NAMES, "(no class)"],
            ["building", "6", "0", "1", "1"],
            ["bare land", "0", "6", "0", "1"],
            ["Wald & Wiese", "0", "1", "3", "0"],
        ]
        with Image.open(output.with_suffix(".png")) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert 400 < pixels.shape[1] < 1200 and 400 < pixels.shape[0] < 1200
        # The diagonal is dark, what never happens is nearly white.
        assert ((pixels[..., 2] > pixels[..., 0] + 60).mean(), len(np.unique(pixels))) > (0.1, 50)
        assert str(output) in result.err

    @pytest.mark.parametrize("name", ["scores.json", "scores.csv", "scores.png"])
    def test_none_of_them_is_replaced_unasked(
        self, cli: Run, tmp_path: Path, prediction: Path, reference: Path, name: str
    ) -> None:
        (tmp_path / name).write_bytes(OLD)
        arguments = ["evaluate", prediction, reference, "--ignore", "9"]
        arguments += ["-o", tmp_path / "scores.json"]
        before = files(tmp_path)
        result = cli(*arguments)
        assert result.code == 1 and f"{name} exists. Use --overwrite" in result.error
        assert files(tmp_path) == before
        assert cli(*arguments, "--overwrite", "-q").code == 0
        assert files(tmp_path)[name] != OLD

    def test_a_failed_run_leaves_everything_as_it_was(
        self, cli: Run, tmp_path: Path, prediction: Path, reference: Path
    ) -> None:
        (tmp_path / "scores.json").write_bytes(OLD)
        before = sorted(tmp_path.iterdir()), files(tmp_path)
        result = cli(
            "evaluate", prediction, reference, "-o", tmp_path / "scores.json", "--overwrite"
        )
        assert result.code == 1 and "9: 1 px" in result.error
        assert (sorted(tmp_path.iterdir()), files(tmp_path)) == before

    def test_inputs_are_never_overwritten(self, cli: Run, tmp_path: Path, prediction: Path) -> None:
        pairs = tmp_path / "pairs.csv"
        pairs.write_text(f"prediction,reference\n{prediction},{prediction}\n")
        result = cli("evaluate", pairs, "-o", tmp_path / "pairs.json", "--overwrite")
        assert result.code == 1 and "is the input itself" in result.error

    def test_the_output_is_a_json_file(self, cli: Run, tmp_path: Path, prediction: Path) -> None:
        result = cli("evaluate", prediction, prediction, "-o", tmp_path / "scores.csv")
        assert result.code == 1 and "scores.json" in result.error

    def test_quiet_keeps_the_result(self, cli: Run, tmp_path: Path, prediction: Path) -> None:
        result = cli("evaluate", prediction, prediction, "-q", "-o", tmp_path / "scores.json")
        assert (result.code, result.err) == (0, "") and "mean IoU 1.000" in result.out


def wrong(folder: Path) -> dict[str, tuple[list[Any], str]]:
    """Arguments that cannot work, and what is said about them."""
    one = named_map(folder / "one.tif", patches(9, 9, classes=2))
    photo = placed_tif(folder / "photo.tif", noise(9, 9), photometric="RGB")
    floats = placed_tif(folder / "floats.tif", np.zeros((9, 9), np.float32))
    several = placed_tif(folder / "several.tif", noise(9, 9, 2))
    far = placed_tif(folder / "far.tif", patches(9, 9), transform=Affine(0.5, 0, 9e5, 0, -0.5, 9e5))
    (folder / "text.gpkg").write_text("no GeoPackage")
    (folder / "text.tif").write_text("no raster")
    return {
        "missing prediction": ([folder / "no.tif", one], "no.tif does not exist"),
        "missing reference": ([one, folder / "no.gpkg"], "no.gpkg does not exist"),
        "no reference": ([one], "no reference for"),
        "no raster": ([one, folder / "text.tif"], "not a raster"),
        "no vector file": ([one, folder / "text.gpkg"], "cannot be read as a vector file"),
        "picture": ([photo, one], "is a picture.*--legend"),
        "picture as mask": ([one, photo, "--legend", "deepglobe"], "none of the classes"),
        "floats": ([one, floats], "float32 pixels"),
        "bands": ([one, several], "several bands"),
        "no such band": ([one, several, "--reference-band", "3"], "no band 3"),
        "elsewhere": ([one, far], "--align"),
        "no overlap": ([one, far, "--align"], "does not overlap"),
        "legend": ([one, one, "--legend", "nonsense"], "neither a file nor a legend"),
        "tolerance": ([one, one, "--boundary-tolerance", "200px"], "at most 100"),
        "vector prediction": ([folder / "text.gpkg", one], "is a class raster"),
        "folder and file": ([folder, one], "two of a kind"),
    }


def test_a_problem_is_one_line(cli: Run, tmp_path: Path) -> None:
    cases = wrong(tmp_path)
    before = files(tmp_path)
    for kind, (arguments, words) in cases.items():
        result = cli("evaluate", *arguments, "-o", tmp_path / "scores.json")
        assert result.code == 1 and result.out == "", kind
        assert re.search(words, result.error), (kind, result.error)
        assert files(tmp_path) == before, kind


def test_a_length_without_a_unit_is_a_usage_error(cli: Run, prediction: Path) -> None:
    assert cli("evaluate", prediction, prediction, "--boundary-tolerance", "3").code == 2
