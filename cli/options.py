"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import click

from glnet_geo.cli.main import configure_logging
from glnet_geo.cli.values import (
    PATH,
    AreaValue,
    BandList,
    FrameSize,
    Interval,
    LengthValue,
    Memory,
    Metres,
    Number,
)
from glnet_geo.modelzoo import DEFAULT_MODEL

Command = TypeVar("Command", bound=Callable[..., Any])

_MOST_LISTED = 30


def output_option(what: str) -> Callable[[Command], Command]:
    """`-o/--output`, required."""
    return click.option("-o", "--output", type=PATH, required=True, help=f"{what} to write.")


overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace an output that exists already."
)
resume_option = click.option("--resume", is_flag=True, help="Continue an interrupted run.")
device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps."
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
    help="Numbers that the networks compute in. auto: bf16 on NVIDIA GPUs that have it, fp32 "
    "on all else and with --reference.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the summary as one JSON object on stdout."
)

connectivity_option = click.option(
    "--connectivity",
    type=click.Choice(["4", "8"]),
    default="4",
    show_default=True,
    callback=lambda ctx, param, value: int(value),
    help="8: pixels that touch in a corner belong together, in multipolygons.",
)
safe_option = click.option(
    "--safe",
    is_flag=True,
    help="Trust nothing of the files that are read, as a service for strangers must: GeoTIFF, "
    "PNG, JPEG and JPEG 2000, GeoPackage and GeoJSON only, of bounded size; no network, no files "
    "that others point to.",
)


max_memory_option = click.option(
    "--max-memory",
    type=Memory(),
    metavar="SIZE",
    help="Main memory that the run may hold at most, such as 2GB. Some frames are tried first; "
    "buffers are made smaller where need be, and a run that needs more is refused.",
)


def all_of(options: Sequence[Callable[[Command], Command]], command: Command) -> Command:
    """Adds options to a command, in this order in its help."""
    for option in reversed(options):
        command = option(command)
    return command


def mapping_options(command: Command) -> Command:
    """How scenes are mapped, `glnet_geo.map_options.MapOptions`; see `map_options_of`."""
    options = (
        click.option(
            "--model",
            default=DEFAULT_MODEL,
            show_default=True,
            metavar="NAME|FILE",
            help="A bundled model (see glnet-geo models list) or a model file.",
        ),
        click.option(
            "--bands",
            type=BandList(),
            help="Bands of the scene in the model's order: numbers from 1, descriptions or "
            "colours, such as 4,3,2 or nir,red,green. Default: those named like the model's, else "
            "the first ones.",
        ),
        click.option(
            "--scale",
            type=Interval(),
            multiple=True,
            help="Values that become black and white, such as 0,3000: once for all bands, or once "
            "for each. Default: 8-bit pixels as they are, others from the 1st to the 99th "
            "percentile.",
        ),
        click.option(
            "--gsd", type=Metres(), help="Size of the scene's pixels, whatever its CRS says."
        ),
        click.option("--aoi", type=PATH, help="Vector file: map only what lies in its polygons."),
        click.option(
            "--any-valid",
            is_flag=True,
            help="Take a pixel as valid where any of the bands has data. Default: where all have.",
        ),
        click.option(
            "--nodata", type=Number(), help="Value that means no data, whatever the file says."
        ),
        click.option(
            "--nodata-tolerance",
            type=Number(least=0),
            default=0.0,
            show_default=True,
            help="Take values so near to nodata as nodata, as in the collar of lossy JPEG.",
        ),
        click.option(
            "--frame",
            type=FrameSize(),
            default="card",
            show_default=True,
            metavar="N|card|scene",
            help="What the network sees at once: N pixels, about what its card says, or the whole "
            "scene.",
        ),
        click.option(
            "--tta",
            "views",
            type=click.Choice([1, 2, 4]),
            metavar="1|2|4",
            help="In how many ways to look at each frame, mirrored, and take the mean: better, and "
            "as many times slower. Default: what the model's card says.",
        ),
        click.option(
            "--reference",
            is_flag=True,
            help="Follow the reference implementation's arithmetic to the letter.",
        ),
        device_option,
        precision_option,
        safe_option,
    )
    return all_of(options, command)


