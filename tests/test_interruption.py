"""Runs that are cut short: nothing under the output's name, and the same map once resumed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio

from glnet_geo.errors import OutputError, RasterError
from glnet_geo.models.glnet import Form
from glnet_geo.outputs import work_folder
from glnet_geo.prediction import predict
from tests.models import small_model
from tests.rasters import noise, placed_tif

SIZE = (900, 500)  # four rows of two frames


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The fastest of models: what is tried here does not depend on the networks."""
    return small_model(tmp_path_factory.mktemp("model") / "small.safetensors", Form.GLOBAL)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, model):
    """A scene, and the map of an unbroken run."""
    folder = tmp_path_factory.mktemp("whole")
    scene = placed_tif(folder / "scene.tif", noise(*SIZE))
    predict(scene, folder / "map.tif", model=str(model))
    return scene, (folder / "map.tif").read_bytes()


@pytest.fixture(scope="module")
def long(tmp_path_factory, model):
    """The same, with so many rows of frames that a signal finds it at work."""
    folder = tmp_path_factory.mktemp("long")
    scene = placed_tif(folder / "scene.tif", noise(5000, 500))
    predict(scene, folder / "map.tif", model=str(model))
    return scene, (folder / "map.tif").read_bytes()


def interrupt_at(frame, error=KeyboardInterrupt):
    """Stops a run before a frame."""

    def report(done, total):
        if done == frame:
            raise error

    return report


def finished_parts(output: Path) -> int:
    return len(list(work_folder(output).glob("part-*")))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("frame", [0, 1, 5, 8])
def test_a_resumed_run_gives_the_same_file(tmp_path, model, whole, caplog, frame):
    scene, expected = whole
    output = tmp_path / "map.tif"
    output.write_bytes(b"the old map")
    with pytest.raises(KeyboardInterrupt):
        predict(scene, output, model=str(model), overwrite=True, report=interrupt_at(frame))
    assert output.read_bytes() == b"the old map"
    parts = finished_parts(output)
    assert parts == frame // 2
    assert (".map.tif.part" in names(tmp_path)) == (parts > 0)
    assert ("are kept: --resume continues" in caplog.text) == (parts > 0)
    caplog.clear()
    frames = []
    predict(
        scene,
        output,
        model=str(model),
        overwrite=True,
        resume=True,
        report=lambda done, total: frames.append(done),
    )
    assert frames[0] == 2 * parts, "finished rows are predicted once more"
    assert ("nothing to resume" in caplog.text) == (parts == 0)
    assert output.read_bytes() == expected
    assert names(tmp_path) == ["map.tif", "map.tif.aux.xml"]


def test_two_interruptions_in_a_row(tmp_path, model, whole):
    scene, expected = whole
    output = tmp_path / "map.tif"
    for frame in (3, 6):
        with pytest.raises(KeyboardInterrupt):
            predict(scene, output, model=str(model), resume=True, report=interrupt_at(frame))
    predict(scene, output, model=str(model), resume=True)
    assert output.read_bytes() == expected


@pytest.fixture
def interrupted(tmp_path, model, whole):
    """An output of which two rows of frames are finished, and its scene."""
    scene, output = tmp_path / "scene.tif", tmp_path / "map.tif"
    shutil.copy2(whole[0], scene)
    with pytest.raises(KeyboardInterrupt):
        predict(scene, output, model=str(model), report=interrupt_at(5))
    return scene, output


def test_a_fresh_run_starts_afresh(model, whole, interrupted):
    scene, output = interrupted
    frames = []
    predict(scene, output, model=str(model), report=lambda done, total: frames.append(done))
    assert frames[0] == 0 and output.read_bytes() == whole[1]
    assert not work_folder(output).exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"bands": [3, 2, 1]}, "BANDS"),
        ({"frame": 200}, "FRAME"),
        ({"scale": [(0.0, 100.0)]}, "SCALE"),
        ({"precision": "bf16"}, "PRECISION"),
        ({"reference": True}, "REFERENCE_ARITHMETIC"),
    ],
)
def test_other_parameters_are_not_resumed(model, interrupted, change, named):
    scene, output = interrupted
    with pytest.raises(OutputError, match=f"differs in: .*{named}.*Leave --resume out"):
        predict(scene, output, model=str(model), resume=True, **change)
    assert finished_parts(output) == 2, "the interrupted run is lost"


def test_another_scene_under_the_same_name_is_not_resumed(model, interrupted):
    scene, output = interrupted
    time.sleep(0.01)
    placed_tif(scene, noise(*SIZE, seed=1))
    with pytest.raises(OutputError, match="differs in: scene files"):
        predict(scene, output, model=str(model), resume=True)


def test_another_scene_of_the_same_name_in_an_archive_is_not_resumed(tmp_path, model):
    """What GDAL fetches has no times to compare, but it has another place."""
    places = []
    for seed, name in enumerate(("a.zip", "b.zip")):
        scene = placed_tif(tmp_path / "scene.tif", noise(*SIZE, seed=seed))
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.write(scene, "scene.tif")
        places.append(f"/vsizip/{tmp_path / name}/scene.tif")
    output = tmp_path / "map.tif"
    with pytest.raises(KeyboardInterrupt):
        predict(places[0], output, model=str(model), report=interrupt_at(5))
    with pytest.raises(OutputError, match="differs in: scene files"):
        predict(places[1], output, model=str(model), resume=True)
    predict(places[0], output, model=str(model), resume=True)


def test_a_damaged_state_is_said_to_be_one(model, interrupted):
    scene, output = interrupted
    (work_folder(output) / "identity").write_text("")
    with pytest.raises(OutputError, match="Leave --resume out to start afresh"):
        predict(scene, output, model=str(model), resume=True)


