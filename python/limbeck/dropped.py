"""What each filter drops in a dry run, as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from limbeck.visible import visible

if TYPE_CHECKING:
    from rich.table import Table

    from limbeck.manifest import Dropped


def dropped_table(dropped: Sequence[Dropped]) -> Table:
    """A line for each filter: what it drops, what it would drop on its own, and where first.

    Args:
        dropped: The manifest's `dropped`, which a dry run fills in.

    Example:
        >>> from limbeck.manifest import Dropped
        >>> lines = [Dropped(reason="repetition", first=2, alone=3, example="a.jsonl:7")]
        >>> dropped_table(lines).row_count
        1
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("filter", no_wrap=True)
    for heading in ("drops", "alone"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("first of these", overflow="fold")
    for each in dropped:
        place = Text(visible(each.example or ""))
        table.add_row(each.reason, f"{each.first:,}", f"{each.alone:,}", place)
    return table
