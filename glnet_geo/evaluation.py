"""Predictions against references: every score that is asked for, in one pass over the pixels.

Memory follows a strip of the rasters. Counts of all pairs are pooled before anything is divided, so
that a scene weighs as much as it has pixels.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import numpy.typing as npt

from glnet_geo.boundary_scores import BoundaryMatcher, Positions
from glnet_geo.chip import Mask
from glnet_geo.class_matching import (
    NO_CLASS,
    ClassList,
    Ignored,
    Translator,
    listed,
    value_counts,
)
from glnet_geo.class_raster import Labels
from glnet_geo.confusion_files import check_evaluation_files, evaluation_files, write_evaluation
from glnet_geo.errors import GlnetGeoError, RasterError
from glnet_geo.evaluation_pairs import check_pairs, find_pairs
from glnet_geo.evaluation_plan import PairPlan, ReadingOptions, overlap_notes, plan_pair
from glnet_geo.evaluation_result import Evaluation, PairScores, share_text
from glnet_geo.evaluation_tally import Tally, matrix_of
from glnet_geo.georeference import ground_of
from glnet_geo.grid import Window
from glnet_geo.kernels import kernel
from glnet_geo.label_sources import LabelSource, strip_height
from glnet_geo.legend import Legend
from glnet_geo.opening import gdal_environment
from glnet_geo.reference_labels import is_ambiguous, is_name
from glnet_geo.remote import ScenePath, is_fetched, scene_path, without_secrets
from glnet_geo.units import Length

DEFAULT_TOLERANCE = Length(3, "px")
_MOST_VALUES = 1000  # that are no class, before reading on is in vain


def evaluate(
    prediction: ScenePath,
    reference: ScenePath | None = None,
    *,
    output: Path | str | None = None,
    legend: Legend | None = None,
    ignore: Iterable[str | int] = (),
    align: bool = False,
    attribute: str | None = None,
    layer: str | None = None,
    band: int | None = None,
    reference_band: int | None = None,
    boundary_tolerance: Length = DEFAULT_TOLERANCE,
    safe: bool = False,
    overwrite: bool = False,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Scores class rasters against references.

    A pixel counts where the reference has a class. Where the prediction has no data there, or a
    value that is no class, that is an error of the reference's class.

    Args:
        prediction: A class raster, a folder of them, or a CSV of pairs; see `find_pairs`.
        reference: A class raster or a vector file with polygons, or a folder of them.
        output: A JSON file to write; a CSV and a PNG with the confusion matrix come beside it.
        legend: The classes; None for those that the predictions name, else those that the
            references name, else the ids that occur. It also allows pictures in its colours.
        ignore: Values of the references that count nowhere, ids or names.
        align: Whether a reference on another grid is read on the prediction's.
        attribute: Field of vector references that holds the class, ids or names.
        layer: Layer of vector references.
        band: Band of the predictions that holds the class ids.
        reference_band: Band of raster references likewise.
        boundary_tolerance: How far a border may be off for boundary F1.
        safe: Whether nothing of the files is trusted, see docs/security.md.
        overwrite: Whether existing outputs may be replaced.
        report: Told the rows done and all rows.

    Raises:
        GlnetGeoError: A file cannot be read or written, grids differ, no pixel counts, or a
            reference has values that are neither classes nor ignored.
    """
    started = time.monotonic()
    prediction = scene_path(str(prediction))
    reference = None if reference is None else scene_path(str(reference))
    pairs = find_pairs(prediction, reference)
    if safe:
        check_pairs(pairs, prediction, reference)
    output = None if output is None else Path(output)
    given = [one for pair in pairs.pairs for one in (pair.prediction, pair.reference)]
    if output is not None:
        files = [one for one in (prediction, *given) if isinstance(one, Path)]
        check_evaluation_files(output, overwrite, files)
    options = ReadingOptions(legend, align, attribute, layer, band, reference_band, safe)
    with gdal_environment(remote=any(map(is_fetched, given))):
        plans = [plan_pair(pair, options) for pair in pairs.pairs]
        tally = Tally(Ignored.of(ignore, legend))
        classes = _class_list(plans, legend, tally.ignored)
        # The picture of a run before may lie in the folder.
        ours = evaluation_files(output) if output is not None else ()
        unmatched = [path for path in pairs.unmatched if path not in ours]
        tally.notes += _first_notes(plans, classes, unmatched)
        rows, done = sum(plan.grid.height for plan in plans), 0
        for plan in plans:
            comparison = _Comparison(plan, options, classes, boundary_tolerance, tally)
            for height in comparison.run():
                done += height
                report(done, rows)
    found = tally.result(classes, boundary_tolerance, time.monotonic() - started)
    if output is not None:
        write_evaluation(output, found)
    return found


