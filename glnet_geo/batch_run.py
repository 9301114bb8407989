"""Runs the jobs of a batch: what follows what, what is tried again, what is given up."""

from __future__ import annotations

import logging
import shutil
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from glnet_geo.batch_events import BatchEvents
from glnet_geo.batch_jobs import BlockJob, BlockResult, StretchJob, TileJob, TileResult
from glnet_geo.batch_plan import MosaicPlan
from glnet_geo.batch_record import SceneRecord, State
from glnet_geo.block_layout import Block
from glnet_geo.block_scores import block_path
from glnet_geo.engines import Engine, Job, Outcome
from glnet_geo.errors import GlnetGeoError
from glnet_geo.manifest import Manifest
from glnet_geo.polygon_options import PolygonOptions
from glnet_geo.radiometry import Stretch

_AHEAD = 2  # jobs a slot that are handed to the engine before they can begin
_PATIENCE_S = 1.0  # between two looks at the clock, for the progress

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _MosaicState:
    """A mosaic under way.

    Attributes:
        plan: Its plan.
        stretch: Mapping of its pixel values, once known.
        waiting: Blocks that each unfinished tile waits for, by name.
        users: Unfinished tiles that each block is for.
    """

    plan: MosaicPlan
    stretch: Stretch | None
    waiting: dict[str, set[Block]] = field(default_factory=dict)
    users: dict[Block, set[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: MosaicPlan) -> _MosaicState:
        state = cls(plan, Stretch() if plan.is_as_it_is else None)
        for name in plan.tiles:
            if name in plan.wanted:
                state.waiting[name] = set(plan.blocks_of(name))
                for block in state.waiting[name]:
                    state.users.setdefault(block, set()).add(name)
        return state


class BatchRun:
    """The jobs of a batch, in an engine.

    Args:
        plans: The work.
        engine: Where it runs.
        manifest: Where it is recorded.
        folder: Where maps go.
        polygons: What to make of each map besides.
        retries: How often a job that failed is tried again.
        fail_fast: Whether the first scene that fails ends all.
        events: Told what happens.
    """

    def __init__(
        self,
        plans: Iterable[MosaicPlan],
        engine: Engine,
        manifest: Manifest,
        folder: Path,
        polygons: PolygonOptions | None,
        retries: int,
        fail_fast: bool,
        events: BatchEvents,
    ) -> None:
        self._plans = iter(plans)
        self._engine = engine
        self._manifest = manifest
        self._folder = folder
        self._polygons = polygons
        self._retries = retries
        self._fail_fast = fail_fast
        self._events = events
        self._states: dict[str, _MosaicState] = {}
        self._queue: deque[StretchJob | BlockJob] = deque()
        self._flying: dict[int, Job] = {}
        self._heavy = 0
        self._tries: Counter[str] = Counter()
        self.done = self.failed = 0

    def run(self) -> None:
        """Runs until all is done or given up."""
        while not (self._fail_fast and self.failed):
            self._submit()
            if not self._flying:
                return
            outcome = self._engine.next_outcome(_PATIENCE_S)
            if outcome is not None:
                self._take(outcome)
            else:
                self._events.worked(0.0, self._running())

    def _running(self) -> list[str]:
        return [job.label for job in self._flying.values()]

    def _submit(self) -> None:
        """Hands jobs to the engine, some ahead of what it can begin."""
        while self._heavy < _AHEAD * self._engine.slots + 1:
            if self._queue:
                job = self._queue.popleft()
                if isinstance(job, StretchJob) or self._is_needed(job):
                    self._hand_over(job)
            elif (plan := next(self._plans, None)) is not None:
                self._begin(plan)
            else:
                return

    def _begin(self, plan: MosaicPlan) -> None:
        plan.task.folder.mkdir(parents=True, exist_ok=True)
        state = self._states[plan.task.folder.name] = _MosaicState.of(plan)
        if state.stretch is None:
            self._queue.append(plan.stretch_job())
        else:
            self._queue_blocks(state)

    def _queue_blocks(self, state: _MosaicState) -> None:
        assert state.stretch is not None
        for block in state.plan.blocks:
            if state.plan.has(block):
                self._block_is_there(state, block)
            else:
                self._queue.append(state.plan.block_job(block, state.stretch))

    def _is_needed(self, job: BlockJob) -> bool:
        """Whether any tile still waits for a block; marks those that do as being worked on."""
        state = self._states.get(job.task.folder.name)
        if state is None:
            return False
        for name in state.users.get(job.block, ()):
            record = self._manifest.records[name]
            if record.state is State.PENDING:
                self._manifest.record(replace(record, state=State.RUNNING), durable=False)
        return job.block in state.users

    def _hand_over(self, job: Job, light: bool = False) -> None:
        self._flying[id(job)] = job
        self._heavy += not light
        self._engine.submit(job, light=light)

    def _take(self, outcome: Outcome) -> None:
        """Draws the consequences of what came of a job."""
        job = outcome.job
        del self._flying[id(job)]
        self._heavy -= not isinstance(job, TileJob)
        assert isinstance(job, StretchJob | BlockJob | TileJob)
        state = self._states.get(job.task.folder.name)
        if state is None:
            return  # all that waited for it has failed meanwhile
        if outcome.error is not None:
            self._try_again(job, state, outcome.error)
        elif isinstance(job, StretchJob):
            state.stretch = outcome.result
            self._queue_blocks(state)
        elif isinstance(job, BlockJob):
            self._block_ended(job, state, outcome.result)
        elif isinstance(job, TileJob):
            self._tile_ended(job, state, outcome.result)

    def _try_again(self, job: Job, state: _MosaicState, error: BaseException) -> None:
        key = f"{state.plan.task.folder.name} {type(job).__name__} {_identity(job)}"
        self._tries[key] += 1
        reason = _in_one_line(error)
        if self._tries[key] <= self._retries:
            _log.info("%s is tried again: %s", job.label, reason)
            if isinstance(job, TileJob):
                self._hand_over(job, light=True)
            else:
                assert isinstance(job, StretchJob | BlockJob)
                self._queue.append(job)
            return
        if not isinstance(error, GlnetGeoError):
            _log.debug("%s failed", job.label, exc_info=error)
        if isinstance(job, TileJob):
            names = {job.tile.name}
        elif isinstance(job, BlockJob):
            names = set(state.users.get(job.block, ()))
        else:
            names = set(state.waiting)
        for name in sorted(names):
            self._fail(name, state, reason)

    def _block_ended(self, job: BlockJob, state: _MosaicState, result: BlockResult) -> None:
        for name, reason in result.failures.items():
            if name in state.waiting:
                self._fail(name, state, reason)
        users = state.users.get(job.block, set())
        for name in users:
            record = self._manifest.records[name]
            seconds = record.seconds + result.seconds / len(users)
            self._manifest.record(replace(record, seconds=seconds), durable=False)
        self._block_is_there(state, job.block)
        self._events.worked(state.plan.megapixels(job.block), self._running())

    def _block_is_there(self, state: _MosaicState, block: Block) -> None:
        assert state.stretch is not None
        for name in sorted(state.users.get(block, ())):
            state.waiting[name].discard(block)
            if not state.waiting[name]:
                output = self._folder / f"{name}.tif"
                tile = state.plan.tiles[name]
                job = TileJob(state.plan.task, tile, state.stretch, output, self._polygons)
                self._hand_over(job, light=True)

    def _tile_ended(self, job: TileJob, state: _MosaicState, result: TileResult) -> None:
        for caution in result.cautions:
            self._tries[_CAUTIONS] += 1
            if self._tries[_CAUTIONS] <= _MOST_CAUTIONS:
                _log.warning("%s", caution)
        record = self._manifest.records[job.tile.name]
        content = result.content
        present = np.flatnonzero(content.pixels).tolist()
        areas = content.areas_m2
        self._end(
            replace(
                record,
                state=State.DONE,
                outputs=tuple(path.relative_to(self._folder).as_posix() for path in result.outputs),
                seconds=record.seconds + result.seconds,
                error="",
                pixels={value: int(content.pixels[value]) for value in present},
                areas_m2=None if areas is None else {v: float(areas[v]) for v in present},
                polygons=result.polygons,
            ),
            state,
        )

    def _fail(self, name: str, state: _MosaicState, reason: str) -> None:
        self._end(replace(self._manifest.records[name], state=State.FAILED, error=reason), state)

    def _end(self, record: SceneRecord, state: _MosaicState) -> None:
        """Records the end of a scene, and lets go of the blocks that nobody else waits for."""
        record = replace(record, attempts=record.attempts + 1)
        self._manifest.record(record)
        self.done += record.state is State.DONE
        self.failed += record.state is State.FAILED
        del state.waiting[record.name]
        for block in [*state.plan.blocks_of(record.name)]:
            state.users[block].discard(record.name)
            if not state.users[block]:
                del state.users[block]
                block_path(state.plan.task.folder, block).unlink(missing_ok=True)
        if not state.waiting:
            del self._states[state.plan.task.folder.name]
            shutil.rmtree(state.plan.task.folder, ignore_errors=True)
        self._events.ended(record, self.done, self.failed)


def _identity(job: Job) -> str:
    if isinstance(job, BlockJob):
        return str(job.block)
    return job.tile.name if isinstance(job, TileJob) else ""


def _in_one_line(error: BaseException) -> str:
    text = str(error) if isinstance(error, GlnetGeoError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


_CAUTIONS = "cautions"
_MOST_CAUTIONS = 5  # that are printed; all scenes of a batch tend to have the same
