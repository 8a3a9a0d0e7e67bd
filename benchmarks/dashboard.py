"""The dashboard's queries, asked of a real Prometheus and plotted: what Grafana shows, where there is no Grafana."""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from urllib.request import urlopen

DASHBOARD: Final = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboards" / "lookalike.json"
_POINTS: Final = 120
_WINDOW: Final = "30s"
_COLUMNS: Final = 2
_PANEL_INCHES: Final = (7.0, 2.6)
_LABELS_MOST: Final = 8


def plot(prometheus: str, since: float, until: float, output: Path, *, title: str) -> None:
    """Ask every query of the dashboard's graphs over a range of time, and draw one picture of them all.

    Args:
        prometheus: its address, such as `http://127.0.0.1:9090`.
        since: seconds since 1970.
        until: seconds since 1970.
        output: a PNG file.
        title: above all of it.
    """
    import matplotlib as mpl  # noqa: PLC0415 - slow to import

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415 - as above

    panels = [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] == "timeseries"]
    rows = -(-len(panels) // _COLUMNS)
    width, height = _PANEL_INCHES
    figure, axes = plt.subplots(rows, _COLUMNS, figsize=(width * _COLUMNS, height * rows), layout="constrained")
    for axis, panel in zip(axes.flat, panels, strict=False):
        axis.set_title(panel["title"], fontsize=9, loc="left")
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=7)
        for target in panel["targets"]:
            for series in ask(prometheus, target["expr"], since, until):
                times = [(at - since) / 60 for at, _ in series["values"]]
                values = [float(value) for _, value in series["values"]]
                axis.plot(times, values, linewidth=1, label=_legend(target["legendFormat"], series["metric"]))
        axis.set_ylim(bottom=0)
        axis.set_xlim(0, (until - since) / 60)
        handles, labels = axis.get_legend_handles_labels()
        if handles:
            axis.legend(handles[:_LABELS_MOST], labels[:_LABELS_MOST], fontsize=6, loc="upper left")
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("minutes", fontsize=8)
    figure.suptitle(title, fontsize=11)
    figure.savefig(output, dpi=80)
    plt.close(figure)


def ask(prometheus: str, expression: str, since: float, until: float) -> Sequence[Mapping[str, Any]]:
    """The series that an expression of the dashboard has in a range of time."""
    query = urlencode(
        {
            "query": expression.replace("$__rate_interval", _WINDOW),
            "start": since,
            "end": until,
            "step": max(1.0, (until - since) / _POINTS),
        }
    )
    with urlopen(f"{prometheus}/api/v1/query_range?{query}", timeout=30) as answer:  # noqa: S310 - an address of ours
        result: Sequence[Mapping[str, Any]] = json.load(answer)["data"]["result"]
    return result


def _legend(form: str, labels: Mapping[str, str]) -> str:
    for name in ("service", "instance", *labels):
        form = form.replace(f"{{{{{name}}}}}", labels.get(name, ""))
    return form or "value"


def main(arguments: Sequence[str] | None = None) -> None:
    """Plot the last minutes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description=__doc__)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="its address (http://127.0.0.1:9090)")
    parser.add_argument("--minutes", type=float, default=30.0, help="how far back (30)")
    parser.add_argument("--output", type=Path, default=Path("dashboard.png"), help="a PNG file (dashboard.png)")
    given = parser.parse_args(arguments)
    now = time.time()
    plot(given.prometheus, now - given.minutes * 60, now, given.output, title="Lookalike")


if __name__ == "__main__":
    main()
