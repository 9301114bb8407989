"""Many scenes to class rasters and polygons: the whole of `glnet-geo batch`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from glnet_geo.batch_events import BatchEvents
from glnet_geo.batch_ledger import Ledger
from glnet_geo.batch_plan import MosaicPlan, Planner
from glnet_geo.batch_report import BatchOptions, BatchReport
from glnet_geo.batch_results import remove_work, work_path, write_results
from glnet_geo.batch_run import BatchRun
from glnet_geo.checkpoint import ModelCard, model_hash, read_card
from glnet_geo.engines import Engine, InProcessEngine
from glnet_geo.errors import BatchError, FeaturesError, OutputError
from glnet_geo.manifest import Manifest
from glnet_geo.map_options import MapOptions
from glnet_geo.modelzoo import bundled_models, find_model
from glnet_geo.raster import quiet
from glnet_geo.run_lock import run_lock
from glnet_geo.scene_inputs import SceneInput, find_inputs

_log = logging.getLogger(__name__)

_DEFAULT_MAPS, _DEFAULT_OPTIONS = MapOptions(), BatchOptions()
_SILENT = BatchEvents()


def batch(
    inputs: Sequence[str],
    folder: Path,
    *,
    maps: MapOptions = _DEFAULT_MAPS,
    options: BatchOptions = _DEFAULT_OPTIONS,
    start_engine: Callable[[Sequence[Path]], Engine] = lambda shared: InProcessEngine(),
    events: BatchEvents = _SILENT,
) -> BatchReport:
    """Maps many scenes; continues what an earlier run for the folder has left.

    Adjacent tiles on one grid are mapped as one scene, so that their maps meet without a seam;
    every scene has its map under its own name all the same. `manifest.json` in the folder says how
    far each scene is.

    Args:
        inputs: Folders, files, globs, lists, STAC documents or URLs, see `find_inputs`.
        folder: Where the maps go; made if need be.
        maps: How scenes are mapped.
        options: What else is done.
        start_engine: Starts what runs the work, given paths that it has to see.
        events: Told what happens.

    Raises:
        GlnetGeoError: The batch cannot begin or go on. Scenes that fail are told in the report.
    """
    started = time.monotonic()
    folder, maps = folder.absolute(), _settled(maps)
    model_file = find_model(maps.model)
    card = read_card(model_file)
    _check(maps, options)
    scenes = _scenes(inputs, folder, options)
    _make_folder(folder)
    with (
        _alone(folder),
        Manifest(folder, f"glnet-geo {version('glnet-geo')}") as manifest,
        quiet(),
    ):
        ledger = Ledger(scenes, manifest, folder, options)
        settings = _settings(maps, options, card, model_file)
        to_do = ledger.open(manifest.setting(settings))
        described = ""
        if to_do:
            # Bundled models are found by name wherever the package is.
            is_bundled = model_file in bundled_models()
            files = [] if is_bundled else [model_file]
            shared = [folder, *files, *([maps.aoi] if maps.aoi else [])]
            planner = Planner(card, maps, work_path(folder), options.retries + 1)
            with _explained(), start_engine(shared) as engine:
                described = engine.describe()
                ledger.learn(to_do, events)
                plans = ledger.plan(planner, to_do, engine.slots)
                _run(plans, engine, manifest, folder, options, ledger, events)
        manifest.save()
        products = write_results(folder, ledger.records, card, model_file, options)
        remove_work(folder)
    seconds = time.monotonic() - started
    return BatchReport(folder, ledger.records, to_do, products, seconds, described)


def plan_batch(
    inputs: Sequence[str], folder: Path, maps: MapOptions, options: BatchOptions
) -> BatchReport:
    """What `batch` would do; writes nothing.

    Raises:
        GlnetGeoError: See `batch`.
    """
    folder, maps = folder.absolute(), _settled(maps)
    model_file = find_model(maps.model)
    card = read_card(model_file)
    _check(maps, options)
    scenes = _scenes(inputs, folder, options)
    manifest = Manifest(folder, "")
    ledger = Ledger(scenes, manifest, folder, options)
    to_do = ledger.outstanding(manifest.setting(_settings(maps, options, card, model_file)))
    records = tuple(ledger.record_of(scene) for scene in scenes)
    return BatchReport(folder, records, to_do)


@contextmanager
def _explained() -> Iterator[None]:
    """Says what an interruption means."""
    try:
        yield
    except KeyboardInterrupt:
        _log.warning("What is finished is kept: the same command continues there.")
        raise


def _settled(maps: MapOptions) -> MapOptions:
    """With paths that hold in other processes and folders."""
    model_file = find_model(maps.model)
    model = maps.model if model_file in bundled_models() else str(model_file.absolute())
    return replace(maps, model=model, aoi=maps.aoi and maps.aoi.absolute())


def _scenes(inputs: Sequence[str], folder: Path, options: BatchOptions) -> list[SceneInput]:
    found = find_inputs(inputs, pattern=options.pattern, asset=options.asset, exclude=folder)
    return [
        replace(one, path=one.path.absolute()) if isinstance(one.path, Path) else one
        for one in found
    ]


def _check(maps: MapOptions, options: BatchOptions) -> None:
    if maps.aoi is not None and not maps.aoi.exists():
        raise FeaturesError(f"{maps.aoi} does not exist.")
    if options.merge and options.polygons is None:
        raise BatchError("There are no polygons to merge.")


def _settings(
    maps: MapOptions, options: BatchOptions, card: ModelCard, model_file: Path
) -> dict[str, Any]:
    """What makes another run give other results."""
    return {
        "model": f"{card.name} {card.version}",
        "model_sha256": model_hash(model_file),
        "map": maps.to_dict(),
        "polygons": options.polygons and options.polygons.to_dict(),
        "neighbours": options.neighbours,
    }


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be made: {error.strerror}.") from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps a second run out of a folder while the block lasts."""
    try:
        lock = run_lock(folder / ".batch.lock")
        with lock as is_alone:
            if not is_alone:
                raise BatchError(
                    f"{folder} is being written by another batch. Wait for it, or choose another "
                    "folder."
                )
            yield
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}.") from error


def _run(
    plans: Sequence[MosaicPlan],
    engine: Engine,
    manifest: Manifest,
    folder: Path,
    options: BatchOptions,
    ledger: Ledger,
    events: BatchEvents,
) -> None:
    megapixels = sum(plan.megapixels(block) for plan in plans for block in plan.blocks)
    scenes = sum(len(plan.wanted) for plan in plans)
    events.begun(scenes, megapixels, ledger.n_skipped, engine.describe())
    # With --merge alone polygons of single maps serve nobody.
    polygons = None if options.merge else options.polygons
    run = BatchRun(
        plans, engine, manifest, folder, polygons, options.retries, options.fail_fast, events
    )
    run.failed = ledger.n_failed
    run.run()