def map_options_of(options: dict[str, Any]) -> Any:
    """Takes what `mapping_options` gave out of a command's options, as `MapOptions`."""
    from glnet_geo.map_options import MapOptions
    from glnet_geo.precision import Precision
    from glnet_geo.validity import Validity

    masks = ("any_valid", "nodata", "nodata_tolerance")
    validity = Validity(*(options.pop(name) for name in masks))
    others = ("model", "scale", "aoi", "gsd", "frame", "device", "reference", "views", "safe")
    chosen = {name: options.pop(name) for name in others}
    return MapOptions(
        bands=options.pop("bands") or (),
        validity=validity,
        precision=Precision(options.pop("precision")),
        **chosen,
    )


def layer_options(command: Command) -> Command:
    """What is told of every pixel besides its class; see `layers_of`."""
    options = (
        click.option(
            "--probabilities",
            type=PATH,
            metavar="FILE",
            help="Write the probability of every class too, a band for each.",
        ),
        click.option(
            "--confidence",
            type=PATH,
            metavar="FILE",
            help="Write how sure the map is: the probability that a class is right if the model "
            "is calibrated, else the margin between the two likeliest classes.",
        ),
        click.option(
            "--disagreement",
            type=PATH,
            metavar="FILE",
            help="Write how much the local and the global branch contradict each other.",
        ),
    )
    return all_of(options, command)


def layers_of(options: dict[str, Any]) -> dict[Any, Any]:
    """Takes what `layer_options` gave out of a command's options, paths by `Layer`."""
    from glnet_geo.uncertainty import Layer

    chosen = {layer: options.pop(layer.value) for layer in Layer}
    return {layer: path for layer, path in chosen.items() if path is not None}


def listed(names: Sequence[str]) -> Iterator[str]:
    """What a summary shows of a list that may be very long."""
    yield from names[:_MOST_LISTED]
    if len(names) > _MOST_LISTED:
        yield f"... and {len(names) - _MOST_LISTED:,} more"


def generalisation_options(command: Command) -> Command:
    """What `vectorizing.Generalisation` consists of."""
    options = (
        click.option(
            "--min-area",
            type=AreaValue(),
            help="Smaller regions take the class with which they share the longest border, the "
            "smallest first: 50m2, 0.5ha, 100px. Nodata stays nodata.",
        ),
        click.option(
            "--fill-holes",
            type=AreaValue(),
            help="Fill smaller holes of polygons with all that is in them, nodata included.",
        ),
        click.option(
            "--simplify",
            type=LengthValue(),
            help="Simplify borders, without gaps or overlaps, by this tolerance: 1m, 2px.",
        ),
        connectivity_option,
    )
    return all_of(options, command)


def generalisation_of(options: dict[str, Any]) -> Any:
    """Takes what `generalisation_options` gave out of a command's options, as `Generalisation`."""
    from glnet_geo.vectorizing import Generalisation

    names = ("connectivity", "min_area", "fill_holes", "simplify")
    return Generalisation(**{name: options.pop(name) for name in names})


def choice_options(command: Command) -> Command:
    """Which polygons are written, and in which layers."""
    options = (
        click.option(
            "--classes",
            multiple=True,
            metavar="NAMES",
            help="Write these classes only: names or ids, such as building,water.",
        ),
        click.option("--exclude", multiple=True, metavar="NAMES", help="Leave these classes out."),
        click.option(
            "--dissolve",
            is_flag=True,
            help="One multipolygon a class. All of them must fit in memory.",
        ),
        click.option("--layer", help="Name of the layer; landcover if none is given."),
        click.option(
            "--layer-per-class", is_flag=True, help="A layer for each class instead of one."
        ),
    )
    return all_of(options, command)


def layer_of(options: dict[str, Any]) -> str:
    """Takes the layer's name out of a command's options."""
    layer = options.pop("layer")
    if layer is not None and options["layer_per_class"]:
        raise click.UsageError("--layer names a single layer. Leave it out, or --layer-per-class.")
    from glnet_geo.vectorizing import DEFAULT_LAYER

    return DEFAULT_LAYER if layer is None else str(layer)


def _set_verbosity(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    if value:
        configure_logging(-1 if param.name == "quiet" else int(value))
    return value


def verbosity_options(command: Command) -> Command:
    """`-q/--quiet` and `-v/--verbose`; commands get `quiet`."""
    quiet = click.option(
        "-q", "--quiet", is_flag=True, callback=_set_verbosity, help="Only errors."
    )
    verbose = click.option(
        "-v",
        "--verbose",
        count=True,
        callback=_set_verbosity,
        expose_value=False,
        help="More messages; twice for all.",
    )
    return quiet(verbose(command))
