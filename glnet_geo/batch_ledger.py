"""The scenes of a batch against what its manifest knows of them: what is to be done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from glnet_geo.batch_events import BatchEvents, Tally
from glnet_geo.batch_record import SceneFacts, SceneRecord, State
from glnet_geo.batch_report import BatchOptions, Work
from glnet_geo.errors import RasterError
from glnet_geo.manifest import Manifest
from glnet_geo.remote import ScenePath
from glnet_geo.scene_facts import identity_of, read_all_facts
from glnet_geo.scene_inputs import SceneInput
from glnet_geo.tile_groups import Mosaic, group_tiles

_POLYGONS = "polygons"  # the part of the settings that maps don't depend on
_MODEL = "model_sha256"


class Ledger:
    """The scenes of a batch against what the manifest knows of them.

    Args:
        scenes: The scenes.
        manifest: The manifest.
        folder: The batch's folder.
        options: What is asked of the batch.
        settings: What makes another run give other results.
        safe: Whether nothing of the scenes is trusted, see `open_raster`.
    """

    def __init__(
        self,
        scenes: Sequence[SceneInput],
        manifest: Manifest,
        folder: Path,
        options: BatchOptions,
        settings: Mapping[str, Any],
        safe: bool = False,
    ) -> None:
        self._scenes = scenes
        self._by_name = {scene.name: scene for scene in scenes}
        self._manifest = manifest
        self._folder = folder
        self._options = options
        self._settings = settings
        self._safe = safe
        self._identities = {scene.name: _identity(scene.path) for scene in scenes}
        self._digest = manifest.setting(settings)
        self.work = {scene.name: self._work_on(scene) for scene in scenes}
        self._facts = {scene.name: self._known_facts(scene) for scene in scenes}

    @property
    def records(self) -> tuple[SceneRecord, ...]:
        """The scenes in order, as far as they are known."""
        return tuple(self._known(scene) for scene in self._scenes)

    @property
    def paths(self) -> Mapping[str, ScenePath]:
        """Where the scenes are, by name."""
        return {scene.name: scene.path for scene in self._scenes}

    @property
    def facts(self) -> Mapping[str, SceneFacts | None]:
        """What is known of the scenes as they are now, by name."""
        return self._facts

    def fresh(self, name: str) -> SceneRecord:
        """What becomes of the record of a scene when its map is replaced."""
        scene = self._by_name[name]
        return SceneRecord(
            name,
            str(scene.path),
            self._identities[name],
            settings=self._digest,
            facts=self._facts[name],
            attempts=self._manifest.records[name].attempts,
            acquired=scene.acquired,
        )

    def described(self) -> tuple[SceneRecord, ...]:
        """The scenes for the table and the catalog: this batch's, and others that have a map here.

        Whose map is there counts as done, whatever has failed or not begun since. Maps of other
        models have other classes, and are left out.
        """
        others = (one for name, one in self._manifest.records.items() if name not in self.work)
        ours = (
            replace(record, state=State.DONE) if self._has_map(record) else _without_map(record)
            for record in self.records
        )
        return (*ours, *(replace(one, state=State.DONE) for one in others if self._has_map(one)))

    def forget_others(self) -> None:
        """Forgets scenes that are not of this batch and have no map here."""
        records = self._manifest.records
        kept = {
            name
            for name, record in records.items()
            if record.settings and (self._folder / f"{name}.tif").is_file()
        }
        self._manifest.keep_only(kept | self.work.keys())

    def names(self, *work: Work) -> list[str]:
        """The scenes for which one of these is to be done."""
        return [name for name, one in self.work.items() if one in work]

    def enter(self, tally: Tally) -> None:
        """Makes the manifest hold these scenes; what they had stays until it is replaced."""
        for scene in self._scenes:
            work, known = self.work[scene.name], self._known(scene)
            if work is not Work.NOTHING:
                pending = replace(known, state=State.PENDING, error="")
                self._manifest.record(pending, durable=False)
            if work is Work.BLOCKED:
                self.give_up(scene.name, _foreign(self._foreign_files(scene.name)[0]), tally)

    def settle(self) -> None:
        """Records as done what is there as it is asked for, whatever came in between."""
        for scene in self._scenes:
            known = self._known(scene)
            if self.work[scene.name] is Work.NOTHING and known.state is not State.DONE:
                done = replace(known, state=State.DONE, error="")
                self._manifest.record(done, durable=False)

    def give_up(self, name: str, reason: str, tally: Tally) -> None:
        """A scene has failed before any work on it."""
        record = self._manifest.records[name]
        failed = replace(record, state=State.FAILED, error=reason, attempts=record.attempts + 1)
        tally.end(failed)
        self.work[name] = Work.NOTHING

    def mosaics(self, tally: Tally, events: BatchEvents) -> Iterator[Mosaic]:
        """The scenes as they are mapped together; those by themselves as soon as they are known.

        Scenes that cannot be opened are given up.
        """
        if not self._options.neighbours:
            yield from self._lone(tally, events)
            return
        for _ in self._learn([*self._scenes], tally, events):
            pass
        known = {name: one for name, one in self._facts.items() if one is not None}
        yield from group_tiles(known)

    def _lone(self, tally: Tally, events: BatchEvents) -> Iterator[Mosaic]:
        to_map = [scene for scene in self._scenes if self.work[scene.name] is Work.MAP]
        for scene in self._learn(to_map, tally, events):
            facts = self._facts[scene.name]
            if facts is not None:
                yield Mosaic(facts.grid, {scene.name: facts.grid.window})

    def _learn(
        self, scenes: Sequence[SceneInput], tally: Tally, events: BatchEvents
    ) -> Iterator[SceneInput]:
        """Opens the scenes of which nothing is known, some ahead; yields all as they are known."""
        unknown = [scene for scene in scenes if self._facts[scene.name] is None]
        attempts = self._options.retries + 1
        found = read_all_facts((scene.path for scene in unknown), attempts, self._safe)
        names, count = {scene.name for scene in unknown}, 0
        for scene in scenes:
            if scene.name in names:
                learnt, count = next(found), count + 1
                if isinstance(learnt, SceneFacts):
                    self._keep_facts(scene.name, learnt)
                elif self.work[scene.name] is Work.MAP:
                    self.give_up(scene.name, str(learnt), tally)
                events.scanned(count, len(unknown))
            yield scene

    def _keep_facts(self, name: str, facts: SceneFacts) -> None:
        """Keeps what one has learnt of a scene; the record of a map keeps what that was made of."""
        self._facts[name] = facts
        record = self._manifest.records[name]
        if not record.outputs:
            known = replace(record, identity=self._identities[name], facts=facts)
            self._manifest.record(known, durable=False)

    def _known(self, scene: SceneInput) -> SceneRecord:
        """What is known of a scene, or that nothing is."""
        known = self._manifest.records.get(scene.name)
        if known is not None and known.scene == str(scene.path):
            return known
        # A scene of another folder whose maps had this name: they are ours.
        settings = known.settings if known is not None else ""
        path = str(scene.path)
        return SceneRecord(scene.name, path, "", settings=settings, acquired=scene.acquired)

    def _known_facts(self, scene: SceneInput) -> SceneFacts | None:
        """Those of an unchanged file hold."""
        known = self._known(scene)
        return known.facts if known.identity == self._identities[scene.name] else None

    def _work_on(self, scene: SceneInput) -> Work:
        record = self._known(scene)
        before = self._manifest.settings.get(record.settings, {})
        is_mapped = (
            record.outputs
            and record.identity == self._identities[scene.name]
            and _without_polygons(before) == _without_polygons(self._settings)
            and (self._folder / record.outputs[0]).is_file()
        )
        if self._options.overwrite:
            return Work.MAP
        if not is_mapped:
            return Work.BLOCKED if self._foreign_files(scene.name) else Work.MAP
        if self._settings[_POLYGONS] is None:
            return Work.NOTHING
        has_polygons = (
            len(record.outputs) > 1
            and before[_POLYGONS] == self._settings[_POLYGONS]
            and all((self._folder / output).is_file() for output in record.outputs)
        )
        return Work.NOTHING if has_polygons else Work.POLYGONS

    def _has_map(self, record: SceneRecord) -> bool:
        """Whether a scene has a map of this model."""
        before = self._manifest.settings.get(record.settings, {})
        return (
            bool(record.outputs)
            and before.get(_MODEL) == self._settings[_MODEL]
            and (self._folder / record.outputs[0]).is_file()
        )

    def _foreign_files(self, name: str) -> list[Path]:
        """Files that no batch has written where the map of a scene, or its polygons, shall be."""
        known = self._manifest.records.get(name)
        if known is not None and known.settings:
            return []
        polygons = self._settings[_POLYGONS]
        suffixes = [".tif", *([polygons["suffix"]] if polygons else [])]
        files = (self._folder / f"{name}{suffix}" for suffix in suffixes)
        return [path for path in files if path.exists()]


def _without_map(record: SceneRecord) -> SceneRecord:
    return replace(record, outputs=(), pixels={}, areas_m2=None, polygons=None)


def _without_polygons(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != _POLYGONS}


def _identity(path: ScenePath) -> str:
    try:
        return identity_of(path)
    except RasterError:
        return "missing"


def _foreign(path: Path) -> str:
    return (
        f"{path} exists, and no batch has written it. Use --overwrite to replace it, or choose "
        "another folder."
    )
