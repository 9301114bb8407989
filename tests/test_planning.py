from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from glnet_geo import memory_fit
from glnet_geo.buffers import LADDER, Buffers
from glnet_geo.errors import GlnetGeoError, ModelError
from glnet_geo.grid import Grid, Window
from glnet_geo.map_options import MapOptions
from glnet_geo.memory_fit import fit, predict_peak
from glnet_geo.planning import estimate_time, plan_scene
from glnet_geo.prediction import predict
from glnet_geo.raster import SceneReader
from glnet_geo.rehearsal import Rehearsal, rehearse
from glnet_geo.scene_setup import set_up
from glnet_geo.stored_bytes import Measure, StoredBytes, stored_bytes
from glnet_geo.tiling import plan_frames
from glnet_geo.trial import Peaks, TimedFrame, Trial, run_trial
from glnet_geo.wanted_frames import WantedFrames, find_wanted
from tests.rasters import noise, placed_tif, write_tif

TILED = {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
KEYS = {
    *("scene", "width", "height", "crs", "gsd_m", "model", "device", "warnings"),
    *("network_width", "network_height", "frame_width", "frame_height"),
    *("frames", "frames_with_data", "patches", "views", "redundancy", "frames_tried"),
    *("peak_bytes", "bytes_to_read", "bytes_to_read_are"),
    *("seconds", "seconds_start", "seconds_frames", "seconds_finish"),
    *("gdal_cache_mb", "keeps_freed_memory"),
}


def trial(**changes):
    """A trial of three frames of ten, in two rows."""
    values = {
        "model": "small 0.1",
        "grid": Grid(200, 500),
        "view": (200, 500),
        "plan": plan_frames(400, 2000, 256, 32, 96),
        "patches": 9,
        "patch_size": 96,
        "views": 1,
        "wanted": WantedFrames(1.0, 0, None, ()),
        "to_read": StoredBytes(1000, Measure.BLOCKS, 2000),
        "warnings": (),
        "device": "cpu",
        "setup_seconds": 2.0,
        "frames": (TimedFrame(True, 5.0), TimedFrame(True, 1.0), TimedFrame(True, 2.0)),
        "empty_seconds": 0.25,
        "row_seconds": 0.0,
        "publish_seconds": 0.5,
        "peaks": Peaks(500_000_000, 520_000_000),
        "cached": 10_000_000,
        "cacheable": 200_000_000,
    }
    return Trial(**{**values, **changes})


def test_time_is_that_of_the_frames_tried_and_all_others():
    found = trial()
    frames, rows = len(found.plan), len(found.plan.rows.starts)
    assert rows > 1
    seconds = estimate_time(Rehearsal(found, 1.5))
    assert (seconds.start, seconds.finish) == (3.5, 0.5)
    assert seconds.frames == pytest.approx(5 + (frames - 1) * 1.5)
    assert seconds.total == pytest.approx(seconds.frames + 4)
    striped = estimate_time(Rehearsal(replace(found, row_seconds=4.0), 1.5))
    assert striped.frames == pytest.approx(seconds.frames + (rows - 1) * 2.5)


def test_frames_without_data_take_less():
    found = trial(wanted=WantedFrames(0.5, 0, 1, ()))
    frames = len(found.plan)
    seen = round(frames / 2)
    seconds = estimate_time(Rehearsal(found, 0)).frames
    assert seconds == pytest.approx(5 + (seen - 1) * 1.5 + (frames - seen) * 0.25)
    nothing = trial(wanted=WantedFrames(0.0, 0, 0, ()), frames=(TimedFrame(False, 0.25),))
    assert estimate_time(Rehearsal(nothing, 0)).frames == pytest.approx(frames * 0.25)


def test_a_run_that_was_tried_in_full_takes_what_it_took():
    plan = plan_frames(200, 400, 256, 32, 96)
    found = trial(plan=plan, frames=tuple(TimedFrame(True, 2.0 + k) for k in range(len(plan))))
    expected = sum(2.0 + k for k in range(len(plan)))
    assert estimate_time(Rehearsal(found, 0)).frames == pytest.approx(expected)


def test_peak_grows_by_what_the_cache_can_still_take():
    cache = 64 << 20
    assert predict_peak(trial(), Buffers()) == 500_000_000 + cache - 10_000_000
    assert predict_peak(trial(cacheable=12_000_000), Buffers()) == 520_000_000
    lean = Buffers(cache_mb=16)
    assert predict_peak(trial(cached=300_000_000), lean) == 520_000_000
    assert predict_peak(trial(peaks=Peaks(None, None)), lean) is None


def tried(monkeypatch, peaks):
    """Trials that have these peaks, one after the other; the buffers that were tried."""
    seen = []

    def fake(scene, options, buffers, seconds):
        seen.append(buffers)
        peak = peaks[len(seen) - 1]
        return Rehearsal(trial(peaks=Peaks(peak, peak), cached=200_000_000), 0)

    monkeypatch.setattr(memory_fit, "rehearse", fake)
    return seen


def test_the_fastest_buffers_that_fit_are_taken(monkeypatch):
    seen = tried(monkeypatch, [600_000_000, 500_000_000, 400_000_000])
    assert fit(Path("a.tif"), MapOptions(), 560_000_000, 1).buffers == LADDER[1]
    assert seen == list(LADDER[:2])


def test_refusal_names_what_would_do(monkeypatch):
    tried(monkeypatch, [600_000_000, 500_000_000, 480_000_000])
    with pytest.raises(GlnetGeoError, match=r"^400 MB are too little memory for a\.tif .* 520MB"):
        fit(Path("a.tif"), MapOptions(), 400_000_000, 1)


def test_limit_is_refused_where_nobody_knows_the_memory(monkeypatch):
    tried(monkeypatch, [None])
    with pytest.raises(GlnetGeoError, match="Leave --max-memory out"):
        fit(Path("a.tif"), MapOptions(), 400_000_000, 1)


@pytest.mark.parametrize("buffers", LADDER[1:])
def test_buffers_leave_the_map_as_it_is(tmp_path, model, monkeypatch, buffers):
    scene = placed_tif(tmp_path / "scene.tif", noise(120, 300).astype(np.uint16), **TILED)
    maps = []
    for one in (LADDER[0], buffers):
        monkeypatch.setattr("glnet_geo.prediction.fit_buffers", lambda *_, kept=one: kept)
        predict(scene, tmp_path / "map.tif", model=str(model), max_memory=1, overwrite=True)
        maps.append((tmp_path / "map.tif").read_bytes())
    assert maps[0] == maps[1]


def test_blocks_that_windows_touch_are_counted_once(tmp_path):
    scene = placed_tif(tmp_path / "scene.tif", noise(500, 700), interleave="pixel", **TILED)
    with rasterio.open(scene) as dataset:
        sizes = [
            int(dataset.get_tag_item(f"BLOCK_SIZE_{x}_{y}", "TIFF", bidx=1))
            for y in range(2)
            for x in range(3)
        ]
    with SceneReader(scene, n_bands=3) as reader:
        whole = stored_bytes(reader, [reader.grid.window], 1)
        part = stored_bytes(reader, [Window(0, 0, 256, 257), Window(10, 255, 9, 9)], 1)
    assert whole == StoredBytes(sum(sizes), Measure.BLOCKS, 6 * 256 * 256 * 3)
    assert part.stored == sizes[0] + sizes[1]
    assert 0.95 * scene.stat().st_size < whole.stored < scene.stat().st_size


def test_bands_apart_count_where_they_are_read(tmp_path):
    scene = placed_tif(tmp_path / "scene.tif", noise(256, 256, 4), interleave="band", **TILED)
    with SceneReader(scene, bands=(1, 2), n_bands=2) as reader:
        two = stored_bytes(reader, [reader.grid.window], 1).stored
    assert two == pytest.approx(scene.stat().st_size / 2, rel=0.02)


def test_overviews_are_counted_where_they_are_read(tmp_path):
    scene = placed_tif(tmp_path / "scene.tif", noise(1024, 1024), interleave="pixel", **TILED)
    with rasterio.open(scene, "r+") as dataset:
        dataset.build_overviews([2, 4])
    with SceneReader(scene, n_bands=3) as reader:
        assert [reader.overview_for(side, side) for side in (1024, 512, 300, 256)] == [1, 2, 2, 4]
        found = stored_bytes(reader, [Window(0, 0, 512, 1024)], 2)
    assert found.decoded == 2 * 256 * 256 * 3 and found.measure is Measure.BLOCKS


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_other_formats_count_as_files(tmp_path):
    scene = tmp_path / "scene.png"
    with rasterio.open(
        scene, "w", driver="PNG", height=100, width=100, count=3, dtype="uint8"
    ) as dataset:
        dataset.write(noise(100, 100))
    with SceneReader(scene, n_bands=3) as reader:
        found = stored_bytes(reader, [reader.grid.window], 1)
    assert (found.stored, found.measure) == (scene.stat().st_size, Measure.FILES)


def wanted_of(scene, model, tmp_path):
    with set_up(scene, MapOptions(model=str(model)), tmp_path, Buffers()) as setup:
        plan = setup.segmenter.frames(setup.footing.rows.view, setup.footing.columns.view)
        return plan, find_wanted(setup, plan)


def test_frames_with_data_are_found(tmp_path, model):
    pixels = noise(900, 1200).clip(1)
    pixels[:, :450] = 0
    scene = placed_tif(tmp_path / "scene.tif", pixels, nodata=0, **TILED)
    plan, wanted = wanted_of(scene, model, tmp_path)
    tops = np.array(plan.rows.starts)
    expected = (tops + plan.rows.size > 450).mean()
    assert 0 < expected < 1 and wanted.share == pytest.approx(expected)
    assert plan.rows.starts[wanted.fullest_row] + plan.rows.size > 450
    assert wanted.emptiest_row == 0 and len(wanted.read) == len(plan)


def test_scenes_without_nodata_are_wanted_all_over(tmp_path, model):
    scene = placed_tif(tmp_path / "scene.tif", np.zeros((3, 500, 300), np.uint8), **TILED)
    plan, wanted = wanted_of(scene, model, tmp_path)
    assert wanted.share == 1 and wanted.emptiest_row is None
    assert wanted.fullest_row == len(plan.rows.starts) // 2


def test_frames_outside_the_area_of_interest_are_not_read(tmp_path, model):
    scene = placed_tif(tmp_path / "scene.tif", noise(500, 900), **TILED)
    west = shapely.box(500_000, 4_999_000, 500_010, 5_000_000)  # 20 pixels wide
    area = tmp_path / "area.gpkg"
    geopandas.GeoDataFrame(geometry=[west], crs="EPSG:32633").to_file(area)
    options = MapOptions(model=str(model), aoi=area)
    with set_up(scene, options, tmp_path, Buffers()) as setup:
        plan = setup.segmenter.frames(500, 900)
        wanted = find_wanted(setup, plan)
    assert len(plan.columns.starts) > 1
    assert wanted.share == pytest.approx(1 / len(plan.columns.starts))
    assert {window.left for window in wanted.read} == {0}


@pytest.mark.parametrize("striped", [False, True])
def test_trial_ends_when_it_is_enough(tmp_path, model, striped):
    layout = {} if striped else TILED
    scene = placed_tif(tmp_path / "scene.tif", noise(300, 800), **layout)
    folder = tmp_path / "work"
    folder.mkdir()
    found = run_trial(scene, MapOptions(model=str(model)), Buffers(), folder, 0)
    assert len(found.frames) == 2 < len(found.plan)
    assert all(frame.has_scores and frame.seconds > 0 for frame in found.frames)
    assert (found.row_seconds > 0) == striped
    assert 0 < found.cached < found.cacheable and found.publish_seconds > 0


def test_trial_of_a_scene_without_data_ends_too(tmp_path, model):
    scene = placed_tif(tmp_path / "scene.tif", np.zeros((3, 600, 300), np.uint8), nodata=0, **TILED)
    folder = tmp_path / "work"
    folder.mkdir()
    found = run_trial(scene, MapOptions(model=str(model)), Buffers(), folder, 0)
    assert found.wanted.share == 0 and not any(frame.has_scores for frame in found.frames)


def test_errors_of_the_trial_are_those_of_the_run(tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing")
    scene = placed_tif(tmp_path / "scene.tif", noise(64, 64))
    with pytest.raises(ModelError, match="not a whole safetensors file"):
        rehearse(scene, MapOptions(model=str(broken)), Buffers(), 0)


@pytest.mark.parametrize("code", [3, -9])
def test_a_machine_without_memory_for_a_frame_is_told(monkeypatch, code):
    ended = subprocess.CompletedProcess([], code, b"", b"")
    monkeypatch.setattr("glnet_geo.rehearsal.subprocess.run", lambda *_, **__: ended)
    with pytest.raises(GlnetGeoError, match="not enough free memory to try a single frame"):
        rehearse(Path("a.tif"), MapOptions(), Buffers(), 0)


def test_a_trial_ends_before_the_machine_has_no_memory():
    # The process holds more than the nothing that is left.
    code = (
        "import time\nfrom glnet_geo import rehearsal\nrehearsal._available = lambda: 1\n"
        "with rehearsal._watched():\n    time.sleep(20)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 3


def test_plan_command(tmp_path, cli, model, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    scene = placed_tif(tmp_path / "scene.tif", noise(400, 600).astype(np.uint16), **TILED)
    result = cli("plan", scene, "--model", model, "--device", "cpu", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert set(found) == KEYS
    assert (found["width"], found["height"], found["crs"]) == (600, 400, "EPSG:32633")
    frames = found["frames"] * found["frame_width"] * found["frame_height"]
    assert frames >= 600 * 400 and found["redundancy"] > 1
    assert found["patches"] % found["frames"] == 0 and found["views"] == 1
    assert found["redundancy"] == pytest.approx(found["patches"] * 96**2 / 240_000, abs=1e-3)
    assert found["bytes_to_read_are"] == "compressed blocks"
    parts = [found[f"seconds_{name}"] for name in ("start", "frames", "finish")]
    assert found["seconds"] == pytest.approx(sum(parts), abs=0.2)
    assert len(found["warnings"]) == 1 and "uint16" in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene.tif", "temporary"]
    assert not any((tmp_path / "temporary").iterdir())


def test_plan_for_people(tmp_path, cli, model):
    scene = write_tif(tmp_path / "scene.tif", noise(200, 200))
    result = cli("plan", scene, "--model", model, "--device", "cpu")
    assert result.code == 0, result.err
    title, *lines = result.out.splitlines()
    assert title.startswith(f"{scene}   200 x 200 px") and title.endswith("model small 0.1")
    names = [line[:14].strip() for line in lines]
    assert names == ["frames", "patches", "redundancy", "memory", "to read", "time"]
    assert "no CRS" in result.err


def test_too_small_a_limit_is_one_line_and_leaves_nothing(tmp_path, cli, model, monkeypatch):
    monkeypatch.setattr(memory_fit, "LADDER", LADDER[:1])
    scene = placed_tif(tmp_path / "scene.tif", noise(200, 200))
    result = cli("predict", scene, "-o", tmp_path / "map.tif", "--model", model)
    assert result.code == 0
    result = cli(
        *("predict", scene, "-o", tmp_path / "map.tif", "--overwrite", "--model", model),
        *("--device", "cpu", "--max-memory", "100MB"),
    )
    assert result.code == 1 and "100 MB are too little" in result.error
    assert "take --max-memory " in result.error
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["map.tif", "map.tif.aux.xml", "scene.tif"]


def command(*arguments):
    """Runs the command in a new process: its peak is its own."""
    words = [sys.executable, "-m", "glnet_geo", *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ)
    return json.loads(done.stdout)


@pytest.mark.slow
def test_plan_keeps_its_word_on_memory(tmp_path, model):
    scene = placed_tif(tmp_path / "scene.tif", noise(4000, 4000), **TILED)
    common = (scene, "--model", model, "--device", "cpu", "--json", "-q")
    planned = command("plan", *common)["peak_bytes"]
    real = command("predict", *common, "-o", tmp_path / "map.tif")["peak_bytes"]
    assert planned == pytest.approx(real, rel=0.15)
    # 2 % less than the fastest buffers are planned with.
    limit = f"{int(planned * memory_fit._MARGIN * 0.98) // 1000}KB"
    kept = command("predict", *common, "-o", tmp_path / "kept.tif", "--max-memory", limit)
    assert kept["peak_bytes"] < int(limit[:-2]) * 1000
    with rasterio.open(tmp_path / "map.tif") as one, rasterio.open(tmp_path / "kept.tif") as other:
        assert np.array_equal(one.read(), other.read())


def test_a_plan_from_python_is_that_of_the_command(tmp_path, model):
    scene = placed_tif(tmp_path / "scene.tif", noise(150, 150))
    options = MapOptions(model=str(model), device="cpu", views=2)
    plan = plan_scene(scene, options, max_memory=8_000_000_000, seconds=0)
    assert plan.buffers == LADDER[0] and plan.trial.views == 2
    assert (plan.frames, plan.frames_with_data) == (1, 1)
    assert plan.peak_bytes > 100_000_000
