"""The page of a comparison: every arm's accuracy and cost, and what can be concluded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.report import svg
from limbeck.report.page import environment, write_page
from limbeck.report.svg import INK, MUTED, PAPER, Plot, dashes, finish, label, series
from limbeck.report.words import count, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from limbeck.compare.summary import ArmSummary, ComparisonSummary

__all__ = ["comparison_report"]

SIZE = (430, 270)  # CSS pixels of a drawing with two axes


def comparison_report(summary: ComparisonSummary, directory: Path, *, title: str) -> Path:
    """Write a comparison's page.

    Args:
        summary: What was found.
        directory: Gets `report.html`.
        title: Of the page.

    Returns:
        The file written.
    """
    from limbeck.compare.summary import p_text

    path = directory / "report.html"
    template = environment(directory).get_template("comparison.html")
    page = template.render(summary=summary, title=title, plots=drawings(summary), p_text=p_text)
    write_page(path, page)
    return path


def drawings(summary: ComparisonSummary) -> list[Plot]:
    """All drawings for which there is something to draw."""
    arms = summary.arms
    if not arms:
        return []
    found = [_accuracy(arms), _against_tokens(arms), _generated(arms)]
    return found + ([_against_errors(arms)] if _several(arms) else [])


def _several(arms: Sequence[ArmSummary]) -> bool:
    """Whether the arms' teachers were wrong to different shares, or in different ways."""
    return len({(arm.hallucination, _kind(arm) if arm.hallucination else None) for arm in arms}) > 1


def _kind(arm: ArmSummary) -> tuple[str, str]:
    """Of an arm's wrong rationales."""
    return arm.mistakes, arm.conclusion


def _accuracy(arms: Sequence[ArmSummary]) -> Plot:
    with svg.figure(SIZE[0], 48 + 21 * len(arms), "arms") as drawing:
        axes = drawing.subplots()
        for y, arm in enumerate(arms):
            found = arm.accuracy
            axes.plot([found.low, found.high], [y, y], color=series(y), linewidth=2.2, alpha=0.6)
            axes.plot(
                [found.mean],
                [y],
                svg.MARKERS[y % len(svg.MARKERS)],
                color=series(y),
                markersize=7.5,
                markeredgecolor=PAPER,
            )
            axes.text(1.23, y, f"{100 * found.mean:.1f}", ha="right", va="center_baseline")
        _names(axes, arms)
        axes.set_xlim(-0.02, 1.24)
        axes.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        axes.set_title("Accuracy")
        told = "; ".join(f"{arm.name} {_told(arm)}" for arm in arms)
        return finish(drawing, "arms", "Accuracy with its 95 % interval", f"{told}.")


def _generated(arms: Sequence[ArmSummary]) -> Plot:
    with svg.figure(SIZE[0], 48 + 21 * len(arms), "generated") as drawing:
        axes = drawing.subplots()
        for y, arm in enumerate(arms):
            axes.barh(y, arm.tokens_per_answer, height=0.62, color=series(y))
            axes.text(arm.tokens_per_answer, y, f" {arm.tokens_per_answer:.1f}", va="center")
        _names(axes, arms)
        axes.margins(x=0.15)
        axes.set_title("Tokens generated per answer")
        told = "; ".join(f"{arm.name} {arm.tokens_per_answer:.1f}" for arm in arms)
        return finish(drawing, "generated", "Tokens generated per answer", f"{told}.")


def _against_tokens(arms: Sequence[ArmSummary]) -> Plot:
    title = "Accuracy against training tokens"
    with svg.figure(*SIZE, "against-tokens") as drawing:
        axes = drawing.subplots()
        for number, arm in enumerate(arms):
            _point(axes, arm.tokens, arm, number)
        spent = [arm.tokens for arm in arms]
        if min(spent) > 0 and max(spent) > 5 * min(spent):
            axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.tick_params(axis="x", labelrotation=30)
        _shares(axes)
        axes.set_title(title)
        axes.set_xlabel("tokens of forward passes, encoder and judges counted")
        told = "; ".join(f"{arm.name} {count(arm.tokens)} tokens, {_told(arm)}" for arm in arms)
        return finish(drawing, "against-tokens", title, f"{told}.")


def _against_errors(arms: Sequence[ArmSummary]) -> Plot:
    """Arms of one method and one kind of wrong rationale are joined by a line."""
    title = "Accuracy against the share of wrong rationales"
    lines: dict[tuple[str, ...], list[tuple[int, ArmSummary]]] = {}
    for number, arm in enumerate(arms):
        lines.setdefault((arm.method, *_kind(arm)), []).append((number, arm))
    with svg.figure(*SIZE, "against-errors") as drawing:
        axes = drawing.subplots()
        for order, line in enumerate(lines.values()):
            line.sort(key=lambda each: each[1].hallucination)
            axes.plot(
                [arm.hallucination for _, arm in line],
                [arm.accuracy.mean for _, arm in line],
                color=MUTED,
                linewidth=1,
                linestyle=dashes(order),
            )
            for number, arm in line:
                _point(axes, arm.hallucination, arm, number)
        _shares(axes)
        axes.set_title(title)
        # Room for the names at the right; no share is below none.
        axes.set_xlim(-0.03, 1.3 * max(arm.hallucination for arm in arms))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.set_xlabel("rationales that are wrong")
        told = "; ".join(
            f"{arm.name} {arm.hallucination:.0%} wrong ({arm.mistakes}) with {arm.conclusion} "
            f"conclusions, {_told(arm)}"
            for arm in arms
        )
        return finish(drawing, "against-errors", title, f"{told}.")


def _point(axes: Axes, x: float, arm: ArmSummary, number: int) -> None:
    found, colour = arm.accuracy, series(number)
    axes.plot([x, x], [found.low, found.high], color=colour, linewidth=2.2, alpha=0.6)
    marker = svg.MARKERS[number % len(svg.MARKERS)]
    axes.plot([x], [found.mean], marker, color=colour, markersize=7.5, markeredgecolor=PAPER)
    axes.annotate(
        label(arm.name), (x, found.mean), (7, 0), textcoords="offset points", va="center", size=10
    )


def _shares(axes: Axes) -> None:
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.margins(x=0.2)


def _names(axes: Axes, arms: Sequence[ArmSummary]) -> None:
    axes.set_yticks(range(len(arms)), [label(arm.name) for arm in arms])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.spines[["left", "bottom"]].set_visible(False)


def _told(arm: ArmSummary) -> str:
    found = arm.accuracy
    return f"{percent(found.mean)}, interval {100 * found.low:.1f} to {100 * found.high:.1f}"
