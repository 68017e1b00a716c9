"""What a comparison will take, measured: a few steps and a batch of answers of every arm."""

from __future__ import annotations

import math
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.compare.cell import own_recipe, walk_shared
from limbeck.compare.plan import Cell, Comparison
from limbeck.compare.workers import Event, Pool
from limbeck.config import Recipe, Targets, Train
from limbeck.inference import InferenceChange
from limbeck.recipes.phases import phase_recipes
from limbeck.report.words import duration
from limbeck.run import plan, walk

if TYPE_CHECKING:
    from limbeck.stages import Progress
    from limbeck.trainer import DistillConfig

__all__ = ["Estimate", "Trial", "checkpoints_judged", "estimate"]

DATA_STAGES = ("teach", "rules", "prepared")
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


def estimate(comparison: Comparison, to_do: Sequence[Cell], progress: Progress) -> Estimate:
    """Try every arm once, in one process, and extrapolate.

    Training is timed by its steps, without targets; the encoder of targets by a batch of
    rationales; answering, also to judge checkpoints, by a batch with questions of every task, of a
    student that has learned nothing yet and so writes as much as it may, which makes it take
    longest. Arms that find their ways by judges are counted as that many trainings more, without
    an encoder. Loading and a cell's report are not counted. The memory is the process's own, and
    what PyTorch took of a GPU.

    Args:
        comparison: Its arms are tried at the first seed.
        to_do: The cells to count.
        progress: Told arms tried, arms in all, and which is being tried.
    """
    arms = list(dict.fromkeys(cell.arm for cell in to_do))
    first = {cell.arm: cell for cell in reversed(comparison.cells)}
    processes = min(comparison.settings.processes, max(1, len(to_do)))
    pool, memory = Pool(1, threads=comparison.threads), 0
    seconds: dict[str, float] = {}
    failed: dict[str, str] = {}
    try:
        for number, arm in enumerate(arms):
            trial = Trial(first[arm])
            progress(number, len(arms), trial.name)
            pool.start(trial)
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
    trainings = 1.0
    if recipe.route.labels == "cross_fitting":
        from limbeck.route import judge_recipe, needs_route

        if needs_route(recipe):
            trainings += recipe.route.folds - 1
            recipe = judge_recipe(recipe)
    stands_in = cell.encoder_of is not None
    phases = list(phase_recipes(recipe).values()) or [recipe]
    seconds = 0.0
    for phase in phases:
        alone = phase.model_copy(update={"phases": {}})
        with tempfile.TemporaryDirectory() as directory:
            seconds += _try(
                alone, Path(directory), trainings, stands_in=stands_in, asked=phase is phases[-1]
            )
    return Event(trial.name, done=round(1000 * seconds), total=_peak_bytes())


