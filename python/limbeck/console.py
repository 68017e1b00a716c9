"""The terminal: where text goes, and progress bars with rates while something runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from limbeck.visible import visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from limbeck.compare.schedule import Listener
    from limbeck.compare.workers import Event
    from limbeck.stages import Progress, Stage, Watch

__all__ = ["bar", "err", "listening", "out", "print_whole", "watching"]


@cache
def out() -> Console:
    """Standard output; made when it is needed, for rich takes a while to import."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


@cache
def err() -> Console:
    """Standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def print_whole(found: RenderableType) -> None:
    """Print a table as wide as it is: figures that are cut off tell nothing, and a terminal wraps.

    Args:
        found: What to print; a width given to `Console.print` itself is cut to the terminal's.
    """
    from rich.console import Console

    Console(highlight=False, soft_wrap=True, width=max(out().width, 200)).print(found)


@contextmanager
def bar(text: str) -> Iterator[Progress]:
    """A progress bar with a rate on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield _unseen
        return
    with _bars() as bars, _task(bars, text) as progress:
        yield progress


@contextmanager
def watching() -> Iterator[Watch]:
    """A bar for the stage that runs and a line for each that ended."""
    from time import perf_counter

    with _bars() as bars:

        @contextmanager
        def watch(stage: Stage, done: bool) -> Iterator[Progress]:
            begin = perf_counter()
            with _task(bars, stage.name) as progress:
                yield progress
            state = "unchanged, skipped" if done else f"{perf_counter() - begin:.1f} s"
            err().print(f"{stage.name:24} {state}", markup=False)
            warning = stage.warning()
            if warning:
                err().print(f"limbeck: {warning}", style="yellow", markup=False)

        yield watch


@contextmanager
def listening() -> Iterator[Listener]:
    """A bar for each job that runs and a line for each that ended."""
    with _bars() as bars:
        tasks: dict[str, TaskID] = {}

        def listen(event: Event) -> None:
            if event.job not in tasks:
                tasks[event.job] = bars.add_task(event.job, total=None, text="")
            if not event.is_last:
                bars.update(
                    tasks[event.job],
                    completed=event.done,
                    total=event.total or None,
                    text=event.stage,
                )
                return
            bars.remove_task(tasks.pop(event.job))
            state = "done" if event.error is None else f"failed: {visible(event.error)}"
            style = None if event.error is None else "red"
            err().print(f"{event.job:32} {state}", markup=False, style=style)

        yield listen


def _unseen(done: int, total: int, text: str) -> None:
    """Progress that no one watches."""


def _bars() -> Bars:
    from rich import progress

    return progress.Progress(
        progress.TextColumn("{task.description:24}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[text]}", markup=False),
        console=err(),
        transient=True,
        disable=not err().is_terminal,
    )


@contextmanager
def _task(bars: Bars, name: str) -> Iterator[Progress]:
    task = bars.add_task(name, total=None, text="")

    def progress(done: int, total: int, text: str) -> None:
        bars.update(task, completed=done, total=total or None, text=text)

    try:
        yield progress
    finally:
        bars.remove_task(task)
