"""What is asked of a batch, looked at before any work."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from glnet_geo.batch_ledger import Ledger
from glnet_geo.batch_report import BatchOptions
from glnet_geo.batch_resources import Digests
from glnet_geo.checkpoint import ModelCard, read_card
from glnet_geo.checkpoint import model_hash as file_hash
from glnet_geo.errors import BatchError
from glnet_geo.features import read_outlines
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
        digests: Of the files that `maps` names.
    """

    scenes: Sequence[SceneInput]
    folder: Path
    maps: MapOptions
    options: BatchOptions
    model_file: Path
    card: ModelCard
    digests: Digests

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
        _check_polygons(options.polygons, card)
        # Bundled models are found by name wherever the package is.
        model = maps.model if model_file in bundled_models() else str(model_file.absolute())
        maps = replace(maps, model=model, aoi=maps.aoi and maps.aoi.absolute())
        found = find_inputs(
            inputs,
            pattern=options.pattern,
            asset=options.asset,
            exclude=folder,
            safe=maps.safe,
        )
        scenes = [
            replace(one, path=one.path.absolute()) if isinstance(one.path, Path) else one
            for one in found
        ]
        digests = Digests(file_hash(model_file), _content_of(maps.aoi, maps.safe))
        return cls(scenes, folder, maps, options, model_file, card, digests)

    @property
    def shared(self) -> list[Path]:
        """What workers have to see besides the scenes."""
        is_bundled = self.model_file in bundled_models()
        scenes = (one.path for one in self.scenes if isinstance(one.path, Path))
        scene = next((path for path in scenes if path.is_file()), None)
        files = [None if is_bundled else Path(self.maps.model), self.maps.aoi, scene]
        return [self.folder, *(path for path in files if path is not None)]

    @property
    def polygons(self) -> PolygonOptions | None:
        """What is made of each map; those of all maps together serve in their place."""
        return None if self.options.merge else self.options.polygons

    def ledger(self, manifest: Manifest) -> Ledger:
        """What is to be done."""
        settings = {
            "model": f"{self.card.name} {self.card.version}",
            "model_sha256": self.digests.model,
            "aoi_sha256": self.digests.aoi,
            "map": self.maps.to_dict(),
            "polygons": self.polygons and self.polygons.to_dict(),
            "neighbours": self.options.neighbours,
        }
        return Ledger(self.scenes, manifest, self.folder, self.options, settings, self.maps.safe)


def _content_of(aoi: Path | None, safe: bool) -> str:
    """What changes when an area of interest does; some formats consist of several files."""
    if aoi is None:
        return ""
    read_outlines(aoi, safe=safe)  # or each scene would tell what is wrong with it
    files = sorted(aoi.rglob("*")) if aoi.is_dir() else sorted(aoi.parent.glob(f"{aoi.stem}.*"))
    parts = (file_hash(path) for path in files if path.is_file())
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _check_polygons(polygons: PolygonOptions | None, card: ModelCard) -> None:
    """Refuses, before any map is made, what no map's polygons could be."""
    if polygons is None:
        return
    known = {str(one.id) for one in card.legend.classes} | {c.name for c in card.legend.classes}
    chosen = {
        name.strip() for text in (*polygons.classes, *polygons.exclude) for name in text.split(",")
    }
    unknown = sorted(name for name in chosen - known)
    if unknown:
        raise BatchError(
            f"The model {card.name!r} has no class {unknown[0]!r}. It has "
            f"{', '.join(one.name for one in card.legend.classes)}."
        )
    if polygons.layer_per_class and polygons.suffix != ".gpkg":
        raise BatchError("Only a GeoPackage can hold a layer for each class: --vector-format gpkg")
