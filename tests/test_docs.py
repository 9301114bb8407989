"""The README's commands are the program's."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from glnet_geo.cli.main import group
from glnet_geo.datasets import load_dataset
from glnet_geo.legend import BUILT_IN

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DOCUMENTS = {
    path.name: path.read_text()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"))
}


def commands(text: str) -> list[str]:
    """The glnet-geo lines of a document's code blocks, continued lines joined."""
    blocks = re.findall(r"^```\w*\n(.*?)^```|((?:^    .*\n)+)", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join(a or b for a, b in blocks).replace("\\\n", " ").splitlines()
    stripped = [line.strip().removeprefix("$ ") for line in lines]
    return [line for line in stripped if line.startswith("glnet-geo ")]


ALL_COMMANDS = sorted({line for text in DOCUMENTS.values() for line in commands(text)})


@pytest.mark.parametrize("line", ALL_COMMANDS)
def test_documented_command_parses(line):
    words = shlex.split(line)[1:]
    command, context = group, click.Context(group, info_name="glnet-geo")
    while isinstance(command, click.Group):
        command = command.get_command(context, words.pop(0))
        assert command is not None, line
    if "--help" not in words:
        command.make_context(command.name, words, parent=context)


def test_readme_shows_each_command():
    shown = {shlex.split(line)[1] for line in commands(README)}
    assert set(group.list_commands(click.Context(group))) <= shown


def test_each_help_shows_an_example():
    context = click.Context(group, info_name="glnet-geo")
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        some = command.commands if isinstance(command, click.Group) else {"": command}
        for part, one in some.items():
            assert f"Example: glnet-geo {name} {part}".rstrip() in one.help, (name, part)


def test_the_api_page_is_what_the_docstrings_say(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    from make_api import page

    shown = (ROOT / "docs" / "api.md").read_text()
    assert shown == page(), "docs/api.md is old: make docs"


def test_documented_files_exist():
    for name, text in DOCUMENTS.items():
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / name).parent.joinpath(target).exists() or (
                ROOT / "docs" / target
            ).exists(), f"{name}: {target}"


def test_readme_names_the_built_in_legends():
    assert all(f"`{name}`" in README for name in BUILT_IN)


def test_readmes_demo_prints_what_the_readme_shows(tmp_path):
    command = [sys.executable, "-m", "glnet_geo", "demo", "-o", str(tmp_path / "demo")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    figures = r"(mean IoU|accuracy|building|land|road|vegetation|water) (0\.\d+)"
    shown = README.split("Scores against")[1].split("```")[0]
    ours, readmes = (dict(re.findall(figures, text)) for text in (printed, shown))
    assert len(ours) == 7
    for name, figure in ours.items():
        # Sums run in another order on another processor.
        assert float(figure) == pytest.approx(float(readmes[name]), abs=0.02), name


def test_readmes_dataset_file_is_one(tmp_path):
    (text,) = re.findall(r"^```toml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    path = tmp_path / "dataset.toml"
    path.write_text(text)
    dataset = load_dataset(path)
    assert [scene.split for scene in dataset.scenes] == ["train", "val"]
    assert len(dataset.legend) == 2 and dataset.model["frame"] == 1024
