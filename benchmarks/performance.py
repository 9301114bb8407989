"""Speed of the networks and of `glnet-geo predict`: one table, and the same as JSON.

    python benchmarks/performance.py [--runs 5] [--scene FILE] [--json FILE] [--short]

All of it on the CPU, for the bundled model and for the paper's networks with random weights, which
cost the same. "plain" is the reference's order of work in PyTorch's default memory layout,
`glnet.segment_frame`; "prepared" is what prediction runs, `inference.InferenceNet`. Both run in
turn in one process, so that a busy machine slows both; seconds are the least of the runs where
nothing else is said, and ratios are of those. A patch is what a frame costs more for each further
one. Operations are counted by PyTorch's FlopCounterMode, two a multiply-add; it does not count the
weighted sums of rows, which are few. The matrix peak is that of a product of 2048 x 2048.

`--scene` names a real scene whose first 2448 x 2448 pixels are segmented; without, they are
synthetic. `--short` does one run of everything and leaves the large scene out. Exits with 1 where
what must hold does not.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from memory import Run, make_large_scene
from prediction import in_child, make_reference_model, make_scene_file, measure

GIGA = 1e9
FRAMES = (5, 10)  # rows and columns of frames of the large scene
STRIP = 5  # patches by which two strips differ


class Report:
    """Prints lines, keeps figures, and remembers whether all that must hold did."""

    def __init__(self) -> None:
        self.figures: dict[str, dict[str, float]] = {}
        self.passed = True

    def add(self, section: str, figures: dict[str, float]) -> None:
        """Prints and keeps the figures of a section."""
        self.figures.setdefault(section, {}).update(figures)
        for name, value in figures.items():
            print(f"  {name:<44}{value:>12.4g}", flush=True)

    def title(self, text: str) -> None:
        """Begins a section."""
        print(f"\n{text}", flush=True)

    def require(self, what: str, holds: bool) -> None:
        """Notes what must hold."""
        if not holds:
            print(f"  NOT HELD: {what}", flush=True)
        self.passed &= holds


def matrix_peak() -> float:
    """Operations a second of a product of two 2048 x 2048 matrices, the best of twenty."""
    import torch

    side = 2048
    a, b = torch.randn(side, side), torch.randn(side, side)
    least = float("inf")
    for _ in range(20):
        started = time.perf_counter()
        torch.mm(a, b)
        least = min(least, time.perf_counter() - started)
    return 2 * side**3 / least


def operations(function) -> float:
    """Operations of a call, as PyTorch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def compare_patches(report: Report, model: str, frame, plain, prepared, runs: int) -> None:
    """What each further patch of a frame costs in both forms."""
    from frames import alternate

    peak = report.figures["machine"]["matrix product, GFLOP/s"]
    strips = (frame.strip(1), frame.strip(1 + STRIP))
    forms = {"plain": plain, "prepared": prepared}
    runners = {
        (name, k): partial(form, strip)
        for name, form in forms.items()
        for k, strip in enumerate(strips)
    }
    timings = alternate(runs, runners)
    work, seconds = {}, {}
    for name in forms:
        one, more = (operations(runners[name, k]) for k in (0, 1))
        work[name] = (more - one) / STRIP / GIGA
        seconds[name] = (timings[name, 1].least - timings[name, 0].least) / STRIP
    for name in forms:
        figures = {
            f"{name}, GFLOP a patch": work[name],
            f"{name}, s a patch": seconds[name],
            f"{name}, share of the matrix peak": work[name] / seconds[name] / peak,
        }
        report.add(model, figures)
    report.add(model, {"plain / prepared, a patch": seconds["plain"] / seconds["prepared"]})
    if model == "reference networks":
        report.require("145 GFLOP a patch", work["prepared"] <= 145)


