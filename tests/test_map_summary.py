"""What a finished prediction says of itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from glnet_geo.cli.predict import describe
from glnet_geo.grid import Grid
from glnet_geo.legend import LandCover, Legend
from glnet_geo.map_summary import MapSummary


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_the_peak_is_that_of_the_process_itself() -> None:
    """Not that of the process that started it, which held 300 MB."""
    code = "from glnet_geo.map_summary import peak_bytes; print(peak_bytes())"
    parent = (
        "import subprocess, sys\n"
        "large = bytearray(300_000_000)\n"
        f"subprocess.run([sys.executable, '-c', {code!r}], check=True, close_fds=False)\n"
    )
    run = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True)
    assert 1e6 < int(run.stdout) < 2e8


def test_of_very_many_classes_it_shows_the_largest() -> None:
    covers = tuple(LandCover(k, f"kind {k}", (k, 0, 0)) for k in range(100))
    summary = MapSummary(
        Path("map.tif"),
        Grid(50, 102),
        Legend("many", covers),
        {k: k for k in range(100)} | {255: 150},
        None,
        "pixels",
        "fake 0.1",
        1.0,
        None,
    )
    head, *lines, without, _ = describe(summary).splitlines()
    assert head.startswith("map.tif") and without == "  (2.9 % of the scene has no data)"
    assert len(lines) == 31 and lines[-1] == "  ... and 70 more"
    assert lines[0].split()[:2] == ["kind", "99"]
    assert len(json.loads(json.dumps(summary.to_dict()))["classes"]) == 100
    assert np.isclose(summary.share(99) or 0, 99 / 4950)
