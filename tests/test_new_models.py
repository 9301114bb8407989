from __future__ import annotations

import pytest
import torch

from glnet_geo.checkpoint import read_model
from glnet_geo.errors import DatasetError
from glnet_geo.legend import DUBAI, LandCover, Legend
from glnet_geo.models.glnet import Form
from glnet_geo.new_models import derived_model
from tests.models import small_model

TOWN = Legend(
    "town",
    (
        LandCover(3, "Water", (0, 0, 255)),
        LandCover(7, "orchard", (0, 255, 0)),
        LandCover(9, "building", (255, 0, 0)),
    ),
)


def derived(path, **given):
    return derived_model(path, "town", TOWN, given, seed=1)


def test_classes_of_the_same_name_keep_what_they_have_learned(tmp_path):
    path = small_model(tmp_path / "m.safetensors")
    old, card = read_model(path)
    made = derived(path)
    assert made.card.legend == TOWN and made.card.bands == card.bands
    assert made.card.frame == card.frame and made.ready == frozenset(Form)
    names = [one.name for one in card.legend.classes]
    for key, value in made.net.state_dict().items():
        before = old.state_dict()[key]
        if "classify" not in key and "ensemble" not in key:
            assert torch.equal(value, before), key
            continue
        assert len(value) == 3
        assert torch.equal(value[0], before[names.index("water")])
        assert torch.equal(value[2], before[names.index("building")])
        assert not any(torch.equal(value[1], row) for row in before)


@pytest.mark.parametrize(("form", "count"), [(Form.GLOBAL, 1), (Form.GLOBAL_TO_LOCAL, 2)])
def test_branches_that_the_other_model_lacks_are_not_ready(tmp_path, form, count):
    made = derived(small_model(tmp_path / "m.safetensors", form))
    assert made.net.feedback is not None
    assert made.ready == frozenset(list(Form)[:count])


def test_other_frames_may_be_asked_for_but_not_other_networks(tmp_path):
    path = small_model(tmp_path / "m.safetensors")
    _, card = read_model(path)
    assert derived(path, frame=2 * card.frame, gsd=0.3).card.frame == 2 * card.frame
    with pytest.raises(DatasetError, match=r"widths .* differs .* --init"):
        derived(path, widths=[7, 7])


def test_the_same_legend_starts_with_all_weights(tmp_path):
    path = small_model(tmp_path / "m.safetensors")
    old, card = read_model(path)
    made = derived_model(path, "again", card.legend, {}, seed=5)
    for key, value in made.net.state_dict().items():
        assert torch.equal(value, old.state_dict()[key]), key
    assert card.legend == DUBAI
