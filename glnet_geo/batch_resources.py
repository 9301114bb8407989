"""What the jobs of a batch read once a process: the model, and the area of interest.

Workers outlive batches, and files change: everything goes by its digest too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from glnet_geo.allocation import reuse_memory
from glnet_geo.checkpoint import ModelCard, read_card
from glnet_geo.features import AreaOfInterest, Outlines, read_outlines
from glnet_geo.grid import Grid
from glnet_geo.map_options import model_tags
from glnet_geo.modelzoo import find_model
from glnet_geo.precision import Precision
from glnet_geo.segmenter import GLNetSegmenter, load_segmenter
from glnet_geo.tiling import FrameExtent


@dataclass(frozen=True, slots=True)
class Digests:
    """The contents of files that options name: processes outlive a batch, and files change.

    Attributes:
        model: SHA-256 of the model file.
        aoi: That of the area of interest, empty where there is none.
    """

    model: str
    aoi: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """What is known of a model without its weights.

    Attributes:
        card: Its card.
        tags: What maps tell of it.
    """

    card: ModelCard
    tags: dict[str, str]


@lru_cache(4)
def model_of(name: str, digest: str) -> Model:
    """Reads a card, and the digest of the file, once a process and version of it."""
    path = find_model(name)
    card = read_card(path)
    return Model(card, model_tags(card, path))


@lru_cache(2)
def segmenter_of(
    model: str,
    digest: str,
    device: str,
    precision: Precision,
    reference: bool,
    frame: int | FrameExtent,
    views: int,
) -> GLNetSegmenter:
    """The model, loaded once a process and version of it."""
    reuse_memory()
    return load_segmenter(find_model(model), device, precision, reference, frame, views)


@lru_cache(2)
def _outlines(aoi: Path, digest: str, safe: bool) -> Outlines:
    """The area of interest, read once a process and version of it."""
    return read_outlines(aoi, safe=safe)


@lru_cache(8)
def placed_area(aoi: Path, digest: str, grid: Grid, safe: bool) -> AreaOfInterest:
    """The area of interest on a grid, which it need not meet."""
    return AreaOfInterest.place(_outlines(aoi, digest, safe), grid, must_overlap=False)
