"""Names that are safe everywhere and never the same twice."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from glnet_geo.scene_names import Found, safe_part, unique_names


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("tile_5-a", "tile_5-a"),
        ("T32 v1.0 (1)", "T32 v1.0 (1)"),
        ("Köln", "Köln"),
        (unicodedata.normalize("NFD", "Köln"), "Köln"),
        ("..", "_"),
        ("", "_"),
        (".hidden", "hidden"),
        ("dot. ", "dot"),
        ("a/b\\c", "a_b_c"),
        ("C:x", "C_x"),
        ('<a>|"b"?*', "_a___b___"),
        ("a\nb\x00\x7f\u202e", "a_b___"),
        (os.fsdecode(b"k\xf6ln"), "k_ln"),
        ("con", "con_"),
        ("COM1.part2", "COM1_.part2"),
        ("aux .x", "aux_ .x"),
        ("console", "console"),
        ("lpt\u00b9", "lpt\u00b9_"),
    ],
)
def test_safe_parts(text: str, safe: str) -> None:
    assert safe_part(text) == safe


def test_long_parts_stay_apart() -> None:
    one, two = safe_part("ü" * 300 + "a"), safe_part("ü" * 300 + "b")
    assert one != two
    assert max(len(one.encode()), len(two.encode())) <= 150


@pytest.mark.parametrize(
    ("folders", "stem", "name"),
    [
        ((), "landcover", "scene-landcover"),
        ((), "LandCover-2", "scene-LandCover-2"),
        ((), "manifest", "scene-manifest"),
        ((), "scenes", "scene-scenes"),
        ((), "scenes2", "scenes2"),
        ((), "stac", "stac"),
        (("STAC",), "a", "scene-STAC/a"),
        (("stac2",), "landcover", "stac2/landcover"),
        (("x", "stac"), "a", "x/stac/a"),
        (("a.tif",), "b", "a_tif/b"),
        (("manifest.JSON",), "b", "manifest_JSON/b"),
        (("v1.0", "S2.SAFE"), "b", "v1.0/S2.SAFE/b"),
        (("..", "/", "C:"), "b", "_/_/C_/b"),
    ],
)
def test_names_of_the_batch_and_folders(folders: tuple[str, ...], stem: str, name: str) -> None:
    assert Found(Path("x"), "x", stem, folders=folders).name(0) == name


TRICKY = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ["a", "A", "ä", "a\u0308", "ß", "ss", "..", ".", "con", "stac", "a.tif", "x" * 400]
    ),
)


@given(
    st.lists(
        st.tuples(st.lists(TRICKY, max_size=3), TRICKY, st.sampled_from(["", ".tif", ".jp2"])),
        max_size=30,
    )
)
@example([([], "a", ".tif"), ([], "a", ".jp2"), ([], "a.tif", ".tif"), ([], "a.jp2", "")])
@example([(["x" * 400] * 20, "a", ".tif"), (["x" * 400] * 20, "b", ".tif")])
def test_any_names(parts) -> None:
    scenes = [
        Found(Path("x"), f"/x/{k}", stem, suffix, tuple(folders))
        for k, (folders, stem, suffix) in enumerate(parts)
    ]
    names = unique_names(scenes)
    assert len({unicodedata.normalize("NFKD", name).casefold() for name in names}) == len(names)
    for name in names:
        assert not re.search(r'[\x00-\x1f\\:<>"|?*]', name)
        assert len(name.encode()) <= 900
        assert not re.match(r"(?i)(stac/|landcover|manifest$|scenes$)", name)
        for part in name.split("/"):
            assert part and part[0] != "." and part[-1] not in " ." and len(part.encode()) <= 220
            part.encode("utf-8")
    assert dict(zip(scenes, names, strict=True)) == dict(
        zip(scenes[::-1], unique_names(scenes[::-1]), strict=True)
    )
