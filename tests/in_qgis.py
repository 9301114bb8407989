"""How a real QGIS, without a window, shows files; all of a module's in one start of it.

A test of another kind of file asks with `look` for what it has written:

    (shown,) = look([Look(path)], tmp_path)
    shown.check_classes(legend)
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from glnet_geo.legend import Legend
from glnet_geo.sidecar import ClassSet

PYTHON = os.environ.get("QGIS_PYTHON", "/usr/bin/python3")
"""The Python that has QGIS; a distribution's packages put it into the system's."""

INSTALL = "apt-get install --no-install-recommends python3-qgis qgis-providers"
_MARK = "answers of QGIS: "
_SECONDS = 120
# What GDAL says of any raster that lies nowhere.
_NO_PLACE = re.compile("Unable to compute a transformation between pixel/line and georeferenced")
_WITH_CLASSES_FROM_TABLES = (3, 30)  # where QGIS reads attribute tables before colour tables


def environment(home: Path) -> dict[str, str]:
    """Variables for a QGIS that knows nothing of the virtual environment and of its user."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "QT_QPA_PLATFORM": "offscreen",
    }


def has_qgis() -> bool:
    """Whether there is a QGIS to ask."""
    try:
        command = [PYTHON, "-I", "-c", "import qgis.core"]
        return not subprocess.run(command, capture_output=True, env=environment(Path())).returncode
    except OSError:
        return False


needs_qgis = pytest.mark.skipif(not has_qgis(), reason=f"needs QGIS: {INSTALL}")


def call_qgis(
    script: Path, *words: object, home: Path, text: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs a script by the Python that has QGIS; it has to end well.

    Args:
        script: The script.
        words: Its arguments.
        home: A folder for the profile of QGIS.
        text: What it reads from stdin.
        variables: More for its environment.
    """
    home.chmod(0o700)  # or Qt complains
    result = subprocess.run(
        [PYTHON, "-IB", str(script), *map(str, words)],
        input=text,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        env={**environment(home), **variables},
        cwd=home,
    )
    assert result.returncode == 0, f"{result.returncode}: {result.stderr}"
    return result


def ask_qgis(script: Path, request: object, home: Path, **variables: str) -> Any:
    """What a script in QGIS answers: the JSON on its marked line.

    Args:
        script: A script that reads JSON from stdin, as `tests/qgis_session.py` does.
        request: What it gets.
        home: A folder for the profile of QGIS.
        variables: More for its environment.
    """
    result = call_qgis(script, _MARK, home=home, text=json.dumps(request), **variables)
    (line,) = [line for line in result.stdout.splitlines() if line.startswith(_MARK)]
    return {**json.loads(line.removeprefix(_MARK)), "stderr": result.stderr}


@dataclass(frozen=True, slots=True)
class Look:
    """A file that QGIS is to open.

    Attributes:
        path: The file.
        is_vector: Whether it is one of vectors.
        layer: Its layer, where it has several.
        size: Columns and rows of the picture of all of it; those of a raster by default, else
            there is none.
    """

    path: Path
    is_vector: bool = False
    layer: str | None = None
    size: tuple[int, int] | None = None

    def request(self, picture: Path) -> dict[str, Any]:
        """The same as the script takes it."""
        found: dict[str, Any] = {"path": str(self.path), "layer": self.layer}
        found["kind"] = "vector" if self.is_vector else "raster"
        if not self.is_vector or self.size is not None:
            found |= {"picture": str(picture), "size": self.size}
        return {key: value for key, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What QGIS makes of a file.

    Attributes:
        answer: What the script tells, see `tests/qgis_session.py`.
        version: Of QGIS.
        pixels: What it draws, rows x columns x 4: red, green, blue, opacity; None without a size.
    """

    answer: Mapping[str, Any]
    version: tuple[int, int]
    pixels: npt.NDArray[np.uint8] | None

    @property
    def rows(self) -> list[str]:
        """The rows under the layer's name in the panel of layers."""
        rows: list[str] = self.answer["rows"]
        return rows

    @property
    def entries(self) -> list[tuple[str, str]]:
        """Label and colour of the classes that its renderer tells apart."""
        return [(label, color) for label, color, opacity in self.answer["entries"] if opacity]

    def check_classes(self, legend: ClassSet) -> None:
        """It opens with exactly these classes, in their names and colours, and no warning.

        Versions before 3.30 also list ids below the last one that are no class: by their number,
        transparent.
        """
        by_id = {one.id: one for one in legend.classes}
        assert self.answer["renderer"] == "paletted"
        assert self.entries == [(by_id[k].name, _hex(by_id[k].rgb)) for k in sorted(by_id)]
        last = max(by_id) + 1
        ids = sorted(by_id) if self.version >= _WITH_CLASSES_FROM_TABLES else range(last)
        texts = [by_id[k].name if k in by_id else str(k) for k in ids]
        assert self.rows == [f"Band 1: {legend.theme} (Palette)", *texts]
        assert self.answer["messages"] == []

    def check_drawn(self, labels: npt.NDArray[np.uint8], legend: Legend) -> None:
        """Pixels have the colours of their classes, and where no data is nothing is drawn."""
        colors = np.zeros((256, 4), np.uint8)
        for one in legend.classes:
            colors[one.id] = (*one.rgb, 255)
        np.testing.assert_array_equal(self.pixels, colors[labels])

    def check_polygons(self, legend: Legend, names: Sequence[str]) -> None:
        """It opens with these classes, in their colours, and no warning."""
        colors = {one.name: _hex(one.rgb) for one in legend.classes}
        assert self.answer["renderer"] == "categorizedSymbol"
        assert self.entries == [(name, colors[name]) for name in names]
        assert self.rows == [*names]
        assert self.answer["messages"] == []


def look(looks: Sequence[Look], folder: Path) -> list[Shown]:
    """Opens files in QGIS, one start for all, in which it must not complain.

    Args:
        looks: The files.
        folder: An empty folder for what QGIS draws and writes.
    """
    pictures = [folder / f"{number}.png" for number in range(len(looks))]
    requests = [one.request(path) for one, path in zip(looks, pictures, strict=True)]
    told = ask_qgis(Path(__file__).with_name("qgis_session.py"), requests, folder)
    complaints = [line for line in told["stderr"].splitlines() if not _NO_PLACE.search(line)]
    assert not complaints, "\n".join(complaints)
    major, minor = map(int, told["version"].split("-")[0].split(".")[:2])
    return [
        Shown(answer, (major, minor), np.asarray(Image.open(path)) if path.exists() else None)
        for answer, path in zip(told["answers"], pictures, strict=True)
    ]


def _hex(rgb: tuple[int, int, int]) -> str:
    return "#" + bytes(rgb).hex()
