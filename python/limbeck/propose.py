"""Propose: rules for induction tasks, scored, and made into what ReDis trains on.

The stages `hypotheses` (a model is asked for rules) and `rules` of `limbeck run`. Only training
tasks are looked at, whoever proposed rules for others.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limbeck.config import Teacher
from limbeck.errors import InputError, UnfinishedError
from limbeck.induction.files import write_tasks
from limbeck.induction.hypotheses import Hypotheses, read_hypotheses
from limbeck.induction.prompts import rule_prompt
from limbeck.induction.score import Scored, score_rule, write_scored
from limbeck.induction.task import InductionTask, Kind
from limbeck.induction.training import training_data, write_training_data
from limbeck.rules import Rules
from limbeck.tasks import Induction, find
from limbeck.tasks.induction import InductionFile
from limbeck.tasks.induction.wrong import wrong_rules
from limbeck.teachers import Endpoint, LocalModel

__all__ = ["ask_for_rules", "check_rules", "write_rules"]

Progress = Callable[[int, int, str], None]
ModelTeacher = Endpoint | LocalModel

TASKS_DIR = "tasks"  # of the stage `hypotheses`: what its samples are of
_SILENT: Progress = lambda *_: None  # noqa: E731 (progress that nobody watches)


def check_rules(tasks: Sequence[str], settings: Rules, teacher: Teacher | ModelTeacher) -> None:
    """Refuse what no rules could be made of, before anything runs.

    Args:
        tasks: The recipe's `data.tasks`.
        settings: Its `rules` section.
        teacher: Its teacher.

    Raises:
        InputError: A task is none of induction, or nobody can propose or apply rules.
    """
    if not tasks:
        raise InputError(
            "data.tasks: missing, and the rules to train on are those of induction tasks; name "
            "some, or give the phases paths of their own (phases.NAME.data.paths)"
        )
    found = [(name, find(name)) for name in tasks]
    for name, task in found:
        if not isinstance(task, Induction | InductionFile):
            raise InputError(
                f"data.rules: {name} has no rules; name tasks of induction (docs/induction.md)"
            )
    files = [name for name, task in found if isinstance(task, InductionFile)]
    oracle = isinstance(teacher, Teacher)
    if settings.hypotheses is not None and len(files) < len(found):
        raise InputError(
            "rules.hypotheses: they are of tasks in files, and a generated task is another one "
            "each time; name files in `data.tasks` (miniscan_public:path=miniscan.jsonl)"
        )
    if settings.hypotheses is None and oracle and files:
        raise InputError(
            f"rules.hypotheses: missing, and nobody knows the rules of {files[0]}; give a file of "
            "them, or a `teacher` that is a model"
        )
    if settings.scoring != "exact" and oracle:
        raise InputError(
            f"rules.scoring: {settings.scoring} has the teacher apply rules, and the oracle is no "
            "model; give a `teacher` that is one, or `exact`"
        )


def ask_for_rules(
    tasks: Sequence[str],
    output_dir: Path,
    *,
    teacher: ModelTeacher,
    examples: int,
    seed: int,
    progress: Progress = _SILENT,
) -> None:
    """Have a model propose `teacher.samples` rules for each training task.

    Args:
        tasks: Tasks of induction.
        output_dir: Gets what `limbeck teach --prompts` writes, and the tasks.
        teacher: The model.
        examples: Queries of each generated task; as many tasks as that takes are drawn.
        seed: Draws tasks, and a local model's samples.
        progress: Told prompts done, prompts in all, and a text.

    Raises:
        UnfinishedError: The budget is spent or the endpoint is gone; the same call goes on.
    """
    from limbeck.teach import Prompt, sample

    (output_dir / TASKS_DIR).mkdir(parents=True, exist_ok=True)
    prompts = []
    for kind, own in _training_tasks(tasks, examples, seed).items():
        write_tasks(own, output_dir / TASKS_DIR / f"{kind}.jsonl")
        prompts += [Prompt.of(f"{kind}/{task.id}", rule_prompt(task)) for task in own]
    told = sample(prompts, output_dir=output_dir, teacher=teacher, seed=seed, progress=progress)
    if missed := told.failed.get("unanswered"):
        raise UnfinishedError(
            f"{output_dir / 'failed.jsonl'}: {missed} rules could not be had; run the same command "
            "to go on"
        )


def write_rules(
    tasks: Sequence[str],
    output_dir: Path,
    *,
    settings: Rules,
    teacher: Teacher | ModelTeacher,
    examples: int,
    seed: int,
    student: str | None = None,
    proposed: Path | None = None,
    needed: Sequence[str] = (),
    progress: Progress = _SILENT,
) -> None:
    """Score rules of the training tasks, and write what is trained on.

    In `output_dir` stand then `generation.jsonl`, `application.jsonl`, `pairs.jsonl`, every rule
    with its score (`scored.jsonl`) and `counts.json`.

    Args:
        tasks: Tasks of induction.
        output_dir: Made if missing.
        settings: The recipe's `rules` section.
        teacher: Applies rules where `settings.scoring` says so.
        examples: Queries of each generated task; as many tasks as that takes are drawn.
        seed: Draws tasks and wrong rules.
        student: Whose tokens `settings.limits` counts; needed where there are any.
        proposed: What `ask_for_rules` wrote, if it did.
        needed: Those of the three files that must not be empty.
        progress: Told tasks done, tasks in all, and a text.

    Raises:
        InputError: The hypotheses are malformed, or a file that is needed would be empty.
        UnfinishedError: The teacher did not answer; the same call goes on.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    if settings.hypotheses is not None:
        found = list(_of_file(Path(settings.hypotheses), tasks))
    elif proposed is not None:
        found = list(read_hypotheses(proposed / "samples.jsonl", proposed / TASKS_DIR))
    else:
        found = list(_of_oracle(tasks, settings.wrong, examples, seed))
    scored = _scored(
        found, settings, teacher, output_dir.with_name(".applications"), seed, progress
    )
    data = training_data(
        scored,
        least_score=settings.least_score,
        only_correct=settings.only_correct,
        unique=settings.unique,
        limits=settings.limits,
        count_tokens=None if student is None else _counter(student),
    )
    for part in needed:
        if not getattr(data, part):
            raise InputError(
                f"rules: {sum(map(len, scored))} rules of {len(scored)} training tasks make no "
                f"{part}; a pair's rules, and every application's, differ by more demonstrations "
                "than the gap of their kind: propose more rules of a task (rules.wrong, "
                "teacher.samples), or other tasks"
            )
    write_training_data(data, output_dir)
    write_scored(scored, output_dir / "scored.jsonl")
    counts = {
        kind: {**asdict(each), "truncated_share": each.truncated_share}
        for kind, each in data.counts.items()
    }
    (output_dir / "counts.json").write_text(json.dumps(counts, indent=2) + "\n", "utf-8")


