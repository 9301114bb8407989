"""Runs the jobs of a batch: what follows what, what is tried again, what is given up."""

from __future__ import annotations

import logging
import shutil
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from glnet_geo.batch_events import BatchEvents, Tally
from glnet_geo.batch_jobs import (
    BlockJob,
    BlockResult,
    PolygonJob,
    StretchJob,
    TileJob,
    TileResult,
)
from glnet_geo.batch_ledger import Ledger
from glnet_geo.batch_plan import MosaicPlan
from glnet_geo.batch_record import State
from glnet_geo.block_layout import Block
from glnet_geo.block_scores import block_path
from glnet_geo.engines import Engine, Job, Outcome
from glnet_geo.errors import GlnetGeoError, OutputError
from glnet_geo.manifest import Manifest
from glnet_geo.polygon_options import PolygonOptions
from glnet_geo.radiometry import Stretch
from glnet_geo.vector_summary import VectorSummary

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
        seconds: Work that went into each tile.
    """

    plan: MosaicPlan
    stretch: Stretch | None
    waiting: dict[str, set[Block]] = field(default_factory=dict)
    users: dict[Block, set[str]] = field(default_factory=dict)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    @classmethod
    def of(cls, plan: MosaicPlan) -> _MosaicState:
        state = cls(plan, Stretch() if plan.is_as_it_is else None)
        for name in plan.tiles:
            if name in plan.wanted:
                state.waiting[name] = set(plan.blocks_of(name))
                for block in state.waiting[name]:
                    state.users.setdefault(block, set()).add(name)
        return state


@dataclass(frozen=True, slots=True)
class Limits:
    """What a batch does about failures.

    Attributes:
        retries: How often a job that failed is tried again.
        fail_fast: Whether the first scene that fails ends all.
    """

    retries: int
    fail_fast: bool


class BatchRun:
    """The jobs of a batch, in an engine.

    Args:
        plans: The maps to make; planned one by one as there is room for their jobs.
        chores: Polygons to make of maps that are there.
        engine: Where it runs.
        manifest: What is known of the scenes.
        tally: Told of scenes that are done or have failed.
        ledger: Knows what the records become when maps are replaced.
        folder: Where maps go.
        polygons: What to make of each new map besides.
        limits: How often is tried again, and when all is given up.
        events: Told what happens.
    """

    def __init__(
        self,
        plans: Iterator[MosaicPlan],
        chores: Iterable[PolygonJob],
        engine: Engine,
        manifest: Manifest,
        tally: Tally,
        ledger: Ledger,
        folder: Path,
        polygons: PolygonOptions | None,
        limits: Limits,
        events: BatchEvents,
    ) -> None:
        self._plans = plans
        self._engine = engine
        self._manifest = manifest
        self._tally = tally
        self._ledger = ledger
        self._folder = folder
        self._polygons = polygons
        self._limits = limits
        self._events = events
        self._states: dict[str, _MosaicState] = {}
        self._queue: deque[StretchJob | BlockJob | PolygonJob] = deque(chores)
        self._flying: dict[int, Job] = {}
        self._light: set[int] = set()
        self._tries: Counter[str] = Counter()

    def run(self) -> None:
        """Runs until all is done or given up."""
        try:
            self._submit()
            while self._flying and not self._is_over():
                self._wait()
                self._submit()
            # Maps and polygons that are being written have the most work behind them; of blocks
            # the next run finds what is whole.
            while self._light:
                outcome = self._engine.next_outcome(_PATIENCE_S)
                if outcome is not None and id(outcome.job) in self._light:
                    self._take(outcome)
        finally:
            self._leave()

    def _is_over(self) -> bool:
        return self._limits.fail_fast and self._tally.failed > 0

    def _wait(self) -> None:
        """Takes an outcome if there is one within a moment."""
        outcome = self._engine.next_outcome(_PATIENCE_S)
        if outcome is not None:
            self._take(outcome)
        else:
            self._events.worked(0.0, self._running())

    def _leave(self) -> None:
        """Nobody works on what is not finished any more."""
        for name in self._ledger.work:
            record = self._manifest.records[name]
            if record.state is State.RUNNING:
                self._manifest.record(replace(record, state=State.PENDING), durable=False)

    def _running(self) -> list[str]:
        return [job.label for job in self._flying.values()]

    def _submit(self) -> None:
        """Hands jobs to the engine, some ahead of what it can begin."""
        most = _AHEAD * self._engine.slots + 1
        while len(self._flying) - len(self._light) < most and not self._is_over():
            if self._queue:
                job = self._queue.popleft()
                if isinstance(job, PolygonJob):
                    self._replace_polygons(job.name)
                if not isinstance(job, BlockJob) or self._is_needed(job):
                    self._hand_over(job)
            elif (plan := next(self._plans, None)) is not None:
                self._begin(plan)
            else:
                return

    def _begin(self, plan: MosaicPlan) -> None:
        try:
            plan.task.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{plan.task.folder} cannot be made: {error.strerror}.") from None
        state = self._states[plan.task.folder.name] = _MosaicState.of(plan)
        self._events.planned(sum(map(plan.megapixels, plan.blocks)))
        if state.stretch is None:
            self._queue.append(plan.stretch_job())
        else:
            self._queue_blocks(state)

    def _queue_blocks(self, state: _MosaicState) -> None:
        assert state.stretch is not None
        for block in state.plan.blocks:
            if state.plan.has(block, state.stretch):
                self._events.worked(state.plan.megapixels(block), ())
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
        if light:
            self._light.add(id(job))
        self._engine.submit(job, light=light)

    def _take(self, outcome: Outcome) -> None:
        """Draws the consequences of what came of a job."""
        job = outcome.job
        del self._flying[id(job)]
        self._light.discard(id(job))
        if isinstance(job, PolygonJob):
            self._polygons_ended(job, outcome)
            return
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

    def _try_again(
        self, job: StretchJob | BlockJob | TileJob, state: _MosaicState, error: BaseException
    ) -> None:
        if self._may_try_again(job, f"{job.task.folder.name} {job.label}", error):
            if isinstance(job, TileJob):
                self._hand_over(job, light=True)
            else:
                self._queue.append(job)
            return
        if isinstance(job, TileJob):
            names = {job.tile.name}
        elif isinstance(job, BlockJob):
            names = set(state.users.get(job.block, ()))
        else:
            names = set(state.waiting)
        for name in sorted(names):
            self._fail(name, state, _in_one_line(error))

    def _may_try_again(self, job: Job, key: str, error: BaseException) -> bool:
        """Counts a failure, and tells whether the job is worth another try."""
        self._tries[key] += 1
        if self._tries[key] <= self._limits.retries:
            _log.info("%s is tried again: %s", job.label, _in_one_line(error))
            return True
        if not isinstance(error, GlnetGeoError):
            _log.debug("%s failed", job.label, exc_info=error)
        return False

    def _replace_polygons(self, name: str) -> None:
        """Records that a map has no polygons until those that are asked for are there."""
        record, fresh = self._manifest.records[name], self._ledger.fresh(name)
        self._manifest.record(
            replace(
                record,
                state=State.RUNNING,
                settings=fresh.settings,
                outputs=record.outputs[:1],
                polygons=None,
            )
        )

    def _polygons_ended(self, job: PolygonJob, outcome: Outcome) -> None:
        record = self._manifest.records[job.name]
        error = outcome.error
        if error is not None and self._may_try_again(job, job.label, error):
            self._queue.append(job)
            return
        record = replace(record, attempts=record.attempts + 1)
        if error is not None:
            self._tally.end(replace(record, state=State.FAILED, error=_in_one_line(error)))
            return
        summary: VectorSummary = outcome.result
        outputs = record.outputs[0], self._relative(summary.output)
        done = replace(record, state=State.DONE, outputs=outputs, polygons=summary.polygons)
        self._tally.end(replace(done, seconds=record.seconds + summary.seconds))

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()

    def _block_ended(self, job: BlockJob, state: _MosaicState, result: BlockResult) -> None:
        for name, reason in result.failures.items():
            if name in state.waiting:
                self._fail(name, state, reason)
        users = state.users.get(job.block, set())
        for name in users:
            state.seconds[name] += result.seconds / len(users)
        self._block_is_there(state, job.block)
        self._events.worked(state.plan.megapixels(job.block), self._running())

    def _block_is_there(self, state: _MosaicState, block: Block) -> None:
        assert state.stretch is not None
        for name in sorted(state.users.get(block, ())):
            state.waiting[name].discard(block)
            if not state.waiting[name]:
                self._replace_map(name, state)

    def _replace_map(self, name: str, state: _MosaicState) -> None:
        """From here on there is no whole map until the new one is there."""
        assert state.stretch is not None
        self._manifest.record(replace(self._ledger.fresh(name), state=State.RUNNING))
        output, tile = self._folder / f"{name}.tif", state.plan.tiles[name]
        # Polygons are a job of their own, so that none of their failures costs the map.
        self._hand_over(TileJob(state.plan.task, tile, state.stretch, output), light=True)

    def _tile_ended(self, job: TileJob, state: _MosaicState, result: TileResult) -> None:
        for caution in result.cautions:
            _log.warning("%s", caution)
        name, content = job.tile.name, result.content
        present = np.flatnonzero(content.pixels).tolist()
        areas = content.areas_m2
        record = replace(
            self._manifest.records[name],
            outputs=(self._relative(job.output),),
            seconds=state.seconds[name] + result.seconds,
            pixels={value: int(content.pixels[value]) for value in present},
            areas_m2=None if areas is None else {v: float(areas[v]) for v in present},
        )
        self._let_go(name, state)
        if self._polygons is None:
            self._tally.end(replace(record, state=State.DONE, attempts=record.attempts + 1))
            return
        self._manifest.record(record)
        self._hand_over(PolygonJob(name, job.output, self._polygons), light=True)

    def _fail(self, name: str, state: _MosaicState, reason: str) -> None:
        self._let_go(name, state)
        record = self._manifest.records[name]
        attempts = record.attempts + 1
        self._tally.end(replace(record, state=State.FAILED, error=reason, attempts=attempts))

    def _let_go(self, name: str, state: _MosaicState) -> None:
        """Removes the blocks that nobody else waits for."""
        del state.waiting[name]
        for block in [*state.plan.blocks_of(name)]:
            state.users[block].discard(name)
            if not state.users[block]:
                del state.users[block]
                block_path(state.plan.task.folder, block).unlink(missing_ok=True)
        if not state.waiting:
            del self._states[state.plan.task.folder.name]
            shutil.rmtree(state.plan.task.folder, ignore_errors=True)


def _in_one_line(error: BaseException) -> str:
    text = str(error) if isinstance(error, GlnetGeoError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())
