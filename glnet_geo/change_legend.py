"""What the values of a map of changes mean: ids, names and colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from glnet_geo.class_table import Color, MapClass
from glnet_geo.legend import NODATA
from glnet_geo.mosaic import WIDE_NODATA

UNCHANGED = MapClass(0, "no change", (238, 238, 238))
"""What did not change, whatever it is."""

_NAME_LENGTH = 47  # characters of each of two names, so that both fit where one may have 100
_STEP = 5  # by which a colour that is taken already becomes darker


@dataclass(frozen=True, slots=True)
class Transition:
    """A class that became another one.

    Attributes:
        id: Its value in the map of changes.
        old: What it was.
        new: What it is.
        name: Both.
        rgb: Its colour.
    """

    id: int
    old: MapClass
    new: MapClass
    name: str
    rgb: Color


@dataclass(frozen=True, slots=True)
class ChangeLegend:
    """The classes of a map of changes.

    Attributes:
        transitions: All that occur; their ids run from 1.
    """

    transitions: tuple[Transition, ...]

    @classmethod
    def of(cls, pairs: Sequence[tuple[MapClass, MapClass]]) -> ChangeLegend:
        """Numbers transitions in the order given.

        A transition has the colour of what is new; several to the same class have it from dark to
        light, in the order of what they were.

        Args:
            pairs: Old and new class of each transition, no pair twice.
        """
        colors: dict[int, Color] = {}
        taken = {UNCHANGED.rgb}
        order = sorted(range(len(pairs)), key=lambda k: pairs[k][1].name)
        for _, group in groupby(order, key=lambda k: pairs[k][1].name):
            members = list(group)
            shades = _shades(pairs[members[0]][1].rgb, len(members))
            for place, shade in zip(members, shades, strict=True):
                color = _free(shade, taken)
                taken.add(color)
                colors[place] = color
        names = [f"{_short(old.name)} -> {_short(new.name)}" for old, new in pairs]
        # Names that were cut may be the same now.
        counts = Counter(names)
        names = [name if counts[name] == 1 else f"{k}: {name}" for k, name in enumerate(names, 1)]
        return cls(
            tuple(
                Transition(k + 1, old, new, names[k], colors[k])
                for k, (old, new) in enumerate(pairs)
            )
        )

    @property
    def classes(self) -> tuple[MapClass, ...]:
        """As a class raster has them."""
        found = (MapClass(one.id, one.name, one.rgb) for one in self.transitions)
        return (UNCHANGED, *found)

    @property
    def theme(self) -> str:
        """What they are classes of."""
        return "change of land cover"

    @property
    def nodata(self) -> int:
        """The value of what is not compared; it decides how large a pixel is."""
        return NODATA if len(self.transitions) < NODATA else WIDE_NODATA


def _short(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"


def _shades(rgb: Color, count: int) -> list[Color]:
    """So many colours around one, from dark to light; of one, it itself.

    A dark colour has more room towards white, a light one towards black.
    """
    if count == 1:
        return [rgb]
    lightness = sum(rgb) / 765
    dark = _mixed(rgb, (0, 0, 0), 0.2 + 0.4 * lightness)
    light = _mixed(rgb, (255, 255, 255), 0.65 - 0.45 * lightness)
    return [_mixed(dark, light, k / (count - 1)) for k in range(count)]


def _mixed(rgb: Color, other: Color, share: float) -> Color:
    red, green, blue = (
        round(here + (there - here) * share) for here, there in zip(rgb, other, strict=True)
    )
    return red, green, blue


def _free(rgb: Color, taken: set[Color]) -> Color:
    """A colour that is not taken, as near as steps of the channels come to it."""
    packed = int.from_bytes(bytes(rgb))
    while rgb in taken:
        packed = (packed - (_STEP << 16) - (_STEP << 8) - _STEP) % (1 << 24)
        red, green, blue = packed.to_bytes(3)
        rgb = red, green, blue
    return rgb
