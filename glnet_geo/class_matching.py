"""Which value of which file is which class: one list of classes for all that are compared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glnet_geo.boundary_scores import FIRST_NONE, Positions
from glnet_geo.chip import Mask
from glnet_geo.class_raster import Labels
from glnet_geo.class_table import MapClass, fold, palette_color
from glnet_geo.errors import RasterError
from glnet_geo.label_sources import LabelSource
from glnet_geo.legend import Legend
from glnet_geo.reference_labels import is_name

NO_CLASS = FIRST_NONE
"""The position of values that are no class or ignored."""

NO_DATA = FIRST_NONE + 1
"""The position of pixels that are not valid."""

_LISTED = 8


@dataclass(frozen=True, slots=True)
class Ignored:
    """Values of references that count nowhere.

    Attributes:
        ids: As numbers.
        names: As names, folded.
    """

    ids: frozenset[int] = frozenset()
    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, words: Iterable[str | int], legend: Legend | None) -> Ignored:
        """From words that may hold several with commas between them, and from a legend."""
        parts = {part.strip() for word in words for part in str(word).split(",")} - {""}
        numbers = {part for part in parts if re.fullmatch("-?[0-9]{1,18}", part)}
        ids = frozenset(map(int, numbers)) | (legend.ignore if legend else frozenset())
        return cls(ids, frozenset(map(fold, parts - numbers)))

    def includes(self, value: int, name: str | None) -> bool:
        """Whether a value of a file, with this name there, is ignored."""
        return value in self.ids or (name is not None and fold(name) in self.names)


class ClassList:
    """The classes that are compared.

    Args:
        classes: Those that are known from the start.
        is_open: Whether ids that appear become classes: nothing tells their names.
        is_given: Whether the user gave the legend, so that its ids hold beside its names.

    Attributes:
        classes: The classes; their places are their positions.
    """

    def __init__(
        self, classes: Sequence[MapClass], is_open: bool = False, is_given: bool = False
    ) -> None:
        self.classes = list(classes)
        self.is_open = is_open
        self._is_given = is_given
        self._check_number()

    @classmethod
    def of_legend(cls, legend: Legend) -> ClassList:
        """The classes of a legend that count."""
        counted = (legend.classes[k] for k in legend.counted)
        return cls([MapClass(one.id, one.name, one.rgb) for one in counted], is_given=True)

    @classmethod
    def of_tables(cls, tables: Mapping[str, Mapping[int, MapClass]]) -> ClassList:
        """The classes that files name, which must not contradict each other.

        Args:
            tables: Named classes by id, by the file.

        Raises:
            RasterError: Two files give one id to classes of different names, or two ids to one.
        """
        by_id: dict[int, tuple[str, MapClass]] = {}
        by_name: dict[str, tuple[str, MapClass]] = {}
        for path, table in tables.items():
            for one in table.values():
                for other_path, other in (
                    by_id.setdefault(one.id, (path, one)),
                    by_name.setdefault(fold(one.name), (path, one)),
                ):
                    if (other.id, fold(other.name)) != (one.id, fold(one.name)):
                        raise RasterError(
                            f"{other_path} has the class {other.id} {other.name}, {path} "
                            f"{one.id} {one.name}. Give their classes with --legend"
                        )
        return cls([by_id[key][1] for key in sorted(by_id)], is_open=not by_id)

    def without(self, positions: Iterable[int]) -> ClassList:
        """The list without some classes."""
        left = set(range(len(self.classes))) - set(positions)
        return ClassList([self.classes[k] for k in sorted(left)], self.is_open, self._is_given)

    def add(self, values: Iterable[int]) -> None:
        """Makes classes of ids, in an open list."""
        known = {one.id for one in self.classes}
        new = (value for value in values if value not in known)
        self.classes += [MapClass(value, str(value), palette_color(value)) for value in new]
        self._check_number()

    def positions_in(self, named: Mapping[int, MapClass]) -> dict[int, int]:
        """The positions of a file's values.

        By the names where the file and the list share any, else by the ids. Ids also count beside
        names in a given legend, and in an open list, where they are all that is known of a class.

        Args:
            named: The file's classes that have a name, by value.
        """
        by_id = {one.id: place for place, one in enumerate(self.classes)}
        by_name = {fold(one.name): place for place, one in enumerate(self.classes)}
        shared = {
            value: by_name[fold(one.name)]
            for value, one in named.items()
            if fold(one.name) in by_name
        }
        if not shared:
            return by_id
        if self._is_given or self.is_open:
            taken = set(shared.values())
            others = {v: k for v, k in by_id.items() if v not in shared and k not in taken}
            return {**others, **shared}
        return shared

    def notes_on(self, path: str, named: Mapping[int, MapClass]) -> list[str]:
        """What to know about how a file's classes were matched."""
        if not named or self.is_open:
            return []
        positions, notes = self.positions_in(named), []
        moved = [
            f"{value} {named[value].name} is {self.classes[place].id}"
            for value, place in positions.items()
            if value in named and not is_name(value) and self.classes[place].id != value
        ]
        if moved:
            notes.append(f"{path}: classes matched by name: {listed(moved)}")
        renamed = [
            f"{value} {named[value].name} as {self.classes[place].name}"
            for value, place in positions.items()
            if value in named and fold(self.classes[place].name) != fold(named[value].name)
        ]
        if renamed:
            notes.append(f"{path}: classes with other names matched by id: {listed(renamed)}")
        return notes

    def _check_number(self) -> None:
        if len(self.classes) > FIRST_NONE:
            raise RasterError(f"There are more than {FIRST_NONE} classes. Are these class rasters?")


