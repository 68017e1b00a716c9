"""Compare: walk the cells that are not finished, each when what it needs is, and sum up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from limbeck.compare.cell import is_finished, shared_stages
from limbeck.compare.plan import Cell, Comparison, Shared, plan_comparison
from limbeck.compare.summary import ComparisonSummary, summarize_comparison, write_summary
from limbeck.compare.workers import Event, Pool
from limbeck.report.comparison import comparison_report
from limbeck.run import plan

__all__ = ["Listener", "compare", "walk_cells"]

Listener = Callable[[Event], None]
"""Told what happens in each job: its stages, their progress, and how it ended."""

TRACE_FILE = "error.txt"


def compare(
    recipe: str | Path, *, overrides: Sequence[str] = (), listener: Listener | None = None
) -> ComparisonSummary:
    """Train and test several methods at several seeds, and say what can be concluded.

    Writes `cells/<arm>/seed-<n>/`, each the output of an ordinary run, `compare.json` and
    `report.html`. Cells that are finished are not walked again; one that fails is reported, and
    the others go on.

    Args:
        recipe: A comparison file: a recipe with `methods` and `seeds` for `method` and `seed`.
        overrides: `key.sub=value` on top of what the arms share.
        listener: Told of each job's progress.

    Returns:
        What `compare.json` says; `failed` names the cells that have no result.

    Raises:
        InputError: The file, or what an arm would read, is at fault; said before anything runs.
    """
    comparison = plan_comparison(Path(recipe), overrides)
    check_cells(comparison)
    failed = walk_cells(comparison, listener or (lambda _: None))
    summary = summarize_comparison(comparison, failed)
    write_summary(comparison, summary)
    title = comparison.cells[0].recipe.report.title
    comparison_report(summary, comparison.output_dir, title=title)
    return summary


def check_cells(comparison: Comparison) -> None:
    """Refuse at once what would fail in a cell later: settings, tasks, students, records.

    Raises:
        InputError: An arm cannot be walked.
    """
    for cell in comparison.cells[: len(comparison.arms)]:
        plan([cell.recipe])


@dataclass
class _Queue:
    """Jobs that wait for others, by name."""

    needs: dict[str, set[str]] = field(default_factory=dict)
    jobs: dict[str, Cell | Shared] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, job: Cell | Shared, needs: set[str]) -> None:
        if job.name not in self.jobs:
            self.jobs[job.name] = job
            self.needs[job.name] = needs & self.jobs.keys()

    def take(self) -> Cell | Shared | None:
        """The first job that waits for nothing."""
        for name, needs in self.needs.items():
            if not needs:
                del self.needs[name]
                return self.jobs[name]
        return None

    def end(self, name: str, error: str | None) -> list[str]:
        """Note how a job ended; return the names of those that fail with it."""
        if error is None:
            for needs in self.needs.values():
                needs.discard(name)
            return []
        self.failed[name] = error
        lost = [other for other, needs in self.needs.items() if name in needs]
        for other in lost:
            self.needs.pop(other, None)
        return [
            *lost,
            *(each for other in lost for each in self.end(other, f"needs {name}: {error}")),
        ]


def walk_cells(comparison: Comparison, listener: Listener) -> dict[str, str]:
    """Walk what is not finished, in worker processes.

    Args:
        comparison: The cells and how many run at a time.
        listener: Told of each job's progress.

    Returns:
        What went wrong, by the names of the cells that failed.
    """
    queue = _queue(comparison)
    pool = Pool(comparison.settings.processes, threads=comparison.threads)
    try:
        while queue.needs or not pool.is_idle:
            while pool.has_room and (job := queue.take()):
                pool.start(job)
            for event in pool.events():
                if event.is_last:
                    _leave_trace(queue.jobs[event.job], event)
                    lost = queue.end(event.job, event.error)
                    for name in lost:
                        listener(Event(name, error=queue.failed[name]))
                listener(event)
    finally:
        pool.close()
    cells = {cell.name for cell in comparison.cells}
    return {name: error for name, error in queue.failed.items() if name in cells}


def _queue(comparison: Comparison) -> _Queue:
    """The jobs to do, those that others need before these."""
    queue, cells = _Queue(), {cell.name: cell for cell in comparison.cells}

    def add(cell: Cell) -> None:
        if cell.name in queue.jobs:
            return
        for name in cell.needs:
            add(cells[name])
        if not queue.jobs.keys() & set(cell.needs) and is_finished(cell):
            return
        shared = cell.shared
        if shared is not None and not all(stage.is_done() for stage in shared_stages(shared)):
            queue.add(shared, set())
        queue.add(cell, {*cell.needs, *([shared.name] if shared else [])})

    for cell in comparison.cells:
        add(cell)
    return queue


def _leave_trace(job: Cell | Shared, event: Event) -> None:
    """Keep the traceback of an error in the job's directory, and none of an earlier one."""
    home = job.recipe.output_dir if isinstance(job, Cell) else job.output_dir
    path = home / TRACE_FILE
    if event.trace:
        home.mkdir(parents=True, exist_ok=True)
        path.write_text(event.trace, "utf-8")
    else:
        path.unlink(missing_ok=True)
