"""What a batch remembers: foreign files, runs with other options or other scenes, failures."""

from __future__ import annotations

import json
import logging
from collections import deque
from pathlib import Path

import pytest
import rasterio

from glnet_geo.batch_report import BatchOptions
from glnet_geo.batching import batch, plan_batch
from glnet_geo.engines import Outcome
from glnet_geo.errors import RasterError
from glnet_geo.map_options import MapOptions
from glnet_geo.models.glnet import Form
from glnet_geo.polygon_options import PolygonOptions
from glnet_geo.precision import Precision
from tests.models import small_model
from tests.rasters import UTM, noise, placed_tif

POLYGONS = PolygonOptions()


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model") / "small.safetensors", Form.GLOBAL)


@pytest.fixture
def scenes(tmp_path):
    """Three small scenes far from one another."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    for k, name in enumerate("abc"):
        place = UTM["transform"] @ UTM["transform"].translation(1000 * k, 0)
        placed_tif(folder / f"{name}.tif", noise(40, 40, seed=k), transform=place)
    return folder


class Engine:
    """Runs a job when its outcome is asked for, light ones first.

    Breaks jobs whose label begins like `broken`, and is interrupted after those like `stop`.
    """

    slots = 1

    def __init__(self, broken: str | None = None, stop: str | None = None) -> None:
        self.broken, self.stop = broken, stop
        self.labels: list[str] = []
        self.jobs: deque = deque()

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self.jobs.clear()

    def describe(self) -> str:
        return "in a test"

    def submit(self, job, *, light=False) -> None:
        (self.jobs.appendleft if light else self.jobs.append)(job)

    def next_outcome(self, timeout=None):
        if not self.jobs:
            return None
        job = self.jobs.popleft()
        self.labels.append(job.label)
        if self.stop is not None and job.label.startswith(self.stop):
            raise KeyboardInterrupt
        if self.broken is not None and job.label.startswith(self.broken):
            return Outcome(job, None, RasterError("broken"))
        return Outcome(job, job(), None)


@pytest.fixture
def run(model_file, scenes, tmp_path):
    def run(*names, maps=None, engine=None, **options):
        inputs = [str(scenes / name) for name in names] or [str(scenes)]
        return batch(
            inputs,
            tmp_path / "out",
            maps=MapOptions(model=str(model_file), **(maps or {})),
            options=BatchOptions(neighbours=False, **{"retries": 0, **options}),
            start_engine=lambda shared: engine or Engine(),
        )

    return run


@pytest.fixture
def plan(model_file, scenes, tmp_path):
    def plan(maps=None, **options):
        chosen = BatchOptions(neighbours=False, **options)
        chosen_maps = MapOptions(model=str(model_file), **(maps or {}))
        return {k: str(v) for k, v in plan_batch([str(scenes)], tmp_path / "out",
                                                 chosen_maps, chosen).work.items()}  # fmt: skip

    return plan


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def known(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())["scenes"]


def states(folder: Path) -> dict:
    return {name: one["state"] for name, one in known(folder).items()}


@pytest.mark.parametrize("name", ["a.tif", "a.gpkg"])
def test_foreign_files_stay_however_often_one_tries(out, run, plan, name):
    out.mkdir()
    (out / name).write_text("mine")
    for _ in range(3):
        assert plan(polygons=POLYGONS) | {"b": "", "c": ""} == {"a": "blocked", "b": "", "c": ""}
        report = run(polygons=POLYGONS)
        assert report.exit_code == 1 and states(out) == {"a": "failed", "b": "done", "c": "done"}
        assert "no batch has written it" in known(out)["a"]["error"]
        assert (out / name).read_text() == "mine"
    assert run(polygons=POLYGONS, overwrite=True).exit_code == 0


def test_an_interrupted_run_with_another_option_forgets_nothing(out, run, plan):
    run()
    with pytest.raises(KeyboardInterrupt):
        run(maps={"scale": ((0.0, 200.0),)}, engine=Engine(stop="a"))
    assert set(states(out).values()) == {"pending"}
    assert set(plan().values()) == {"done"}
    engine = Engine()
    assert run(engine=engine).exit_code == 0 and engine.labels == []
    assert set(states(out).values()) == {"done"}


def test_another_precision_makes_other_maps(out, run, plan):
    run()
    halves = {"precision": Precision.BF16}
    assert set(plan(maps=halves).values()) == {"map"}
    assert len(run(maps=halves).done_now) == 3
    for name in "abc":
        with rasterio.open(out / f"{name}.tif") as dataset:
            assert dataset.tags()["PRECISION"] == "bf16"
    engine = Engine()
    assert run(maps=halves, engine=engine).exit_code == 0 and engine.labels == []


def test_a_precision_that_is_slow_here_is_warned_of_once_a_run(run, caplog):
    maps = {"precision": Precision.FP16, "device": "cpu"}
    for options, n_warnings in (
        ({}, 1),
        ({}, 0),
        ({"polygons": POLYGONS}, 0),
        ({"overwrite": True}, 1),
    ):
        caplog.clear()
        assert run(maps=maps, **options).exit_code == 0
        assert sum("Take bf16 or fp32" in one for one in caplog.messages) == n_warnings


def test_a_map_that_is_being_replaced_is_not_taken_for_done(out, run, plan):
    run()

    class AtMaps(Engine):
        def submit(self, job, *, light=False):
            if light:
                raise KeyboardInterrupt
            super().submit(job)

    with pytest.raises(KeyboardInterrupt):
        run(maps={"scale": ((0.0, 200.0),)}, engine=AtMaps())
    assert plan() == {"a": "map", "b": "done", "c": "done"}
    assert run().exit_code == 0


def test_a_scene_that_is_missing_for_a_moment_keeps_its_map(out, scenes, run):
    run()
    (scenes / "a.tif").rename(scenes / "away")
    listed = scenes / "list.txt"
    listed.write_text("a.tif\nb.tif\nc.tif\n")
    report = run("list.txt")
    assert report.exit_code == 1 and states(out)["a"] == "failed"
    (scenes / "away").rename(scenes / "a.tif")
    engine = Engine()
    assert run("list.txt", engine=engine).exit_code == 0 and engine.labels == []


def test_polygons_that_fail_cost_no_map(out, run):
    report = run(polygons=POLYGONS, engine=Engine(broken="b (polygons)"))
    assert report.exit_code == 1 and states(out) == {"a": "done", "b": "failed", "c": "done"}
    assert known(out)["b"]["outputs"] == ["b.tif"] and known(out)["b"]["attempts"] == 1
    engine = Engine()
    assert run(engine=engine).exit_code == 0 and engine.labels == []
    assert states(out)["b"] == "done"
    engine = Engine()
    assert run(polygons=POLYGONS, engine=engine).exit_code == 0
    assert set(engine.labels) == {"b (polygons)"}


def test_the_first_failure_leaves_nothing_running(out, run):
    report = run(fail_fast=True, engine=Engine(broken="a"))
    assert report.exit_code == 1
    assert states(out) == {"a": "failed", "b": "pending", "c": "pending"}
    assert run().exit_code == 0


def test_a_run_on_some_scenes_keeps_the_others(out, scenes, run):
    run()
    table = (out / "scenes.csv").read_text()
    report = run("a.tif")
    assert [one.name for one in report.records] == ["a"] and report.exit_code == 0
    assert (out / "scenes.csv").read_text() == table
    engine = Engine()
    assert run(engine=engine).exit_code == 0 and engine.labels == []
    (out / "c.tif").unlink()
    run("a.tif")
    assert known(out).keys() == {"a", "b"} and "c.tif" not in (out / "scenes.csv").read_text()


def test_products_are_written_again_only_for_a_reason(out, run):
    def times():
        return {name: (out / name).stat().st_mtime_ns for name in ("scenes.csv", "landcover.gpkg")}

    merged = {"polygons": POLYGONS, "merge": True}
    products = run(**merged).products
    before = times()
    assert run(**merged).products == products and times() == before
    assert run().exit_code == 0 and times()["scenes.csv"] != before["scenes.csv"]
    (out / "scenes.csv").unlink()
    run()
    assert (out / "scenes.csv").exists()


def test_what_a_damaged_manifest_advises_works(out, run):
    run()
    (out / "manifest.json").unlink()
    assert run(overwrite=True).exit_code == 0


def test_quiet_runs_tell_failures(cli, tmp_path, scenes, model_file):
    (scenes / "b.tif").write_text("no raster")
    words = ("batch", scenes, "-o", tmp_path / "out", "--model", model_file, "-q")
    result = cli(*words)
    assert result.code == 1 and result.err.splitlines()[0] == "Failed:"
    assert len(result.err.splitlines()) == 2
    (line,) = cli(*words, "--json-log").err.splitlines()
    assert json.loads(line)["name"] == "b"


def test_a_dry_run_says_what_would_be_done(cli, tmp_path, scenes, model_file):
    words = ("batch", scenes, "-o", tmp_path / "out", "--model", model_file)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.tif").write_text("mine")
    cli(*words)
    result = cli(*words, "--dry-run", "--vectorize")
    kinds = [line.split()[0] for line in result.out.splitlines()]
    assert kinds == ["blocked", "polygons", "polygons"] and "--overwrite" in result.err
    result = cli(*words, "--dry-run", "--vectorize", "--json")
    assert [*json.loads(result.out)["work"].values()] == kinds


def test_warnings_of_a_kind_are_counted(capsys):
    from glnet_geo.cli.batch_progress import few_warnings
    from glnet_geo.cli.main import configure_logging

    configure_logging(0)
    with few_warnings():
        for k in range(9):
            logging.getLogger("glnet_geo.x").warning("a scene %d.tif has no CRS at all, sorry", k)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6 and "4 more" in lines[-1]


def test_long_scenes_show_life_in_logs(capsys, monkeypatch):
    from glnet_geo.cli import batch_progress

    monkeypatch.setattr(batch_progress, "_LINE_EVERY_S", 0)
    with batch_progress.batch_progress(quiet=False, as_json=False) as events:
        events.planned(40.0)
        events.worked(10.0, ["a"])
    assert "10 of 40 Mpx" in capsys.readouterr().err


def test_the_first_failure_waits_for_maps_under_way_and_begins_none(out, run):
    class Late(Engine):
        """Light jobs last."""

        def submit(self, job, *, light=False):
            super().submit(job)

    run(fail_fast=True, engine=Late(broken="b"))
    assert states(out) == {"a": "done", "b": "failed", "c": "pending"}
