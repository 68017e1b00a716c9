"""The report's drawings, each a function from what was collected to a `Plot`.

A method keeps its colour, marker and line style in all of them; its place in the run decides which.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

from limbeck.report import svg, words
from limbeck.report.collect import Run
from limbeck.report.formats import DomainProbe
from limbeck.report.svg import INK, MUTED, PAPER, Plot, dashes, finish, label, series
from limbeck.report.tables import Result, results
from limbeck.spans import KINDS

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

PANEL = (340, 215)  # CSS pixels of a small drawing; several stand side by side
WIDE = 520
BARS = 40  # of a histogram
POINTS = 300  # of a curve at most; more are averaged in groups


def accuracy(run: Run) -> list[Plot]:
    """Every method on every task with its interval, over the task's chance.

    Several methods are compared within a task, so each task is a drawing; a single method's tasks
    are the rows of one.
    """
    tables = results(run)
    if len(run.methods) == 1:
        rows = [(words.task(task), row) for task, (row,) in tables.items()]
        return [_forest("accuracy", f"Accuracy of {run.methods[0].name}", "", rows)]
    return [
        _forest(
            f"accuracy-{n}",
            f"Accuracy on {words.task(task)}",
            words.task(task),
            [(row.method, row) for row in rows],
        )
        for n, (task, rows) in enumerate(tables.items())
    ]


def _forest(name: str, title: str, heading: str, rows: Sequence[tuple[str, Result]]) -> Plot:
    with svg.figure(420, 48 + 21 * len(rows), name) as drawing:
        axes = drawing.subplots()
        for y, (_, row) in enumerate(rows):
            result, colour = row.result, series(row.number)
            axes.plot([result.chance] * 2, [y - 0.5, y + 0.5], ":", color=MUTED, linewidth=1.5)
            axes.plot([result.low, result.high], [y, y], color=colour, linewidth=2.2, alpha=0.6)
            axes.plot(
                [result.accuracy],
                [y],
                svg.MARKERS[row.number % len(svg.MARKERS)],
                color=colour,
                markersize=7.5,
                markeredgecolor=PAPER,
            )
            axes.text(1.23, y, f"{100 * result.accuracy:.1f}", ha="right", va="center_baseline")
        axes.set_title(label(heading))
        axes.set_yticks(range(len(rows)), [label(text) for text, _ in rows])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(-0.02, 1.24)
        axes.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        axes.grid(visible=False, axis="y")
        axes.spines[["left", "bottom"]].set_visible(False)
        told = [
            f"{text} {words.percent(row.result.accuracy)}, interval "
            f"{100 * row.result.low:.1f} to {100 * row.result.high:.1f}, "
            f"chance {words.percent(row.result.chance)}"
            for text, row in rows
        ]
        return finish(drawing, name, title, f"{'; '.join(told)}.")


def curves(run: Run, key: str, title: str, *, logarithmic: bool = False) -> Plot | None:
    """What each method's trainer logged as `key`, over its steps; None where none did.

    Values under `eval_<key>`, measured on the validation split, are drawn as hollow marks.

    Args:
        run: What was collected.
        key: A key of the trainer's log.
        title: Of the panel.
        logarithmic: Whether a wide range of positive values gets a logarithmic axis.
    """
    name = f"curve-{key.replace('_', '-')}"
    told, values = [], []
    with svg.figure(*PANEL, name) as drawing:
        axes = drawing.subplots()
        for number, method in enumerate(run.methods):
            steps, logged = thin(*method.curve(key))
            if not steps:
                continue
            marker, colour = svg.MARKERS[number % len(svg.MARKERS)], series(number)
            alone = marker if len(steps) == 1 else ""  # a single value makes no line
            axes.plot(steps, logged, marker=alone, color=colour, linestyle=dashes(number))
            measured_at, measured = method.curve(f"eval_{key}")
            axes.plot(measured_at, measured, marker, color=colour, fillstyle="none")
            values += [value for value in (*logged, *measured) if isfinite(value)]
            told.append(f"{method.name} {logged[0]:.4g}, at step {steps[-1]} {logged[-1]:.4g}")
        if not told:
            return None
        wide = bool(values) and min(values) > 0 and max(values) > 20 * min(values)
        _scale(axes, logarithmic=logarithmic and wide)
        axes.set_title(f"{title} (log scale)" if logarithmic and wide else title)
        axes.set_xlabel("step")
        axes.margins(x=0.02)
        return finish(drawing, name, title, f"{'; '.join(told)}.")


def _scale(axes: Axes, *, logarithmic: bool) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(lambda value, _: _tick(value))
    axes.xaxis.set_major_formatter(lambda value, _: _tick(value))


def _tick(value: float) -> str:
    return f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:.4g}"


def thin(steps: list[int], values: list[float]) -> tuple[list[int], list[float]]:
    """A curve of at most `POINTS` points: the means of groups of equally many.

    Example:
        >>> thin([1, 2, 3], [3.0, 2.0, 1.0])
        ([1, 2, 3], [3.0, 2.0, 1.0])
    """
    size = -(-len(steps) // POINTS)
    if size <= 1:
        return steps, values
    groups = [values[start : start + size] for start in range(0, len(values), size)]
    ends = [min(start + size, len(steps)) - 1 for start in range(0, len(steps), size)]
    return [steps[end] for end in ends], [sum(group) / len(group) for group in groups]


def projections(run: Run) -> list[Plot]:
    """Each probed method's questions in two dimensions, before training and after, by domain."""
    return [
        _projection(f"projection-{number}-{when}", f"{method.name}, {when} training", probe, when)
        for number, method in enumerate(run.methods)
        if (probe := method.probe) is not None
        for when in ("before", "after")
    ]


