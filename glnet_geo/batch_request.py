"""What is asked of a batch, looked at before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from glnet_geo.batch_ledger import Ledger
from glnet_geo.batch_report import BatchOptions
from glnet_geo.checkpoint import ModelCard, model_hash, read_card
from glnet_geo.errors import FeaturesError
from glnet_geo.manifest import Manifest
from glnet_geo.map_options import MapOptions
from glnet_geo.modelzoo import bundled_models, find_model
from glnet_geo.polygon_options import PolygonOptions
from glnet_geo.scene_inputs import SceneInput, find_inputs


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What is asked of a batch, looked at before any work.

    Attributes:
        scenes: The scenes.
        folder: Where maps go.
        maps: How scenes are mapped, with paths that hold in other processes and folders.
        options: What else is done.
        model_file: The model.
        card: Its card.
    """

    scenes: Sequence[SceneInput]
    folder: Path
    maps: MapOptions
    options: BatchOptions
    model_file: Path
    card: ModelCard

    @classmethod
    def of(
        cls, inputs: Sequence[str], folder: Path, maps: MapOptions, options: BatchOptions
    ) -> BatchRequest:
        """Looks at what is asked.

        Raises:
            GlnetGeoError: There is no such model, scene or area, or the model cannot do it.
        """
        folder, model_file = folder.absolute(), find_model(maps.model)
        card = read_card(model_file)
        maps.check(card)
        if maps.aoi is not None and not maps.aoi.exists():
            raise FeaturesError(f"{maps.aoi} does not exist.")
        # Bundled models are found by name wherever the package is.
        model = maps.model if model_file in bundled_models() else str(model_file.absolute())
        maps = replace(maps, model=model, aoi=maps.aoi and maps.aoi.absolute())
        found = find_inputs(inputs, pattern=options.pattern, asset=options.asset, exclude=folder)
        scenes = [
            replace(one, path=one.path.absolute()) if isinstance(one.path, Path) else one
            for one in found
        ]
        return cls(scenes, folder, maps, options, model_file, card)

    @property
    def shared(self) -> list[Path]:
        """What workers have to see besides the scenes."""
        is_bundled = self.model_file in bundled_models()
        files = [None if is_bundled else Path(self.maps.model), self.maps.aoi]
        return [self.folder, *(path for path in files if path is not None)]

    @property
    def polygons(self) -> PolygonOptions | None:
        """What is made of each map; those of all maps together serve in their place."""
        return None if self.options.merge else self.options.polygons

    def ledger(self, manifest: Manifest) -> Ledger:
        """What is to be done."""
        settings = {
            "model": f"{self.card.name} {self.card.version}",
            "model_sha256": model_hash(self.model_file),
            "map": self.maps.to_dict(),
            "polygons": self.polygons and self.polygons.to_dict(),
            "neighbours": self.options.neighbours,
        }
        return Ledger(self.scenes, manifest, self.folder, self.options, settings)
