"""The scenes of a batch against what its manifest knows of them: what is to be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from glnet_geo.batch_events import BatchEvents
from glnet_geo.batch_plan import MosaicPlan, Planner
from glnet_geo.batch_record import SceneFacts, SceneRecord, State
from glnet_geo.batch_report import BatchOptions
from glnet_geo.errors import RasterError
from glnet_geo.manifest import Manifest
from glnet_geo.remote import ScenePath
from glnet_geo.scene_facts import identity_of, read_all_facts
from glnet_geo.scene_inputs import SceneInput
from glnet_geo.tile_groups import Mosaic, group_tiles


class Ledger:
    """The scenes of a batch against what the manifest knows of them."""

    def __init__(
        self,
        scenes: Sequence[SceneInput],
        manifest: Manifest,
        folder: Path,
        options: BatchOptions,
    ) -> None:
        self._scenes = scenes
        self._manifest = manifest
        self._folder = folder
        self._options = options
        self.n_skipped = self.n_failed = 0

    @property
    def records(self) -> tuple[SceneRecord, ...]:
        """The scenes in order."""
        return tuple(self._manifest.records[scene.name] for scene in self._scenes)

    def record_of(self, scene: SceneInput) -> SceneRecord:
        """What is known of a scene, or that nothing is."""
        known = self._manifest.records.get(scene.name)
        if known is not None and known.scene == str(scene.path):
            return known
        return SceneRecord(scene.name, str(scene.path), "", acquired=scene.acquired)

    def outstanding(self, settings: str) -> frozenset[str]:
        """The scenes that are to be mapped: new, changed, failed or interrupted ones."""
        return frozenset(scene.name for scene in self._scenes if not self._is_done(scene, settings))

    def _is_done(self, scene: SceneInput, settings: str) -> bool:
        record = self.record_of(scene)
        if self._options.overwrite or record.state is not State.DONE:
            return False
        if record.settings != settings or record.identity != _identity(scene.path):
            return False
        return all((self._folder / output).is_file() for output in record.outputs)

    def open(self, settings: str) -> frozenset[str]:
        """Enters all scenes into the manifest; the names of those that are to be mapped."""
        to_do = self.outstanding(settings)
        self.n_skipped = len(self._scenes) - len(to_do)
        self._manifest.keep_only([scene.name for scene in self._scenes])
        for scene in self._scenes:
            if scene.name in to_do:
                known = self.record_of(scene)
                identity = _identity(scene.path)
                # Facts of an unchanged file hold.
                facts = known.facts if known.identity == identity else None
                new = SceneRecord(
                    scene.name,
                    str(scene.path),
                    identity,
                    settings=settings,
                    facts=facts,
                    attempts=known.attempts,
                    acquired=scene.acquired,
                )
                if self._is_foreign(scene.name):
                    new = replace(new, state=State.FAILED, error=_foreign(self._folder, scene.name))
                self._manifest.record(new, durable=False)
        return to_do

    def _is_foreign(self, name: str) -> bool:
        """Whether a file is where the map shall be that this batch has not written."""
        is_known = name in self._manifest.records
        return not (is_known or self._options.overwrite) and (self._folder / f"{name}.tif").exists()

    def learn(self, to_do: frozenset[str], events: BatchEvents) -> None:
        """Opens the scenes that nothing is known of yet."""
        wanted = [
            scene
            for scene in self._scenes
            if self._manifest.records[scene.name].facts is None
            and self._manifest.records[scene.name].state is not State.FAILED
            and (scene.name in to_do or self._options.neighbours)
        ]
        facts = read_all_facts(scene.path for scene in wanted)
        for k, (scene, learnt) in enumerate(zip(wanted, facts, strict=True), 1):
            record = self._manifest.records[scene.name]
            if isinstance(learnt, SceneFacts):
                self._manifest.record(replace(record, facts=learnt), durable=False)
            elif scene.name in to_do:
                self._give_up(record, str(learnt), events)
            events.scanned(k, len(wanted))
        for record in self.records:
            if record.state is State.FAILED and record.error and record.facts is None:
                self.n_failed += 1

    def _give_up(self, record: SceneRecord, reason: str, events: BatchEvents) -> None:
        failed = replace(record, state=State.FAILED, error=reason, attempts=record.attempts + 1)
        self._manifest.record(failed)
        events.ended(failed, 0, 0)

    def plan(self, planner: Planner, to_do: frozenset[str], slots: int) -> list[MosaicPlan]:
        """Plans the work on all that can be opened."""
        records = {record.name: record for record in self.records}
        facts = {name: record.facts for name, record in records.items() if record.facts}
        if self._options.neighbours:
            mosaics = group_tiles(facts)
        else:
            mosaics = [Mosaic(one.grid, {name: one.grid.window}) for name, one in facts.items()]
        paths: Mapping[str, ScenePath] = {scene.name: scene.path for scene in self._scenes}
        wanted = frozenset(
            name for name in to_do if records[name].state is not State.FAILED and name in facts
        )
        return planner.plan(mosaics, records, paths, wanted, slots)


def _identity(path: ScenePath) -> str:
    try:
        return identity_of(path)
    except RasterError:
        return "missing"


def _foreign(folder: Path, name: str) -> str:
    return (
        f"{folder / name}.tif exists, and no batch has written it. Use --overwrite to replace it, "
        "or choose another folder."
    )
