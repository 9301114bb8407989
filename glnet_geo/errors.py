"""One exception tree.

Every message says what is wrong, where, and what to do about it, in one line: the command line
prints it as it is (`cli/main.py` is the one boundary) and exits with 1.
"""

from __future__ import annotations

from glnet_geo.remote import without_secrets


class GlnetGeoError(Exception):
    """Something about the data, the files or the machine that the user can put right."""

    def __str__(self) -> str:
        return without_secrets(super().__str__())


class RasterError(GlnetGeoError):
    """A raster that cannot be read or does not fit what is asked of it."""


class FeaturesError(GlnetGeoError):
    """A vector file that cannot be read or does not fit the scene."""


class OutputError(GlnetGeoError):
    """An output that exists already or cannot be written."""


class ModelError(GlnetGeoError):
    """A model file, model card or checkpoint that is missing, damaged or of another kind."""


class DatasetError(GlnetGeoError):
    """A dataset file, or an image or label raster that it names, that cannot be used."""


class TrainingError(GlnetGeoError):
    """A training run that cannot start, continue or be resumed."""


class BatchError(GlnetGeoError):
    """A batch that cannot start or go on: its inputs, its folder or its workers."""