def _counter(student: str) -> Callable[[str], int]:
    """What counts a text's tokens as a student's tokenizer does."""
    from transformers import AutoTokenizer

    from limbeck.model import quiet

    with quiet():
        tokenizer: Any = AutoTokenizer.from_pretrained(student)
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def _training_tasks(
    names: Sequence[str], examples: int, seed: int
) -> dict[Kind, list[InductionTask]]:
    """The training tasks of each kind."""
    found: dict[Kind, list[InductionTask]] = {}
    for task in map(find, names):
        if isinstance(task, InductionFile):
            own = task.tasks(None, seed=seed, split="train")
        else:
            assert isinstance(task, Induction)
            own = list(_drawn(task, examples, seed))
        found.setdefault(task.kind, []).extend(own)
    return found


def _drawn(task: Induction, examples: int, seed: int) -> Iterator[InductionTask]:
    """The tasks behind the records that the oracle writes of so many queries."""
    return task.tasks(-(-examples // task.queries), seed=seed, split="train")


def _of_file(path: Path, names: Sequence[str]) -> Iterator[Hypotheses]:
    files = {task.kind: task for task in map(find, names) if isinstance(task, InductionFile)}
    trained = {
        (kind, task.id)
        for kind, file in files.items()
        for task in file.tasks(None, seed=0, split="train")
    }
    known = {kind: file.path for kind, file in files.items()}
    for each in read_hypotheses(path, known, skip_others=True):
        if (each.task.kind, each.task.id) in trained:
            yield each


def _of_oracle(names: Sequence[str], wrong: int, examples: int, seed: int) -> Iterator[Hypotheses]:
    """The true rule of each task among wrong ones."""
    for task in map(find, names):
        assert isinstance(task, Induction)
        rng = random.Random(f"{task}/{seed}/wrong")  # noqa: S311 (rules, not keys)
        for each in _drawn(task, examples, seed):
            assert each.rule is not None
            rules = [each.rule, *wrong_rules(task, each.rule, wrong, rng)]
            yield Hypotheses(each, tuple(rng.sample(rules, len(rules))))


def _scored(
    found: Sequence[Hypotheses],
    settings: Rules,
    teacher: Teacher | ModelTeacher,
    directory: Path,
    seed: int,
    progress: Progress,
) -> list[list[Scored]]:
    if isinstance(teacher, Teacher) or settings.scoring == "exact":
        return [[score_rule(each.task, rule) for rule in each.rules] for each in found]
    from limbeck.search.scoring import score_by_model

    return score_by_model(
        found,
        teacher=teacher,
        output_dir=directory,
        scoring=settings.scoring,
        seed=seed,
        progress=progress,
    )
