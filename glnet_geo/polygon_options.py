"""What a batch makes of its maps besides: polygons."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glnet_geo.vector_summary import VectorSummary
from glnet_geo.vectorizing import DEFAULT_LAYER, Generalisation, vectorize


@dataclass(frozen=True, slots=True)
class PolygonOptions:
    """How polygons are made of maps; see `vectorizing.vectorize`.

    Attributes:
        generalisation: What is left out.
        classes: Names or ids of the classes to write; empty for all.
        exclude: Names or ids of the classes not to write.
        dissolve: Whether to make one multipolygon of each class.
        layer: Name of the layer.
        layer_per_class: Whether to make a layer of each class instead.
        suffix: Extension of the files, which says their format.
    """

    generalisation: Generalisation = field(default_factory=Generalisation)
    classes: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    dissolve: bool = False
    layer: str = DEFAULT_LAYER
    layer_per_class: bool = False
    suffix: str = ".gpkg"

    def make(self, raster: Path, output: Path | None = None, **more: Any) -> VectorSummary:
        """Makes polygons of a map, beside it unless said otherwise; an earlier file is replaced.

        Args:
            raster: The map.
            output: The vector file; None for the map's name with the other extension.
            more: More for `vectorize`.

        Raises:
            GlnetGeoError: See `vectorize`.
        """
        arguments: dict[str, Any] = {
            "generalisation": self.generalisation,
            "classes": self.classes,
            "exclude": self.exclude,
            "dissolve": self.dissolve,
            "layer": self.layer,
            "layer_per_class": self.layer_per_class,
            "overwrite": True,
            **more,
        }
        return vectorize(raster, output or raster.with_suffix(self.suffix), **arguments)

    def to_dict(self) -> dict[str, Any]:
        """As a manifest keeps it."""
        return {
            **self.generalisation.to_dict(),
            "classes": list(self.classes),
            "exclude": list(self.exclude),
            "dissolve": self.dissolve,
            "layer": self.layer,
            "layer_per_class": self.layer_per_class,
            "suffix": self.suffix,
        }