def compare_frames(report: Report, model: str, plain, prepared, runs: int) -> None:
    """A whole frame in both forms, and whether its classes are the same."""
    from frames import alternate

    timings = alternate(runs, {"plain": plain, "prepared": prepared})
    for name, timing in timings.items():
        report.add(
            model,
            {f"{name}, s a frame": timing.least, f"{name}, s a frame, median": timing.median},
        )
    ratio = timings["plain"].least / timings["prepared"].least
    medians = timings["plain"].median / timings["prepared"].median
    expected, exact = plain().patches, prepared().patches
    agreement = same_classes(exact, expected)
    report.add(
        model,
        {
            "plain / prepared, a frame": ratio,
            "plain / prepared, a frame, medians": medians,
            "classes equal, prepared and plain": agreement,
            "largest difference, of the largest logit": float(
                (exact - expected).abs().max() / expected.abs().max()
            ),
        },
    )
    report.require("classes equal on 99.99 % of the places", agreement >= 0.9999)
    least = 2.3 if model == "reference networks" else 2.0
    report.require(f"{least} times as fast as plain", ratio >= least)


def compare_precisions(report: Report, model: str, net, frame, exact, runs: int) -> None:
    """bf16 against fp32; fp16 is left out, which no processor here computes in earnest."""
    import torch
    from frames import Prepared, alternate

    half = Prepared(net, frame, torch.bfloat16)
    timings = alternate(runs, {"exact": exact, "half": half})
    report.add(
        model,
        {
            "bf16, time against fp32": timings["half"].least / timings["exact"].least,
            "bf16, classes equal to fp32": same_classes(half().patches, exact().patches),
        },
    )


def compare_forms(report: Report, model: str, pixels, runs: int) -> None:
    """Plain against prepared: a patch, a frame, and half precision."""
    from frames import Frame, Plain, Prepared, load

    net, card = load(model)
    frame = Frame.of(pixels, card)
    prepared, plain = Prepared(net, frame), Plain(net, frame)
    report.title(f"{model}: a frame of {frame.layout.width} px, {len(frame.layout)} patches")
    compare_patches(report, model, frame, plain, prepared, runs)
    compare_frames(report, model, plain, prepared, runs)
    compare_precisions(report, model, net, frame, prepared, runs)


def same_classes(actual, expected) -> float:
    """Share of places with the same best class."""
    return float((actual.argmax(1) == expected.argmax(1)).float().mean())


def time_stages(report: Report, model: str, pixels) -> None:
    """Where the time of a frame goes."""
    from unittest import mock

    from frames import Frame, Prepared, load
    from overhead import Clock

    from glnet_geo.models import fused_branch, inference, sharing

    net, card = load(model)
    prepared = Prepared(net, Frame.of(pixels, card))
    del net
    clock = Clock()
    local, feedback = prepared.net._local, prepared.net._feedback
    timings = (
        (local._backbone, "forward", "local backbone"),
        (feedback._backbone, "forward", "global backbones"),
        (prepared.net._context.backbone, "forward", "global backbones"),
        (prepared.net._context.decoder, "share", "global decoders"),
        (fused_branch.FusedBranch, "__call__", "local decoder, and the second global one"),
        (sharing.Merging, "add", "merging local maps"),
        (inference, "crop_all", "cropping global maps"),
        (inference, "sum_taps", "ensemble"),
        (inference.InferenceNet, "normalize", "pixels to floats"),
        (inference.InferenceNet, "segment", "all else"),
    )
    prepared()
    with ExitStack() as patches:
        for owner, attribute, label in timings:
            timed = clock.timed(label, getattr(owner, attribute))
            patches.enter_context(mock.patch.object(owner, attribute, timed))
        started = time.perf_counter()
        prepared()
        total = time.perf_counter() - started
    report.title(f"{model}: where a frame's {total:.2f} s go")
    parts = sorted(clock.seconds.items(), key=lambda part: -part[1])
    report.add(f"{model}, stages", dict(parts))


