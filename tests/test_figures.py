"""Pictures with names in any alphabet."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from glnet_geo.figures import new_figure, save_png, short


def drawn(label):
    figure = new_figure(3, 2)
    axes = figure.add_subplot()
    axes.set_xticks([0, 1], [label, short("costs $5 and $6", 40)])
    axes.set_title(label)
    picture = io.BytesIO()
    save_png(figure, picture)
    return np.asarray(Image.open(picture).convert("L"))


def test_letters_that_no_font_has_are_no_warning():
    # pytest makes errors of warnings.
    assert drawn("water 水 पानी น้ำ").min() < 128


def test_names_are_cut_and_are_no_formulas():
    assert short("abcdef", 6) == "abcdef" and short("abcdefg", 6) == "abcde…"
    assert drawn("$x^2$").shape == (240, 360)
    # As a formula it would be an x, and would take less room.
    plain = drawn(short("$x^2$", 9))
    assert (plain < 128).sum() > (drawn("$x^2$") < 128).sum()
