"""Scenes that a STAC document names: an ItemCollection, or one Item.

The documents are https://github.com/radiantearth/stac-spec/blob/master/item-spec/item-spec.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glnet_geo.errors import BatchError
from glnet_geo.scene_lists import listed_scene, rfc3339
from glnet_geo.scene_names import Found, split_suffix

_USUAL_KEYS = ("visual", "image", "data")
_PICTURES = {"thumbnail", "overview"}
_N_SHOWN = 12


def item_scenes(path: Path, content: bytes, asset: str | None = None) -> list[Found]:
    """The scenes of a STAC document.

    Args:
        path: The document; relative references start at its folder.
        content: Its bytes.
        asset: Key of each item's asset; None to choose the one that stands out.

    Raises:
        BatchError: It is no such document, or an item has no such asset.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise BatchError(f"{path} is no JSON document.") from None
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == "FeatureCollection" and isinstance(document.get("features"), list):
        items = document["features"]
    elif kind == "Feature":
        items = [document]
    else:
        hint = "Give its items instead" if kind in ("Collection", "Catalog") else "Name scenes"
        raise BatchError(f"{path} is no STAC ItemCollection and no Item. {hint}.")
    return [_scene(path, n, item, asset) for n, item in enumerate(items, 1)]


def _scene(path: Path, number: int, item: Any, asset: str | None) -> Found:
    try:
        name, properties = str(item["id"]), item.get("properties") or {}
        assets: Mapping[str, Mapping[str, Any]] = item["assets"]
        where = f"item {name!r}"
        key = _choose(assets, asset)
        if key is None:
            keys = ", ".join(list(assets)[:_N_SHOWN]) or "none"
            keys += ", ..." if len(assets) > _N_SHOWN else ""
            what = f"no asset '{asset}'" if asset else "no asset that stands out"
            raise BatchError(f"{path}, {where} has {what}. Choose one with --asset: {keys}.")
        text = assets[key]["href"]
        time = properties.get("datetime") or properties.get("start_datetime")
        acquired = rfc3339(path, where, time)
        scene = listed_scene(path, where, text, acquired=acquired)
    except (KeyError, TypeError, AttributeError):
        raise BatchError(f"{path}: its item {number} is no STAC Item with assets.") from None
    # An identifier is one name, whatever separators it has.
    stem, suffix = split_suffix(name, only_scenes=True)
    return Found(scene.path, scene.real, stem, suffix, acquired=acquired)


def _choose(assets: Mapping[str, Mapping[str, Any]], asset: str | None) -> str | None:
    """The key of the asset that is the scene; None where none is or several are."""
    if asset is not None:
        return asset if asset in assets else None
    roles = {key: set(value.get("roles") or ()) for key, value in assets.items()}
    data = [key for key in assets if "data" in roles[key]]
    if len(data) == 1:
        return data[0]
    usual = [key for key in _USUAL_KEYS if key in assets]
    if usual:
        return usual[0]
    images = [
        key
        for key, value in assets.items()
        if str(value.get("type")).startswith("image/") and not roles[key] & _PICTURES
    ]
    return images[0] if len(images) == 1 else None