def time_command(report: Report, folder: Path, runs: int) -> None:
    """`glnet-geo predict` as a whole: seconds, megapixels a second, peak memory."""
    report.title("The command predict, a process from start to end")
    reference = folder / "reference.safetensors"
    in_child(make_reference_model, reference)
    for label, model, height, width, repeats in (
        ("reference networks", str(reference), 2448, 2448, 1),
        ("bundled model", "dubai-urban", 2448, 2448, runs),
        ("bundled model", "dubai-urban", 5000, 6000, runs),
    ):
        scene = folder / f"{height}.tif"
        in_child(make_scene_file, scene, height, width)
        command = [sys.executable, "-m", "glnet_geo", "predict", str(scene), "-q", "--overwrite"]
        command += ["-o", str(folder / "map.tif"), "--model", model]
        measured = [measure(command) for _ in range(repeats)]
        wall, cpu, peak = (min(one[k] for one in measured) for k in range(3))
        speed = height * width / 1e6 / wall
        scene_label = f"{label}, {width} x {height}"
        figures = {"wall s": wall, "cpu s": cpu, "Mpx/s": speed, "peak GB": peak}
        report.add("predict", {f"{scene_label}, {name}": value for name, value in figures.items()})
        if label == "reference networks":
            report.require("at most 70 s of processor time", cpu <= 70)
            report.require("at most 1.6 GB", peak <= 1.6)
        else:
            report.require("1 megapixel a second", speed >= 1)


def time_scaling(report: Report, folder: Path) -> None:
    """Seconds a megapixel of scenes of one to fifty frames, without the program's start."""
    from glnet_geo.prediction import predict

    report.title("bundled model: seconds a megapixel, from one frame to fifty")
    card_frame, overlap, found = 2448, 128, {}
    for rows, columns in ((1, 1), (2, 2), FRAMES):
        height, width = (n * (card_frame - overlap) + overlap for n in (rows, columns))
        scene = folder / "scene.tif"
        in_child(make_large_scene, scene, Run("", height, width, 0))
        if not found:
            predict(scene, folder / "map.tif", device="cpu", overwrite=True)
        seconds = []
        for _ in range(3 if rows * columns < 10 else 1):
            started = time.perf_counter()
            predict(scene, folder / "map.tif", device="cpu", overwrite=True)
            seconds.append(time.perf_counter() - started)
        scene.unlink()
        found[rows * columns] = min(seconds) / (height * width / 1e6)
    report.add("scaling", {f"{n} frames, s a Mpx": value for n, value in found.items()})
    ratio = found[FRAMES[0] * FRAMES[1]] / found[1]
    report.add("scaling", {"fifty frames / one": ratio})
    report.require("flat within 10 %", abs(ratio - 1) <= 0.1)


def read_pixels(scene: Path | None):
    """The frame that the networks see, uint8 3 x 2448 x 2448."""
    from frames import SIDE

    if scene is None:
        from glnet_geo.synthetic import make_scene

        return make_scene(SIDE, SIDE).pixels
    from glnet_geo.grid import Window
    from glnet_geo.raster import SceneReader

    with SceneReader(scene, n_bands=3) as reader:
        return reader.read(Window(0, 0, SIDE, SIDE)).pixels


def environment() -> dict[str, object]:
    """What the figures depend on."""
    import torch

    return {
        "processor": processor_name(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
    }


def processor_name() -> str:
    """As the operating system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "")


def main() -> None:
    """Prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scene", type=Path, help="a real scene, of at least 2448 x 2448 pixels")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--short", action="store_true", help="one run, without the large scene")
    options = parser.parse_args()
    runs = 1 if options.short else options.runs

    with tempfile.TemporaryDirectory() as name:
        report = Report()
        # Before torch starts its threads in this process: children are forked.
        time_command(report, Path(name), runs)
        from frames import MODELS

        from glnet_geo.allocation import reuse_memory

        reuse_memory()
        report.title(", ".join(f"{key} {value}" for key, value in environment().items()))
        report.add("machine", {"matrix product, GFLOP/s": matrix_peak() / GIGA})
        pixels = read_pixels(options.scene)
        for model in MODELS:
            compare_forms(report, model, pixels, runs)
            gc.collect()
            time_stages(report, model, pixels)
        if not options.short:
            time_scaling(report, Path(name))
    if options.json:
        figures = {"environment": environment(), **report.figures}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    sys.exit(0 if report.passed else 1)


if __name__ == "__main__":
    main()
