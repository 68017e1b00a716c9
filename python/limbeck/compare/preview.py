"""A comparison before it starts: its cells, and what they would take."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from limbeck.compare.cell import is_finished
from limbeck.compare.estimate import estimate
from limbeck.compare.plan import plan_comparison
from limbeck.compare.schedule import check_cells
from limbeck.stages import Progress

__all__ = ["preview"]


def preview(path: Path, overrides: Sequence[str], progress: Progress) -> Iterator[str]:
    """Yield a line for each cell, then the estimate; nothing is left behind.

    Args:
        path: A comparison file.
        overrides: `key.sub=value`.
        progress: Told arms tried for the estimate, arms in all, and which is being tried.

    Raises:
        InputError: As `compare`.
    """
    comparison = plan_comparison(path, overrides)
    check_cells(comparison)
    finished = {cell.name for cell in comparison.cells if is_finished(cell)}
    for cell in comparison.cells:
        state = "done" if cell.name in finished else "to do"
        yield f"{state:6} {cell.name:32} {cell.recipe.output_dir}"
    with tempfile.TemporaryDirectory() as directory:
        aside = plan_comparison(path, [*overrides, f"output_dir={directory}"])
        to_do = [cell for cell in aside.cells if cell.name not in finished]
        if to_do:
            yield str(estimate(aside, to_do, progress))
