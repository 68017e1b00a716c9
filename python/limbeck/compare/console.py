"""A comparison as a table for a terminal, and its conclusions in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from limbeck.compare.summary import ArmSummary, ComparisonSummary, p_text
from limbeck.report.words import control_name, count, listing, percent
from limbeck.visible import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from limbeck.crossed import Mean
    from limbeck.search.controls import Control

__all__ = ["comparison_table"]


def comparison_table(summary: ComparisonSummary) -> RenderableType:
    """Every arm with its accuracy, its difference to the baseline and its cost.

    Args:
        summary: What `compare` returned.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("arm", no_wrap=True)
    for heading in ("accuracy", "95 %", "n", "difference", "95 %", "p (Holm)", "tokens", "/answer"):
        table.add_column(heading, justify="right", no_wrap=True)
    for arm in summary.arms:
        contrast = summary.contrast(arm.name)
        compared = ["–", "–", "–"]
        if contrast is not None:
            found = contrast.difference
            compared = [
                f"{100 * found.mean:+.1f}",
                f"{100 * found.low:+.1f} – {100 * found.high:+.1f}",
                p_text(contrast.p_holm),
            ]
        table.add_row(
            Text(visible(arm.name)),
            *_accuracy(arm.accuracy),
            *compared,
            _tokens(arm),
            f"{arm.tokens_per_answer:.1f}",
        )
        if arm.vote is not None and arm.tokens_per_vote is not None:
            table.add_row(
                "  vote", *_accuracy(arm.vote), "", "", "", "", f"{arm.tokens_per_vote:.1f}"
            )
    lines: list[RenderableType] = [table] if summary.arms else []
    if summary.contrast_tasks:
        where = visible(listing(summary.contrast_tasks))
        lines.append(Text(f"accuracy: of all tasks; difference: on {where} alone"))
    if any(_details(arm) for arm in summary.arms):
        lines.append(_by_task(summary))
    if any(arm.tokens_of_encoder_arm for arm in summary.arms):
        lines.append(Text("(+ …): what the arm cost whose student encodes the targets"))
    if summary.searched:
        lines.append(_by_cost(summary))
    lines += [_control(task, found) for task, found in summary.controls.items()]
    lines += [Text(visible(each.sentence)) for each in summary.contrasts]
    lines += [
        Text(f"failed: {visible(name)}: {visible(error)}", style="red")
        for name, error in summary.failed.items()
    ]
    return Group(*lines)


def _by_task(summary: ComparisonSummary) -> RenderableType:
    """Accuracy on each task, and what the states tell of the domain, where there is such."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    headings = list(dict.fromkeys(name for arm in summary.arms for name in _details(arm)))
    table.add_column("arm", no_wrap=True)
    for heading in headings:
        table.add_column(Text(visible(heading)), justify="right", no_wrap=True)
    for arm in summary.arms:
        found = _details(arm)
        table.add_row(Text(visible(arm.name)), *(found.get(each, "–") for each in headings))
    return table


def _by_cost(summary: ComparisonSummary) -> RenderableType:
    """What an answer takes; of a search its share."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("for an answer", no_wrap=True)
    for heading in ("model calls", "tokens read", "tokens generated"):
        table.add_column(heading, justify="right", no_wrap=True)
    for arm in summary.arms:
        costs = (arm.calls_per_answer, arm.tokens_read_per_answer, arm.tokens_per_answer)
        table.add_row(Text(visible(arm.name)), *(f"{each:.1f}" for each in costs))
    return table


def _control(task: str, found: Mapping[str, Control]) -> RenderableType:
    from rich.text import Text

    told = listing(
        [
            f"{control_name(name)} {percent(each.correct / each.questions)}"
            for name, each in found.items()
        ]
    )
    return Text(visible(f"{task} without a student: {told}"))


def _details(arm: ArmSummary) -> dict[str, str]:
    tasks = arm.tasks if len(arm.tasks) > 1 else {}
    found = {task: each.mean for task, each in tasks.items()}
    found |= {f"domain by {place}": each.mean for place, each in arm.probes.items()}
    return {name: percent(mean) for name, mean in found.items()}


def _tokens(arm: ArmSummary) -> str:
    """An arm's own tokens, and beside them those of the arm that encodes its targets."""
    encoder = arm.tokens_of_encoder_arm
    return f"{count(arm.tokens)} (+ {count(encoder)})" if encoder else count(arm.tokens)


def _accuracy(found: Mean) -> tuple[str, str, str]:
    interval = f"{100 * found.low:.1f} – {100 * found.high:.1f}"
    return percent(found.mean), interval, f"{found.seeds} × {count(found.questions)}"