def _class_list(plans: list[PairPlan], legend: Legend | None, ignored: Ignored) -> ClassList:
    """The classes of all pairs, without those that the references' ignored values mean."""
    if legend is not None:
        classes = ClassList.of_legend(legend)
    else:
        classes = ClassList.of_tables({str(p.pair.prediction): p.predicted for p in plans})
        if classes.is_open:
            _check_ids(plans)
            classes = ClassList.of_tables({str(p.pair.reference): p.reference for p in plans})
    surplus = set()
    for plan in plans:
        for value, place in classes.positions_in(plan.reference).items():
            named = plan.reference.get(value, classes.classes[place])
            if ignored.includes(value, named.name):
                surplus.add(place)
    return classes.without(surplus)


def _check_ids(plans: list[PairPlan]) -> None:
    """Refuses polygons that know their classes by names which no prediction knows."""
    for plan in plans:
        if any(is_name(value) for value in plan.reference):
            raise GlnetGeoError(
                f"{plan.pair.reference} knows its classes by name, and {plan.pair.prediction} has "
                "no names. Give its legend with --legend, or choose a field that holds ids with "
                "--attribute"
            )


def _first_notes(plans: list[PairPlan], classes: ClassList, unmatched: Sequence[Path]) -> list[str]:
    """What is known before a pixel is read."""
    notes = []
    if unmatched:
        notes.append(f"Without a partner: {listed([str(path) for path in unmatched])}")
    for plan in plans:
        notes += plan.notes
        notes += classes.notes_on(str(plan.pair.prediction), plan.predicted)
        notes += classes.notes_on(str(plan.pair.reference), plan.reference)
    return [without_secrets(note) for note in [*notes, *overlap_notes(plans)]]


