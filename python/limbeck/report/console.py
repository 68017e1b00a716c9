"""The results of a run as a table for a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.report.collect import Run, collect
from limbeck.report.tables import controls, missing, results, unequal_budgets
from limbeck.report.words import control_name, count, percent
from limbeck.visible import visible

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def results_table(run_dir: str | Path) -> RenderableType:
    """Accuracy by task and method and what each method cost, for a rich console.

    Args:
        run_dir: The `output_dir` of a run.

    Raises:
        InputError: It is no run directory, or a file in it is damaged.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    run = collect(Path(run_dir))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("task", "method"):
        table.add_column(heading, no_wrap=True)
    for heading in ("accuracy", "95 %", "chance", "n", "tokens"):
        table.add_column(heading, justify="right", no_wrap=True)
    for task, rows in results(run).items():
        beside = list(controls(run, task).items())
        for n, row in enumerate(rows):
            found, is_last = row.result, n + 1 == len(rows) and not beside
            table.add_row(
                Text(visible(task) if n == 0 else ""),
                Text(visible(row.method)),
                Text(percent(found.accuracy), style="bold" if row.best else ""),
                f"{100 * found.low:.1f}–{100 * found.high:.1f}",
                percent(found.chance),
                str(found.questions),
                f"{found.tokens_per_answer:.1f}",
                end_section=is_last and found.vote is None,
            )
            if found.vote is not None:
                table.add_row(
                    "",
                    f"  vote of {found.vote.samples}",
                    percent(found.vote.accuracy),
                    f"{100 * found.vote.low:.1f}–{100 * found.vote.high:.1f}",
                    "",
                    "",
                    f"{found.vote.tokens_per_vote:.1f}",
                    end_section=is_last,
                )
        for n, (name, control) in enumerate(beside):
            table.add_row(
                "",
                Text(f"  {control_name(name)}", style="dim"),
                percent(control.correct / control.questions),
                *("", "", str(control.questions), ""),
                end_section=n + 1 == len(beside),
            )
    parts: list[RenderableType] = [table] if run.tasks else [Text("no evaluation in this run")]
    if any(method.training for method in run.methods):
        parts.append(_costs(run))
    if unequal := unequal_budgets(run):
        parts.append(Text(f"unequal budgets: {', '.join(unequal)}", style="yellow"))
    if lacking := missing(run):
        parts.append(Text(f"missing stages: {', '.join(lacking)}", style="yellow"))
    return Group(*parts)


def _costs(run: Run) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", no_wrap=True)
    for heading in ("steps", "examples", "tokens processed", "tokens trained", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for method in run.methods:
        if spent := method.training:
            table.add_row(
                Text(visible(method.name)),
                count(spent.steps),
                count(spent.examples_seen),
                count(spent.tokens_processed),
                count(spent.tokens_trained),
                count(spent.seconds),
            )
    return table
