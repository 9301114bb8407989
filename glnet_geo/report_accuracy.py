"""The section of a report that scores the map against a reference."""

from __future__ import annotations

import numpy as np

from glnet_geo.evaluation_result import Evaluation, share_text
from glnet_geo.markup import Content, Markup, element
from glnet_geo.remote import scene_label
from glnet_geo.report_parts import facts, hex_color, named, number, row, section, table

NO_CLASS = "no class"
_MOST_CROSSED = 60  # classes of a confusion matrix
_MOST_NAMED = 6  # columns of it that have room for names
_SHADES = 10


def accuracy_section(found: Evaluation) -> Markup:
    """How right the map is: scores, a table by class, the confusion matrix."""
    scores = found.scores
    tolerance = found.boundary.tolerance
    plural = "es" * (scores.scored_classes != 1)
    overall = {
        "Overall accuracy": number(scores.accuracy),
        f"Mean IoU of {scores.scored_classes} class{plural}": number(scores.mean_iou),
        "Mean F1": number(scores.mean_f1),
        f"Mean boundary F1 within {tolerance}": number(found.boundary.mean),
        "Kappa": number(scores.kappa),
        "Pixels compared": share_text(scores.pixels, found.all_pixels),
    }
    columns = (scores.iou, scores.precision, scores.recall, scores.f1, found.boundary.f1)
    rows = [
        row(
            named(one.name, hex_color(one.rgb)),
            *(number(column[one.name]) for column in columns),
            f"{scores.support[one.name]:,} px",
        )
        for one in found.classes
    ]
    heads = ["Class", "IoU", "Precision", "Recall", "F1", "Boundary F1", "Reference"]
    pair = found.pairs[0]
    aligned = ", brought onto the grid of the map" if pair.is_aligned else ""
    notes = [element("li", note) for note in found.notes]
    return section(
        "accuracy",
        "How right the map is",
        element("p", f"Against {scene_label(pair.pair.reference)}{aligned}.", class_="note"),
        facts(overall),
        table("Scores by class", heads, rows, "figures"),
        _confusion(found),
        element("ul", notes, class_="note") if notes else None,
    )


def _confusion(found: Evaluation) -> Markup:
    """What became of the pixels of each class of the reference, in percent of it."""
    if len(found.classes) > _MOST_CROSSED:
        advice = "The confusion matrix of so many classes: glnet-geo evaluate, with -o."
        return element("p", advice, class_="note")
    counts, names = found.table, [one.name for one in found.classes]
    if not found.matrix.missed.any():
        counts = counts[:, :-1]
    columns = [*names, NO_CLASS][: counts.shape[1]]
    is_short = len(columns) > _MOST_NAMED
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)

    def cell(share: float, is_known: bool) -> Markup:
        if not is_known:
            return element("td", "-")
        shade = round(_SHADES * share)
        shown = f"{100 * share:.0f}" if is_short else f"{100 * share:.1f}"
        return element("td", shown if share else "", class_=f"s{shade}")

    def head(k: int) -> Content:
        if not is_short:
            return element("bdi", columns[k])
        hidden = element("span", columns[k], class_="hidden")
        return element("span", k + 1 if k < len(names) else "-", aria_hidden="true"), hidden

    rows = [
        element(
            "tr",
            element("th", f"{k + 1}  " if is_short else None, element("bdi", name), scope="row"),
            (cell(share, bool(total[k, 0])) for share in shares[k].tolist()),
        )
        for k, name in enumerate(names)
    ]
    key = " Columns bear the numbers of the rows." if is_short else ""
    caption = (
        "Confusion matrix: percent of a class of the reference (row) that the map shows as a "
        f"class (column).{key}"
    )
    kind = "matrix many" if is_short else "matrix"
    return table(caption, ["Reference", *map(head, range(len(columns)))], rows, kind)
