"""The page: what was collected, drawn and tabulated, through the template, to one file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.errors import InputError
from limbeck.report import plots, svg, tables, words
from limbeck.report.collect import Run, collect
from limbeck.spans import KINDS
from limbeck.visible import visible

if TYPE_CHECKING:
    from jinja2 import Environment

SHOWN = 2000  # characters of a generation


def report(run_dir: str | Path, *, output: str | Path | None = None) -> Path:
    """Write a run's report.

    The same run gives the same bytes.

    Args:
        run_dir: The `output_dir` of a run of one or several methods, finished or not.
        output: The file to write; `report.html` in the run's directory by default.

    Returns:
        The file written.

    Raises:
        InputError: It is no run directory, a file in it is damaged, or `output` is a directory.
    """
    run_dir = Path(run_dir)
    path = Path(output) if output else run_dir / "report.html"
    if path.is_dir():
        raise InputError(f"{path}: is a directory; name the file to write")
    write_page(path, render(collect(run_dir)))
    return path


def write_page(path: Path, page: str) -> None:
    """Write a page beside and rename it, so that an interrupted write leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(page, "utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def render(run: Run) -> str:
    """The page as HTML."""
    losses, followed = tables.curve_keys(run)
    return (
        environment(run.directory)
        .get_template("template.html")
        .render(
            run=run,
            tables=tables,
            legend=[
                {
                    "name": method.name,
                    "number": number % svg.SERIES,
                    "dashes": svg.DASHES[number % len(svg.DASHES)],
                    "marker": _GLYPHS[number % len(_GLYPHS)],
                }
                for number, method in enumerate(run.methods)
            ],
            kinds=KINDS,
            accuracy=plots.accuracy(run) if run.tasks else [],
            losses=_drawn(
                plots.curves(run, key, words.title(key), logarithmic=True) for key in losses
            ),
            followed=_drawn(plots.curves(run, key, words.title(key)) for key in followed),
            throughput=plots.curves(run, tables.THROUGHPUT, words.title(tables.THROUGHPUT)),
            projections=plots.projections(run),
            lengths=plots.lengths(run),
            spans=plots.spans(run),
            points=plots.POINTS,
            shown=SHOWN,
        )
    )


# How the markers of the plots look as text.
_GLYPHS = ("●", "■", "▲", "◆", "▼", "✚", "✖", "⬢")


def _drawn(found: Any) -> Sequence[svg.Plot]:
    return [each for each in found if each is not None]


def environment(directory: Path) -> Environment:
    """What renders a page: everything shown is escaped, paths are told from `directory`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("limbeck.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Everything that is shown is escaped and spelled out, also where a template forgets to.
        finalize=lambda value: visible(value, keep="\n\t") if type(value) is str else value,
    )
    environment.filters |= {
        "percent": words.percent,
        "count": words.count,
        "size": words.size,
        "listing": words.listing,
        "duration": words.duration,
        "taskname": words.task,
        "controlname": words.control_name,
        "place": lambda path: words.place(path, directory),
        # Our own drawing, in which matplotlib and ElementTree escaped every text.
        "drawing": lambda plot: Markup(plot.svg),  # noqa: S704
    }
    return environment
