"""Which files of two folders, or of a list, belong together."""

from __future__ import annotations

from pathlib import Path

import pytest

from glnet_geo.errors import GlnetGeoError
from glnet_geo.evaluation_pairs import Pairs, find_pairs


def folders(root: Path, here: str, there: str) -> tuple[Path, Path]:
    """Two folders with empty files."""
    for name, files in (("pred", here), ("ref", there)):
        for file in files.split():
            path = root / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root / "pred", root / "ref"


def names(found: Pairs) -> dict[str, str]:
    return {Path(one.prediction).name: Path(one.reference).name for one in found.pairs}


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        ("a.tif b.tif", "a.png b.gpkg", {"a.tif": "a.png", "b.tif": "b.gpkg"}),
        ("a.tif", "a_mask.png", {"a.tif": "a_mask.png"}),
        ("119_sat.tif", "119_mask.png 119_sat.jpg", {"119_sat.tif": "119_mask.png"}),
        ("119.tif", "119.jpg 119_labels.tif", {"119.tif": "119_labels.tif"}),
        ("a_pred.tif", "a-GT.TIF", {"a_pred.tif": "a-GT.TIF"}),
        (
            "v1.0.tif v1.1.tif",
            "v1.0_gt.tif v1.1_gt.tif",
            {f"v1.{k}.tif": f"v1.{k}_gt.tif" for k in (0, 1)},
        ),
        ("x/a.tif", "deep/er/a.geojson", {"a.tif": "a.geojson"}),
        ("a.tif", "a.tif .hidden/a.tif a.txt a.tif.aux.xml", {"a.tif": "a.tif"}),
        ("mask.tif", "mask.png", {"mask.tif": "mask.png"}),
        # The same name wins, and what it leaves is matched by the rest.
        ("a.tif a_map.tif", "a.png a_map.png", {"a.tif": "a.png", "a_map.tif": "a_map.png"}),
    ],
)
def test_names_match(tmp_path: Path, here: str, there: str, expected: dict[str, str]) -> None:
    assert names(find_pairs(*folders(tmp_path, here, there))) == expected


def test_files_without_a_partner_are_named(tmp_path: Path) -> None:
    found = find_pairs(*folders(tmp_path, "a.tif b.tif", "a.tif c_mask.png"))
    assert names(found) == {"a.tif": "a.tif"}
    assert [path.name for path in found.unmatched] == ["b.tif", "c_mask.png"]


@pytest.mark.parametrize(
    ("here", "there", "words"),
    [
        ("a.tif", "a_mask.png a_gt.png", "a_gt.png.*a_mask.png all match 'a'"),
        ("a.tif a.png", "a.tif", "all match 'a'"),
        ("a.tif", "x/a.tif y/a.tif", "all match 'a'"),
        ("a_map.tif a_pred.tif", "a.tif", "all match 'a'"),
        ("a.tif", "b.tif", r"No name in .*a\.tif.* matches one in .*b\.tif"),
        ("a.txt", "b.tif", "no files to compare"),
    ],
)
def test_what_is_ambiguous_or_missing_is_an_error(
    tmp_path: Path, here: str, there: str, words: str
) -> None:
    with pytest.raises(GlnetGeoError, match=words):
        find_pairs(*folders(tmp_path, here, there))


def test_a_file_and_a_folder_are_no_pair(tmp_path: Path) -> None:
    here, there = folders(tmp_path, "a.tif", "a.tif")
    for pair in ((here, there / "a.tif"), (here / "a.tif", there)):
        with pytest.raises(GlnetGeoError, match="Give two of a kind"):
            find_pairs(*pair)


def test_a_list_is_relative_to_itself(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    rows = "scene,reference,prediction\n1, ref/a.gpkg ,a.tif\n2,/b.tif,b.tif\n"
    path.write_text(f"\ufeff{rows}", "utf-8")
    first, second = find_pairs(path, None).pairs
    assert (first.prediction, first.reference) == (tmp_path / "a.tif", tmp_path / "ref/a.gpkg")
    assert second.reference == Path("/b.tif")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,b\n1,2\n", "needs the columns"),
        ("prediction,reference\n", "lists no pairs"),
        ("prediction,reference\na.tif\n", "line 2"),
        ("", "needs the columns"),
        ("\xff\xfe", "cannot be read|needs the columns"),
    ],
)
def test_a_list_that_is_none_is_an_error(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(GlnetGeoError, match=words):
        find_pairs(path, None)


def test_a_raster_needs_a_reference(tmp_path: Path) -> None:
    with pytest.raises(GlnetGeoError, match="no reference for"):
        find_pairs(tmp_path / "a.tif", None)
