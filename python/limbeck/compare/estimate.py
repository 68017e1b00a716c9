"""What a comparison will take, measured: a few steps and a batch of answers of every arm."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from limbeck.compare.cell import own_recipe, walk_shared
from limbeck.compare.plan import Cell, Comparison
from limbeck.compare.workers import Event, Pool
from limbeck.config import Recipe
from limbeck.report.words import duration
from limbeck.run import plan, walk

__all__ = ["Estimate", "Trial", "estimate"]

STEPS = 6  # trained in a trial; the first, which warms up, is not timed


@dataclass(frozen=True)
class Estimate:
    """What cells will take.

    Attributes:
        seconds: Of one cell, by arm.
        failed: What went wrong in trials, by arm; these are not counted.
        total: Of all cells that are not finished, so many at a time.
        memory_bytes: Of one process at its largest, in the trials.
        processes: How many run at a time.
    """

    seconds: dict[str, float]
    failed: dict[str, str]
    total: float
    memory_bytes: int
    processes: int

    def __str__(self) -> str:
        """Say it in one line."""
        each = ", ".join(f"{arm} {duration(seconds)}" for arm, seconds in self.seconds.items())
        failed = "".join(f"\nnot counted: {arm}: {why}" for arm, why in self.failed.items())
        return (
            f"estimate, from {STEPS} steps and a batch of answers of each arm: about "
            f"{duration(self.total)} in all ({each} a cell), "
            f"{self.processes} × {self.memory_bytes / 2**30:.1f} GiB of memory{failed}"
        )


@dataclass(frozen=True)
class Trial:
    """An arm's first cell, to be tried: its data are prepared, which stands, and little else done.

    Attributes:
        cell: The cell.
    """

    cell: Cell

    @property
    def name(self) -> str:
        """What the user calls it."""
        return f"trial of {self.cell.arm}"


def estimate(comparison: Comparison, to_do: Sequence[Cell]) -> Estimate:
    """Try every arm once, in one process, and extrapolate.

    Training is timed by its steps, without targets; answering by one batch of a student that has
    learned nothing yet and so writes as much as it may, which makes it take longest. Arms that find
    their ways by judges are counted as that many trainings more. Encoders of targets, validation,
    loading and a cell's report are not counted. The memory is the process's own, and what PyTorch
    took of a GPU.

    Args:
        comparison: Its arms are tried at the first seed.
        to_do: The cells to count.
    """
    arms = list(dict.fromkeys(cell.arm for cell in to_do))
    first = {cell.arm: cell for cell in reversed(comparison.cells)}
    processes = min(comparison.settings.processes, max(1, len(to_do)))
    pool, memory = Pool(1, threads=comparison.threads), 0
    seconds: dict[str, float] = {}
    failed: dict[str, str] = {}
    try:
        for arm in arms:
            pool.start(Trial(first[arm]))
            while not pool.is_idle:
                for event in pool.events():
                    if event.error is not None:
                        failed[arm] = event.error
                    elif event.is_last:
                        seconds[arm], memory = event.done / 1000, max(memory, event.total)
    finally:
        pool.close()
    total = sum(seconds.get(cell.arm, 0.0) for cell in to_do) / processes
    return Estimate(seconds, failed, total, memory, processes)


def walk_trial(trial: Trial) -> Event:
    """Try an arm; the event tells milliseconds of a cell as `done` and peak bytes as `total`."""
    cell = trial.cell
    if cell.shared is not None:
        walk_shared(cell.shared)
    recipe = own_recipe(cell)
    recipe = recipe.model_copy(update={"train": _plain(recipe)})
    trainings = 1.0
    if recipe.route.labels == "cross_fitting":
        from limbeck.route import judge_recipe, needs_route

        if needs_route(recipe):
            trainings += recipe.route.folds - 1
            recipe = judge_recipe(recipe)
    with tempfile.TemporaryDirectory() as directory:
        seconds = _try(recipe, Path(directory), trainings)
    return Event(trial.name, done=round(1000 * seconds), total=_peak_bytes())


def _plain(recipe: Recipe) -> object:
    """Return the training without the terms that need targets, whose encoder may not be there."""
    terms = tuple(term for term in recipe.train.objectives if term["name"] != "semantic_alignment")
    return recipe.train.model_copy(update={"objectives": terms or recipe.train.objectives})


def _try(recipe: Recipe, directory: Path, trainings: float) -> float:
    """Return the seconds that all steps and all answers of a recipe would take."""
    from limbeck.arguments import arguments
    from limbeck.evaluate import evaluate
    from limbeck.prepare import Manifest
    from limbeck.train import train

    recipe = recipe.model_copy(update={"output_dir": directory})
    stages = [stage for stage in plan([recipe]) if stage.output.name == "prepared"]
    walk(stages)
    prepared = directory / "prepared"
    ticks: list[float] = []
    settings = recipe.train.model_copy(update={"max_steps": STEPS, "save_strategy": "no"})
    student = train(
        prepared,
        student=str(recipe.student),
        output_dir=directory / "student",
        settings=settings,
        seed=recipe.seed,
        progress=lambda *_: ticks.append(time.perf_counter()),
    )
    per_step = (ticks[-1] - ticks[0]) / (len(ticks) - 1)
    args = arguments(recipe.train, directory / "checkpoints", recipe.seed)
    rows, at_once = Manifest.load(prepared).rows, args.train_batch_size
    per_epoch = -(-rows // (at_once * args.gradient_accumulation_steps))
    steps = args.max_steps if args.max_steps > 0 else per_epoch * args.num_train_epochs
    asked = min(recipe.evaluate.questions or sys.maxsize, recipe.evaluate.batch_size)
    begin = time.perf_counter()
    tried = evaluate(
        student,
        tasks=recipe.tasks[:1],
        output_dir=directory / "evaluate",
        settings=recipe.evaluate.model_copy(update={"questions": asked, "split": "test"}),
        seed=recipe.seed,
    )
    answered = sum(task.questions for task in tried.tasks.values())
    per_question = (time.perf_counter() - begin) / answered
    questions = (recipe.evaluate.questions or answered) * len(recipe.tasks)
    return trainings * steps * per_step + questions * per_question


def _peak_bytes() -> int:
    import torch

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    process = largest if sys.platform == "darwin" else 1024 * largest
    return process + (torch.cuda.max_memory_reserved() if torch.cuda.is_available() else 0)