def _try(
    recipe: Recipe, directory: Path, trainings: float, *, stands_in: bool, asked: bool = True
) -> float:
    """Return the seconds that the stages of a recipe would take.

    Args:
        recipe: The recipe.
        directory: For what is written.
        trainings: How often a student is trained.
        stands_in: Whether the trial's student is to encode for one that is not trained yet.
        asked: Whether the student answers the tests, as that of the last phase does.
    """
    from limbeck.arguments import arguments
    from limbeck.evaluate import evaluate, questions_of
    from limbeck.prepare import Manifest
    from limbeck.tasks import held_out_questions
    from limbeck.train import train

    recipe = recipe.model_copy(update={"output_dir": directory})
    stages = [stage for stage in plan([recipe]) if stage.output.name in DATA_STAGES]
    walk(stages)
    prepared = directory / "prepared"
    ticks: list[float] = []
    student = train(
        prepared,
        student=str(recipe.student),
        output_dir=directory / "student",
        settings=_shortened(recipe),
        seed=recipe.seed,
        progress=lambda *_: ticks.append(time.perf_counter()),
    )
    per_step = (ticks[-1] - ticks[0]) / (len(ticks) - 1)
    encoding = 0.0
    if recipe.needs_targets:
        own = str(recipe.student) if recipe.targets.encoder == "student" else recipe.targets.encoder
        encoding = _encoding_seconds(str(student) if stands_in else own, recipe.targets, prepared)
    held_out = len(held_out_questions(prepared, recipe.train.validation_questions))
    checkpoints = directory / "checkpoints"
    args = arguments(recipe.train, checkpoints, recipe.seed, validated=held_out > 0)
    rows, at_once = Manifest.load(prepared).rows, args.train_batch_size
    per_epoch = -(-rows // (at_once * args.gradient_accumulation_steps))
    steps = args.max_steps if args.max_steps > 0 else per_epoch * args.num_train_epochs
    change = recipe.evaluate.inference
    asked_as = recipe.inference if change is None else change.of(recipe.inference)
    inference, texts = InferenceChange(mode="direct"), recipe.evaluate.draws
    if asked_as.mode == "search":
        # A rule of a student that has learned nothing can seldom be read; nobody is to apply it.
        inference = InferenceChange(**{**asked_as.model_dump(), "scoring": "exact"})
        texts *= asked_as.hypotheses
    # A batch, with questions of every task, as what is asked and answered differs in length.
    count = min(
        recipe.evaluate.questions or sys.maxsize,
        -(-recipe.evaluate.batch_size // (texts * len(recipe.tasks))),
    )
    begin = time.perf_counter()
    tried = evaluate(
        student,
        tasks=recipe.tasks,
        output_dir=directory / "evaluate",
        settings=recipe.evaluate.model_copy(
            update={"questions": count, "split": "test", "inference": inference}
        ),
        seed=recipe.seed,
    )
    answered = sum(task.questions for task in tried.tasks.values())
    per_question = (time.perf_counter() - begin) / answered
    at_end = held_out
    if asked and recipe.evaluate.split == "test":
        at_end += len(questions_of(recipe.tasks, recipe.evaluate, seed=recipe.seed))
    judged = held_out * checkpoints_judged(args, steps, per_epoch)
    training = steps * per_step + judged * per_question
    return trainings * training + encoding + at_end * per_question


def _shortened(recipe: Recipe) -> Train:
    """Return a training of few steps, without the terms that need targets, which are not there."""
    terms = tuple(term for term in recipe.train.objectives if term["name"] != "semantic_alignment")
    changes = {"objectives": terms or recipe.train.objectives, "max_steps": STEPS}
    return recipe.train.model_copy(update={**changes, "save_strategy": "no"})


def _encoding_seconds(name: str, settings: Targets, prepared: Path) -> float:
    """Return the seconds in which an encoder reads all rationales, from a batch of them."""
    import numpy as np

    from limbeck.encoder import Encoder
    from limbeck.rationales import TextRationales, TokenRationales

    encoder = Encoder(name, settings)
    kind = TokenRationales if encoder.pooling == "token" else TextRationales
    rationales = kind(prepared, encoder)
    lengths = rationales.lengths
    batch = np.arange(min(settings.batch_size, len(lengths)))
    seconds = 0.0
    for _ in range(2):  # the first time loads the weights and warms up
        begin = time.perf_counter()
        encoder.states(rationales.passages(batch))
        seconds = time.perf_counter() - begin
    return seconds * float(lengths.sum() / lengths[batch].sum())


def checkpoints_judged(args: DistillConfig, steps: float, per_epoch: int) -> int:
    """Return how often the held-out questions are answered in a training.

    Args:
        args: Of the trainer; `eval_steps` below 1 is a share of all steps.
        steps: Of the optimizer, in all.
        per_epoch: In an epoch.
    """
    if args.eval_strategy == "no":
        return 0
    every = float(per_epoch if args.eval_strategy == "epoch" else args.eval_steps or 1)
    every = math.ceil(steps * every) if every < 1 else every
    return int(steps // every)


def _peak_bytes() -> int:
    import torch

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    process = largest if sys.platform == "darwin" else 1024 * largest
    return process + (torch.cuda.max_memory_reserved() if torch.cuda.is_available() else 0)