def test_a_finished_output_needs_overwrite_to_be_resumed(model, interrupted):
    scene, output = interrupted
    output.write_bytes(b"the old map")
    with pytest.raises(OutputError, match=r"exists\. Use --overwrite"):
        predict(scene, output, model=str(model), resume=True)
    assert finished_parts(output) == 2 and output.read_bytes() == b"the old map"


def write_vrt(folder: Path, tile_rows: int) -> Path:
    """A virtual raster over tiles, one below the other."""
    pixels = noise(*SIZE)
    sources = {band: "" for band in (1, 2, 3)}
    size = f'xSize="{SIZE[1]}" ySize="{tile_rows}"'
    for top in range(0, SIZE[0], tile_rows):
        tile = placed_tif(folder / f"tile{top}.tif", pixels[:, top : top + tile_rows])
        for band in sources:
            sources[band] += (
                f'<SimpleSource><SourceFilename relativeToVRT="1">{tile.name}</SourceFilename>'
                f'<SourceBand>{band}</SourceBand><SrcRect xOff="0" yOff="0" {size}/>'
                f'<DstRect xOff="0" yOff="{top}" {size}/></SimpleSource>'
            )
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}">{text}</VRTRasterBand>'
        for band, text in sources.items()
    )
    path = folder / "mosaic.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="{SIZE[1]}" rasterYSize="{SIZE[0]}"><SRS>EPSG:32633</SRS>'
        f"<GeoTransform>500000, 0.5, 0, 5000000, 0, -0.5</GeoTransform>{bands}</VRTDataset>"
    )
    return path


def test_an_input_that_breaks_off_is_one_line_and_can_be_resumed(tmp_path, model, whole):
    scene, output = write_vrt(tmp_path, 90), tmp_path / "map.tif"
    tile = tmp_path / "tile810.tif"
    content, times = tile.read_bytes(), tile.stat()

    def break_off(done, total):
        if done == 2:
            os.truncate(tile, 600)

    with pytest.raises(RasterError, match="cannot be read") as caught:
        predict(scene, output, model=str(model), report=break_off)
    assert "\n" not in str(caught.value) and "--resume continues" in str(caught.value)
    assert not output.exists() and finished_parts(output) > 0
    tile.write_bytes(content)
    os.utime(tile, ns=(times.st_atime_ns, times.st_mtime_ns))
    predict(scene, output, model=str(model), resume=True)
    unbroken = tmp_path / "unbroken.tif"
    unbroken.write_bytes(whole[1])
    with rasterio.open(output) as resumed, rasterio.open(unbroken) as expected:
        np.testing.assert_array_equal(resumed.read(), expected.read())


def start(scene, output, model, *options) -> subprocess.Popen:
    command = [sys.executable, "-m", "glnet_geo", "predict", str(scene), "-o", str(output), "-q"]
    return subprocess.Popen(
        [*command, "--model", str(model), *options], stderr=subprocess.PIPE, text=True
    )


def check_resumes(scene, output, model, expected):
    assert not output.exists()
    run = start(scene, output, model, "--resume")
    _, messages = run.communicate(timeout=120)
    assert run.returncode == 0, messages
    assert output.read_bytes() == expected
    assert names(output.parent) == ["map.tif", "map.tif.aux.xml"]


@pytest.mark.parametrize("parts", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_killed_after_some_rows(tmp_path, model, long, parts):
    scene, expected = long
    output = tmp_path / "map.tif"
    run = start(scene, output, model)
    while run.poll() is None and finished_parts(output) < parts:
        time.sleep(0.001)
    run.kill()
    run.communicate()
    assert run.returncode == -signal.SIGKILL
    check_resumes(scene, output, model, expected)


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(24))
def test_killed_at_any_moment(tmp_path, model, long, moment):
    scene, expected = long
    output = tmp_path / "map.tif"
    run = start(scene, output, model)
    while run.poll() is None and not work_folder(output).exists():
        time.sleep(0.001)
    time.sleep(moment * 0.05)
    run.kill()
    run.communicate()
    if output.exists():
        # It had finished, or was killed between the last rename and the clean-up.
        assert output.read_bytes() == expected
    else:
        check_resumes(scene, output, model, expected)


def test_interrupted_by_a_signal(tmp_path, model, long):
    scene, expected = long
    output = tmp_path / "map.tif"
    run = start(scene, output, model)
    while run.poll() is None and not finished_parts(output):
        time.sleep(0.001)
    run.send_signal(signal.SIGINT)
    _, messages = run.communicate(timeout=60)
    assert run.returncode == 130 and "Traceback" not in messages
    assert "Interrupted." in messages
    check_resumes(scene, output, model, expected)


FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), hard))
sys.argv = ["glnet-geo", *sys.argv[2:]]
from glnet_geo.cli.main import main
main()
"""


@pytest.mark.parametrize("limit", [1, 40_000])
def test_a_full_disk_is_one_line_and_spares_the_old_map(tmp_path, model, whole, limit):
    pytest.importorskip("resource", reason="file size limits are POSIX")
    scene, expected = whole
    output = tmp_path / "map.tif"
    output.write_bytes(b"the old map")
    words = ["predict", str(scene), "-o", str(output), "-q", "--overwrite", "--model", str(model)]
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(limit), *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    errors = [line for line in run.stderr.splitlines() if line.startswith("Error: ")]
    assert run.returncode == 1 and len(errors) == 1 and "cannot be written" in errors[0]
    assert "Traceback" not in run.stderr
    assert output.read_bytes() == b"the old map"
    predict(scene, output, model=str(model), overwrite=True, resume=True)
    assert output.read_bytes() == expected
