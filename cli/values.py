"""What turns words of the command line into values."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import click

from glnet_geo.tiling import FrameExtent
from glnet_geo.units import Area, Length, parse_length

PATH = click.Path(path_type=Path)

_Parameter = click.Parameter | None
_Context = click.Context | None


class IntegerList(click.ParamType[tuple[int, ...]]):
    """Whole numbers, separated by commas.

    Args:
        count: How many; None for any number of them.
        least: The smallest that is allowed.
    """

    name = "numbers"

    def __init__(self, count: int | None = None, least: int = 1) -> None:
        self._count = count
        self._least = least

    def convert(self, value: Any, param: _Parameter, ctx: _Context) -> tuple[int, ...]:
        """Reads `1,2,3`."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not all(part.isdecimal() and int(part) >= self._least for part in parts):
            self.fail(f"{value!r} is not a list of whole numbers such as 1,2,3.", param, ctx)
        if self._count is not None and len(parts) != self._count:
            self.fail(f"{value!r} has {len(parts)} numbers; {self._count} are needed.", param, ctx)
        return tuple(int(part) for part in parts)


class BandList(click.ParamType[tuple[int | str, ...]]):
    """Bands by number, description or colour, separated by commas."""

    name = "bands"

    def convert(self, value: Any, param: _Parameter, ctx: _Context) -> tuple[int | str, ...]:
        """Reads `4,3,2` or `nir,red,green`."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if not all(parts) or "0" in parts:
            self.fail(f"{value!r} is not a list such as 4,3,2 or nir,red,green.", param, ctx)
        return tuple(int(part) if part.isdecimal() else part for part in parts)


class Interval(click.ParamType[tuple[float, float]]):
    """Two numbers, the smaller one first."""

    name = "min,max"

    def convert(self, value: Any, param: _Parameter, ctx: _Context) -> tuple[float, float]:
        """Reads `0,3000`."""
        if isinstance(value, tuple):
            return value
        try:
            low, high = (float(part) for part in str(value).split(","))
        except ValueError:
            low = high = math.nan
        if not -math.inf < low < high < math.inf:
            self.fail(f"{value!r} is not an interval such as 0,3000.", param, ctx)
        return low, high


class Number(click.ParamType[float]):
    """A finite number.

    Args:
        least: The smallest that is allowed.
    """

    name = "number"

    def __init__(self, least: float = -math.inf) -> None:
        self._least = least

    def convert(self, value: Any, param: _Parameter, ctx: _Context) -> float:
        """Reads `0`, `-9999` or `-3.4e38`."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or number < self._least:
            least = f" of at least {self._least:g}" if math.isfinite(self._least) else ""
            self.fail(f"{value!r} is not a number{least}.", param, ctx)
        return number


class Metres(click.ParamType[float]):
    """A length on the ground in metres."""

    name = "length"

    def convert(self, value: Any, param: _Parameter, ctx: _Context) -> float:
        """Reads `0.3m`, `30cm` or, of metres, `0.3`."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+\.?\d*|\.\d+) *(m|cm|)", str(value).strip())
        metres = float(match[1]) * (0.01 if match[2] == "cm" else 1) if match else 0.0
        if metres <= 0:
            self.fail(f"{value!r} is not a length such as 0.3m or 30cm.", param, ctx)
        return metres


_QUANTITY = r"(\d+\.?\d*|\.\d+) *"


class AreaValue(click.ParamType[Area]):
    """An area on the ground or in pixels; never without its unit."""

    name = "area"

    def convert(self, value: Any, param: _Parameter, ctx: _Context) -> Area:
        """Reads `50m2`, `0.5ha` or `100px`."""
        if isinstance(value, Area):
            return value
        match = re.fullmatch(_QUANTITY + "(m2|ha|px)", str(value).strip())
        if not match or float(match[1]) == 0:
            self.fail(f"{value!r} is not an area such as 50m2, 0.5ha or 100px.", param, ctx)
        if match[2] == "px":
            return Area(float(match[1]), "px")
        return Area(float(match[1]) * (1e4 if match[2] == "ha" else 1), "m2")


class LengthValue(click.ParamType[Length]):
    """A length on the ground or in pixels; never without its unit."""

    name = "length"

    def convert(self, value: Any, param: _Parameter, ctx: _Context) -> Length:
        """Reads `1.5m`, `50cm` or `2px`."""
        if isinstance(value, Length):
            return value
        length = parse_length(value)
        if length is None:
            self.fail(f"{value!r:.40} is not a length such as 500m or 64px.", param, ctx)
        return length


class NumberList(click.ParamType[tuple[float, ...]]):
    """Numbers above 0, separated by commas."""

    name = "numbers"

    def __init__(self, count: int) -> None:
        self._count = count

    def convert(self, value: Any, param: _Parameter, ctx: _Context) -> tuple[float, ...]:
        """Reads `1e-3,5e-4,2e-4`."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != self._count or not all(0 < one < math.inf for one in numbers):
            self.fail(f"{value!r} is not {self._count} numbers above 0.", param, ctx)
        return numbers