def _projection(name: str, title: str, probe: DomainProbe, when: str) -> Plot:
    points = getattr(probe.projection, when)
    with svg.figure(PANEL[0], 260, name) as drawing:
        axes = drawing.subplots()
        for number, domain in enumerate(probe.domains):
            own = [
                point
                for point, each in zip(points, probe.projection.domains, strict=True)
                if each == number
            ]
            axes.plot(
                [x for x, _ in own],
                [y for _, y in own],
                svg.MARKERS[number % len(svg.MARKERS)],
                color=series(number),
                markersize=4,
                alpha=0.55,
                markeredgewidth=0,
                label=label(words.task(domain)),
            )
        axes.set_title(label(title))
        axes.set_xticks([])
        axes.set_yticks([])
        axes.legend(frameon=False, fontsize=10, loc="best", handletextpad=0.2)
        found = probe.states["question"][when]
        return finish(
            drawing,
            name,
            title,
            f"{len(points)} questions of {words.listing(map(words.task, probe.domains))}; a linear "
            f"probe tells the domain of {words.percent(found.accuracy)}, the commonest is "
            f"{words.percent(probe.majority)}.",
        )


def lengths(run: Run) -> list[Plot]:
    """A histogram for each method of the tokens of its examples, on a common axis."""
    known = [
        (number, each.name, each.lengths)
        for number, each in enumerate(run.methods)
        if each.lengths is not None
    ]
    longest = max((len(counts) for *_, counts in known), default=1) - 1
    width = max(1, -(-longest // BARS))
    return [_histogram(*each, longest, width) for each in known]


def _histogram(number: int, method: str, counts: np.ndarray, longest: int, width: int) -> Plot:
    import numpy as np

    edges = np.arange(0, longest + width + 1, width)
    heights = np.add.reduceat(np.pad(counts, (0, int(edges[-1]) - len(counts) + 1)), edges[:-1])
    half, most = quantile(counts, 0.5), quantile(counts, 0.95)
    name = f"lengths-{number}"
    title = f"Tokens per example, {method}"
    with svg.figure(PANEL[0], 190, name) as drawing:
        axes = drawing.subplots()
        axes.bar(edges[:-1], heights, width=0.9 * width, align="edge", color=series(number))
        for value in (half, most):
            axes.axvline(value + width / 2, color=MUTED, linewidth=1, linestyle=(0, (3, 2)))
        axes.set_title(label(method))
        axes.set_xlabel(f"tokens (median {half}, 95 % have at most {most})")
        axes.set_ylabel("examples")
        axes.set_xlim(0, longest + width)
        axes.grid(visible=False, axis="x")
        shortest = int(np.flatnonzero(counts)[0])
        return finish(
            drawing,
            name,
            title,
            f"{int(counts.sum())} examples of {shortest} to {len(counts) - 1} tokens; "
            f"median {half}, 95 % have at most {most}.",
        )


def quantile(counts: np.ndarray, share: float) -> int:
    """The smallest value that at least `share` of all do not exceed.

    Args:
        counts: How many there are of value n, at index n.
        share: Between 0 and 1.
    """
    import numpy as np

    return int(np.searchsorted(np.cumsum(counts), share * counts.sum()))


def spans(run: Run) -> Plot | None:
    """The share of each span kind in the tokens of each method's prepared data."""
    known = [each for each in run.methods if each.manifest and each.manifest.tokens.get("total")]
    if not known:
        return None
    told = []
    with svg.figure(WIDE, 30 + 30 * len(known), "spans") as drawing:
        axes = drawing.subplots()
        for y, method in enumerate(known):
            assert method.manifest is not None, "only methods with a manifest are drawn"
            tokens = method.manifest.tokens
            left = 0.0
            for kind in KINDS:
                share = tokens.get(kind, 0) / tokens["total"]
                if not share:
                    continue
                axes.barh(
                    y,
                    share,
                    left=left,
                    height=0.62,
                    color=svg.kind_colour(kind),
                    edgecolor=PAPER,
                    linewidth=1,
                )
                if share > 0.07:
                    axes.text(
                        left + share / 2,
                        y,
                        f"{share:.0%}",
                        ha="center",
                        va="center",
                        color=PAPER,
                        size=10,
                        weight="bold",
                    )
                left += share
                told.append(f"{method.name} {kind} {share:.1%}")
        axes.set_yticks(range(len(known)), [label(each.name) for each in known])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xticks([])
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        return finish(drawing, "spans", "Share of span kinds", "; ".join(told))