class _Comparison:
    """Compares one pair, strip by strip."""

    def __init__(
        self,
        plan: PairPlan,
        options: ReadingOptions,
        classes: ClassList,
        tolerance: Length,
        tally: Tally,
    ) -> None:
        self._plan, self._options, self._classes, self._tally = plan, options, classes, tally
        self._ground = ground_of(plan.grid)
        pixels = tolerance.in_pixels(self._ground, "--boundary-tolerance")
        self._matcher = BoundaryMatcher(pixels, tally.boundary)
        self._counts = np.zeros((256, 256), np.int64)
        self._unknown: Counter[int] = Counter()
        self._no_class: Counter[int] = Counter()

    def run(self) -> Iterator[int]:
        """Adds the pair to the tally; gives the height of each strip that is done.

        Raises:
            GlnetGeoError: The reference has unknown values, or does not overlap the prediction.
        """
        plan = self._plan
        with ExitStack() as stack:
            predicted = stack.enter_context(closing(plan.open_prediction(self._options)))
            reference = stack.enter_context(closing(plan.open_reference(self._options)))
            ignored = self._tally.ignored
            # An id may mean one thing in the reference and another in the prediction.
            claims = ignored if self._classes.is_open else Ignored()
            translators = (
                Translator(reference, self._classes, ignored),
                Translator(predicted, self._classes, claims),
            )
            is_met = False
            for window in plan.grid.window.rows(strip_height(predicted, reference)):
                actual, is_valid = reference.read(window)
                is_met |= is_valid is None or bool(is_valid.any())
                self._add(window, (actual, is_valid), predicted.read(window), translators)
                yield window.height
            self._matcher.finish()
            if not is_met and plan.is_aligned:
                raise RasterError(
                    f"{plan.pair.reference} does not overlap {plan.pair.prediction}, or has no "
                    "data there. Check the CRS and the coordinates of both."
                )
            self._finish(reference, predicted, translators[0])

    def _add(
        self,
        window: Window,
        actual: tuple[Labels, Mask | None],
        claimed: tuple[Labels, Mask | None],
        translators: tuple[Translator, Translator],
    ) -> None:
        reference = translators[0].positions(*actual)
        predicted = translators[1].positions(*claimed)
        self._unknown.update(value_counts(actual[0][reference == NO_CLASS]))
        if len(self._unknown) > _MOST_VALUES:  # a photograph has millions
            raise GlnetGeoError(
                f"{self._plan.pair.reference} has more than {_MOST_VALUES:,} values that are none "
                "of the classes. Is it a class raster, or a mask in the legend's colours?"
            )
        wrong = (predicted == NO_CLASS) & (reference < NO_CLASS)
        self._no_class.update(value_counts(claimed[0][wrong]))
        rows = self._ground.row_area[window.top : window.bottom]
        _count(reference, predicted, rows, self._counts, self._tally.areas)
        self._matcher.push(reference, predicted)

    def _finish(
        self, reference: LabelSource, predicted: LabelSource, translator: Translator
    ) -> None:
        tally, pair, grid = self._tally, self._plan.pair, self._plan.grid
        self._settle_values(reference, translator)
        counted = int(self._counts.sum())
        if self._no_class:
            values = listed([predicted.describe(one) for one in sorted(self._no_class)])
            share = share_text(sum(self._no_class.values()), counted)
            tally.notes.append(
                f"{pair.prediction}: values that are no class ({values}) in {share} of the "
                "pixels: errors"
            )
        if not counted:
            tally.notes.append(f"{pair.reference}: no pixel has a class")
        tally.counts += self._counts
        tally.rules.append(self._ground.rule)
        tally.has_areas &= self._ground.unit == "m"
        order = range(len(self._classes.classes))
        scores = matrix_of(self._classes.classes, order, self._counts).scores() if order else None
        tally.pairs.append(
            PairScores(
                pair,
                grid.height * grid.width,
                counted,
                scores.mean_iou if scores else None,
                scores.accuracy if scores else None,
                self._plan.is_aligned,
            )
        )

    def _settle_values(self, reference: LabelSource, translator: Translator) -> None:
        """Tells what is ignored, and refuses other values of the reference that are no class."""
        tally, path = self._tally, self._plan.pair.reference
        unknown = []
        for value, pixels in sorted(self._unknown.items()):
            if is_ambiguous(value):
                tally.notes.append(f"{path}: {pixels:,} px in polygons of several classes left out")
            elif translator.is_ignored(value):
                tally.ignored_pixels[reference.describe(value)] += pixels
            else:
                unknown.append(f"{reference.describe(value)}: {pixels:,} px")
        if unknown:
            known = listed([f"{one.id} {one.name}" for one in self._classes.classes])
            raise GlnetGeoError(
                f"{path} has values that are none of the classes ({listed(unknown)}). The classes "
                f"are {known}. Leave values out with --ignore, or give the legend with --legend"
            )


@kernel
def _count(
    reference: Positions,
    predicted: Positions,
    row_area: npt.NDArray[np.float64],
    counts: npt.NDArray[np.int64],
    areas: npt.NDArray[np.float64],
) -> None:
    """Adds pixels and their areas by the two positions, where the reference has a class."""
    height, width = reference.shape
    for y in range(height):
        for x in range(width):
            here = reference[y, x]
            if here < 254:
                there = predicted[y, x]
                counts[here, there] += 1
                areas[here, there] += row_area[y]
