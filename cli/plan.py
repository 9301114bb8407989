"""`glnet-geo plan`."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import click

from glnet_geo.cli.options import (
    json_option,
    map_options_of,
    mapping_options,
    max_memory_option,
    verbosity_options,
)

if TYPE_CHECKING:
    from glnet_geo.planning import ScenePlan

_log = logging.getLogger("glnet_geo.plan")


@click.command()
@click.argument("scene")
@mapping_options
@max_memory_option
@json_option
@verbosity_options
def plan(scene: str, max_memory: int | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Tell what predict would do with SCENE, need and warn of.

    Example: glnet-geo plan scene.tif --tta 1

    Some frames of the scene are mapped in a process of their own, which takes some ten seconds, or
    two frames: time and memory are measured on this machine. Nothing is written. The options are
    those of predict.
    """
    from glnet_geo.planning import plan_scene
    from glnet_geo.remote import scene_path

    found = plan_scene(scene_path(scene), map_options_of(options), max_memory=max_memory)
    for warning in found.trial.warnings:
        _log.warning("%s", warning)
    if as_json:
        click.echo(json.dumps(found.to_dict(), ensure_ascii=False))
    else:
        click.echo(describe(found))


def describe(plan: ScenePlan) -> str:
    """The plan as a person reads it."""
    trial, seconds = plan.trial, plan.seconds
    sides = f"{trial.plan.columns.size} x {trial.plan.rows.size} px"
    frames = f"{plan.frames:,} of {sides}"
    if plan.frames_with_data < plan.frames:
        frames += f", about {plan.frames_with_data:,} with data"
    looks = f", looked at in {trial.views} ways" if trial.views > 1 else ""
    rows = {
        "frames": frames,
        "patches": f"{plan.patches:,} of {trial.patch_size} px{looks}",
        "redundancy": f"{plan.redundancy:.2f} pixels computed for each of the scene",
        "memory": "unknown here" if plan.peak_bytes is None else f"{plan.peak_bytes / 1e9:.2f} GB",
        "to read": f"{trial.to_read.stored / 1e6:,.1f} MB ({trial.to_read.measure})",
        "time": (
            f"{duration(seconds.total)} ({seconds.start:.1f} s to start, "
            f"{duration(seconds.frames)} for frames, {seconds.finish:.1f} s to finish; from "
            f"{len(trial.frames)} frames on this {trial.device})"
        ),
    }
    lines = [f"{plan.scene}   {trial.grid.facts}, model {trial.model}"]
    return "\n".join([*lines, *(f"  {name:<12}{text}" for name, text in rows.items())])


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
