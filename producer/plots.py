"""The curves of an evaluation, drawn by matplotlib (`pip install lookalike[plots]`)."""

from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Final

from contract import EvaluationReport, LookalikeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito, "Color Universal Design" (2008): told apart with any colour vision. Yellow is left out, too pale for
# a line. A form has its line's style and its marker beside its algorithm's colour.
_COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
_UPRIGHT: Final = ".upright"
_DPI: Final = 110
_SMALLEST: Final = 1e-7


class PlotsNotInstalled(LookalikeError):
    """matplotlib is missing."""


def require_matplotlib() -> None:
    """Say at once that plots cannot be drawn.

    Raises:
        PlotsNotInstalled: naming what to install.
    """
    if find_spec("matplotlib") is None:
        raise PlotsNotInstalled("plots need matplotlib: pip install 'lookalike[plots]'")


def draw_report(report: EvaluationReport) -> bytes:
    """Draw recall over the false-match rate for all profiles, and beside it recall for each transform.

    Returns:
        A PNG.

    Raises:
        PlotsNotInstalled: naming what to install.
    """
    require_matplotlib()
    # Neither pyplot nor a display: a figure of its own, drawn in memory.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    names = report["transforms"]
    figure = Figure(figsize=(15, max(7.0, 1.5 + 0.3 * len(names))), layout="constrained", dpi=_DPI)
    curves, cells = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_curves(curves, report)
    _draw_cells(cells, report)
    file = BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(file, format="png")
    return file.getvalue()


def _draw_curves(axes: "Axes", report: EvaluationReport) -> None:
    algorithms = list(dict.fromkeys(profile["hash"].removesuffix(_UPRIGHT) for profile in report["profiles"]))
    floor = max(_SMALLEST, 0.3 / max(1, report["unrelated_pairs"] * len(report["transforms"])))
    for profile in report["profiles"]:
        number = algorithms.index(profile["hash"].removesuffix(_UPRIGHT)) % len(_COLOURS)
        upright = profile["hash"].endswith(_UPRIGHT)
        rates = [max(floor, rate) for rate in profile["false_match_rate_at"]]
        axes.plot(
            rates,
            profile["recall_at"],
            color=_COLOURS[number],
            linestyle="-" if upright else "--",
            linewidth=1.8,
            label=profile["hash"],
        )
        distance = profile["max_distance"]
        if distance is not None:
            axes.plot(
                rates[distance],
                profile["recall"],
                marker=_MARKERS[number],
                color=_COLOURS[number],
                fillstyle="full" if upright else "none",
                markersize=8,
            )
    axes.axvline(report["false_match_rate"], color="0.5", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(floor, 1)
    axes.set_ylim(0, 1.01)
    axes.set_xlabel("false-match rate: share of the pairs of unrelated pictures (logarithmic; 0 at the left edge)")
    axes.set_ylabel("recall: share of the changed copies that are found")
    axes.set_title(f"{report['pictures']:,} pictures, {len(report['transforms'])} copies of each")
    axes.grid(visible=True, color="0.9")
    axes.legend(loc="lower right", title="chosen distance: marker")


def _draw_cells(axes: "Axes", report: EvaluationReport) -> None:
    """A table of shaded cells: bars of eight profiles and thirty transforms would hide one another."""
    names = report["transforms"]
    shares = [[profile["recalls"][name] for profile in report["profiles"]] for name in names]
    axes.imshow(shares, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(
        range(len(report["profiles"])),
        [profile["hash"] for profile in report["profiles"]],
        rotation=40,
        ha="right",
        rotation_mode="anchor",
    )
    axes.set_yticks(range(len(names)), names)
    for row, line in enumerate(shares):
        for column, share in enumerate(line):
            axes.text(
                column,
                row,
                f"{100 * share:.0f}",
                ha="center",
                va="center",
                fontsize=8,
                color="black" if share > 0.55 else "white",  # noqa: PLR2004 - where cividis turns light
            )
    axes.set_title(f"recall in %, at a false-match rate of {report['false_match_rate']:g}")
