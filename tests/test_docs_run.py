"""Every command and every program of the documentation runs, in the order in which it stands."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from glnet_geo.cli.main import group
from tests.doc_stage import add_deepglobe, add_dubai, label_sample, make_stage
from tests.file_server import serving
from tests.test_docs import DOCUMENTS, commands

SHORTER = (
    # What takes hours, or more files than a test has.
    (r"(--init \S+) --time-budget \S+", r"\1 --iterations 1,0,0"),
    (r"--time-budget \S+", "--iterations 1,0,0 --form global"),
    (r"^frame = \d+", "frame = 256"),
    (r"^(patch|global)_size = \d+", r"\1_size = 128"),
    (r"--iterations 220,0,0", "--iterations 1,0,0"),
    (r"demo -o demo", "demo -o demo --size 512"),
    (r"--workers \d+", "--workers 1"),
    (r"time_budget_s=\d+", "iterations=(1, 0, 0)"),
)
_READS_ITS_OUTPUT = ("--append", "--overwrite", "--resume")


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    return make_stage(tmp_path_factory.mktemp("stage"))


@pytest.fixture
def server(stage, monkeypatch):
    """Serves the scene as a server in the network and as a bucket would."""
    with serving() as one:
        for name in ("scene.tif", "bucket/scene.tif"):
            one.content[name] = (stage / "scene.tif").read_bytes()
        monkeypatch.setenv("AWS_S3_ENDPOINT", one.address)
        for name, value in {
            "AWS_HTTPS": "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
            "AWS_NO_SIGN_REQUEST": "YES",
        }.items():
            monkeypatch.setenv(name, value)
        yield one


@pytest.fixture
def here(stage, tmp_path, monkeypatch):
    """A copy of the files to work in."""
    folder = tmp_path / "work"
    shutil.copytree(stage, folder)
    monkeypatch.chdir(folder)
    return folder


def shortened(text: str, server: str) -> str:
    for pattern, replacement in SHORTER:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text.replace("https://example.org", server)


def run(line: str, folder: Path) -> None:
    """Runs a command; what it writes may be there from the one before."""
    words = shlex.split(line)[1:]
    if "-o" in words and not set(_READS_ITS_OUTPUT) & set(words):
        output = folder / words[words.index("-o") + 1]
        if output.is_file():
            output.unlink()
    result = CliRunner().invoke(group, words, catch_exceptions=False)
    assert result.exit_code == 0, f"{line}\n{result.output}"
    if words[0] == "sample":
        label_sample(folder / "sample.gpkg", folder / "truth.tif")


@pytest.mark.parametrize("name", [name for name, text in DOCUMENTS.items() if commands(text)])
def test_commands_run(name, here, server, request):
    text = DOCUMENTS[name]
    if "fpn_deepglobe" in text:
        add_deepglobe(here)
    if "FOLDER" in text:
        add_dubai(here)
    for table in re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if "[[scenes]]" in table:
            (here / "town.toml").write_text(shortened(table, ""))
    text = shortened(text, server.url)
    if "tcp://" in text:
        text = re.sub(r"tcp://\w+:\d+", request.getfixturevalue("scheduler"), text)
    for line in dict.fromkeys(commands(text)):
        run(line, here)


@pytest.fixture
def scheduler():
    """The address of a real Dask cluster."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


PROGRAMS = [
    pytest.param(program, id=f"{name}-{number}")
    for name, text in DOCUMENTS.items()
    for number, program in enumerate(
        re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    )
    if "import " in program
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_run(program, here, monkeypatch):
    for made in ("landcover.tif", "landcover.tif.aux.xml", "landcover.gpkg"):
        (here / made).unlink()
    (here / "town.toml").write_text(
        'name = "town"\nlegend = "dubai"\n'
        "[model]\nframe = 256\npatch_size = 256\nglobal_size = 128\n"
        '[[scenes]]\nimage = "north.tif"\nlabels = "truth.gpkg"\nsplit = "train"\n'
        '[[scenes]]\nimage = "south.tif"\nlabels = "south_labels.tif"\nsplit = "val"\n'
    )
    exec(compile(shortened(program, ""), "documentation", "exec"), {"__name__": "__main__"})
