"""What the words of a batch mean, and what the outputs are called."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pytest

from glnet_geo.errors import BatchError
from glnet_geo.scene_inputs import SceneInput, find_inputs


def make(folder: Path, *names: str) -> Path:
    """Empty files."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    return make(
        tmp_path / "tiles", "tile10.tif", "tile2.tif", "b/x.JP2", "b/deep/y.tiff", "b/x.aux.xml"
    )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def find(*words: object, out: Path, **options: str) -> dict[str, str]:
    """Names with the paths' last parts."""
    found = find_inputs([str(word) for word in words], exclude=out, **options)
    names = {one.name: str(one.path).rsplit("/", 1)[-1] for one in found}
    assert len(names) == len(found)
    return names


def refusal(*words: object, out: Path, **options: str) -> str:
    with pytest.raises(BatchError) as caught:
        find_inputs([str(word) for word in words], exclude=out, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestDirectories:
    def test_all_below_in_natural_order(self, tiles: Path, out: Path) -> None:
        assert list(find(tiles, out=out)) == ["b/deep/y", "b/x", "tile2", "tile10"]

    def test_paths_as_they_were_spelt(self, tiles: Path, out: Path, monkeypatch) -> None:
        monkeypatch.chdir(tiles)
        found = find_inputs(["."], exclude=out)
        assert found[2] == SceneInput(Path("tile2.tif"), "tile2")

    def test_usual_extensions_in_any_case(self, tmp_path: Path, out: Path) -> None:
        suffixes = ["tif", "tiff", "jp2", "j2k", "png", "jpg", "jpeg"]
        suffixes += ["img", "bil", "ecw", "sid", "nitf", "ntf"]
        names = [f"{s}.{s if n % 2 else s.upper()}" for n, s in enumerate(suffixes)]
        others = ["a.txt", "b.shp", "c.tif.aux.xml", "d.tfw", "e.vrt", "f", "tif"]
        folder = make(tmp_path / "t", *names, *others)
        assert set(find(folder, out=out)) == set(suffixes)

    def test_hidden_ones_stay_hidden(self, tiles: Path, out: Path) -> None:
        make(tiles, ".tile.tif", ".tile.tif.part/finished.tif", "b/.x/y.tif")
        assert len(find(tiles, out=out)) == 4

    @pytest.mark.parametrize(
        ("pattern", "names"),
        [
            ("*.tif", ["tile2", "tile10"]),
            ("tile1?.*", ["tile10"]),
            ("b/*", ["b/deep/y", "b/x"]),
            ("b/x*", ["b/x"]),
            ("**/*.tif", ["tile2", "tile10"]),
            ("*/deep/*", ["b/deep/y"]),
            ("*.xml", ["b/x.aux"]),
            ("*", ["b/deep/y", "b/x", "tile2", "tile10"]),
        ],
    )
    def test_pattern(self, tiles: Path, out: Path, pattern: str, names: list[str]) -> None:
        make(tiles, "roads.shp", "roads.dbf", "tile2.tfw")
        assert list(find(tiles, out=out, pattern=pattern)) == names

    def test_the_output_folder_is_left_out(self, tiles: Path) -> None:
        out = make(tiles / "maps", "tile2.tif", "b/z.tif")
        assert len(find(tiles, out=out)) == 4
        assert len(find(tiles / "*", out=out)) == 4
        assert len(find(tiles, out=tiles / "b" / ".." / "maps")) == 4

    def test_the_output_folder_itself_is_refused(self, tiles: Path) -> None:
        assert "is the folder of the outputs" in refusal(tiles, out=tiles)

    def test_links_are_followed_once(self, tiles: Path, out: Path, tmp_path: Path) -> None:
        (tiles / "b" / "round").symlink_to(tiles)
        (tiles / "b" / "deep" / "up").symlink_to("..")
        far = make(tmp_path / "far", "f.tif")
        (tiles / "z").symlink_to(far)
        (tiles / "zz").symlink_to(far)
        (tiles / "zzz.tif").symlink_to(far / "f.tif")
        assert list(find(tiles, out=out)) == ["b/deep/y", "b/x", "tile2", "tile10", "z/f"]

    def test_a_link_that_leads_nowhere_is_a_scene(self, tiles: Path, out: Path) -> None:
        (tiles / "gone.tif").symlink_to("nowhere.tif")
        assert "gone" in find(tiles, out=out)

    def test_a_pipe_is_none(self, tiles: Path, out: Path) -> None:
        os.mkfifo(tiles / "pipe.tif")
        assert "pipe" not in find(tiles, out=out)

    def test_deep_folders(self, tmp_path: Path, out: Path) -> None:
        deep = tmp_path / "t" / Path(*"a" * 400)
        deep.mkdir(parents=True)
        make(deep, "x.tif", "y.tif")
        names = list(find(tmp_path / "t", out=out))
        assert len(names) == 2
        assert all(len(name) < 100 for name in names)

    def test_several_with_equal_names(self, tmp_path: Path, out: Path) -> None:
        make(tmp_path, "2019/a.tif", "2020/a.tif", "2020/b.tif", "c.tif")
        words = [tmp_path / name for name in ("2019", "2020", "c.tif")]
        assert list(find(*words, out=out)) == ["2019/a", "2020/a", "2020/b", "c"]
        make(tmp_path, "2021/z.tif")
        assert list(find(tmp_path / "2021", tmp_path / "2020", out=out)) == ["z", "a", "b"]

    def test_several_are_called_as_they_were_named(self, tmp_path: Path, out: Path) -> None:
        make(tmp_path, "1/a.tif", "2/a.tif")
        (tmp_path / "new").symlink_to("2")
        assert list(find(tmp_path / "1", tmp_path / "new", out=out)) == ["1/a", "new/a"]

    def test_several_that_bear_one_name(self, tmp_path: Path, out: Path) -> None:
        make(tmp_path, "1/t/a.tif", "2/t/a.tif")
        words = [tmp_path / "1/t", tmp_path / "2/t"]
        names = find(*words, out=out)
        assert all(name.startswith("a-") for name in names)
        assert set(find(*reversed(words), out=out)) == set(names)

    def test_nothing_in_it(self, tmp_path: Path, out: Path) -> None:
        folder = make(tmp_path / "t", "a.txt")
        assert f"{folder} has no files *.tif *.tiff" in refusal(folder, out=out)
        assert "no files *.hdf in it" in refusal(folder, out=out, pattern="*.hdf")

    def test_unreadable(self, tiles: Path, out: Path, monkeypatch) -> None:
        def refuse(path: str) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "scandir", refuse)
        assert f"The folder {tiles} cannot be read: Permission denied." == refusal(tiles, out=out)

    def test_10000_files_are_listed_quickly(self, tmp_path: Path, out: Path) -> None:
        names = [f"{row}/tile_{row}_{column}.tif" for row in range(100) for column in range(100)]
        folder = make(tmp_path / "t", *names)
        started = time.perf_counter()
        found = find_inputs([str(folder)], exclude=out)
        assert time.perf_counter() - started < 3
        assert [f"{one.name}.tif" for one in found] == names


