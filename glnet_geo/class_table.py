"""Names and colours of the classes of a raster that anybody may have made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from glnet_geo.errors import RasterError

Color = tuple[int, int, int]
"""Red, green and blue, 0-255 each."""

# "Muted" of Paul Tol, Colour Schemes, SRON/EPS/TN/09-002 issue 3.2: as many colours as stay apart
# for colour-blind readers. https://personal.sron.nl/~pault/
_MUTED = bytes.fromhex("cc6677 332288 ddcc77 117733 88ccee 882255 44aa99 999933 aa4499")
# How much of white, and then of black, is mixed in once they are used up.
_SHADES = ((255, 0.0), (255, 0.45), (0, 0.4))

_NAME_LENGTH = 100  # characters, as in a `Legend`
_LISTED = 24  # names that a message lists
_UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class MapClass:
    """One class of a raster.

    Attributes:
        id: Its value in the raster.
        name: What to call it; no other class of the raster has the same, whatever the case.
        rgb: Its colour.
    """

    id: int
    name: str
    rgb: Color


@dataclass(frozen=True, slots=True)
class ClassTable:
    """What is known of the classes of a raster, and names and colours for all others.

    Attributes:
        source: The raster, for messages.
        known: By id, the classes that have a name or a colour of their own.
    """

    source: str
    known: Mapping[int, MapClass] = field(default_factory=dict)

    @classmethod
    def merged(
        cls,
        source: str,
        names: Sequence[Mapping[int, str]],
        colors: Sequence[Mapping[int, Color]],
    ) -> ClassTable:
        """A table from what several places say.

        Names are cleaned: one line, 100 characters, none that cannot be printed. Where ids share a
        name, or where it would pass for another id, the id is added: "forest (3)".

        Black is what a colour table has where nothing was set: it counts as no colour where the
        id has no name, and where all colours of a place are black.

        Args:
            source: The raster, for messages.
            names: By id; the first of them that has a name for an id says it.
            colors: By id, likewise.
        """
        texts: dict[int, str] = {}
        for class_id, name in chain.from_iterable(table.items() for table in names):
            if text := _clean(name):
                texts.setdefault(class_id, text)
        shades: dict[int, Color] = {}
        tables = (table.items() for table in colors if any(map(any, table.values())))
        for class_id, rgb in chain.from_iterable(tables):
            if class_id in texts or any(rgb):
                shades.setdefault(class_id, rgb)
        labels = _labels(texts)
        known = {
            one: MapClass(one, labels.get(one, str(one)), shades.get(one, palette_color(one)))
            for one in sorted(texts.keys() | shades.keys())
        }
        return cls(source, known)

    def of(self, class_id: int) -> MapClass:
        """The class of an id; its name is the id where nothing is known of it."""
        unknown = MapClass(class_id, str(class_id), palette_color(class_id))
        return self.known.get(class_id, unknown)

    def find(self, words: Sequence[str]) -> frozenset[int]:
        """The ids that words mean.

        Args:
            words: Names in any case, or ids, also such as have no name; a word may hold several
                with commas between them. A name wins over an id that is written the same. Names
                that hold commas themselves are found too: "Developed, Open Space, Water".

        Raises:
            RasterError: A word is neither the name of a class nor a whole number.
        """
        by_name: dict[str, set[int]] = {}
        for land_cover in self._named:
            shared = land_cover.name.removesuffix(f" ({land_cover.id})")
            for name in {land_cover.name, shared}:
                by_name.setdefault(_key(_split(name)), set()).add(land_cover.id)
        found: set[int] = set()
        parts = [part for word in words for part in _split(word)]
        while parts:
            lengths = range(len(parts), 0, -1)
            length = next((n for n in lengths if _key(parts[:n]) in by_name), 1)
            ids = by_name.get(_key(parts[:length]))
            found |= ids if ids is not None else {self._id(parts[0])}
            del parts[:length]
        return frozenset(found)

    @property
    def _named(self) -> list[MapClass]:
        return [one for one in self.known.values() if one.name != str(one.id)]

    def _id(self, word: str) -> int:
        if re.fullmatch("-?[0-9]{1,19}", word):
            return int(word)
        names = [one.name for one in self._named]
        if not names:
            advice = "Its classes have no names: give their ids."
        else:
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            advice = f"It has {'; '.join(names[:_LISTED])}{more}. Ids are taken as well."
        raise RasterError(f"{self.source} has no class {word!r}. {advice}")


def palette_color(class_id: int) -> Color:
    """The colour of a class that has none: Paul Tol's "muted" scheme by id.

    It has nine colours; ids from 9 get them lighter, from 18 darker, and from 27 again.
    """
    turn, place = divmod(class_id, len(_MUTED) // 3)
    target, share = _SHADES[turn % len(_SHADES)]
    red, green, blue = (round(c + (target - c) * share) for c in _MUTED[3 * place : 3 * place + 3])
    return red, green, blue


def _clean(name: str) -> str:
    line = " ".join(name.split())
    # Names reach terminals, XML and SQL.
    return "".join(c if c.isprintable() else _UNPRINTABLE for c in line)[:_NAME_LENGTH].strip()


def _labels(names: Mapping[int, str]) -> dict[int, str]:
    """Names by id, told apart by the id where that is needed."""
    counts = Counter(name.casefold() for name in names.values())
    return {
        class_id: f"{name} ({class_id})"
        if counts[name.casefold()] > 1 or _names_another(name, class_id, names)
        else name
        for class_id, name in names.items()
    }


def _names_another(name: str, class_id: int, names: Mapping[int, str]) -> bool:
    """Whether another class would be called the same, by its id alone or with its id added."""
    number = re.fullmatch(r"(.*\()?(-?[0-9]+)\)?", name)
    if number is None or int(number[2]) == class_id:
        return False
    # "Forest (2000)" is a name like others as long as there is no class 2000.
    return number[1] is None or int(number[2]) in names


def _split(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split(",")]


def _key(parts: Sequence[str]) -> str:
    return ", ".join(parts).casefold()


def fold(name: str) -> str:
    """Names that are equal but for case and spaces."""
    return " ".join(name.split()).casefold()
