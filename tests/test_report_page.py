"""Reports in a real browser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from glnet_geo.class_table import palette_color
from glnet_geo.grid import Grid
from glnet_geo.legend import LandCover, Legend
from glnet_geo.raster_output import class_map
from glnet_geo.reporting import ReportSources, write_report
from glnet_geo.vectorizing import vectorize
from tests.browsing import Browser, chromium
from tests.class_maps import NAMED, named_map, patches
from tests.rasters import UTM, noise, placed_tif, write_tif

HOSTILE = "<script>alert('x')</script>&\"'"
HEIGHT, WIDTH = 1200, 1600  # more than one level

# How many pixels of the screen are to one of the map, and which of them is in the middle.
_PLACE = """
const box = [...document.querySelectorAll('#pane-map > div')].find((one) => !one.hidden);
const [map, stage] = [box.getBoundingClientRect(), document.getElementById('stage')];
const frame = stage.getBoundingClientRect();
const scale = map.width / arguments[0];
const [x, y] = [frame.x + frame.width / 2 - map.x, frame.y + frame.height / 2 - map.y];
return [scale, x / scale, y / scale];
"""


@dataclass(frozen=True)
class Made:
    """A report with all that one can have."""

    page: Path
    labels: np.ndarray


@pytest.fixture(scope="module")
def browser():
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp("report")
    coarse = patches(HEIGHT // 8, WIDTH // 8, classes=3)
    labels = np.kron(np.array([0, 1, 4], np.uint8)[coarse], np.ones((8, 8), np.uint8))
    labels[:100, :200] = 255
    raster = named_map(folder / "map.tif", labels)
    cells = np.ones((1, 16, 16), np.uint8)
    scene = placed_tif(folder / "scene.tif", np.kron(noise(HEIGHT // 16, WIDTH // 16), cells))
    sure = np.kron(noise(HEIGHT // 16, WIDTH // 16, 1), cells) / np.float32(255)
    confidence = placed_tif(folder / "sure.tif", sure)
    polygons = folder / "map.gpkg"
    vectorize(raster, polygons)
    truth = labels.copy()
    truth[::2] = 0
    reference = named_map(folder / "truth.tif", truth)
    page = folder / "report.html"
    sources = ReportSources(
        scene=scene, polygons=polygons, confidence=confidence, reference=reference
    )
    write_report(raster, page, sources=sources)
    return Made(page, labels)


@pytest.fixture
def shown(browser, made) -> Browser:
    browser.show(made.page)
    return browser


def place(browser: Browser) -> tuple[float, float, float]:
    browser.settled()
    return tuple(browser.run(_PLACE, WIDTH))


def control(browser: Browser, name: str):
    return browser.driver.find_element(By.ID, name)


def style(browser: Browser, name: str, key: str) -> str:
    return browser.run(
        "return getComputedStyle(document.getElementById(arguments[0]))[arguments[1]]", name, key
    )


def actions(browser: Browser) -> ActionChains:
    return ActionChains(browser.driver, duration=20)


def test_page_loads_nothing_and_says_nothing(shown, made):
    assert shown.requests() == [made.page.absolute().as_uri()]
    assert shown.messages() == []


def test_swipe_and_opacity(shown):
    assert style(shown, "pane-map", "clipPath") == "inset(0px 0px 0px 50%)"
    control(shown, "swipe").send_keys(Keys.HOME)
    assert style(shown, "pane-map", "clipPath") == "inset(0px 0px 0px 0%)"
    control(shown, "swipe").send_keys(Keys.ARROW_RIGHT)
    assert style(shown, "pane-map", "clipPath") == "inset(0px 0px 0px 1%)"
    assert style(shown, "pane-scene", "clipPath") == "none"
    assert control(shown, "swipe-value").text == "1 %"
    control(shown, "opacity").send_keys(Keys.ARROW_LEFT)
    assert float(style(shown, "pane-map", "opacity")) == pytest.approx(0.99)
    assert float(style(shown, "pane-confidence", "opacity")) == pytest.approx(0.99)
    assert style(shown, "pane-scene", "opacity") == "1"


def test_swipe_handle_is_dragged(shown):
    before = place(shown)
    stage = control(shown, "stage").size["width"]
    handle = shown.driver.find_element(By.CSS_SELECTOR, "#handle span")
    actions(shown).drag_and_drop_by_offset(handle, round(stage / 4), 0).perform()
    assert float(control(shown, "swipe").get_attribute("value")) == pytest.approx(75, abs=1)
    assert place(shown) == before  # the map stays where it is


def test_layers_are_switched(shown):
    seen = {name: style(shown, f"pane-{name}", "visibility") for name in ("map", "confidence")}
    assert seen == {"map": "visible", "confidence": "hidden"}
    for name in ("map", "confidence", "outlines"):
        before = style(shown, f"pane-{name}", "visibility")
        control(shown, f"show-{name}").click()
        assert style(shown, f"pane-{name}", "visibility") != before


def test_keys_zoom_and_move(shown):
    stage = control(shown, "stage")
    whole, x, y = place(shown)
    assert (x, y) == pytest.approx((WIDTH / 2, HEIGHT / 2), abs=1)
    assert control(shown, "zoom-out").get_attribute("aria-disabled") == "true"
    stage.send_keys("++")
    scale, x, y = place(shown)
    assert scale == pytest.approx(whole * 1.5**2, rel=1e-3)
    assert (x, y) == pytest.approx((WIDTH / 2, HEIGHT / 2), abs=1)
    width = stage.size["width"]
    stage.send_keys(Keys.ARROW_RIGHT)
    assert place(shown)[1] == pytest.approx(x + 0.2 * (width - 2) / scale, abs=1)
    stage.send_keys("-")
    assert place(shown)[0] == pytest.approx(whole * 1.5, rel=1e-3)
    stage.send_keys("0")
    assert place(shown) == pytest.approx((whole, WIDTH / 2, HEIGHT / 2), rel=1e-3)


def test_what_is_in_the_middle_is_said(shown):
    control(shown, "stage").send_keys("+")
    said = control(shown, "said")
    shown.driver.execute_async_script("setTimeout(arguments[0], 500)")
    text = said.get_attribute("textContent")
    assert text.startswith("Zoom 1.5 times. In the middle: ")
    # The middle of 1600 x 1200 pixels of half a metre, from the corner of the grid.
    assert text.endswith("500400.00, 4999700.00 (EPSG:32633)")
    assert said.get_attribute("aria-live") == "polite"


def test_buttons_zoom(shown):
    whole = place(shown)[0]
    control(shown, "zoom-in").click()
    assert place(shown)[0] == pytest.approx(whole * 1.5, rel=1e-3)
    control(shown, "zoom-all").click()
    assert place(shown)[0] == pytest.approx(whole, rel=1e-3)
    for _ in range(12):
        control(shown, "zoom-in").click()
    assert place(shown)[0] == pytest.approx(24, rel=1e-3)
    assert control(shown, "zoom-in").get_attribute("aria-disabled") == "true"
    assert shown.run("return document.activeElement.id") == "zoom-in"


def test_wheel_zooms_around_the_pointer(shown):
    whole = place(shown)[0]
    stage = control(shown, "stage")
    origin = ScrollOrigin.from_element(stage, 100, 50)
    actions(shown).move_to_element_with_offset(stage, 100, 50).perform()
    before = control(shown, "place").text
    actions(shown).scroll_from_origin(origin, 0, -200).perform()
    scale, x, y = place(shown)
    assert scale > whole * 1.2
    # What lies under the pointer stays there.
    assert (x + 100 / scale, y + 50 / scale) == pytest.approx(
        (WIDTH / 2 + 100 / whole, HEIGHT / 2 + 50 / whole), abs=2
    )
    assert before
    actions(shown).scroll_from_origin(origin, 0, 2000).perform()
    assert place(shown)[0] == pytest.approx(whole, rel=1e-3)


def test_page_scrolls_on_where_the_map_is_whole(shown):
    actions(shown).scroll_from_origin(
        ScrollOrigin.from_element(control(shown, "stage")), 0, 300
    ).perform()
    shown.driver.execute_async_script("setTimeout(arguments[0], 300)")
    assert shown.run("return scrollY") > 100


def test_map_is_dragged(shown):
    stage = control(shown, "stage")
    stage.send_keys("+++")
    scale, x, y = place(shown)
    chain = actions(shown).move_to_element_with_offset(stage, 200, 100).click_and_hold()
    chain.move_by_offset(-60, -30).release().perform()
    assert place(shown)[1:] == pytest.approx((x + 60 / scale, y + 30 / scale), abs=2)


def test_two_fingers_zoom(shown):
    whole = place(shown)[0]
    box = control(shown, "stage").rect
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def touch(kind: str, *spread: float) -> None:
        points = [{"x": x + side * one, "y": y, "id": side} for one in spread for side in (-1, 1)]
        for point in points:
            point["id"] += 1
        shown.command("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    touch("touchStart", 50)
    for spread in (75, 100, 150):
        touch("touchMove", spread)
    touch("touchEnd")
    assert place(shown)[0] == pytest.approx(3 * whole, rel=0.1)


def test_place_and_class_under_the_pointer(shown, made):
    stage = control(shown, "stage")
    stage.send_keys("0+++++")
    scale, x, y = place(shown)
    names = {0: "building", 1: "bare land", 4: "Wald & Wiese"}
    for across, down in ((200, 100), (150, -120), (-90, 77)):
        actions(shown).move_to_element_with_offset(stage, across, down).perform()
        column, row = x + across / scale, y + down / scale
        text = control(shown, "place").text
        assert text.split(" · ")[0] == names[int(made.labels[int(row), int(column)])]
        easting, northing = map(float, re.findall(r"-?[0-9.]+", text.split(" · ")[1])[:2])
        assert easting == pytest.approx(500_000 + column / 2, abs=1)
        assert northing == pytest.approx(5_000_000 - row / 2, abs=1)


def test_scale_bar_has_the_length_that_it_says(shown):
    for keys in ("0", "++", "+++"):
        control(shown, "stage").send_keys(keys)
        scale = place(shown)[0]
        number, unit = control(shown, "bar-text").text.split()
        metres = float(number.replace(",", "")) * {"m": 1, "km": 1000, "cm": 0.01}[unit]
        width = float(style(shown, "bar", "width").removesuffix("px"))
        assert width == pytest.approx(metres / 0.5 * scale, rel=0.01)
        assert 40 < width <= 131


def test_finer_tiles_come_with_zoom(browser, made):
    browser.show(made.page, width=390)
    levels = "return [...document.querySelectorAll('#pane-map > div')].map((one) => one.hidden)"
    place(browser)
    assert browser.run(levels) == [False, True]
    control(browser, "stage").send_keys("+++++")
    place(browser)
    assert browser.run(levels) == [True, False]
    tiles = browser.run(
        "return document.querySelectorAll('#pane-map > div:not([hidden]) img').length"
    )
    assert 0 < tiles < 12  # those in sight


def test_classes_are_singled_out(shown, made):
    control(shown, "stage").send_keys("+++")
    place(shown)
    pixels = """
    const image = document.querySelector('#pane-map > div:not([hidden]) img');
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const brush = canvas.getContext('2d');
    brush.drawImage(image, 0, 0);
    const data = brush.getImageData(0, 0, canvas.width, canvas.height).data;
    const alphas = new Set();
    for (let k = 3; k < data.length; k += 4) alphas.add(data[k]);
    return [...alphas].sort((a, b) => a - b);
    """
    opaque = set(shown.run(pixels))
    assert 255 in opaque and 30 not in opaque
    button = shown.driver.find_element(By.CSS_SELECTOR, ".legend button")
    button.click()
    shown.settled()
    assert button.get_attribute("aria-pressed") == "true"
    assert {30, 255} <= set(shown.run(pixels))
    control(shown, "all").click()
    shown.settled()
    assert button.get_attribute("aria-pressed") == "false"
    assert set(shown.run(pixels)) == opaque
    assert shown.messages() == []  # the checksums are right


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_text_can_be_read(browser, made, scheme, width):
    browser.show(made.page, scheme, width)
    contrasts = browser.contrasts()
    assert len(contrasts) > 100
    assert min(contrasts) > (4.5, ""), sorted(contrasts)[:5]
    assert browser.run("return document.documentElement.scrollWidth") <= width
    dark = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", dark)[0]) < 60) == (scheme == "dark")
    assert browser.messages() == []


def test_screen_reader_finds_names(shown):
    nodes = shown.named_nodes()
    roles = {role for role, _ in nodes}
    assert {"banner", "main", "contentinfo", "application", "slider", "checkbox"} <= roles
    needing = {"button", "slider", "checkbox", "application", "image", "table", "region", "link"}
    assert [role for role, name in nodes if role in needing and not name.strip()] == []
    named = {name for role, name in nodes if role in ("slider", "checkbox", "button")}
    assert {"Swipe: scene | map", "Opacity of the map", "Land cover", "Zoom in"} <= named
    headings = shown.run(
        "return [...document.querySelectorAll('h1, h2, h3')].map((one) => Number(one.tagName[1]))"
    )
    assert headings[0] == 1 and headings.count(1) == 1
    steps = np.diff(headings)
    assert steps.max() <= 1
    assert shown.run("return document.querySelectorAll('table').length") == shown.run(
        "return document.querySelectorAll('table > caption').length"
    )
    assert shown.run("return document.querySelectorAll('th:not([scope])').length") == 0


def test_focus_is_seen(shown):
    body = shown.driver.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    stops = []
    for _ in range(8):
        focused = "const one = document.activeElement; return [one.id, getComputedStyle(one)"
        stops.append(shown.run(f"{focused}.outlineStyle]"))
        shown.driver.switch_to.active_element.send_keys(Keys.TAB)
    assert all(outline == "solid" for _, outline in stops), stops
    assert "stage" in [name for name, _ in stops]


def test_prints_to_a4(shown):
    boxes = re.findall(rb"/MediaBox \[0 0 ([0-9.]+) ([0-9.]+)\]", shown.pdf())
    assert 2 <= len(boxes) <= 5
    for width, height in boxes:
        assert (float(width), float(height)) == pytest.approx((595, 842), abs=1)
    shown.command("Emulation.setEmulatedMedia", media="print")
    assert style(shown, "viewer", "display") == "none"
    assert style(shown, "overview", "display") == "grid"
    # The map is as wide as the paper, with its legend under it.
    main = shown.driver.find_element(By.CSS_SELECTOR, "#overview .main")
    assert main.size["width"] == control(shown, "overview").size["width"]
    names = [one.text for one in main.find_elements(By.CSS_SELECTOR, ".key-list li")]
    assert sorted(names) == ["Wald & Wiese", "bare land", "building"]


def test_without_scripts_pictures_are_shown(browser, made):
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.driver.get(made.page.absolute().as_uri())
        assert style(browser, "overview", "display") == "grid"
        assert style(browser, "viewer", "display") == "none"
    finally:
        browser.command("Emulation.setScriptExecutionDisabled", value=False)


def test_policy_keeps_the_page_from_the_network(shown):
    shown.run(
        "const image = new Image(); image.src = 'http://127.0.0.1:9/a.png';"
        "document.body.append(image);"
        "const code = document.createElement('script'); code.textContent = 'window.broken = 1';"
        "document.body.append(code);"
        "fetch('http://127.0.0.1:9/b').catch(() => {});"
    )
    shown.driver.execute_async_script("setTimeout(arguments[0], 100)")
    refused = shown.messages()
    assert len(refused) >= 3 and all("Content Security Policy" in one for one in refused)
    assert shown.run("return window.broken") is None


def forty(folder: Path) -> Path:
    """Forty classes with names of a hundred characters, some of them hostile, as wide as can be."""
    names = [f"{k} {'W' * 97}"[:100] for k in range(38)] + [HOSTILE, "x" * 100]
    classes = [LandCover(k, name, palette_color(k)) for k, name in enumerate(names)]
    labels = (np.add.outer(np.arange(120), np.arange(160)) // 7 % 40).astype(np.uint8)
    return named_map(folder / "a <img src=x onerror=alert(1)>.tif", labels, Legend("40", classes))


def test_forty_classes_with_long_and_hostile_names(browser, tmp_path):
    raster = forty(tmp_path)
    page = tmp_path / "report.html"
    write_report(raster, page, sources=ReportSources(reference=raster))
    for width in (1280, 390):
        browser.show(page, width=width)
        assert browser.messages() == []
        assert browser.run("return document.documentElement.scrollWidth") <= width
    assert (
        browser.run("return document.querySelectorAll('img[onerror], section script').length") == 0
    )
    names = browser.run(
        "return [...document.querySelectorAll('.legend .name')].map((one) => one.textContent)"
    )
    assert len(names) == 40 and HOSTILE in names
    assert browser.driver.title.startswith("a <img src=x")
    boxes = re.findall(rb"/MediaBox \[0 0 ([0-9.]+)", browser.pdf())
    assert {round(float(width)) for width in boxes} == {595}


def test_names_stay_in_sight_where_a_table_is_scrolled(browser, tmp_path):
    raster = forty(tmp_path)
    page = tmp_path / "report.html"
    write_report(raster, page, sources=ReportSources(reference=raster))
    browser.show(page, width=390)
    places = browser.run(
        "const box = document.querySelector('.matrix').parentElement; box.scrollLeft = 500;"
        "const cells = [...box.querySelectorAll('tbody tr:first-child > *')].slice(0, 2);"
        "return [box.scrollLeft, ...[box, ...cells].map((one) => one.getBoundingClientRect().x)]"
    )
    assert places[0] == 500
    assert places[2] == pytest.approx(places[1], abs=2) and places[3] < places[2]


@pytest.mark.parametrize("kind", ["single", "empty", "placeless", "turned", "degrees"])
def test_unusual_maps(browser, tmp_path, kind):
    path, page = tmp_path / "map.tif", tmp_path / "report.html"
    labels = patches(30, 50)
    if kind == "single":
        write_tif(path, labels[:1, :1])
    elif kind == "empty":
        named_map(path, np.full((40, 30), 255, np.uint8))
    elif kind == "placeless":
        write_tif(path, labels)
    elif kind == "turned":
        write_tif(path, labels, crs=UTM["crs"], transform=UTM["transform"] @ Affine.rotation(30))
    else:
        place = Affine(1e-4, 0, 10, 0, -1e-4, 60)
        write_tif(path, labels, crs="EPSG:4326", transform=place)
    write_report(path, page)
    browser.show(page)
    assert browser.messages() == []
    for key in ("+", Keys.ARROW_DOWN, "0"):
        control(browser, "stage").send_keys(key)
    browser.settled()
    assert browser.messages() == []
    shape = browser.run(
        "const box = document.querySelector('#pane-map > div').getBoundingClientRect();"
        "return box.height / box.width"
    )
    height, width = (40, 30) if kind == "empty" else (30, 50) if kind != "single" else (1, 1)
    # At 60 degrees north a pixel of equal degrees is twice as high as wide.
    times = 2 if kind == "degrees" else 1
    assert shape == pytest.approx(times * height / width, rel=0.02)
    north = browser.run("return document.querySelector('.north svg')?.getAttribute('aria-label')")
    assert north == {
        "single": None,
        "placeless": None,
        "turned": "Grid north is 30° anticlockwise of up",
    }.get(kind, "Grid north is up")


def test_a_map_like_a_line_can_be_seen(browser, tmp_path):
    page = tmp_path / "report.html"
    write_report(named_map(tmp_path / "map.tif", patches(3000, 2, classes=2)), page)
    browser.show(page)
    size = (
        "const box = document.querySelector('#pane-map > div:not([hidden])')"
        ".getBoundingClientRect(); return [box.width, box.height]"
    )
    browser.settled()
    assert browser.run(size) == pytest.approx([32, 48_000], rel=1e-3)
    control(browser, "stage").send_keys("0")
    browser.settled()
    stage = browser.run("return document.getElementById('stage').clientHeight")
    assert browser.run(size)[1] == pytest.approx(stage, rel=1e-3)
    browser.run("document.documentElement.classList.remove('scripted')")
    assert control(browser, "picture-map").size["height"] < 800  # without scripts
    assert len(re.findall(rb"/MediaBox", browser.pdf())) <= 2


def test_names_from_right_to_left_keep_their_order(browser, tmp_path):
    names = ["\u05d9\u05e2\u05e8 12 (A)", "forest", "\u05d9\u05dd"]
    classes = [LandCover(k, name, palette_color(k)) for k, name in enumerate(names)]
    raster = named_map(tmp_path / "map.tif", patches(30, 40, classes=2), Legend("3", classes))
    page = tmp_path / "report.html"
    write_report(raster, page, sources=ReportSources(reference=raster))
    browser.show(page)
    read = browser.run(
        "return [...document.querySelectorAll('bdi')].map((one) =>"
        " [one.textContent, getComputedStyle(one).direction])"
    )
    for name in names:
        expected = "ltr" if name.isascii() else "rtl"
        assert {side for text, side in read if text == name} == {expected}
    # Headline, both legends, tables of classes and scores, both sides of the confusion matrix.
    assert [text for text, _ in read].count("forest") == 7
    assert names[2] in [text for text, _ in read[: len(read) // 2]]  # not on this map


@pytest.mark.slow
def test_large_map_stays_below_5_mb(browser, tmp_path):
    side, raster = 10_000, tmp_path / "map.tif"
    grid = Grid(side, side, UTM["transform"], UTM["crs"])
    with class_map(raster, grid, NAMED, {}) as writer:
        for window in grid.window.rows(2000):
            coarse = patches(window.height // 4, side // 4, window.top, classes=3)
            rows = np.array([0, 1, 4], np.uint8)[np.kron(coarse, np.ones((4, 4), np.uint8))]
            writer.write(rows, window)
    scene = placed_tif(tmp_path / "scene.tif", noise(side, side))
    sure = placed_tif(tmp_path / "sure.tif", noise(side, side, 1) / np.float32(255))
    polygons, page = tmp_path / "map.gpkg", tmp_path / "report.html"
    vectorize(raster, polygons)
    sources = ReportSources(scene=scene, polygons=polygons, confidence=sure)
    summary = write_report(raster, page, sources=sources)
    assert summary.n_bytes == page.stat().st_size < 5_000_000
    browser.show(page)
    control(browser, "stage").send_keys("+++")
    browser.settled()
    assert browser.messages() == []
