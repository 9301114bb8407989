"""The models that come with the package."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from glnet_geo.errors import ModelError
from glnet_geo.remote import is_remote

DEFAULT_MODEL = "dubai-urban"
"""The model that is used when none is named."""

_SUFFIX = ".safetensors"


def bundled_models() -> Iterator[Path]:
    """The bundled model files by name."""
    folder = Path(str(files("glnet_geo.models"))) / "zoo"
    yield from sorted(folder.glob(f"*{_SUFFIX}"))


def find_model(name_or_path: str) -> Path:
    """The file of a model: a bundled one by name, or the path itself.

    Raises:
        ModelError: There is neither, or it is a URL: weights are never fetched.
    """
    if is_remote(name_or_path):
        raise ModelError(
            f"{name_or_path} is no local file. Weights are never fetched: download the model from "
            "whom you trust, and name the file."
        )
    bundled = {path.name.removesuffix(_SUFFIX): path for path in bundled_models()}
    if name_or_path in bundled:
        return bundled[name_or_path]
    path = Path(name_or_path)
    if not path.is_file():
        raise ModelError(
            f"There is no model {name_or_path!r}: neither a file nor one of "
            f"{', '.join(bundled)}. Known models: glnet-geo models list"
        )
    return path
