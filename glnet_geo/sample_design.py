"""What a stratified sample was drawn from: its strata and how much of the map each stands for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Unit = Literal["m", "px"]
"""Whether areas are in square metres or in pixels."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """One class of the map that a sample was drawn from.

    Attributes:
        id: Its value in the map.
        name: What it is called there.
        pixels: Its pixels, at least 1.
        area: Their area, in the unit of the design.
        points: Points that were drawn from it.

    Raises:
        ValueError: It has no pixels or no area, or more points than pixels.
    """

    id: int
    name: str
    pixels: int
    area: float
    points: int = 0

    def __post_init__(self) -> None:
        if self.pixels < 1 or not 0 <= self.points <= self.pixels or not 0 < self.area < math.inf:
            raise ValueError(f"no stratum: {self}")


@dataclass(frozen=True, slots=True)
class SampleDesign:
    """How a sample was drawn, as much as estimates from it need.

    Attributes:
        source: Name of the map.
        sha256: Digest of the map's file, in hexadecimal; "" where it is no local file.
        strata: By id.
        legend: Names of all classes that the map knows, by id; more than the strata.
        area_rule: How areas were measured, see `Ground.rule`.
        unit: That of areas.
        seed: Of the random numbers; None where that is not known.
    """

    source: str
    sha256: str
    strata: tuple[Stratum, ...]
    legend: Mapping[int, str]
    area_rule: str
    unit: Unit
    seed: int | None = None

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> SampleDesign:
        """Reads what `to_metadata` says.

        Raises:
            KeyError: Something is missing.
            ValueError: Something is no longer what it was; likewise TypeError.
        """
        strata = tuple(
            Stratum(
                int(one["id"]),
                str(one["name"]),
                int(one["pixels"]),
                float(one["area"]),
                int(one["points"]),
            )
            for one in json.loads(metadata["strata"])
        )
        legend = {int(key): str(name) for key, name in json.loads(metadata["legend"]).items()}
        if not strata or len({one.id for one in strata}) < len(strata):
            raise ValueError("no strata, or one of them twice")
        unit: Unit = "px" if metadata["unit"] == "px" else "m"
        return cls(
            metadata["source"],
            metadata["source_sha256"],
            strata,
            legend,
            metadata["areas"],
            unit,
            int(metadata["seed"]),
        )

    def to_metadata(self) -> dict[str, str]:
        """As the layer's metadata shows it."""
        return {
            "source": self.source,
            "source_sha256": self.sha256,
            "seed": str(self.seed),
            "areas": self.area_rule,
            "unit": self.unit,
            "strata": json.dumps([self.to_dict(one) for one in self.strata], ensure_ascii=False),
            "legend": json.dumps(self.legend, ensure_ascii=False),
        }

    @property
    def area(self) -> float:
        """Of all strata."""
        return math.fsum(one.area for one in self.strata)

    @property
    def points(self) -> int:
        """Points in all."""
        return sum(one.points for one in self.strata)

    def to_dict(self, stratum: Stratum) -> dict[str, Any]:
        """The JSON form of one of its strata."""
        return {
            "id": stratum.id,
            "name": stratum.name,
            "pixels": stratum.pixels,
            "area": stratum.area,
            "share": stratum.area / self.area,
            "points": stratum.points,
        }
