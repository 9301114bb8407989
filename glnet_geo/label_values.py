"""What the values of labels stand for: ids, names and colours, and the map of a dataset file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glnet_geo.chip import Mask
from glnet_geo.class_table import fold
from glnet_geo.color_values import ColorValues, color_text
from glnet_geo.errors import DatasetError
from glnet_geo.legend import IGNORED, Legend

UNKNOWN = -1
"""Stands for no position: the value is neither a class nor ignored."""

_COLOR = re.compile("#[0-9a-f]{6}")


@dataclass(frozen=True, slots=True, eq=False)
class LabelWindow:
    """The labels of a window.

    Attributes:
        positions: H x W, uint8: positions of classes in the legend, or `IGNORED`; unknown values
            are ignored as well.
        unknown: Label values as text ("77", "#090909", "forest") that are neither classes nor
            ignored nor mapped, with their pixels; with their features where labels are polygons.
    """

    positions: npt.NDArray[np.uint8]
    unknown: dict[str, int]


class LabelValues:
    """Positions by label value.

    Args:
        legend: The classes.
        labels_map: Ids, names or colours (#rrggbb) that mean another id. Entries do not build on
            each other.

    Attributes:
        legend: The classes.
        is_rounded: See `ColorValues`; the colours are those of the legend and the map.

    Raises:
        DatasetError: The map leads to an id that is neither a class nor ignored.
    """

    def __init__(self, legend: Legend, labels_map: Mapping[int | str, int]) -> None:
        self.legend = legend
        by_id = {one.id: place for place, one in enumerate(legend.classes)}
        by_id |= dict.fromkeys(legend.ignore, IGNORED)
        for key, target in labels_map.items():
            if target not in by_id:
                raise DatasetError(
                    f"labels_map turns {key} into {target}, which is neither a class of "
                    f"{legend.name!r} nor ignored."
                )
        mapped = {fold(str(key)): by_id[target] for key, target in labels_map.items()}
        self._by_name = {fold(one.name): by_id[one.id] for one in legend.classes}
        by_number = {str(one): place for one, place in by_id.items()}
        self._by_text = self._by_name | by_number | mapped
        self._by_id = np.full(256, UNKNOWN, np.int16)
        for value in range(256):  # a class may be named "77": no id of a raster is meant by that
            self._by_id[value] = (by_number | mapped).get(str(value), UNKNOWN)
        # A colour means what the id of its class is mapped to.
        colors = {one.color: int(self._by_id[one.id]) for one in legend.classes}
        colors |= {text: mapped[text] for text in mapped if _COLOR.fullmatch(text)}
        self._colors = ColorValues(colors)
        self.is_rounded = self._colors.is_rounded

    def of_text(self, text: str) -> int:
        """The position of a class by its id or its name, in whatever case; or `UNKNOWN`."""
        return self._by_text.get(fold(text), UNKNOWN)

    def of_name(self, name: str) -> int:
        """As `of_text`, for names of the legend only; nothing is mapped."""
        return self._by_name.get(fold(name), UNKNOWN)

    def of_ids(self, ids: npt.NDArray[Any], valid: Mask) -> LabelWindow:
        """Positions of a window of ids.

        Args:
            ids: H x W, of any type.
            valid: Which of them count, H x W; the rest is ignored.
        """
        # Neither NaN nor a fraction equals a whole number that the table has.
        is_id = (ids >= 0) & (ids <= 255) & (ids == np.floor(ids))
        positions = np.where(is_id, self._by_id[np.where(is_id, ids, 0).astype(np.uint8)], UNKNOWN)
        return _window(positions, ids, valid, _number)

    def of_colors(self, rgb: npt.NDArray[np.uint8], valid: Mask) -> LabelWindow:
        """Positions of a window of colours, 3 x H x W, uint8; see `of_ids`."""
        places, is_known, packed = self._colors.look_up(rgb)
        positions = np.where(is_known, places, UNKNOWN)
        return _window(positions, packed, valid, lambda value: color_text(int(value)))


def _window(
    positions: npt.NDArray[Any], values: npt.NDArray[Any], valid: Mask, text: Callable[[Any], str]
) -> LabelWindow:
    """What is not valid is ignored; what nobody knows is counted, and ignored as well."""
    is_unknown = (positions == UNKNOWN) & valid
    unknown, counts = np.unique(values[is_unknown], return_counts=True)
    found = {text(value): int(count) for value, count in zip(unknown, counts, strict=True)}
    known = np.where(valid & ~is_unknown, positions, IGNORED).astype(np.uint8)
    return LabelWindow(known, found)


def _number(value: Any) -> str:
    return str(int(value)) if value == np.rint(value) else f"{value:.6g}"
