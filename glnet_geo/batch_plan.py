"""What has to be computed for which scenes of a batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glnet_geo.batch_jobs import BlockJob, MosaicTask, StretchJob
from glnet_geo.batch_record import SceneFacts, SceneRecord
from glnet_geo.block_layout import Block, BlockLayout
from glnet_geo.block_scores import block_path, is_whole
from glnet_geo.checkpoint import ModelCard
from glnet_geo.frame_source import Footing
from glnet_geo.grid import Window
from glnet_geo.map_options import MapOptions
from glnet_geo.radiometry import Stretch
from glnet_geo.remote import ScenePath
from glnet_geo.tile_groups import Mosaic
from glnet_geo.tile_mosaic import PlacedTile

Facts = Mapping[str, SceneFacts | None]
"""What is known of scenes, by name; of those that are planned something is."""

BLOCK_FRAMES = 3
"""Frames on a side of a block: a minute of work, and some 150 MB of scores."""

_BLOCKS_A_SLOT = 4


@dataclass(frozen=True, slots=True)
class MosaicPlan:
    """The work on a mosaic, or on a scene by itself.

    Attributes:
        task: What its jobs have in common.
        tiles: All its tiles by name.
        wanted: The names of those whose maps are to be made.
        is_as_it_is: Whether its pixels are uint8, which need no statistics.
    """

    task: MosaicTask
    tiles: Mapping[str, PlacedTile]
    wanted: frozenset[str]
    is_as_it_is: bool

    @property
    def blocks(self) -> Iterator[Block]:
        """The blocks that the wanted maps are cut from, row by row."""
        wanted = {block for name in self.wanted for block in self.blocks_of(name)}
        return (block for block in self.task.layout if block in wanted)

    def blocks_of(self, name: str) -> Iterator[Block]:
        """The blocks that the map of a tile is cut from."""
        return self.task.layout.touching(self._in_view(self.tiles[name].place))

    def has(self, block: Block) -> bool:
        """Whether an interrupted run has left a block."""
        return is_whole(block_path(self.task.folder, block))

    def block_job(self, block: Block, stretch: Stretch) -> BlockJob:
        """The job of a block."""
        reach = self.task.layout.extent(block)
        tiles = (
            tile for tile in self.tiles.values() if self._in_view(tile.place).intersection(reach)
        )
        return BlockJob(self.task, tuple(tiles), block, stretch)

    def stretch_job(self) -> StretchJob:
        """The job that has to come first where pixels are not uint8."""
        return StretchJob(self.task, tuple(self.tiles.values()))

    def megapixels(self, block: Block) -> float:
        """Pixels of the view that a block finishes, about, in millions."""
        closed = self.task.layout.closed(block)
        return closed.height * closed.width / 1e6

    def _in_view(self, window: Window) -> Window:
        """The pixels of the view at the centres of a window's."""
        rows, columns = self.task.footing.rows, self.task.footing.columns
        top, bottom = (rows.under(k, k + 1)[0] for k in (window.top, window.bottom - 1))
        left, right = (columns.under(k, k + 1)[0] for k in (window.left, window.right - 1))
        return Window(top, left, bottom - top + 1, right - left + 1)


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans the work on mosaics.

    Attributes:
        card: Card of the model.
        options: How scenes are mapped.
        folder: Where blocks lie, a folder each mosaic.
        attempts: How often a tile that cannot be read is tried.
    """

    card: ModelCard
    options: MapOptions
    folder: Path
    attempts: int

    def side_for(self, mosaics: Sequence[Mosaic], facts: Facts, slots: int) -> int:
        """Frames on a side of a block, so that there is work for every slot up to the end.

        Args:
            mosaics: What is to be mapped.
            facts: What is known of their scenes, by name.
            slots: Jobs that run at a time.
        """
        for side in range(BLOCK_FRAMES, 1, -1):
            layouts = (self._layout(mosaic, facts, side)[1] for mosaic in mosaics)
            blocks = sum(len(one.rows) * len(one.columns) for one in layouts)
            if blocks >= _BLOCKS_A_SLOT * slots:
                return side
        return 1

    def plan(
        self,
        mosaic: Mosaic,
        records: Mapping[str, SceneRecord],
        paths: Mapping[str, ScenePath],
        wanted: frozenset[str],
        side: int,
    ) -> MosaicPlan:
        """Plans the work on a mosaic.

        Args:
            mosaic: It.
            records: What is known of its scenes.
            paths: Where those are.
            wanted: Names of scenes whose maps are to be made.
            side: Frames on a side of a block.

        Raises:
            GlnetGeoError: See `MapOptions.footing`.
        """
        tiles = {
            name: PlacedTile(name, paths[name], place) for name, place in mosaic.places.items()
        }
        facts = {name: records[name].facts for name in tiles}
        footing, layout = self._layout(mosaic, facts, side)
        ours = [records[name] for name in tiles]
        task = MosaicTask(
            self.options,
            mosaic.grid,
            footing,
            layout,
            self.folder / self._digest(ours, mosaic, layout),
            len(tiles) == 1,
            self.attempts,
        )
        is_as_it_is = all(one is not None and one.dtype == "uint8" for one in facts.values())
        is_as_it_is &= not self.options.scale
        return MosaicPlan(task, tiles, wanted & tiles.keys(), is_as_it_is)

    def _layout(self, mosaic: Mosaic, facts: Facts, side: int) -> tuple[Footing, BlockLayout]:
        first = facts[next(iter(mosaic.places))]
        assert first is not None
        name = next(iter(mosaic.places))
        footing = self.options.footing(mosaic.grid, name, self.card)
        size = footing.rows.view, footing.columns.view
        frames = self.card.frames(*size, self.options.frame, self.options.reference)
        if len(mosaic.places) == 1 and first.is_striped:
            # Narrow blocks would decode the same strips again and again.
            return footing, BlockLayout.cover(frames, 1, len(frames.columns.starts))
        return footing, BlockLayout.cover(frames, side, side)

    def _digest(self, records: Sequence[SceneRecord], mosaic: Mosaic, layout: BlockLayout) -> str:
        """A name for what blocks are computed from, so that none is taken for another's."""
        what = [
            [[one.name, one.scene, one.identity, str(mosaic.places[one.name])] for one in records],
            [layout.rows.firsts, layout.columns.firsts, str(layout.rows.frames)],
            str(layout.columns.frames),
            records[0].settings,
        ]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
