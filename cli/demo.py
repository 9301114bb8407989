"""`glnet-geo demo`."""

from __future__ import annotations

from pathlib import Path

import click

from glnet_geo.cli.options import (
    device_option,
    output_option,
    overwrite_option,
    verbosity_options,
)
from glnet_geo.cli.predict import describe
from glnet_geo.cli.progress import progress


@click.command()
@output_option("Folder")
@click.option("--size", type=click.IntRange(256, 20000), default=2448, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@device_option
@overwrite_option
@verbosity_options
def demo(output: Path, size: int, seed: int, device: str, overwrite: bool, quiet: bool) -> None:
    """Make a synthetic scene with known truth, map it, make polygons and score the map.

    Example: glnet-geo demo -o demo
    """
    from glnet_geo.demonstration import GSD_M, run_demo

    with progress("Predicting", "frames", quiet) as report:
        result = run_demo(
            output, size=size, seed=seed, device=device, overwrite=overwrite, report=report
        )
    if quiet:
        return
    click.echo(describe(result.summary), err=True)
    click.echo(f"{result.scene}   synthetic scene, {size} x {size} px of {GSD_M} m")
    click.echo(f"{result.truth}   its true classes")
    click.echo(f"{result.summary.output}   the predicted ones")
    polygons = result.polygons
    click.echo(f"{polygons.output}   {polygons.polygons} polygons of them")
    click.echo(f"{result.quicklook}   scene, truth and prediction")
    scores = result.scores
    parts = [
        f"{name} {'-' if iou is None else format(iou, '.3f')}" for name, iou in scores.iou.items()
    ]
    click.echo(
        "Scores against the truth of this synthetic scene, on which nothing was trained: "
        f"mean IoU {scores.mean_iou:.3f}, accuracy {scores.accuracy:.3f} ({', '.join(parts)})"
    )
