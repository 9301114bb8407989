"""Many scenes to class rasters and polygons: the whole of `glnet-geo batch`."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from glnet_geo.batch_events import BatchEvents, Tally
from glnet_geo.batch_jobs import PolygonJob
from glnet_geo.batch_ledger import Ledger
from glnet_geo.batch_plan import BLOCK_FRAMES, MosaicPlan, Planner
from glnet_geo.batch_record import State
from glnet_geo.batch_report import BatchOptions, BatchReport, Work
from glnet_geo.batch_request import BatchRequest
from glnet_geo.batch_results import check_free, check_index, remove_work, work_path, write_results
from glnet_geo.batch_run import BatchRun, Limits
from glnet_geo.checkpoint import model_hash
from glnet_geo.devices import warn_of_slowness
from glnet_geo.engines import Engine, InProcessEngine
from glnet_geo.errors import BatchError, GlnetGeoError, OutputError
from glnet_geo.manifest import Manifest
from glnet_geo.map_options import MapOptions
from glnet_geo.opening import quiet
from glnet_geo.run_lock import run_lock
from glnet_geo.tile_groups import Mosaic

_log = logging.getLogger(__name__)

_DEFAULT_MAPS, _DEFAULT_OPTIONS = MapOptions(), BatchOptions()
_SILENT = BatchEvents()


def batch(
    inputs: Sequence[Path | str],
    folder: Path | str,
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
    request = BatchRequest.of([str(one) for one in inputs], Path(folder), maps, options)
    folder = request.folder
    _make_folder(folder)
    with _alone(folder), quiet(), Manifest(folder, f"glnet-geo {version('glnet-geo')}") as manifest:
        if not manifest.records and not options.overwrite:
            check_free(folder)
        check_index(folder, options)
        ledger = request.ledger(manifest)
        work, described = dict(ledger.work), ""
        ledger.settle()
        if any(one is not Work.NOTHING for one in work.values()):
            with _explained(), start_engine(request.shared) as engine:
                described = engine.describe()
                _work(request, ledger, manifest, engine, events)
        ledger.forget_others()
        products = _products(request, ledger, manifest)
        report = BatchReport(
            folder, ledger.records, work, products, time.monotonic() - started, described
        )
        mapped = report.done_now
        if maps.aoi is not None and mapped and not any(one.has_data for one in mapped):
            _log.warning("No scene has data in %s. Check its CRS and its coordinates.", maps.aoi)
        if not report.in_state(State.PENDING):
            remove_work(folder)
    return report


def _products(request: BatchRequest, ledger: Ledger, manifest: Manifest) -> tuple[Path, ...]:
    """Writes what describes and joins the maps, unless it is there and nothing has changed."""
    folder, options, records = request.folder, request.options, ledger.described()
    polygons = options.polygons.to_dict() if options.merge and options.polygons else None
    what: list[Any] = [version("glnet-geo"), model_hash(request.model_file), polygons]
    what += [options.report] if options.report else []
    text = json.dumps([*what, *({"name": one.name, **one.to_dict()} for one in records)])
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    before = [folder / name for name in manifest.products.get("files", ())]
    if manifest.products.get("of") == digest and all(path.is_file() for path in before):
        return tuple(before)
    manifest.products = {}
    manifest.save()
    try:
        products = write_results(folder, records, request.card, request.model_file, options)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}.") from error
    files = [path.relative_to(folder).as_posix() for path in products]
    manifest.products = {"of": digest, "files": files}
    manifest.save()
    return products


def plan_batch(
    inputs: Sequence[str], folder: Path, maps: MapOptions, options: BatchOptions
) -> BatchReport:
    """What `batch` would do; writes nothing.

    Raises:
        GlnetGeoError: See `batch`.
    """
    request = BatchRequest.of(inputs, folder, maps, options)
    ledger = request.ledger(Manifest(request.folder, ""))
    return BatchReport(request.folder, ledger.records, ledger.work)


def _work(
    request: BatchRequest, ledger: Ledger, manifest: Manifest, engine: Engine, events: BatchEvents
) -> None:
    """Does what is to be done, until all is or the first failure if so wished."""
    options, tally = request.options, Tally(manifest, events)
    to_do = len(ledger.names(Work.MAP, Work.POLYGONS, Work.BLOCKED))
    events.begun(to_do, len(request.scenes) - to_do, engine.describe())
    if ledger.names(Work.MAP):
        # Workers would say it once each, and not before their first blocks are done.
        warn_of_slowness(request.maps.precision, request.maps.device)
    ledger.enter(tally)
    chores = [
        PolygonJob(name, request.folder / manifest.records[name].outputs[0], request.polygons)
        for name in ledger.names(Work.POLYGONS)
        if request.polygons is not None
    ]
    run = BatchRun(
        _plans(request, ledger, tally, engine.slots, events),
        chores,
        engine,
        manifest,
        tally,
        ledger,
        request.folder,
        request.polygons,
        Limits(options.retries, options.fail_fast),
        events,
    )
    run.run()


def _plans(
    request: BatchRequest,
    ledger: Ledger,
    tally: Tally,
    slots: int,
    events: BatchEvents,
) -> Iterator[MosaicPlan]:
    """The work on mosaics; a mosaic whose scenes do not suit the model is given up."""
    attempts = request.options.retries + 1
    planner = Planner(
        request.card, request.maps, request.digests, work_path(request.folder), attempts
    )
    mosaics: Iterable[Mosaic] = ledger.mosaics(tally, events)
    frames, paths = BLOCK_FRAMES, ledger.paths
    if request.options.neighbours:
        mosaics = [*mosaics]
        frames = planner.frames_for(mosaics, ledger.facts, slots)
    for mosaic in mosaics:
        wanted = frozenset(name for name in mosaic.places if ledger.work[name] is Work.MAP)
        if not wanted:
            continue
        try:
            records = {name: ledger.fresh(name) for name in mosaic.places}
            yield planner.plan(mosaic, records, paths, wanted, frames)
        except GlnetGeoError as error:
            for name in sorted(wanted):
                ledger.give_up(name, str(error), tally)


@contextmanager
def _explained() -> Iterator[None]:
    """Says what an interruption means."""
    try:
        yield
    except KeyboardInterrupt:
        _log.warning("What is finished is kept: the same command continues there.")
        raise


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be made: {error.strerror}.") from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps a second run out of a folder while the block lasts."""
    with ExitStack() as stack:
        try:
            is_alone = stack.enter_context(run_lock(folder / ".batch.lock"))
        except OSError as error:
            raise OutputError(f"{folder} cannot be written: {error.strerror}.") from error
        if not is_alone:
            raise BatchError(
                f"{folder} is being written by another batch. Wait for it, or choose another "
                "folder."
            )
        yield