class ClassWeights(click.ParamType[str | dict[str, float]]):
    """A word, or a weight by class."""

    name = "weights"

    def convert(self, value: Any, param: _Parameter, ctx: _Context) -> str | dict[str, float]:
        """Reads `none`, `balanced` or `building=2,road=4`."""
        if isinstance(value, dict) or value in ("none", "balanced"):
            return value  # type: ignore[no-any-return]
        weights = {}
        for part in str(value).split(","):
            name, _, number = part.rpartition("=")
            try:
                weights[name.strip()] = float(number)
            except ValueError:
                weights[name.strip()] = 0.0
        if "" in weights or not all(0 < one < math.inf for one in weights.values()):
            self.fail(
                f"{value!r} is neither none, balanced nor weights such as building=2,road=4.",
                param,
                ctx,
            )
        return weights


_SECONDS = {"h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0}


class Duration(click.ParamType[float]):
    """A time in seconds; never without its unit."""

    name = "time"

    def convert(self, value: Any, param: _Parameter, ctx: _Context) -> float:
        """Reads `2h`, `90m`, `1h30m` or `45s`."""
        if isinstance(value, float):
            return value
        text = str(value).strip().replace(" ", "")
        number = r"(\d+\.?\d*|\.\d+)"
        seconds = 0.0
        if re.fullmatch(f"({number}(h|min|m|s))+", text):
            parts = re.findall(f"{number}(h|min|m|s)", text)
            seconds = sum(float(one) * _SECONDS[unit] for one, unit in parts)
        if seconds <= 0:
            self.fail(f"{value!r} is not a time such as 2h, 90m or 1h30m.", param, ctx)
        return seconds


_BYTES = {
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
    "TIB": 1 << 40,
}


class Memory(click.ParamType[int]):
    """An amount of memory in bytes; never without its unit."""

    name = "memory"

    def convert(self, value: Any, param: _Parameter, ctx: _Context) -> int:
        """Reads `2GB`, `500MB` or `1.5GiB`."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(_QUANTITY + "([KMGT]i?B)", str(value).strip(), re.IGNORECASE)
        size = int(float(match[1]) * _BYTES[match[2].upper()]) if match else 0
        if size <= 0:
            self.fail(f"{value!r:.40} is not an amount such as 2GB, 500MB or 1.5GiB.", param, ctx)
        return size


class FrameSize(click.ParamType[int | FrameExtent]):
    """A number of pixels, or one of two words."""

    name = "frame"

    def convert(self, value: Any, param: _Parameter, ctx: _Context) -> int | FrameExtent:
        """Reads `2448`, `card` or `scene`."""
        text = str(value)
        if text in set(FrameExtent):
            return FrameExtent(text)
        if not text.isdecimal() or int(text) == 0:
            self.fail(f"{value!r} is neither a number of pixels nor card or scene.", param, ctx)
        return int(text)
