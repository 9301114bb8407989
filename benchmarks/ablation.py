"""Do both branches together see more than either alone, in the same time?

    python benchmarks/ablation.py FOLDER build/ablation      # an hour and a half on two cores

FOLDER holds the scenes of the bundled model's recipe (see NOTICE). Four networks are made of the
same parts: the global branch alone; the local branch alone, which is the same backbone and decoder
on patches, without global maps; the local branch with global maps; and both ways. All get the same
processor time, the same training scenes, schedule and augmentation, and are scored on a scene that
none has seen; once for every seed and held-out scene. Only 5 and 6 can be held out alone: 4, 7 and
8 overlap on the ground.

Each run has a core to itself, and as many run at a time as there are. What is finished is kept in
the second folder, what was interrupted goes on when the command is given again, and every run is
in the table.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

RECIPE = Path(__file__).parents[1] / "models" / "zoo" / "dubai-urban.toml"
WIDE = ["--frame", "1280", "--patch-size", "640", "--global-size", "640"]
NARROW = ["--frame", "640", "--patch-size", "640", "--global-size", "640"]
VARIANTS = {
    "global only": ["--form", "global", *WIDE],
    # The same branch on frames as large as patches.
    "local only": ["--form", "global", *NARROW],
    "global to local": ["--form", "global_to_local", *WIDE],
    "both ways": ["--form", "both_ways", *WIDE],
}
RECIPE_ITSELF = "recipe"
SEEDS = (0, 1)
HELD_OUT = (5, 6)


@dataclass(frozen=True)
class Run:
    """One network to train."""

    variant: str  # one of VARIANTS, or RECIPE_ITSELF
    held_out: tuple[int, ...]
    seed: int

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.variant.replace(' ', '-')}-{without(self.held_out)}-seed-{self.seed}"

    def command(self, folder: Path, data: Path, minutes: float) -> list[str]:
        """What trains it."""
        program = Path(sys.executable).with_name("glnet-geo")
        return [
            str(program),
            "train",
            str(folder / f"{without(self.held_out)}.toml"),
            *("--data", str(data), "-o", str(folder / f"{self.name}.safetensors")),
            *("--time-budget", f"{minutes:g}m", "--seed", str(self.seed)),
            *VARIANTS.get(self.variant, ()),
            "--no-recompute",
            *("--resume", "--json", "--quiet"),
        ]


def without(held_out: tuple[int, ...]) -> str:
    """How what is trained without some scenes is called."""
    return f"without-{'-'.join(map(str, held_out))}"


def write_dataset(folder: Path, held_out: tuple[int, ...]) -> None:
    """The bundled model's recipe, with some scenes held out."""
    head, *scenes = RECIPE.read_text().split("[[scenes]]")
    last, model = scenes[-1].split("[model]")
    marked = [
        scene.replace('"val"', '"train"').replace(
            '"train"', '"val"' if any(f"tile{k}_" in scene for k in held_out) else '"train"'
        )
        for scene in (*scenes[:-1], last)
    ]
    path = folder / f"{without(held_out)}.toml"
    path.write_text("[[scenes]]".join((head, *marked)) + "[model]" + model)


def run_all(runs: list[Run], folder: Path, data: Path, minutes: float) -> None:
    """Runs what is not finished, each on a core of its own."""
    cores: SimpleQueue[int] = SimpleQueue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)

    def work(run: Run) -> None:
        result = folder / f"{run.name}.json"
        if result.exists():
            return
        core = cores.get()
        # With one thread PyTorch takes slower convolutions than with two on one core.
        environment = {**os.environ, "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}
        command = ["taskset", "-c", str(core), *run.command(folder, data, minutes)]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        result.write_bytes(done.stdout)
        cores.put(core)
        print(run.name, json.loads(done.stdout)["scores"]["mean_iou"], flush=True)

    with ThreadPoolExecutor(cores.qsize()) as pool:
        list(pool.map(work, runs))


def table(runs: list[Run], folder: Path) -> Iterator[str]:
    """Mean IoU of every run; mean over scenes and spread over seeds of every variant; Markdown."""
    places = sorted({(run.held_out, run.seed) for run in runs})
    titles = [f"scene {held_out[0]}, seed {seed}" for held_out, seed in places]
    yield f"| | {' | '.join(titles)} | mean | spread of seeds | steps |"
    yield "|---" * (len(places) + 4) + "|"
    for variant in VARIANTS:
        found = {
            (run.held_out, run.seed): json.loads((folder / f"{run.name}.json").read_text())
            for run in runs
            if run.variant == variant
        }
        value = {place: one["scores"]["mean_iou"] for place, one in found.items()}
        cells = " | ".join(f"{value[place]:.3f}" for place in places)
        seeds = sorted({seed for _, seed in places})
        by_seed = [statistics.mean(value[p] for p in places if p[1] == seed) for seed in seeds]
        spread = statistics.stdev(by_seed) if len(by_seed) > 1 else float("nan")
        steps = "/".join(map(str, found[places[0]]["iterations"]))
        yield f"| {variant} | {cells} | {statistics.mean(by_seed):.3f} | {spread:.3f} | {steps} |"


def main() -> None:
    """Trains what is missing and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="Folder with the scenes.")
    parser.add_argument("folder", type=Path, help="Where runs are kept.")
    parser.add_argument("--minutes", type=float, default=12, help="Processor time of a run.")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--held-out", type=int, nargs="+", default=HELD_OUT)
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for held_out in chosen.held_out:
        write_dataset(chosen.folder, (held_out,))
    runs = [
        Run(variant, (held_out,), seed)
        for held_out in chosen.held_out
        for seed in chosen.seeds
        for variant in VARIANTS
    ]
    run_all(runs, chosen.folder, chosen.data, chosen.minutes)
    print("\n".join(table(runs, chosen.folder)))


if __name__ == "__main__":
    main()
