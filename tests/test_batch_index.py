"""The page with a card for each scene of a batch."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from glnet_geo.batch_index import write_index
from glnet_geo.batch_record import SceneFacts, SceneRecord, State
from glnet_geo.errors import OutputError
from glnet_geo.grid import Grid
from glnet_geo.raster_output import write_map
from tests.batch_tiles import lively_model
from tests.browsing import chromium
from tests.class_maps import NAMED, patches
from tests.rasters import UTM, noise, placed_tif

HOSTILE = "100% <img src=x onerror=alert(1)> #a?b"


def mapped(folder: Path, name: str, seed: int = 0) -> SceneRecord:
    """A finished map of 300 x 400 pixels and what a batch knows of it."""
    grid = Grid(300, 400, UTM["transform"], UTM["crs"], 0.25)
    labels = np.array([0, 1, 4, 255], np.uint8)[patches(300, 400, seed, classes=4)]
    path = folder / f"{name}.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = write_map(path, [(labels, grid.window)], grid, NAMED, {})
    pixels = {key: int(content.pixels[key]) for key in np.flatnonzero(content.pixels).tolist()}
    return SceneRecord(
        name,
        f"/in/{name}.tif",
        "",
        State.DONE,
        facts=SceneFacts(grid, 3, "uint8"),
        outputs=(f"{name}.tif", f"{name}.gpkg"),
        pixels=pixels,
        areas_m2={key: 0.25 * count for key, count in pixels.items()},
        polygons=7,
    )


def failed(name: str, error: str) -> SceneRecord:
    return SceneRecord(name, f"/in/{name}.tif", "", State.FAILED, error=error)


def written(folder: Path, records: Sequence[SceneRecord]) -> str:
    path = folder / "index.html"
    write_index(path, records, NAMED, "County <2024>", "dubai-urban 1.0")
    return path.read_text("utf-8")


def cards(text: str) -> list[str]:
    return re.findall(r"<li data-name=.*?</li>(?=<li data-name|</ul>)", text)


def test_cards_show_maps_and_failures_first(tmp_path):
    records = [mapped(tmp_path, "north/a"), failed("b", "b.tif is <no> raster.")]
    pending = SceneRecord("c", "/in/c.tif", "")
    first, second, third = cards(written(tmp_path, [*records, pending]))
    assert "b.tif is &lt;no&gt; raster." in first and "<img" not in first
    assert 'src="data:image/png;base64,' in second
    assert 'href="./north/a.tif"' in second and 'href="./north/a.gpkg"' in second
    assert "7 polygons" in second and "400 x 300 px, 0.5 m" in second
    shares = re.findall(r'<rect x="[0-9.]+" width="([0-9.]+)"', second)
    assert sum(map(float, shares)) == pytest.approx(100, abs=0.01) and len(shares) == 3
    pixels = sorted((records[0].pixels[one] for one in (0, 1, 4)), reverse=True)
    expected = [100 * one / sum(pixels) for one in pixels]
    assert list(map(float, shares)) == pytest.approx(expected, abs=0.01)
    assert "not begun" in third and "href" not in third


def test_hostile_names_stay_text_and_links_lead_to_files(tmp_path):
    record = mapped(tmp_path, HOSTILE)
    text = written(tmp_path, [record])
    assert "<img src=x" not in text and html.escape(HOSTILE) in text
    link = re.findall(r'href="(\./[^"]*\.tif)"', text)[0]
    assert (tmp_path / unquote(link)).is_file()
    assert not re.search("[#?<]", link)


def test_names_of_files_that_are_no_text(tmp_path):
    (card,) = cards(written(tmp_path, [failed(os.fsdecode(b"m\xff"), "cannot be read")]))
    assert "<h3>m\N{REPLACEMENT CHARACTER}</h3>" in card


def test_a_map_that_is_gone_has_no_picture(tmp_path):
    record = mapped(tmp_path, "a")
    (tmp_path / "a.tif").unlink()
    (card,) = cards(written(tmp_path, [record]))
    assert "<img" not in card and "building" in card


def test_many_scenes_make_a_page_of_bounded_size(tmp_path):
    record = mapped(tmp_path, "a")
    few, many = (len(written(tmp_path, [record] * count)) for count in (40, 400))
    assert 5 * few < 5_000_000  # those of 200 scenes
    assert many < 7 * few  # smaller thumbnails


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A page as a browser shows it."""
    folder = tmp_path_factory.mktemp("out")
    records = [mapped(folder, f"north/{k}", k) for k in range(5)]
    written(folder, [*records, failed(HOSTILE, "broken")])
    return folder


