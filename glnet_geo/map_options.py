"""How scenes are mapped: what `predict` and `batch` have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glnet_geo.checkpoint import ModelCard, model_hash
from glnet_geo.errors import GlnetGeoError, RasterError
from glnet_geo.frame_source import Footing
from glnet_geo.grid import Grid
from glnet_geo.modelzoo import DEFAULT_MODEL
from glnet_geo.precision import Precision
from glnet_geo.radiometry import Stretch
from glnet_geo.raster import SceneReader
from glnet_geo.remote import scene_label, without_secrets
from glnet_geo.tiling import FrameExtent, ViewAxis
from glnet_geo.uncertainty import Gauge, Layer
from glnet_geo.validity import THE_FILES, Validity

if TYPE_CHECKING:
    from glnet_geo.features import AreaOfInterest

_SAME_GSD = 1.1  # ratio below which a scene is taken at its own pixels
_FINE_GSD = 2.0  # metres; pixels that are larger hide houses and roads
_POOR_GSD = 1.5
_MAX_ENLARGEMENT = 100


@dataclass(frozen=True, slots=True)
class MapOptions:
    """How scenes are mapped.

    Attributes:
        model: A bundled model's name, or a model file.
        bands: Bands of a scene in the model's order: numbers from 1, descriptions or colour
            interpretations; empty for those that bear the names of the model's bands, or else
            the first ones.
        scale: Values of a scene that become 0 and 255: one pair for each band, or one for all.
            Empty for uint8 as it is and percentiles of all other types.
        validity: Which pixels have data.
        aoi: A vector file; maps are limited to its polygons.
        gsd: Ground sample distance of scenes in metres; None for what their CRS says.
        frame: See `GLNetSegmenter`.
        device: "auto", "cpu", "cuda" and so on.
        precision: See `devices.choose_dtype`.
        reference: Whether to follow the reference's arithmetic, see `GLNetSegmenter`.
        views: In how many ways a frame is looked at, see `GLNetSegmenter`.
        safe: Whether nothing of scenes and the vector file is trusted, see `safety`.
        layers: What is told of every pixel besides its class.
    """

    model: str = DEFAULT_MODEL
    bands: tuple[int | str, ...] = ()
    scale: tuple[tuple[float, float], ...] = ()
    validity: Validity = THE_FILES
    aoi: Path | None = None
    gsd: float | None = None
    frame: int | FrameExtent = FrameExtent.CARD
    device: str = "auto"
    precision: Precision = Precision.AUTO
    reference: bool = False
    views: int | None = None
    safe: bool = False
    layers: tuple[Layer, ...] = ()

    def opener(self, card: ModelCard) -> partial[SceneReader]:
        """What opens a scene for a model, given its path."""
        return partial(
            SceneReader,
            bands=self.bands,
            n_bands=len(card.bands),
            names=card.bands,
            validity=self.validity,
            safe=self.safe,
        )

    def check(self, card: ModelCard) -> None:
        """Refuses, before any work, what a model cannot do with any scene.

        Raises:
            GlnetGeoError: The model works in pixels of any size, yet one is given; or the frame is
                no larger than the overlaps of frames.
        """
        if self.gsd is not None and card.gsd is None:
            raise GlnetGeoError(
                f"The model {card.name!r} works in pixels of any size: leave --gsd out."
            )
        card.check_frame(self.frame)

    def views_of(self, card: ModelCard) -> int:
        """In how many ways a model looks at a frame: what is asked for, or what suits it."""
        return self.views or (1 if self.reference else card.views)

    def footing(self, grid: Grid, scene: object, card: ModelCard) -> Footing:
        """The view of a scene that has the pixels which the model knows.

        Args:
            grid: The scene's grid.
            scene: The scene, for messages.
            card: The model's card.

        Raises:
            RasterError: The pixels of the scene are too coarse by far.
        """
        sides = (self.gsd, self.gsd) if self.gsd else grid.pixel_sides_m
        if sides is None or card.gsd is None or (self.reference and not self.gsd):
            return Footing.of_scene(grid)
        if max(sides) > _MAX_ENLARGEMENT * card.gsd:
            raise RasterError(
                f"{scene} has {max(sides):.3g} m pixels; the model {card.name!r} was trained at "
                f"{card.gsd:.3g} m and sees nothing in them. Choose another: glnet-geo models list"
            )
        factors = [side / card.gsd for side in sides]
        if all(1 / _SAME_GSD < factor < _SAME_GSD for factor in factors):
            return Footing.of_scene(grid)
        lengths = (grid.height, grid.width)
        return Footing(
            *(
                ViewAxis(length, max(round(length * factor), 1))
                for length, factor in zip(lengths, factors, strict=True)
            )
        )

    def cautions(self, scene: SceneReader, card: ModelCard, footing: Footing) -> Iterator[str]:
        """What whoever reads the map of a scene should know."""
        shown = without_secrets(str(scene.path))
        if not scene.grid.is_georeferenced:
            yield (
                f"{shown} has no CRS or no transform. The map lies on the same pixels, "
                "without a place."
            )
        if scene.bands_are_guessed:
            yield (
                f"{shown} does not say which of its bands show {', '.join(card.bands)}. Bands "
                f"{', '.join(map(str, scene.bands))} are taken; choose with --bands."
            )
        gsd = self.gsd or scene.grid.gsd_m
        if card.gsd is None and gsd is not None and gsd > _FINE_GSD:
            yield (
                f"{shown} has {gsd:.3g} m pixels; the card of the model '{card.name}' does not say "
                "what it was trained at. Look at where its scenes came from: glnet-geo models show "
                f"{self.model}"
            )
        ratio = gsd / card.gsd if gsd and card.gsd else 1.0
        # A finer scene is seen at the model's resolution, and well; a coarser one lacks the detail.
        if ratio > _POOR_GSD or (ratio < 1 / _POOR_GSD and footing.is_scene):
            yield (
                f"{shown} has {gsd:.3g} m pixels; the model '{card.name}' was trained at "
                f"{card.gsd:.3g} m. Expect poor results."
            )

    def tags(
        self,
        scene: SceneReader,
        card: ModelCard,
        footing: Footing,
        stretch: Stretch,
        area: AreaOfInterest | None,
    ) -> dict[str, str]:
        """What a scene's map tells of how it was made."""
        return {
            "SCENE": scene_label(scene.path),
            "BANDS": ",".join(map(str, scene.bands)),
            **stretch.tags(),
            **self.validity.tags(),
            **({"AOI": self.aoi.name} if self.aoi else {}),
            **({"AOI_SHA256": area.digest} if area else {}),
            "NETWORK_PIXELS": f"{footing.columns.view} x {footing.rows.view}",
            "FRAME": str(self.frame),
            "REFERENCE_ARITHMETIC": str(self.reference).lower(),
            "VIEWS": str(self.views_of(card)),
        }

    def to_dict(self) -> dict[str, Any]:
        """All but the model and the device, as a manifest keeps it."""
        return {
            "bands": list(self.bands),
            "scale": [list(pair) for pair in self.scale],
            "validity": self.validity.tags(),
            "aoi": str(self.aoi) if self.aoi else None,
            "gsd": self.gsd,
            "frame": str(self.frame),
            "precision": str(self.precision),
            "reference": self.reference,
            "views": self.views,
            "safe": self.safe,
        }