class TestGlobs:
    @pytest.mark.parametrize(
        ("word", "names"),
        [
            ("*.tif", ["tile2", "tile10"]),
            ("**/*.tif*", ["b/deep/y", "tile2", "tile10"]),
            ("**", ["b/deep/y", "b/x", "tile2", "tile10"]),
            ("*", ["b/deep/y", "b/x", "tile2", "tile10"]),
            ("b/*", ["deep/y", "x"]),
            ("[b]", ["b/deep/y", "b/x"]),
            ("*/*/y.tiff", ["b/deep/y"]),
            ("b/*.xml", ["x.aux"]),
            ("tile?.tif", ["tile2"]),
        ],
    )
    def test_match(self, tiles: Path, out: Path, word: str, names: list[str], monkeypatch) -> None:
        assert list(find(tiles / word, out=out)) == names
        monkeypatch.chdir(tiles)
        assert list(find(word, out=out)) == names

    @pytest.mark.parametrize("word", ["*.hdf", "nowhere/*.tif", "c*/**"])
    def test_no_match(self, tiles: Path, out: Path, word: str) -> None:
        assert "no scene matches it" in refusal(tiles / word, out=out)

    def test_other_folders_are_not_searched(self, tiles: Path, out: Path, monkeypatch) -> None:
        searched = []
        scandir = os.scandir
        monkeypatch.setattr(os, "scandir", lambda path: searched.append(path) or scandir(path))
        find(tiles / "*.tif", out=out)
        assert searched == [str(tiles)]

    def test_a_name_that_looks_like_one(self, tmp_path: Path, out: Path) -> None:
        make(tmp_path, "[a]/x.tif", "y[1].tif")
        assert list(find(tmp_path / "[a]", tmp_path / "y[1].tif", out=out)) == ["x", "y[1]"]

    def test_lists_are_read(self, tmp_path: Path, out: Path) -> None:
        (tmp_path / "1.txt").write_text("a.tif\n")
        (tmp_path / "2.txt").write_text("b.tif\n")
        assert list(find(tmp_path / "*.txt", out=out)) == ["a", "b"]