@pytest.fixture(scope="module")
def browser():
    with chromium() as one:
        yield one


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_in_a_browser(browser, out, scheme):
    for width in (390, 1280):
        browser.show(out / "index.html", scheme, width)
        assert browser.run("return document.documentElement.scrollWidth") <= width
    assert min(browser.contrasts()) > (4.5, "")
    assert browser.requests() == [(out / "index.html").absolute().as_uri()]
    nodes = browser.named_nodes()
    needing = {"button", "searchbox", "combobox", "image", "link", "region", "list"}
    assert [role for role, name in nodes if role in needing - {"list"} and not name] == []
    assert ("searchbox", "Name contains") in nodes and ("combobox", "State") in nodes
    shown = "return document.querySelectorAll('#cards > li:not([hidden])').length"
    assert browser.run(shown) == 6
    browser.driver.find_element("id", "name").send_keys("NORTH/3")
    assert browser.run(shown) == 1
    said = browser.driver.find_element("id", "said").text
    assert said == "1 of 6 scenes are shown."
    browser.driver.find_element("id", "name").clear()
    browser.driver.find_element("id", "state").send_keys("failed")
    assert browser.run(shown) == 1
    assert browser.messages() == []


def test_names_are_found_however_they_are_written(browser, tmp_path):
    names = ["Stra\xdfe \xc4u\xdferes", "strasse A\u0308u", "other"]
    written(tmp_path, [failed(name, "broken") for name in names])
    browser.show(tmp_path / "index.html")
    shown = "return [...document.querySelectorAll('#cards > li:not([hidden]) h3')].length"
    box = browser.driver.find_element("id", "name")
    for text, count in (("\xe4u", 2), ("stra\xdfe", 1), ("STRAS", 1)):
        box.clear()
        box.send_keys(text)
        assert browser.run(shown) == count, text


@pytest.fixture
def batch(cli, tmp_path):
    """Runs a batch of a scene and of what is none into `out`."""
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    placed_tif(scenes / "a.tif", noise(150, 150))
    (scenes / "b.tif").write_text("no raster")
    model = lively_model(tmp_path / "model.safetensors")

    def run(*options: str):
        return cli("batch", scenes, "-o", tmp_path / "out", "--model", model, *options)

    return run


def test_batch_writes_it_where_it_is_asked_for_and_keeps_it_true(batch, tmp_path):
    index = tmp_path / "out" / "index.html"
    batch("-q")
    assert not index.exists()
    result = batch("--report", "--json")
    assert result.code == 1 and str(index) in json.loads(result.out)["products"]
    text = index.read_text("utf-8")
    assert len(cards(text)) == 2 and "b.tif is not a raster" in text
    placed_tif(tmp_path / "scenes" / "b.tif", noise(150, 150, seed=1))
    assert batch("-q").code == 0  # without the option
    assert len(re.findall("data:image/png", index.read_text("utf-8"))) == 2
    index.unlink()
    assert batch("-q", "--report").code == 0 and index.exists()


def test_somebody_elses_page_stays(batch, tmp_path):
    index = tmp_path / "out" / "index.html"
    index.parent.mkdir()
    index.write_text("mine")
    result = batch("--report", "-q")
    assert result.code == 1 and "holds what no batch has written" in result.error
    assert index.read_text() == "mine" and not (tmp_path / "out" / "a.tif").exists()
    assert batch("-q").code == 1  # b is no raster; without the option the page is nobody's concern
    assert index.read_text() == "mine"
    batch("--report", "-q", "--overwrite")
    assert index.read_text("utf-8").startswith("<!DOCTYPE html>")


def test_a_page_that_cannot_be_replaced_is_said(tmp_path):
    (tmp_path / "index.html").mkdir()
    with pytest.raises(OutputError, match=r"index\.html cannot be"):
        write_index(tmp_path / "index.html", [], NAMED, "x", "m")
