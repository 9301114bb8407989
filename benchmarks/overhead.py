"""Where the time of `glnet_geo.predict` goes with the bundled model, first read to finished map.

    python benchmarks/overhead.py [--height 5000] [--width 6000]

Maps a synthetic scene in a deflate-compressed, tiled GeoTIFF and prints the seconds and the share
of each part: the networks; waiting for frames that are read ahead; joining patches and blending
frames; writing finished rows; overviews and the final file. The program's start does not depend on
the scene and is not counted: imports are left out, loading the model is printed apart. Exits with 1
where reading, blending and writing take 20 % or more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

from prediction import in_child, make_scene_file

LIMIT = 0.20


class Clock:
    """Adds up the time spent in functions, without what is spent in others that it times."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]

    def timed(self, name: str, function):
        """The function, timed."""

        def wrapper(*arguments, **keywords):
            self._inner.append(0.0)
            started = time.perf_counter()
            try:
                return function(*arguments, **keywords)
            finally:
                spent = time.perf_counter() - started
                self.seconds[name] = self.seconds.get(name, 0.0) + spent - self._inner.pop()
                self._inner[-1] += spent

        return wrapper

    def timed_steps(self, name: str, function):
        """A function that returns an iterator, whose steps are timed."""

        def wrapper(*arguments, **keywords):
            steps = function(*arguments, **keywords)
            advance = self.timed(name, lambda: next(steps, self))
            while (item := advance()) is not self:
                yield item

        return wrapper


def main() -> None:
    """Prints a row for each part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--height", type=int, default=5000)
    parser.add_argument("--width", type=int, default=6000)
    options = parser.parse_args()

    from glnet_geo import blending, frame_source, prediction, raster_output, scene_setup, segmenter
    from glnet_geo.models import inference

    clock = Clock()
    timings = (
        (inference.InferenceNet, "segment", clock.timed, "networks"),
        (segmenter, "shrink", clock.timed, "global views"),
        (blending.Blender, "add", clock.timed_steps, "joining and blending"),
        (frame_source.FrameSource, "read", clock.timed_steps, "waiting for frames"),
        (raster_output.PartWriter, "write", clock.timed, "writing rows"),
        (raster_output.PartWriter, "close", clock.timed, "writing rows"),
        (raster_output.MapParts, "publish", clock.timed, "overviews and the final file"),
        (scene_setup, "load_segmenter", clock.timed, "loading the model"),
    )
    with tempfile.TemporaryDirectory() as name:
        scene = Path(name) / "scene.tif"
        in_child(make_scene_file, scene, options.height, options.width)
        for owner, attribute, timer, label in timings:
            original = getattr(owner, attribute)
            mock.patch.object(owner, attribute, timer(label, original)).start()
        started = time.perf_counter()
        prediction.predict(scene, Path(name) / "map.tif", device="cpu")
        total = time.perf_counter() - started
    parts = {**clock.seconds, "all else": total - sum(clock.seconds.values())}
    print(f"{options.width} x {options.height} px{'seconds':>25}{'share':>9}")
    for label, seconds in sorted(parts.items(), key=lambda part: -part[1]):
        print(f"{label:<30}{seconds:10.2f}{100 * seconds / total:8.1f} %")
    overhead = 1 - (parts["networks"] + parts["loading the model"]) / total
    print(f"{'all but networks and loading':<30}{total * overhead:10.2f}{100 * overhead:8.1f} %")
    sys.exit(0 if overhead < LIMIT else 1)


if __name__ == "__main__":
    main()
