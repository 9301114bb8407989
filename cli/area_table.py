"""Error-adjusted areas as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glnet_geo.cli.options import listed

if TYPE_CHECKING:
    from glnet_geo.area_estimates import AreaEstimates, ClassEstimate, Estimate

_SMALL_M2 = 1e6  # sites whose areas need more digits in hectares
_HEADS = ("class", "mapped", "adjusted", "user's acc.", "producer's acc.")


def describe_areas(estimates: AreaEstimates) -> str:
    """The estimates as a person pastes them into a mail, with 95 % confidence intervals."""
    is_px = estimates.unit == "px"
    scale, unit, digits = (1.0, "px", 0) if is_px else (1e-4, "ha", 1)
    if not is_px and estimates.design.area < _SMALL_M2:
        digits = 3

    def row(one: ClassEstimate) -> tuple[str, ...]:
        return (
            one.name,
            f"{scale * one.mapped_area:,.{digits}f} {unit}",
            f"{_figure(one.area.scaled(scale), digits)} {unit}",
            _share(one.users_accuracy),
            _share(one.producers_accuracy),
        )

    largest = sorted(estimates.classes, key=lambda one: -one.area.value)
    rows = [_HEADS, *(row(one) for one in largest)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [f"{name:<{widths[0]}}"]
            + [f"{text:>{width}}" for text, width in zip(cells, widths[1:], strict=True)]
        ).rstrip()
        for name, *cells in rows
    ]
    mapped = "" if estimates.is_mapped_area_known else "; mapped areas are estimates too"
    return "\n".join(
        [
            f"Areas by {estimates.points:,} labelled points, ± is the 95 % confidence interval",
            *(f"  {line}" for line in listed(lines)),
            f"  overall accuracy {_share(estimates.overall_accuracy)}",
            f"  areas: {estimates.design.area_rule}{mapped}",
        ]
    )


def _figure(estimate: Estimate, digits: int) -> str:
    return f"{estimate.value:,.{digits}f} ± {estimate.margin:,.{digits}f}"


def _share(estimate: Estimate | None) -> str:
    return "-" if estimate is None else _figure(estimate, 3)
