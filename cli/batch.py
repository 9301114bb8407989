"""`glnet-geo batch`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glnet_geo.cli.batch_progress import batch_progress, few_warnings
from glnet_geo.cli.main import log_as_json
from glnet_geo.cli.options import (
    choice_options,
    generalisation_of,
    generalisation_options,
    json_option,
    layer_of,
    map_options_of,
    mapping_options,
    output_option,
    verbosity_options,
)

if TYPE_CHECKING:
    from glnet_geo.batch_report import BatchReport
    from glnet_geo.engines import Engine

_FORMATS = ("gpkg", "fgb", "parquet", "shp", "geojsonl", "geojson")
_LISTED = 20  # failures
_POLYGON_OPTIONS = {
    *("connectivity", "min_area", "fill_holes", "simplify"),
    *("classes", "exclude", "dissolve", "layer", "layer_per_class", "vector_format", "merge"),
}


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@output_option("Folder of the maps")
@click.option(
    "--pattern",
    help="Which files of folders are scenes, such as '*_rgb.tif'. Default: all rasters.",
)
@click.option("--asset", help="Which asset of STAC items is the scene.")
@click.option(
    "--no-neighbours",
    is_flag=True,
    help="Map adjacent tiles one by one, each without what lies beyond its edge.",
)
@click.option("--vectorize", is_flag=True, help="Make polygons of each map too.")
@click.option(
    "--merge",
    is_flag=True,
    help="With --vectorize: one file of polygons for all maps, not cut at the edges of tiles.",
)
@click.option(
    "--vector-format",
    type=click.Choice(_FORMATS),
    default=_FORMATS[0],
    show_default=True,
    help="With --vectorize: the format of the polygons.",
)
@click.option(
    "--report", is_flag=True, help="Write index.html too: a page with a card for each scene."
)
@click.option(
    "--workers", type=click.IntRange(1), help="Work in so many processes on this machine (Dask)."
)
@click.option("--scheduler", metavar="ADDRESS", help="Work on the Dask cluster at this address.")
@click.option(
    "--retries",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="How often what failed is tried again.",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first scene that fails.")
@click.option("--dry-run", is_flag=True, help="List what would be done, and do nothing.")
@mapping_options
@generalisation_options
@choice_options
@click.option(
    "--overwrite",
    is_flag=True,
    help="Map again what is done already, and replace files that no batch has written.",
)
@json_option
@click.option("--json-log", is_flag=True, help="Write the log as JSON objects, one a line.")
@verbosity_options
def batch(
    inputs: Sequence[str],
    output: Path,
    dry_run: bool,
    workers: int | None,
    scheduler: str | None,
    as_json: bool,
    json_log: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Map all scenes of INPUT into a folder: folders, files, globs, lists (.txt, .csv), VRTs, STAC
    documents or URLs.

    Example: glnet-geo batch tiles/ -o out/ --vectorize --min-area 50m2

    What an earlier run has done is skipped, what changed, failed or was interrupted is done again:
    the same command continues. Adjacent tiles on one grid are mapped as one scene, so that their
    maps meet without a seam.
    """  # noqa: D205
    context = click.get_current_context()
    if workers is not None and scheduler is not None:
        raise click.UsageError("--workers starts a cluster, --scheduler names one. Take either.")
    if not options["vectorize"]:
        _refuse_polygon_options(context)
    from glnet_geo.batching import batch as run_batch
    from glnet_geo.batching import plan_batch

    maps = map_options_of(options)
    chosen = _batch_options(options)
    if json_log:
        log_as_json()
    if dry_run:
        _list(plan_batch(inputs, output, maps, chosen), as_json)
        return
    with few_warnings(), batch_progress(quiet, json_log) as events:
        start = _engine(workers, scheduler)
        report = run_batch(
            inputs, output, maps=maps, options=chosen, start_engine=start, events=events
        )
    if as_json:
        click.echo(json.dumps(report.to_dict(), ensure_ascii=False))
    if not json_log:
        lines = [*(() if quiet else _describe(report, output)), *_failures(report)]
        click.echo("\n".join(lines), err=True, nl=bool(lines))
    context.exit(report.exit_code)


