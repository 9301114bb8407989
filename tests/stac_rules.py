"""What the STAC extensions demand, as far as it concerns maps: rules of their documents.

The published schemas are on the web alone; pystac brings only those of the core. Here stand the
types, patterns and limits of projection 2.0.0, classification 2.0.0 and processing 1.1.0, stricter
where their documents are stricter than their schemas.
"""

from __future__ import annotations

import socket
from typing import Any

import pystac
import pystac.validation
import pytest
from pystac.validation import JsonSchemaSTACValidator

_BASE = "https://stac-extensions.github.io"
_TEXT = {"type": "string", "minLength": 1}
_CLASS = {
    "type": "object",
    "required": ["value", "name"],
    "additionalProperties": False,
    "properties": {
        "value": {"type": "integer"},
        "name": {"type": "string", "pattern": "^[0-9A-Za-z-_]+$"},
        "title": _TEXT,
        "description": _TEXT,
        "color_hint": {"type": "string", "pattern": "^[0-9A-F]{6}$"},
        "nodata": {"type": "boolean"},
        "percentage": {"type": "number", "minimum": 0, "maximum": 100},
        "count": {"type": "integer", "minimum": 0},
    },
}
_FIELDS: dict[str, dict[str, Any]] = {
    "projection/v2.0.0": {
        "proj:code": {"type": ["string", "null"], "pattern": "^[A-Za-z0-9_]+:[A-Za-z0-9]+$"},
        "proj:wkt2": {"type": ["string", "null"], "pattern": r"^[A-Z]*CRS\["},
        "proj:shape": {
            "type": "array",
            "items": {"type": "integer", "minimum": 1},
            "minItems": 2,
            "maxItems": 2,
        },
        "proj:transform": {
            "type": "array",
            "items": {"type": "number"},
            "minItems": 6,
            "maxItems": 6,
        },
    },
    "classification/v2.0.0": {
        "classification:classes": {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": _CLASS,
        }
    },
    "processing/v1.1.0": {
        "processing:lineage": _TEXT,
        "processing:software": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


def _schema(uri: str, fields: dict[str, Any]) -> dict[str, Any]:
    prefix = next(iter(fields)).split(":")[0]
    place = {
        "type": "object",
        "properties": fields,
        "patternProperties": {f"^(?!{prefix}:)": {}},
        "additionalProperties": False,
    }
    places = {"type": "object", "additionalProperties": place}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": uri,
        "type": "object",
        "required": ["stac_extensions"],
        "properties": {
            "stac_extensions": {"type": "array", "contains": {"const": uri}},
            "properties": place,
            "assets": places,
            "item_assets": places,
        },
    }


def check_valid(document: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """An item or a collection follows the core's schemas and the rules above, without network."""

    def refused(*_: object) -> None:
        raise AssertionError("the network is not to be touched")

    validator = JsonSchemaSTACValidator()
    for name, fields in _FIELDS.items():
        uri = f"{_BASE}/{name}/schema.json"
        validator.schema_cache[uri] = _schema(uri, fields)
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "connect", refused)
        patch.setattr(socket, "getaddrinfo", refused)
        assert pystac.validation.validate_dict(document, validator=validator)
    # No field of an extension without the extension.
    prefixes = {"proj": "projection", "classification": "classification", "processing": ""}
    text = str(document)
    for prefix, name in prefixes.items():
        if f"'{prefix}:" in text:
            assert any(f"/{name or prefix}/" in uri for uri in document["stac_extensions"])
