"""Model files: weights and a card in one safetensors file, never pickle.

The card is JSON under the key `glnet_geo` of the file's metadata. Files made elsewhere are input
like any other: everything is checked before memory is spent on it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from glnet_geo.errors import GlnetGeoError, ModelError, OutputError
from glnet_geo.legend import Legend
from glnet_geo.models.backbones import BACKBONES
from glnet_geo.models.fpn import DecoderWidths
from glnet_geo.models.glnet import Architecture, Form, GLNet
from glnet_geo.outputs import publish
from glnet_geo.tiling import MIN_PATCH_OVERLAP, FrameExtent, FramePlan, scene_frames

METADATA_KEY = "glnet_geo"
FORMAT = 1
HISTOGRAM_BINS = 32
_WEIGHT_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_MAX_SIDE = 100_000  # pixels; a card that asks for more is damaged
_MAX_CHANNELS = 4096


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model is and how it wants its input.

    Attributes:
        name: Name of the model.
        version: Its version.
        legend: The classes, in the order of the network's outputs.
        bands: What the input bands show, in order.
        architecture: Networks, decoder widths and scaling of pixel values.
        frame: Side in pixels of the frames that the model was trained on.
        global_size: Side in pixels of the global view of such a frame.
        patch_size: Side of a patch in pixels.
        overlap: Pixels that neighbouring frames of a scene share at least.
        gsd: Ground sample distance in metres of the training scenes; None to work in pixels.
        provenance: Where the weights come from: data, method, starting weights.
        licence: Licence of the weights.
        scores: Measured scores, free in form, with what they were measured on.
        temperature: What scores are divided by before a softmax, so that they are as sure as they
            are right; see `calibration`. None where nobody has measured it.
        views: In how many ways (1, 2 or 4, mirrored) it looks at a frame unless asked otherwise.
        histogram: What the training scenes look like, for each band: shares of its values, as the
            networks get them, in `HISTOGRAM_BINS` equal ranges of 0-255. Empty where unknown.
    """

    name: str
    version: str
    legend: Legend
    bands: tuple[str, ...]
    architecture: Architecture
    frame: int
    global_size: int
    patch_size: int
    overlap: int
    gsd: float | None
    provenance: str
    licence: str
    scores: Mapping[str, Any] = field(default_factory=dict)
    temperature: float | None = None
    views: int = 1
    histogram: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        _check_card(self)

    def check_frame(self, frame: int | FrameExtent) -> None:
        """Refuses frames that are no larger than their overlaps.

        Raises:
            GlnetGeoError: The frame is.
        """
        if isinstance(frame, int) and frame <= 2 * self.overlap:
            raise GlnetGeoError(
                f"A frame of {frame} px is too small: the model {self.name!r} overlaps frames by "
                f"{self.overlap} px. Take more than {2 * self.overlap}."
            )

    def frames(
        self, height: int, width: int, frame: int | FrameExtent, is_exact: bool
    ) -> FramePlan:
        """The frames that a view of this size is covered with, see `scene_frames`."""
        sizes = self.frame, self.overlap, self.patch_size
        return scene_frames(height, width, frame, *sizes, is_exact)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, as `ModelCard.from_dict` reads it."""
        architecture = self.architecture
        return {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "legend": self.legend.to_dict(),
            "bands": list(self.bands),
            "scaling": {"mean": list(architecture.mean), "std": list(architecture.std)},
            "backbone": architecture.backbone,
            "form": str(architecture.form),
            "widths": [architecture.widths.lateral, architecture.widths.smooth],
            "activated": architecture.widths.activated,
            "frame": self.frame,
            "global_size": self.global_size,
            "patch_size": self.patch_size,
            "overlap": self.overlap,
            "gsd": self.gsd,
            "provenance": self.provenance,
            "licence": self.licence,
            "scores": dict(self.scores),
            "temperature": self.temperature,
            "views": self.views,
            "histogram": [list(shares) for shares in self.histogram],
        }

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> ModelCard:
        """Reads the JSON form.

        Raises:
            ModelError: A key is missing or its value makes no sense.
        """
        if table.get("format") != FORMAT:
            raise ModelError(f"its card has format {table.get('format')!r:.20}, not {FORMAT}.")
        try:
            lateral, smooth = table["widths"]
            legend = Legend.from_dict(table["legend"])
            return cls(
                table["name"],
                table["version"],
                legend,
                tuple(table["bands"]),
                Architecture(
                    table["backbone"],
                    len(legend),
                    Form(table["form"]),
                    DecoderWidths(lateral, smooth, table["activated"]),
                    tuple(table["scaling"]["mean"]),
                    tuple(table["scaling"]["std"]),
                ),
                table["frame"],
                table["global_size"],
                table["patch_size"],
                table["overlap"],
                table["gsd"],
                table["provenance"],
                table["licence"],
                table["scores"],
                # Cards made by hand may go without these.
                table.get("temperature"),
                table.get("views", 1),
                tuple(tuple(shares) for shares in table.get("histogram", ())),
            )
        except KeyError as error:
            raise ModelError(f"its card has no {error}.") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"its card makes no sense: {str(error)[:100]}.") from None


def _check_card(card: ModelCard) -> None:
    texts = (card.name, card.version, card.provenance, card.licence, *card.bands)
    for text in texts:
        if not isinstance(text, str) or not text.isprintable() or len(text) > 2000:
            raise ModelError("its card has a text that is missing, too long or not printable.")
    if not 1 <= len(card.name) <= 100:
        raise ModelError("its card has a name that is not 1-100 characters.")
    architecture = card.architecture
    if architecture.backbone not in BACKBONES:
        known = ", ".join(BACKBONES)
        raise ModelError(f"its card has the backbone {architecture.backbone!r:.40}, not {known}.")
    channels = (architecture.widths.lateral, architecture.widths.smooth, len(card.bands))
    sides = (card.frame, card.global_size, card.patch_size)
    for values, most in ((channels, _MAX_CHANNELS), (sides, _MAX_SIDE)):
        if not all(type(value) is int and 1 <= value <= most for value in values):
            raise ModelError(f"its card has a size outside 1-{most}: {values}.")
    if not MIN_PATCH_OVERLAP < card.patch_size <= card.frame:
        raise ModelError(f"its card has patches of {card.patch_size} px in frames of {card.frame}.")
    if type(card.overlap) is not int or not 0 <= 2 * card.overlap < card.frame:
        raise ModelError(f"its card has the frame overlap {card.overlap!r:.40}.")
    numbers = (*architecture.mean, *architecture.std)
    if not len(card.bands) == len(architecture.mean) == len(architecture.std):
        raise ModelError("its card scales another number of bands than it names.")
    if not all(_is_finite(value) for value in numbers) or not all(architecture.std):
        raise ModelError("its card has a scaling that is not finite.")
    if card.gsd is not None and not (_is_finite(card.gsd) and card.gsd > 0):
        raise ModelError(f"its card has the GSD {card.gsd!r:.40}.")
    temperature = card.temperature
    if temperature is not None and not (_is_finite(temperature) and temperature > 0):
        raise ModelError(f"its card has the temperature {temperature!r:.40}.")
    if card.views not in (1, 2, 4):
        raise ModelError(f"its card looks at frames in {card.views!r:.40} ways, not 1, 2 or 4.")
    shares = [share for band in card.histogram for share in band]
    if not all(_is_finite(share) and share >= 0 for share in shares) or (
        shares and [len(band) for band in card.histogram] != [HISTOGRAM_BINS] * len(card.bands)
    ):
        raise ModelError("its card has a histogram that makes no sense.")
    if type(architecture.widths.activated) is not bool or not isinstance(card.scores, Mapping):
        raise ModelError("its card has an entry of the wrong type.")


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e6


def save_model(net: GLNet, card: ModelCard, path: Path, half: bool = False) -> None:
    """Writes a model file under a temporary name and renames it.

    Args:
        net: The networks.
        card: Their card.
        path: Where to; an existing file is replaced.
        half: Whether to round the weights to float16, for half the size.

    Raises:
        OutputError: The disk is full or the file cannot be replaced.
    """
    tensors = {
        key: (value.half() if half else value).contiguous()
        for key, value in net.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    text = json.dumps(card.to_dict(), ensure_ascii=False)
    temporary = path.with_name(f".{path.name}.new")
    try:
        # safetensors leaves files that only their owner may read, whatever the umask says.
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(tensors, temporary, {METADATA_KEY: text})
        temporary.chmod(mode)
        publish(temporary, path)
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())
        raise OutputError(f"{path} cannot be written: {reason}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def read_card(path: Path | str) -> ModelCard:
    """The card of a model file, without its weights.

    Raises:
        ModelError: The file is missing, damaged, or no model of glnet-geo.
    """
    return _open_model(Path(path))[0]


def read_model(path: Path) -> tuple[GLNet, ModelCard]:
    """Reads a model file: float32 networks in eval mode on the CPU, and their card.

    Raises:
        ModelError: The file is missing, damaged, or no model of glnet-geo.
    """
    card, weights = _open_model(path)
    # Shapes are compared on the meta device first: a hostile card must not cost memory.
    with torch.device("meta"):
        expected = {
            key: value
            for key, value in GLNet(card.architecture).state_dict().items()
            if not key.endswith("num_batches_tracked")
        }
    try:
        with weights as file:
            found = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
            shapes = {key: tuple(value.shape) for key, value in expected.items()}
            compare_shapes(found, shapes, path)
            state = {key: file.get_tensor(key) for key in found}
    except SafetensorError as error:
        raise ModelError(f"{path} cannot be read: {' '.join(str(error).split())}.") from None
    for key, tensor in state.items():
        check_finite(key, tensor, path)
    net = GLNet(card.architecture)
    net.load_state_dict(state, strict=False)
    return net.eval(), card


def model_hash(path: Path) -> str:
    """The SHA-256 of a model file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open_model(path: Path) -> tuple[ModelCard, Any]:
    if not path.is_file():
        raise ModelError(f"{path} is not a file. Known models: glnet-geo models list")
    try:
        file = safe_open(path, framework="pt")
        text = (file.metadata() or {}).get(METADATA_KEY)  # type: ignore[no-untyped-call]
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())[:150]
        raise ModelError(f"{path} is not a whole safetensors file: {reason}.") from None
    if text is None:
        raise ModelError(f"{path} is a safetensors file, but not a model of glnet-geo.")
    try:
        table = json.loads(text)
        if not isinstance(table, dict):
            raise ModelError("its card is not an object.")
        return ModelCard.from_dict(table), file
    except (GlnetGeoError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not a usable model: {error}") from None


def check_finite(key: str, tensor: Tensor, path: Path) -> None:
    """Refuses weights that are no numbers.

    Raises:
        ModelError: The tensor is not of a common floating-point type, or not finite.
    """
    if tensor.dtype not in _WEIGHT_TYPES or not tensor.isfinite().all():
        raise ModelError(f"{path} has weights in {key!r} that are not finite numbers.")


def round_weights(net: GLNet) -> None:
    """Rounds weights and statistics to float16, as a file of half the size holds them.

    Raises:
        ModelError: A weight is too large for float16.
    """
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if value.is_floating_point():
                value.copy_(value.half())
                check_finite(key, value, Path("The trained model"))


def compare_shapes(
    found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]], path: Path
) -> None:
    """Compares the keys and shapes of a file with those that it should have.

    Raises:
        ModelError: Names the first key that is missing, surplus or misshapen.
    """
    missing = [key for key in expected if key not in found]
    surplus = sorted(key for key in found if key not in expected)
    misshapen = [key for key, shape in expected.items() if found.get(key, shape) != shape]
    for problem, keys in (("lacks", missing), ("has the surplus", surplus)):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ModelError(f"{path} {problem} key {keys[0]!r:.100}{more}.")
    if misshapen:
        key = misshapen[0]
        raise ModelError(
            f"{path} has the shape {list(found[key])} for {key!r}; expected {list(expected[key])}."
        )
