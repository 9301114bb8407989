"""Which bands of a scene are read: chosen by number or name, or found by what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glnet_geo.errors import RasterError

_PRIMARY = ("red", "green", "blue")
_LISTED = 16  # bands that a message lists


@dataclass(frozen=True, slots=True)
class BandInfo:
    """What a file says of a band.

    Attributes:
        number: From 1.
        mark: Its colour interpretation in lower case: red, gray, alpha, palette, undefined, ...
        description: Its name; empty where it has none.
    """

    number: int
    mark: str
    description: str = ""

    def __str__(self) -> str:
        names = [self.description] if self.description else []
        if self.mark != "undefined" or not names:
            names.append(self.mark)
        return f"{self.number} ({', '.join(names)})"


@dataclass(frozen=True, slots=True)
class BandChoice:
    """The bands that are read.

    Attributes:
        numbers: From 1, in the model's order.
        is_guess: Whether there are more bands than needed and nothing says which are meant.
        is_expanded: Whether the one band holds indices to read as the colours of its table.
    """

    numbers: tuple[int, ...]
    is_guess: bool = False
    is_expanded: bool = False


@dataclass(frozen=True, slots=True)
class BandTable:
    """The bands of a scene.

    Attributes:
        scene: The scene, for messages.
        bands: All its bands.
        advice: What to do about bands that do not fit, for messages.
    """

    scene: str
    bands: tuple[BandInfo, ...]
    advice: str

    def choose(
        self, wanted: Sequence[int | str], n_bands: int | None, names: Sequence[str]
    ) -> BandChoice:
        """Chooses bands.

        Args:
            wanted: Numbers from 1, descriptions or colour interpretations; empty to find them.
            n_bands: How many are needed; None takes what is wanted, or all but masks.
            names: What the needed bands show. Where each of them is found exactly once they are
                taken, else the first ones. Red, green and blue where three are needed and
                nothing is named.

        Raises:
            RasterError: A wanted band is not there or not the only one of its name, or there are
                more or fewer bands than needed.
        """
        usable = [band for band in self.bands if band.mark != "alpha"]
        numbers = tuple(self._number(band) for band in wanted)
        if n_bands == 3 and [band.mark for band in usable] == ["palette"]:
            indices = (usable[0].number,)
            if numbers in ((), indices):
                return BandChoice(indices, is_expanded=True)
        if numbers:
            if n_bands not in (None, len(numbers)):
                raise RasterError(
                    f"{_plural(len(numbers), 'band')} chosen of {self.scene}; "
                    f"{_needed(n_bands)}. {self.advice}"
                )
            return BandChoice(numbers)
        return self._find(usable, n_bands, names)

    def _find(
        self, usable: Sequence[BandInfo], n_bands: int | None, names: Sequence[str]
    ) -> BandChoice:
        if len(usable) < (n_bands or 1):
            mask = " and a mask" if len(usable) < len(self.bands) else ""
            raise RasterError(
                f"{self.scene} has {_plural(len(usable), 'band')}{mask}; {_needed(n_bands)}. "
                f"{self.advice}"
            )
        names = names or (_PRIMARY if n_bands == 3 else ())
        found = [self._matching(name) for name in names]
        if found and n_bands in (None, len(found)) and all(len(bands) == 1 for bands in found):
            return BandChoice(tuple(band.number for (band,) in found))
        numbers = tuple(band.number for band in usable[:n_bands])
        # Some of the names, or more bands than needed: the first ones may be others.
        is_guess = len(numbers) < len(usable) or any(found)
        return BandChoice(numbers, is_guess)

    def _number(self, wanted: int | str) -> int:
        """The number of a wanted band."""
        if isinstance(wanted, str) and wanted.strip().isdecimal():
            wanted = int(wanted)
        if isinstance(wanted, int):
            matching = [band for band in self.bands if band.number == wanted]
        else:
            matching = self._matching(wanted)
        if len(matching) != 1:
            count = "several bands" if matching else "no band"
            raise RasterError(f"{self.scene} has {count} {wanted!r}. {self._listing} {self.advice}")
        return matching[0].number

    def _matching(self, name: str) -> list[BandInfo]:
        """The bands of a description, or else of a colour interpretation."""
        name = name.strip().casefold()
        if not name:
            return []
        described = [band for band in self.bands if band.description.strip().casefold() == name]
        return described or [band for band in self.bands if band.mark == name]

    @property
    def _listing(self) -> str:
        more = len(self.bands) - _LISTED
        listed = ", ".join(map(str, self.bands[:_LISTED]))
        return f"It has {listed}{f' and {more} more' if more > 0 else ''}."


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _needed(n_bands: int | None) -> str:
    return "1 is needed" if n_bands in (None, 1) else f"{n_bands} are needed"
