"""HTML from values: every text is escaped, and a page cannot load or run anything else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

_HEAD = 4096  # bytes of a page, its generator among them
_VOID = frozenset({"img", "input", "meta", "link", "br", "hr"})
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
Content = object
"""What an element holds: markup, text or a number, which is escaped, or an iterable of such."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: object) -> Markup:
    """A value as HTML shows it; what UTF-8 or HTML cannot hold becomes a replacement character."""
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(_UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", str(value))))


def element(name: str, /, *content: Content, **attributes: object) -> Markup:
    """An element.

    Args:
        name: Its name.
        content: What it holds; None is left out.
        attributes: Underscores stand for hyphens, one at the end is dropped (`class_`); True is an
            attribute without a value, None and False are none.
    """
    shown = "".join(
        f" {_attribute(key)}" + ("" if value is True else f'="{text(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{name}{shown}>")
    return Markup(f"<{name}{shown}>{join(content)}</{name}>")


def join(content: Iterable[Content]) -> Markup:
    """One after the other."""
    return Markup(
        "".join(
            join(one)
            if isinstance(one, Iterable) and not isinstance(one, str)
            else text("" if one is None else one)
            for one in content
        )
    )


def data_block(identifier: str, values: Any) -> Markup:
    """Values for a page's script to read, which no browser runs."""
    # In a script element a `<` might end it, or begin a comment.
    text_ = json.dumps(values, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    return Markup(f'<script type="application/json" id="{identifier}">{text_}</script>')


def page(title: str, style: str, script: str, *body: Content) -> Markup:
    """A whole page that needs nothing but itself.

    Its policy (https://www.w3.org/TR/CSP3/) lets a browser load nothing, show pictures that are in
    the page, and run only this script and this style, which it knows by their hashes.

    Args:
        title: What the browser calls it.
        style: CSS.
        script: JavaScript.
        body: What it shows.
    """
    policy = (
        f"default-src 'none'; img-src data:; style-src {_digest(style)}; "
        f"script-src {_digest(script)}; base-uri 'none'; form-action 'none'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        _GENERATOR,
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        # Else a browser asks the server for one.
        element("link", rel="icon", href="data:,"),
        Markup(f"<style>{style}</style>"),
    )
    code = Markup(f"<script>{script}</script>")
    whole = element("html", head, element("body", *body, code), lang="en")
    return Markup(f"<!DOCTYPE html>\n{whole}\n")


def is_our_page(path: Path) -> bool:
    """Whether a file is one of these pages."""
    with path.open("rb") as file:
        return str(_GENERATOR).encode() in file.read(_HEAD)


def asset(name: str) -> str:
    """A file of `report_assets`."""
    return files("glnet_geo").joinpath("report_assets", name).read_text("utf-8")


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _digest(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


_GENERATOR = element("meta", name="generator", content="glnet-geo")
