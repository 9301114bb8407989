"""What has to be computed for which scenes of a batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from glnet_geo.batch_jobs import BlockJob, MosaicTask, StretchJob, basis_of
from glnet_geo.batch_record import SceneFacts, SceneRecord
from glnet_geo.batch_resources import Digests
from glnet_geo.block_layout import Block, BlockLayout
from glnet_geo.block_scores import block_path, is_whole
from glnet_geo.checkpoint import ModelCard
from glnet_geo.errors import GlnetGeoError
from glnet_geo.frame_source import Footing
from glnet_geo.map_options import MapOptions
from glnet_geo.radiometry import Stretch
from glnet_geo.remote import ScenePath
from glnet_geo.tile_groups import Mosaic
from glnet_geo.tile_mosaic import PlacedTile

Facts = Mapping[str, SceneFacts | None]
"""What is known of scenes, by name; of those that are planned something is."""

BLOCK_FRAMES = 8
"""Frames of a block: a minute of work, and some 150 MB of scores."""

_BLOCKS_A_SLOT = 4
_WIDE_BLOCK = 16  # frames of a striped scene: every block decodes its strips in full width


@dataclass(frozen=True, slots=True)
class MosaicPlan:
    """The work on a mosaic, or on a scene by itself.

    Attributes:
        task: What its jobs have in common.
        tiles: All its tiles by name.
        wanted: For each of those whose maps are to be made, the blocks that it is cut from.
        readers: For each of these blocks, the tiles that its frames read.
        is_as_it_is: Whether its pixels are uint8, which need no statistics.
    """

    task: MosaicTask
    tiles: Mapping[str, PlacedTile]
    wanted: Mapping[str, Sequence[Block]]
    readers: Mapping[Block, Sequence[PlacedTile]]
    is_as_it_is: bool

    @property
    def blocks(self) -> Sequence[Block]:
        """The blocks that the wanted maps are cut from, row by row."""
        return [*self.readers]

    def blocks_of(self, name: str) -> Sequence[Block]:
        """The blocks that a wanted map is cut from."""
        return self.wanted[name]

    def has(self, block: Block, stretch: Stretch) -> bool:
        """Whether an interrupted run has left a block that was made in the same way."""
        return is_whole(block_path(self.task.folder, block), basis_of(stretch))

    def block_job(self, block: Block, stretch: Stretch) -> BlockJob:
        """The job of a block."""
        return BlockJob(self.task, tuple(self.readers[block]), block, stretch)

    def stretch_job(self) -> StretchJob:
        """The job that has to come first where pixels are not uint8."""
        return StretchJob(self.task, tuple(self.tiles.values()))

    def megapixels(self, block: Block) -> float:
        """Pixels of the view that a block finishes, about, in millions."""
        window = self.task.layout.closed(block) or self.task.layout.extent(block)
        return window.height * window.width / 1e6


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans the work on mosaics.

    Attributes:
        card: Card of the model.
        options: How scenes are mapped.
        digests: Of the files that these name.
        folder: Where blocks lie, a folder each mosaic.
        attempts: How often a tile that cannot be read is tried.
    """

    card: ModelCard
    options: MapOptions
    digests: Digests
    folder: Path
    attempts: int

    def frames_for(self, mosaics: Sequence[Mosaic], facts: Facts, slots: int) -> int:
        """Frames of a block, so that there is work for every slot up to the end.

        Args:
            mosaics: What is to be mapped.
            facts: What is known of their scenes, by name.
            slots: Jobs that run at a time.
        """
        enough = _BLOCKS_A_SLOT * slots
        frames = BLOCK_FRAMES
        while frames > 1 and len(mosaics) < enough:
            blocks = 0
            for mosaic in mosaics:
                # One that does not suit the model is told when it is planned.
                with suppress(GlnetGeoError):
                    blocks += len(self._layout(mosaic, facts, frames)[1])
            if blocks >= enough:
                break
            frames //= 2
        return frames

    def plan(
        self,
        mosaic: Mosaic,
        records: Mapping[str, SceneRecord],
        paths: Mapping[str, ScenePath],
        wanted: frozenset[str],
        frames: int,
    ) -> MosaicPlan:
        """Plans the work on a mosaic.

        Args:
            mosaic: It.
            records: What is known of its scenes.
            paths: Where those are.
            wanted: Names of those whose maps are to be made.
            frames: Frames of a block.

        Raises:
            GlnetGeoError: See `MapOptions.footing`.
        """
        tiles = {
            name: PlacedTile(name, paths[name], place) for name, place in mosaic.places.items()
        }
        facts = {name: records[name].facts for name in tiles}
        footing, layout = self._layout(mosaic, facts, frames)
        ours = [records[name] for name in tiles]
        task = MosaicTask(
            self.options,
            self.digests,
            mosaic.grid,
            footing,
            layout,
            self.folder / self._digest(ours, mosaic, layout),
            len(tiles) == 1,
            self.attempts,
        )
        cut_from = {
            name: [*layout.touching(footing.over(tile.place))]
            for name, tile in tiles.items()
            if name in wanted
        }
        needed = {block for blocks in cut_from.values() for block in blocks}
        readers: dict[Block, list[PlacedTile]] = {block: [] for block in layout if block in needed}
        for tile in tiles.values():
            for block in layout.touching(footing.over(tile.place, reach=True)):
                if block in readers:
                    readers[block].append(tile)
        is_as_it_is = all(one is not None and one.dtype == "uint8" for one in facts.values())
        return MosaicPlan(task, tiles, cut_from, readers, is_as_it_is and not self.options.scale)

    def _layout(self, mosaic: Mosaic, facts: Facts, frames: int) -> tuple[Footing, BlockLayout]:
        name = next(iter(mosaic.places))
        first = facts[name]
        assert first is not None
        footing = self.options.footing(mosaic.grid, name, self.card)
        size = footing.rows.view, footing.columns.view
        plan = self.card.frames(*size, self.options.frame, self.options.reference)
        is_wide = len(mosaic.places) == 1 and first.is_striped
        return footing, BlockLayout.cover(plan, _WIDE_BLOCK if is_wide else frames)

    def _digest(self, records: Sequence[SceneRecord], mosaic: Mosaic, layout: BlockLayout) -> str:
        """A name for what blocks are computed from, so that none is taken for another's."""
        what = [
            [[one.name, one.scene, one.identity, str(mosaic.places[one.name])] for one in records],
            [layout.rows.firsts, layout.columns.firsts, str(layout.rows.frames)],
            str(layout.columns.frames),
            records[0].settings,
        ]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
