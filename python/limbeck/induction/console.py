"""The scores of rules, and what is made of them, on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from limbeck.induction.score import Summary
from limbeck.induction.task import Kind

if TYPE_CHECKING:
    from rich.table import Table

    from limbeck.induction.training import Counts

__all__ = ["score_table", "training_table"]


def score_table(summaries: Sequence[Summary]) -> Table:
    """One row a kind: how many rules parse, satisfy everything, and answer right."""
    heads = ("tasks", "rules", "parsed", "satisfying", "explained", "answers", "accuracy")
    rows = [
        (
            summary.kind,
            f"{summary.tasks:,}",
            f"{summary.rules:,}",
            f"{summary.parsed:,}",
            f"{summary.satisfying:,}",
            f"{summary.explained:,}",
            f"{summary.right:,} / {summary.queries:,}",
            f"{summary.accuracy:.3f}",
        )
        for summary in summaries
    ]
    return _table(heads, rows)


def training_table(counts: Mapping[Kind, Counts]) -> Table:
    """One row a kind: how many examples and pairs its rules made."""
    heads = ("rules", "unique", "generation", "preferred", "application", "pairs")
    rows = [
        (kind, *(f"{getattr(each, head):,}" for head in heads)) for kind, each in counts.items()
    ]
    return _table(heads, rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table

    table = Table(box=None)
    table.add_column("kind", no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table
