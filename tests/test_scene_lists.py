"""Lists of scenes: text, CSV, STAC."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glnet_geo.errors import BatchError
from glnet_geo.scene_lists import csv_scenes, read_document, text_scenes
from glnet_geo.stac_items import item_scenes

LIST = Path("lists/a.txt")


def refusal(read, *arguments) -> str:
    with pytest.raises(BatchError) as caught:
        read(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestText:
    def paths(self, content: bytes) -> list[str]:
        return [str(scene.path) for scene in text_scenes(LIST, content)]

    def test_paths_comments_and_blank_lines(self, tmp_path: Path) -> None:
        content = b'# tiles\n\n a.tif \nsub/b.tif\n/abs/c.tif\n"d e.tif"\nhttps://x.org/f.tif#g\n'
        expected = ["lists/a.tif", "lists/sub/b.tif", "/abs/c.tif", "lists/d e.tif"]
        assert self.paths(content) == [*expected, "https://x.org/f.tif#g"]

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_encodings_and_line_ends(self, encoding: str, end: str) -> None:
        content = f"köln.tif{end}b.tif".encode(encoding)
        assert self.paths(content) == ["lists/köln.tif", "lists/b.tif"]

    def test_names_that_are_not_utf_8(self) -> None:
        [scene] = text_scenes(LIST, b"k\xf6ln.tif")
        assert bytes(scene.path) == b"lists/k\xf6ln.tif"

    def test_no_text(self) -> None:
        assert "is no text file" in refusal(text_scenes, LIST, b"II*\0abc")
        assert "is no text file" in refusal(text_scenes, LIST, b"\xff\xfea")

    def test_a_folder(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        assert f"{path}, line 2: " in refusal(text_scenes, path, b"b.tif\n.\n")

    def test_documents_that_cannot_be_read(self, tmp_path: Path, monkeypatch) -> None:
        assert "Is a directory" in refusal(read_document, tmp_path)
        path = tmp_path / "a.txt"
        path.write_bytes(b"a" * 11)
        monkeypatch.setattr("glnet_geo.scene_lists._MAX_BYTES", 10)
        assert "is larger" in refusal(read_document, path)


class TestCsv:
    def test_columns(self) -> None:
        content = "ID,Name, Path ,url,datetime\n1,x/y.z,a.tif,b.tif,2024-05-01\n\n2,,c.tif,,\n"
        one, two = csv_scenes(LIST, content.encode())
        assert (str(one.path), one.name(0), one.acquired) == (
            "lists/a.tif",
            "x/y.z",
            "2024-05-01T00:00:00Z",
        )
        assert (str(two.path), two.name(0), two.acquired) == ("lists/c.tif", "c", None)

    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_delimiters(self, delimiter: str) -> None:
        content = f'datetime{delimiter}image\n{delimiter}"a,b;c.tif"\n'
        assert [str(s.path) for s in csv_scenes(LIST, content.encode())] == ["lists/a,b;c.tif"]

    @pytest.mark.parametrize(
        ("name", "safe"),
        [
            ("../../etc/passwd", "etc/passwd"),
            ("C:\\maps\\a.tif", "C_/maps/a"),
            ("/srv/x", "srv/x"),
            ("..", "_"),
            ("v1.0", "v1.0"),
        ],
    )
    def test_names_are_made_safe(self, name: str, safe: str) -> None:
        [scene] = csv_scenes(LIST, f"path,name\na.tif,{name}\n".encode())
        assert scene.name(0) == safe

    def test_refusals(self) -> None:
        assert "has no column path" in refusal(csv_scenes, LIST, b"a,b\n1,2\n")
        assert "has no column path" in refusal(csv_scenes, LIST, b"")
        assert "line 3: there is no path" in refusal(csv_scenes, LIST, b"path,name\na,b\n,c\n")
        message = refusal(csv_scenes, LIST, b"path,datetime\na.tif,yesterday\n")
        assert "line 2: 'yesterday' is no time" in message
        assert "no CSV table" in refusal(csv_scenes, LIST, b'path\n"' + b"a" * 200_000 + b'"\n')

    @pytest.mark.parametrize(
        ("text", "time"),
        [
            ("2024-05-01T10:30:00Z", "2024-05-01T10:30:00Z"),
            ("2024-05-01 10:30", "2024-05-01T10:30:00Z"),
            ("2024-05-01T10:30:00+02:00", "2024-05-01T08:30:00Z"),
            ("20240501", "2024-05-01T00:00:00Z"),
        ],
    )
    def test_times(self, text: str, time: str) -> None:
        [scene] = csv_scenes(LIST, f"path,datetime\na.tif,{text}\n".encode())
        assert scene.acquired == time


def item(**assets: dict[str, object]) -> dict[str, object]:
    tables = {key: {"href": f"./{key}.tif", **table} for key, table in assets.items()}
    return {"type": "Feature", "id": "one", "properties": {}, "assets": tables}


def chosen(table: object, asset: str | None = None) -> str:
    [scene] = item_scenes(LIST, json.dumps(table).encode(), asset)
    return scene.path.stem


DATA = {"roles": ["data"]}
TIFF = {"type": "image/tiff; application=geotiff"}
THUMBNAIL = {"type": "image/png", "roles": ["thumbnail"]}


class TestStac:
    @pytest.mark.parametrize(
        ("assets", "key"),
        [
            ({"x": DATA, "visual": TIFF}, "x"),
            ({"x": DATA, "y": DATA, "data": {}, "image": {}, "visual": {}}, "visual"),
            ({"x": TIFF, "data": {}, "image": {}}, "image"),
            ({"x": TIFF, "y": {"type": "application/json"}, "z": THUMBNAIL}, "x"),
            ({"x": {"roles": None, "type": "image/jp2"}}, "x"),
        ],
    )
    def test_the_asset_that_stands_out(self, assets, key: str) -> None:
        assert chosen(item(**assets)) == key

    def test_the_asset_that_is_named(self) -> None:
        assert chosen(item(x=DATA, y={}), asset="y") == "y"

    def test_no_asset(self) -> None:
        table = json.dumps(item(x=DATA, y=DATA)).encode()
        message = refusal(item_scenes, LIST, table)
        assert "item 'one' has no asset that stands out. Choose one with --asset: x, y." in message
        assert "has no asset 'z'" in refusal(item_scenes, LIST, table, "z")
        many = json.dumps(item(**{f"B{k}": TIFF for k in range(50)})).encode()
        assert len(refusal(item_scenes, LIST, many)) < 200

    def test_a_collection_of_items(self) -> None:
        one, two = item(x=DATA), item(x=DATA)
        one["properties"] = {"datetime": None, "start_datetime": "2024-05-01T00:00:00Z"}
        two["assets"]["x"]["href"] = "s3://bucket/y.tif"  # type: ignore[index]
        content = json.dumps({"type": "FeatureCollection", "features": [one, two]}).encode()
        first, second = item_scenes(LIST, content)
        assert first.path == Path("lists/x.tif")
        assert first.acquired == "2024-05-01T00:00:00Z"
        assert second.path == "s3://bucket/y.tif"

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "[" * 100_000,
            "[]",
            "5",
            '{"type": "FeatureCollection"}',
            '{"type": "FeatureCollection", "features": [5]}',
            '{"type": "FeatureCollection", "features": [{"id": "a"}]}',
            '{"type": "Feature", "id": "a", "assets": {"x": 5}}',
            '{"type": "Feature", "id": "a", "assets": []}',
            '{"type": "Feature", "id": "a", "assets": {"data": {"href": 5}}}',
            '{"type": "Feature", "id": "a", "assets": {"data": {"href": "a\\u0000"}}}',
            '{"type": "Feature", "id": "a", "assets": {"data": {"href": "\\ud800"}}}',
            '{"type": "Feature", "id": "a", "assets": {"data": {"roles": 5}}}',
            '{"type": "Feature", "id": "a", "properties": 5, "assets": {}}',
            '{"type": "Feature", "id": "a", "properties": {"datetime": 5},'
            ' "assets": {"data": {"href": "a"}}}',
        ],
    )
    def test_no_items(self, content: str) -> None:
        assert str(LIST) in refusal(item_scenes, LIST, content.encode())

    def test_a_catalog(self) -> None:
        assert "Give its items" in refusal(item_scenes, LIST, b'{"type": "Collection"}')
