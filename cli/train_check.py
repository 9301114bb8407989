"""`glnet-geo train --check`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from glnet_geo.cli.options import listed
from glnet_geo.cli.progress import progress

if TYPE_CHECKING:
    from glnet_geo.dataset_check import DatasetCheck
    from glnet_geo.scene_check import CheckedScene


def run_check(
    dataset_file: Path,
    data: Path | None,
    output: Path | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Looks at a dataset and prints what was found; returns the exit code."""
    from glnet_geo.dataset_check import check_dataset
    from glnet_geo.datasets import load_dataset

    dataset = load_dataset(dataset_file, data)
    # The sheet that nobody named is this command's own, and may be replaced.
    sheet = output or dataset_file.with_suffix(".check.png")
    with progress("Checking", "scenes", quiet) as report:
        found = check_dataset(dataset, sheet, overwrite or output is None, report)
    click.echo(json.dumps(found.to_dict(), ensure_ascii=False) if as_json else describe(found))
    return found.exit_code


def describe(found: DatasetCheck) -> str:
    """The findings as a person reads them."""
    lines = [f"{found.name}   {len(found.scenes)} scenes, {len(found.legend)} classes"]
    lines += listed([_scene_line(one) for one in found.scenes])
    lines += _class_lines(found)
    notes = [note for one in found.scenes for note in one.notes]
    for title, texts in (
        ("note", list(dict.fromkeys(notes))),
        ("warning", list(found.warnings)),
        ("error", list(found.errors)),
    ):
        lines += [f"  {title}: {text}" for text in listed(texts)]
    if found.sheet is not None:
        lines.append(f"{found.sheet}   samples with their labels")
    verdict = f"{_count(found.errors, 'error')}, {_count(found.warnings, 'warning')}"
    return "\n".join([*lines, verdict])


def _scene_line(one: CheckedScene) -> str:
    facts = [f"{one.grid.width} x {one.grid.height} px"]
    if one.gsd is not None:
        facts.append(f"{one.gsd:.3g} m")
    if one.grid.crs_label:
        facts.append(one.grid.crs_label)
    split = one.scene.split + (" (blocks)" if one.scene.blocks is not None else "")
    facts.append(f"{_share(one.labelled)} labelled")
    return f"  {split:<15} {one.scene.image.name}   {', '.join(facts)}"


def _class_lines(found: DatasetCheck) -> Iterator[str]:
    """The share of each class in each split."""
    from glnet_geo.splits import SPLITS

    pixels = {split: found.pixels(split) for split in SPLITS}
    used = [split for split in SPLITS if pixels[split].any()]
    if not used:
        return
    width = max(len(one.name) for one in found.legend.classes)
    yield ""
    yield f"  {'labelled px':<{width}}" + "".join(f"{split:>22}" for split in used)
    for position, land_cover in enumerate(found.legend.classes):
        counts = [(pixels[split][position], pixels[split].sum()) for split in used]
        cells = (f"{count:>14,}{_share(count / total):>8}" for count, total in counts)
        yield f"  {land_cover.name:<{width}}" + "".join(cells)


def _count(texts: Sequence[str], what: str) -> str:
    return f"{len(texts)} {what}{'' if len(texts) == 1 else 's'}"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"
