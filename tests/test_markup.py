"""HTML that nothing can break out of."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from configparser import ConfigParser
from pathlib import Path

import pytest

from glnet_geo.markup import Markup, asset, data_block, element, is_our_page, page

HOSTILE = "</script><script>alert(1)</script><!-- \"'&"


def test_texts_and_attributes_are_escaped():
    made = element("p", HOSTILE, title=HOSTILE)
    assert made.count("<") == 2
    assert made.count('"') == 2
    assert "&lt;/script&gt;" in made


def test_markup_is_kept_and_nothing_is_left_out_but_none():
    inner = element("b", 1)
    assert element("p", inner, None, ["a", (2.5, element("br"))]) == "<p><b>1</b>a2.5<br></p>"
    assert isinstance(inner, Markup)


def test_attributes():
    made = element("input", aria_label="x", for_="y", checked=True, hidden=False, id=None, value=0)
    assert made == '<input aria-label="x" for="y" checked value="0">'


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\ud800"])
def test_what_a_page_cannot_hold_is_replaced(character):
    made = element("p", f"a{character}b")
    assert made == "<p>a\N{REPLACEMENT CHARACTER}b</p>"
    made.encode()


def test_data_cannot_end_their_block():
    made = data_block("d", {"name": HOSTILE})
    text = made.removeprefix('<script type="application/json" id="d">').removesuffix("</script>")
    assert "<" not in text
    assert json.loads(text) == {"name": HOSTILE}


def test_policy_knows_style_and_script_by_their_hashes(tmp_path):
    style, script = "p { color: red }", "console.log('ä < b')"
    whole = page(HOSTILE, style, script, element("p", "x"))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', whole)
    for directive, text in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} &#x27;sha256-{digest}&#x27;" in policy
    assert "default-src &#x27;none&#x27;" in policy and "http" not in policy
    assert whole.count("<script>") == 1
    path = tmp_path / "page.html"
    path.write_text(whole)
    assert is_our_page(path)
    path.write_text("<!DOCTYPE html><title>glnet-geo</title>")
    assert not is_our_page(path)


@pytest.mark.parametrize("name", ["page.css", "viewer.js", "index.js"])
def test_assets_name_nothing_outside(name):
    text = asset(name)
    assert not re.search(r"https?:|//[a-z]|@import|url\(|</", text)


def test_assets_are_part_of_the_package():
    root = Path(__file__).parent.parent
    settings = ConfigParser()
    settings.read(root / "setup.cfg")
    patterns = settings["options.package_data"]["glnet_geo"].split()
    shipped = {path for pattern in patterns for path in (root / "glnet_geo").glob(pattern)}
    assets = {*(root / "glnet_geo" / "report_assets").iterdir()}
    assert assets and assets <= shipped