class Translator:
    """Values of one file to positions in a list of classes.

    Args:
        source: The file.
        classes: The list. If it is open, values that appear are added.
        ignored: Values that are no class.
    """

    def __init__(self, source: LabelSource, classes: ClassList, ignored: Ignored) -> None:
        self._source, self._classes, self._ignored = source, classes, ignored
        self._prepare()

    def positions(self, labels: Labels, valid: Mask | None) -> Positions:
        """Positions of values, H x W, `NO_CLASS` or `NO_DATA`."""
        found = self._look_up(labels)
        if valid is not None:
            found[~valid] = NO_DATA
        if self._classes.is_open:
            values = value_counts(labels[found == NO_CLASS])
            self._classes.add(value for value in values if not self.is_ignored(value))
            if len(self._classes.classes) > self._n_known:
                self._prepare()
                return self.positions(labels, valid)
        return found

    def is_ignored(self, value: int) -> bool:
        """Whether a value counts nowhere."""
        named = self._source.named.get(value)
        return self._ignored.includes(value, named.name if named else None)

    def _prepare(self) -> None:
        positions = self._classes.positions_in(self._source.named)
        self._table = {v: k for v, k in positions.items() if not self.is_ignored(v)}
        self._n_known = len(self._classes.classes)
        self._keys = np.array(sorted(self._table), np.int64)
        self._places = np.array([self._table[key] for key in self._keys.tolist()], np.uint8)
        self._luts: dict[np.dtype, Positions] = {}

    def _look_up(self, labels: Labels) -> Positions:
        if labels.dtype.itemsize > 2:
            if not self._keys.size:
                return np.full(labels.shape, NO_CLASS, np.uint8)
            places = np.searchsorted(self._keys, labels).clip(max=len(self._keys) - 1)
            is_known = self._keys[places] == labels
            return np.where(is_known, self._places[places], NO_CLASS).astype(np.uint8)
        if labels.dtype not in self._luts:
            limits = np.iinfo(labels.dtype)
            lut = np.full(int(limits.max) - int(limits.min) + 1, NO_CLASS, np.uint8)
            for value, place in self._table.items():
                if limits.min <= value <= limits.max:
                    lut[value] = place  # negative ones from the end
            self._luts[labels.dtype] = lut
        return self._luts[labels.dtype][labels]


def value_counts(values: npt.NDArray[np.integer]) -> dict[int, int]:
    """How often each value occurs."""
    if values.dtype.itemsize <= 2 and values.size > 1000:
        low = int(values.min())
        counts = np.bincount(values.astype(np.int64) - low)
        return {low + int(k): int(counts[k]) for k in np.flatnonzero(counts)}
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def listed(names: Sequence[str]) -> str:
    """The first of them."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}"
