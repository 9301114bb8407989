"""`glnet-geo stats`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from glnet_geo.cli.options import (
    json_option,
    listed,
    overwrite_option,
    safe_option,
    verbosity_options,
)
from glnet_geo.cli.progress import progress
from glnet_geo.cli.values import PATH

if TYPE_CHECKING:
    from glnet_geo.zone_statistics import ZoneStatistics

_MOST_TOLD = 3  # classes of a zone


@click.command()
@click.argument("raster", metavar="MAP")
@click.option(
    "--zones",
    type=PATH,
    help="Vector file: a row for each of its features. Default: the whole map.",
)
@click.option(
    "-o",
    "--output",
    type=PATH,
    help="Table to write (.csv, .gpkg, .parquet). Default: only the summary, or --json.",
)
@click.option(
    "--plot", type=PATH, metavar="FILE", help="Draw the shares as stacked bars, in a PNG."
)
@click.option("--name", metavar="FIELD", help="The field that holds the zones' names.")
@click.option("--layer", help="The layer of the zones, if there are several.")
@click.option(
    "--classes",
    multiple=True,
    metavar="NAMES",
    help="Tell of these classes only: names or ids, such as building,water. Shares stay those in "
    "all classes.",
)
@click.option("--exclude", multiple=True, metavar="NAMES", help="Leave these classes out.")
@click.option(
    "--long", is_flag=True, help="A row for each zone and class, as pivot tables like it."
)
@click.option("--band", type=click.IntRange(1), help="The band that holds the class ids.")
@safe_option
@overwrite_option
@json_option
@verbosity_options
def stats(raster: str, zones: Path | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Measure the classes of MAP, a class raster of any origin or a URL of one, zone by zone.

    Example: glnet-geo stats landcover.tif --zones districts.gpkg -o stats.csv --plot stats.png

    Zones may have any CRS, overlap and lie in each other. A pixel on a zone's border counts by the
    part of it that lies inside. All fields of the zones come along.
    """
    from glnet_geo.zonal import measure_zones

    with progress("Measuring", "rows", quiet) as report:
        found = measure_zones(raster, zones, report=report, **options)
    if as_json:
        click.echo(json.dumps(found.to_dict(), ensure_ascii=False))
    if not quiet:
        click.echo(describe(found), err=True)


def describe(found: ZoneStatistics) -> str:
    """The figures as a person pastes them into a mail."""
    if found.zone_file is None:
        head, lines = f"{found.raster}   {found.grid.facts}", _class_lines(found)
    else:
        count = len(found.names)
        head = (
            f"{found.raster}   {found.grid.facts}, {count:,} zone{'' if count == 1 else 's'} of "
            f"{found.zone_file}"
        )
        lines = _zone_lines(found)
    peak = f", peak {found.peak_bytes / 1e9:.1f} GB" if found.peak_bytes else ""
    files = [f"  {path}" for path in (found.output, found.plot) if path]
    foot = f"  areas: {found.area_rule}; in {found.seconds:.1f} s{peak}"
    return "\n".join([head, *(f"  {line}" for line in listed(lines)), foot, *files])


def _class_lines(found: ZoneStatistics) -> list[str]:
    """A line for each class, the largest first."""
    width = max(len(one.name) for one in found.classes)
    digits = _digits(found.areas.max())
    rows = zip(found.classes, found.areas[0], found.shares[0], strict=True)
    return [
        f"{one.name:<{width}}  {_area(area, found.unit, digits):>13}{100 * share:>8.1f} %"
        for one, area, share in sorted(rows, key=lambda row: -row[1])
    ]


def _zone_lines(found: ZoneStatistics) -> list[str]:
    """A line for each zone, with its largest classes."""
    width = max(map(len, found.names))
    digits = _digits(found.zone_areas[found.has_place].max())
    figures = zip(found.names, found.zone_areas, found.mapped_shares, found.shares, strict=True)
    lines = []
    for name, area, mapped, shares in figures:
        if area != area:
            lines.append(f"{name:<{width}}  {'no polygon':>13}")
            continue
        largest = sorted(zip(found.classes, shares, strict=True), key=lambda one: -one[1])
        told = [
            f"{one.name} {100 * share:.1f} %" for one, share in largest[:_MOST_TOLD] if share > 0
        ]
        # Less than a millionth of a pixel has an area of 0, and no share of it.
        part = f"{100 * mapped:>7.1f} % mapped" if area else ""
        line = f"{name:<{width}}  {_area(area, found.unit, digits):>13}{part}   {', '.join(told)}"
        lines.append(line.rstrip())
    return lines


def _area(area: float, unit: str, digits: int) -> str:
    return f"{area:,.{0 if unit == 'px' else digits}f} {unit}"


def _digits(largest: float) -> int:
    """Decimals of hectares, the same for a whole table."""
    return 1 if largest >= 10 else 3 if largest >= 0.1 else 6