class TestFiles:
    def test_any_extension(self, tmp_path: Path, out: Path) -> None:
        make(tmp_path, "a.hdf", "b", "c.v2.tif")
        words = [tmp_path / name for name in ("c.v2.tif", "b", "a.hdf")]
        assert list(find(*words, out=out)) == ["c.v2", "b", "a"]

    def test_a_file_counts_once(self, tiles: Path, out: Path, tmp_path: Path, monkeypatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "link.tif").symlink_to(tiles / "tile2.tif")
        words = ["link.tif", tiles, "tiles/tile10.tif", tiles / "b" / ".." / "tile2.tif"]
        assert list(find(*words, out=out)) == ["link", "b/deep/y", "b/x", "tile10"]

    def test_clashes_show_the_extension(self, tmp_path: Path, out: Path) -> None:
        make(tmp_path, "a.tif", "A.jp2", "b.tif")
        words = [tmp_path / name for name in ("a.tif", "A.jp2", "b.tif")]
        assert list(find(*words, out=out)) == ["a.tif", "A.jp2", "b"]

    def test_the_order_of_words_does_not_matter(self, tmp_path: Path, out: Path) -> None:
        files = [f"{x}/{name}" for x in "pq" for name in ("a.tif", "a.jp2", "a.jp2.tif", "b.tif")]
        make(tmp_path, *files, "a-0123.tif")
        words = [str(tmp_path / name) for name in (*files, "a-0123.tif")]
        names = {one.path: one.name for one in find_inputs(words, exclude=out)}
        for seed in range(5):
            random.Random(seed).shuffle(words)
            found = find_inputs(words, exclude=out)
            assert [str(one.path) for one in found] == words
            assert {one.path: one.name for one in found} == names

    def test_what_does_not_exist(self, tmp_path: Path, out: Path) -> None:
        path = tmp_path / "gone.tif"
        assert refusal(path, out=out) == f"{path} does not exist."
        assert "does not exist" in refusal("x" * 5000, out=out)
        assert "is empty" in refusal("", out=out)
        assert "No scenes are named" in refusal(out=out)

    def test_a_map_never_replaces_its_scene(self, tiles: Path) -> None:
        assert "would replace it" in refusal(tiles / "tile2.tif", out=tiles)
        assert list(find(tiles / "b/x.JP2", out=tiles / "b")) == ["x"]


class TestRemote:
    @pytest.mark.parametrize(
        ("url", "name"),
        [
            ("https://example.com/tiles/a.tif?sig=b/c.d#e", "a"),
            ("s3://bucket/k%C3%B6ln%20west.tif", "köln west"),
            ("/vsizip/tiles.zip/a.tif", "a"),
            ("/vsicurl/https://example.com/a.b.tif", "a.b"),
            ("https://example.com/..%2F..%2Fetc%2Fpasswd", "_.._etc_passwd"),
            ("https://example.com/%2e%2e", "_"),
            ("https://example.com/", "example"),
        ],
    )
    def test_names(self, out: Path, url: str, name: str) -> None:
        assert find_inputs([url], exclude=out) == [SceneInput(url, name)]

    def test_equal_names(self, out: Path) -> None:
        names = find("https://a.org/x.tif", "https://b.org/x.tif", "https://a.org/x.tif", out=out)
        assert len(names) == 2

    def test_files_as_urls(self, tiles: Path, out: Path) -> None:
        assert list(find(f"file://{tiles}/tile2.tif", out=out)) == ["tile2"]

    def test_a_list_is_to_be_downloaded(self, out: Path) -> None:
        assert "Download it" in refusal("https://example.com/items.json?limit=5", out=out)


class TestDocuments:
    def test_a_vrt_means_its_tiles(self, tmp_path: Path, out: Path) -> None:
        from tests.test_vrt_tiles import mosaic

        (tmp_path / "all.vrt").write_bytes(mosaic())
        assert list(find(tmp_path / "all.vrt", out=out)) == ["a", "b"]

    def test_another_vrt_is_a_scene(self, tmp_path: Path, out: Path) -> None:
        (tmp_path / "stack.vrt").write_text('<VRTDataset rasterXSize="5" rasterYSize="5"/>')
        assert list(find(tmp_path / "stack.vrt", out=out)) == ["stack"]

    def test_stac_items_are_called_by_their_identifiers(self, tmp_path: Path, out: Path) -> None:
        item = {
            "type": "Feature",
            "id": "S2/T32 v1.0",
            "properties": {"datetime": "2024-05-01T10:30:00.5Z"},
            "assets": {"B2": {"href": "./b2.tif"}, "B3": {"href": "https://a.org/b3.tif"}},
        }
        path = tmp_path / "item.json"
        path.write_text(json.dumps(item))
        [found] = find_inputs([str(path)], asset="B2", exclude=out)
        time = "2024-05-01T10:30:00.500000Z"
        assert found == SceneInput(tmp_path / "b2.tif", "S2_T32 v1.0", time)
        assert "B2, B3" in refusal(path, out=out)

    @pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.geojson"])
    def test_empty_lists(self, tmp_path: Path, out: Path, name: str) -> None:
        empty = {"a.txt": "# none\n\n", "a.csv": "path\n"}
        content = empty.get(name, '{"type": "FeatureCollection", "features": []}')
        (tmp_path / name).write_text(content)
        assert refusal(tmp_path / name, out=out) == f"{tmp_path / name} lists no scenes."

    def test_10000_entries_are_read_quickly(self, tmp_path: Path, out: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_text("".join(f"deep/er/{k // 100}/tile{k}.tif\n" for k in range(10_000)))
        started = time.perf_counter()
        assert len(find(path, out=out)) == 10_000
        assert time.perf_counter() - started < 5
