"""Which column of a vector file says the classes of its polygons, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from glnet_geo.class_table import fold

_USUAL = (
    "class",
    "class_id",
    "class_name",
    "landcover",
    "land_cover",
    "label",
    "name",
    "type",
)
_LISTED = 16


def candidates(names: Iterable[str], attribute: str | None) -> list[str]:
    """The columns that may say the classes, the likeliest first.

    Args:
        names: All columns.
        attribute: The one that is asked for, in whatever case; None for those of usual names.
    """
    if attribute is None:
        usual = [name for name in names if fold(name) in _USUAL]
        return sorted(usual, key=lambda name: _USUAL.index(fold(name)))
    same = [name for name in names if fold(name) == fold(attribute)]
    return sorted(same, key=lambda name: name != attribute)


def fitting_column(
    columns: Mapping[str, npt.NDArray[Any]], is_class: Callable[[str], bool]
) -> str | None:
    """The first column of a usual name that has values, all of which are classes."""
    for name in candidates(columns, None):
        said = set(texts_of(columns[name])) - {None}
        if said and all(is_class(text) for text in said if text is not None):
            return name
    return None


def texts_of(column: Iterable[Any]) -> list[str | None]:
    """What the cells of a column hold, None for NULL and empty ones."""
    return [_text(value) for value in column]


def listed(names: Sequence[str]) -> str:
    """The first of them."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}"


def _text(value: Any) -> str | None:
    """Whole numbers come without decimals, names with single spaces."""
    if value is None or value != value:  # NaN
        return None
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)
    return " ".join(str(value).split()) or None