def _refuse_polygon_options(context: click.Context) -> None:
    from click.core import ParameterSource

    for name in sorted(_POLYGON_OPTIONS):
        if context.get_parameter_source(name) not in (ParameterSource.DEFAULT, None):
            flag = name.replace("_", "-")
            raise click.UsageError(f"--{flag} says how polygons are made. Add --vectorize.")


def _batch_options(options: dict[str, Any]) -> Any:
    from glnet_geo.batch_report import BatchOptions
    from glnet_geo.polygon_options import PolygonOptions

    generalisation, layer = generalisation_of(options), layer_of(options)
    suffix = f".{options.pop('vector_format')}"
    names = ("classes", "exclude", "dissolve", "layer_per_class")
    choice = {name: options.pop(name) for name in names}
    polygons = PolygonOptions(generalisation, layer=layer, suffix=suffix, **choice)
    is_wanted, no_neighbours = options.pop("vectorize"), options.pop("no_neighbours")
    return BatchOptions(
        polygons=polygons if is_wanted else None, neighbours=not no_neighbours, **options
    )


def _engine(workers: int | None, scheduler: str | None) -> Callable[[Sequence[Path]], Engine]:
    """What starts the engine once it is clear what it has to see."""

    def start(shared: Sequence[Path]) -> Engine:
        from glnet_geo.dask_engine import DaskEngine
        from glnet_geo.engines import InProcessEngine

        if scheduler is not None:
            return DaskEngine.connect(scheduler, shared)
        return InProcessEngine() if workers is None else DaskEngine.local(workers)

    return start


def _list(report: BatchReport, as_json: bool) -> None:
    if as_json:
        table = {"folder": str(report.folder), "work": report.work}
        click.echo(json.dumps(table, ensure_ascii=False))
        return
    width = max(map(len, report.work.values()), default=0)
    for record in report.records:
        click.echo(f"{report.work[record.name]:<{width}}  {record.scene}")
    counts = Counter(map(str, report.work.values()))
    listed = ", ".join(f"{count} {work}" for work, count in sorted(counts.items()))
    click.echo(f"{len(report.records)} scenes: {listed}", err=True)
    if counts["blocked"]:
        hint = "Files that no batch has written are in the way. --overwrite replaces them."
        click.echo(hint, err=True)


def _describe(report: BatchReport, folder: Path) -> Iterator[str]:
    """The report as a person pastes it into a mail."""
    from glnet_geo.batch_record import State

    failed, pending = report.in_state(State.FAILED), report.in_state(State.PENDING)
    counts = [f"{len(report.done_now)} mapped"]
    counts += [f"{report.skipped} done before"] if report.skipped else []
    counts += [f"{len(failed)} failed"] if failed else []
    counts += [f"{len(pending)} not begun"] if pending else []
    yield f"{folder}   {len(report.records)} scenes: {', '.join(counts)}"
    for product in report.products:
        yield f"  {product.relative_to(report.folder)}"
    if report.done_now:
        speed = report.megapixels / max(report.seconds, 1e-9)
        time = f"{report.seconds:.1f} s ({speed:.2g} Mpx/s)"
        yield f"  {report.megapixels:.1f} Mpx in {time}, {report.engine}"


def _failures(report: BatchReport) -> Iterator[str]:
    from glnet_geo.batch_record import State

    failed = report.in_state(State.FAILED)
    if failed:
        yield "Failed:"
        width = max(len(record.name) for record in failed[:_LISTED])
        for record in failed[:_LISTED]:
            yield f"  {record.name:<{width}}  {record.error}"
    if len(failed) > _LISTED:
        yield f"  ... and {len(failed) - _LISTED} more, see scenes.csv"
