"""What is made of rows: a printed table, JSON, a Markdown table for the documentation, and a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from timing import Row

FOLDER = Path(__file__).parent / "results"
_COLOURS = {True: "#2b6cb0", False: "#d9534f", None: "#a0aec0"}
_WORDS = {True: "yes", False: "no", None: ""}


def verdict(row: Row) -> str:
    """Return whether the limit is reached, in a word."""
    return _WORDS[row.ok]


def number(value: float | None) -> str:
    """Return a number with three digits, and an exponent only where it is small."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


HEADER = ("case", "dynet", "peer", "unit", "ratio", "must reach", "reached", "peer's name")


def cells(row: Row) -> tuple[str, ...]:
    """Return the cells of a row of the table."""
    if row.dynet is None:
        return row.case, "-", "-", row.unit, "-", row.must_reach, row.note, _name(row)
    peer, ratio = (number(row.peer), number(row.ratio)) if _name(row) else ("", "")
    return row.case, number(row.dynet), peer, row.unit, ratio, row.must_reach, verdict(row), _name(row)


def _name(row: Row) -> str:
    return "" if row.against == "limit" else row.against


def text(rows: Sequence[Row]) -> str:
    """Return the table as it is printed."""
    table = [HEADER, *(cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEADER))]
    lines = []
    for line in table:
        padded = [
            cell.rjust(w) if i in (1, 2, 4) else cell.ljust(w)
            for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def markdown(rows: Sequence[Row], machine: dict[str, Any]) -> str:
    """Return the table for the documentation, with the machine it belongs to."""
    lines = ["| " + " | ".join(HEADER) + " |", "|---|--:|--:|---|--:|---|---|---|"]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    limits = [row for row in rows if row.limit is not None]
    reached = sum(row.ok is True for row in limits)
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    about = f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}; {packages}."
    return "\n".join([*lines, "", f"{reached} of {len(limits)} limits are reached. Measured on: {about}", ""])


def write(rows: Sequence[Row], machine: dict[str, Any], folder: Path = FOLDER) -> list[Path]:
    """Write peers.json, peers.md and peers.png; return their paths."""
    folder.mkdir(exist_ok=True)
    listed = [{**asdict(row), "ok": row.ok} for row in rows]
    paths = [folder / f"peers.{suffix}" for suffix in ("json", "md", "png")]
    paths[0].write_text(json.dumps({"machine": machine, "cases": listed}, indent=1, ensure_ascii=False) + "\n")
    paths[1].write_text(markdown(rows, machine))
    picture(rows, paths[2])
    return paths


def picture(rows: Sequence[Row], path: Path) -> None:
    """Draw the ratios as bars from 1, with the limits marked: beside peers above, beside fixed figures below."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    drawn = [row for row in rows if row.ratio is not None]
    panels = [
        ("time beside a peer's (1: as fast as the peer)", [row for row in drawn if row.against != "limit"]),
        ("figure beside the one it must reach (1: just reached)", [row for row in drawn if row.against == "limit"]),
    ]
    panels = [(title, members) for title, members in panels if members]
    heights = [len(members) + 2 for _, members in panels]
    figure, axes = plt.subplots(
        len(panels),
        1,
        figsize=(13, 0.27 * sum(heights) + 1),
        height_ratios=heights,
        layout="constrained",
        squeeze=False,
    )
    for ax, (title, members) in zip(axes[:, 0], panels, strict=True):
        _bars(ax, members)
        ax.set_title(title, loc="left", fontsize=10)
    handles = [Patch(color=_COLOURS[True], label="limit reached"), Patch(color=_COLOURS[False], label="not reached")]
    handles += [Patch(color=_COLOURS[None], label="no limit"), Line2D([], [], color="black", lw=2, label="limit")]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def _bars(ax: Any, rows: Sequence[Row]) -> None:
    for y, row in enumerate(rows):
        low, high = sorted((1.0, max(row.ratio or 0.0, 1e-3)))
        ax.barh(y, high - low, left=low, height=0.62, color=_COLOURS[row.ok])
        if row.limit is not None:
            ax.plot([row.limit, row.limit], [y - 0.42, y + 0.42], color="black", lw=2, solid_capstyle="butt")
        label = f"{number(row.ratio)}x" if row.against != "limit" else f"{number(row.dynet)} {row.unit}"
        if row.limit is not None:
            label += f"  ({row.must_reach})"
        ax.annotate(label, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    ax.axvline(1.0, color="black", lw=0.8)
    ax.set_xlabel("less is better", fontsize=8)
    names = [row.case if row.against == "limit" else f"{row.case}   / {row.against}" for row in rows]
    ax.set_yticks(range(len(rows)), names, fontsize=8)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.grid(axis="x", which="major", color="#dddddd", lw=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
