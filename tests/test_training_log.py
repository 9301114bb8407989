from __future__ import annotations

import csv

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from glnet_geo.training_log import LogRow, TensorBoard, draw_curves, write_metrics

ROWS = [
    LogRow("global", 20, 1.0, 1e-3, 0.5, None, None, 12.5),
    LogRow("global", 30, 1.5, 5e-4, 0.25, 0.4, 0.75, 20.0),
    LogRow("both_ways", 10, 0.5, 2e-4, 0.125, 0.5, 0.8, 42.0),
]


def test_metrics_are_a_table_with_gaps_where_nothing_was_scored(tmp_path):
    write_metrics(ROWS[:1], tmp_path)
    write_metrics(ROWS, tmp_path)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["stage"] for row in table] == ["global", "global", "both_ways"]
    assert [row["mean_iou"] for row in table] == ["", "0.4", "0.5"]
    assert float(table[2]["learning_rate"]) == 2e-4
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_curves_have_a_panel_for_each_stage(tmp_path):
    draw_curves(ROWS[:2], tmp_path)
    with Image.open(tmp_path / "curves.png") as picture:
        one = picture.size
    draw_curves(ROWS, tmp_path)
    with Image.open(tmp_path / "curves.png") as picture:
        both = picture.convert("RGB")
    assert both.size == (2 * one[0], one[1])
    colors = {color for _, color in both.getcolors(1 << 20)}
    assert {(31, 119, 180), (255, 127, 14)} <= colors  # a line for the loss and one for the score


def test_events_continue_where_the_run_before_ended(tmp_path):
    for first, rows in ((0, ROWS[:1]), (1, ROWS)):
        board = TensorBoard(tmp_path, first)
        board.show(rows)
        board.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(one.step, one.value) for one in events.Scalars("global/loss")] == [
        (20, 0.5),
        (30, 0.25),
    ]
    assert [one.step for one in events.Scalars("global/mean_iou")] == [30]
