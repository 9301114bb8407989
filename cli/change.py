"""`glnet-geo change`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glnet_geo.cli.options import (
    connectivity_option,
    json_option,
    listed,
    output_option,
    overwrite_option,
    safe_option,
    verbosity_options,
)
from glnet_geo.cli.progress import progress
from glnet_geo.cli.values import PATH, AreaValue, LengthValue, Number

if TYPE_CHECKING:
    from glnet_geo.change_summary import ChangeSummary

_OPTIONS = {"confidence": "--min-confidence", "tolerance": "--tolerance", "min_area": "--min-area"}


@click.command()
@click.argument("old")
@click.argument("new")
@output_option("GeoTIFF, with a table (.csv) and a picture (.png) beside it,")
@click.option("--align", is_flag=True, help="Read NEW on the grid of OLD where theirs differ.")
@click.option(
    "--tolerance",
    type=LengthValue(),
    help="How far the maps may be shifted against each other: differences along borders that a "
    "shift by so much explains are no change: 1px, 2m.",
)
@click.option(
    "--min-area",
    type=AreaValue(),
    help="Smaller patches of change, whatever from and to, are no change: 50m2, 0.5ha, 100px.",
)
@connectivity_option
@click.option(
    "--old-confidence",
    metavar="FILE",
    help="How sure OLD is of each pixel, a raster on its grid; see predict --confidence.",
)
@click.option("--new-confidence", metavar="FILE", help="The same of NEW.")
@click.option(
    "--min-confidence",
    type=Number(least=0),
    help="A change counts only where the confidence of both maps is at least this, such as 0.8.",
)
@click.option(
    "--vectorize",
    "polygons",
    type=PATH,
    metavar="FILE",
    help="Write polygons of all that changed as well (.gpkg, .fgb, .parquet, .shp, .geojson).",
)
@click.option("--aoi", type=PATH, help="Vector file: compare only what lies in its polygons.")
@click.option(
    "--legend",
    metavar="NAME|FILE",
    help="The classes of both maps: a built-in legend, such as deepglobe, or a JSON file. "
    "Default: those that the maps name.",
)
@click.option("--old-band", type=click.IntRange(1), help="The band of OLD that holds the ids.")
@click.option("--new-band", type=click.IntRange(1), help="The band of NEW likewise.")
@safe_option
@overwrite_option
@json_option
@verbosity_options
def change(
    old: str,
    new: str,
    output: Path,
    legend: str | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Map what changed from OLD to NEW, two class rasters, and tell from what to what.

    Example: glnet-geo change 2019.tif 2024.tif -o change.tif --tolerance 1px --min-area 50m2

    The map of changes has a value for each transition that occurs, and opens in QGIS in colour and
    with names. The table beside it has hectares by old and new class, as kept and as mapped, and
    what each option suppressed: that counts as unchanged. Suppressed is first what is not sure,
    then what a shift explains, then what is small.
    """
    from glnet_geo.change_detection import ChangeRules, detect_change
    from glnet_geo.legend import find_legend

    names = ("min_confidence", "tolerance", "min_area", "connectivity")
    rules = ChangeRules(**{name: options.pop(name) for name in names})
    with progress("Comparing", "rows", quiet) as report:
        summary = detect_change(
            old,
            new,
            output,
            rules=rules,
            legend=None if legend is None else find_legend(legend),
            report=report,
            **options,
        )
    if as_json:
        click.echo(json.dumps(summary.to_dict(), ensure_ascii=False))
    if not quiet:
        click.echo(describe(summary), err=True)


def describe(summary: ChangeSummary) -> str:
    """The summary as a person pastes it into a mail."""
    grid, count = summary.grid, len(summary.legend.transitions)
    head = f"{summary.output}   {grid.facts}, {count:,} transition{'' if count == 1 else 's'}"
    peak = f", peak {summary.peak_bytes / 1e9:.1f} GB" if summary.peak_bytes else ""
    lines = [head, *(f"  {line}" for line in listed(_rows(summary))), *_remarks(summary)]
    return "\n".join([*lines, f"  in {summary.seconds:.1f} s{peak}"])


def _rows(summary: ChangeSummary) -> list[str]:
    """What did not change, and a line for each transition, the largest first."""
    from glnet_geo.evaluation_result import share_text

    extents = {one.name: summary.extent_of(one)[1] for one in summary.legend.transitions}
    transitions = sorted(extents.items(), key=lambda item: -item[1])
    rows = [("unchanged", summary.area - summary.kept.changed[1]), *transitions]
    width = max(len(name) for name, _ in rows)
    return [
        f"{name:<{width}}  {_amount(summary, area):>13}{share_text(area, summary.area):>10}"
        for name, area in rows
    ]


def _remarks(summary: ChangeSummary) -> Iterator[str]:
    """What was left out, and where the rest is."""
    for rule, matrix in summary.suppressed.items():
        amount = _amount(summary, matrix.changed[1])
        yield f"  no change by {_OPTIONS[rule]} {summary.rules[rule]}: {amount}"
    if summary.not_compared:
        yield f"  not compared, without data in one of the maps: {summary.not_compared:,} px"
    yield from (f"  note: {note}" for note in listed(summary.notes))
    yield f"  areas: {summary.area_rule}"
    yield f"  from what to what: {summary.files[1]}, {summary.files[2]}"
    if summary.polygons is not None:
        yield f"  {summary.polygons.output}: {summary.polygons.polygons:,} polygons"


def _amount(summary: ChangeSummary, area: float) -> str:
    if summary.unit == "px":
        return f"{area:,.0f} px"
    # Changes are a small part of the whole.
    digits = 1 if summary.area >= 1e8 else 2 if summary.area >= 1e6 else 3
    if 0 < area < 0.5 * 10 ** (4 - digits):
        return f"< {10**-digits:g} ha"
    return f"{area / 1e4:,.{digits}f} ha"