def model_tags(card: ModelCard, model_file: Path) -> dict[str, str]:
    """What a map tells of the program and the model."""
    return {
        "TIFFTAG_SOFTWARE": f"glnet-geo {version('glnet-geo')}",
        "MODEL": f"{card.name} {card.version}",
        "MODEL_SHA256": model_hash(model_file),
        "MODEL_LICENCE": card.licence,
    }


def gauge_of(card: ModelCard, options: MapOptions) -> Gauge:
    """What works out layers for a model."""
    legend, is_reference = card.legend, options.reference
    # The reference predicts all classes, and its scores are sums: no temperature applies to them.
    positions = range(len(legend)) if is_reference else legend.counted
    names = {position: legend.classes[position].name for position in positions}
    return Gauge(names, options.layers, None if is_reference else card.temperature)


def area_of(aoi: Path | None, grid: Grid, safe: bool = False) -> AreaOfInterest | None:
    """The area of interest on a grid; None where there is none.

    Args:
        aoi: A vector file.
        grid: The grid.
        safe: Whether nothing of the file is trusted.

    Raises:
        FeaturesError: See `AreaOfInterest.read`.
    """
    if aoi is None:
        return None
    # geopandas takes half a second to load; most runs do without.
    from glnet_geo.features import AreaOfInterest

    return AreaOfInterest.read(aoi, grid, safe)
