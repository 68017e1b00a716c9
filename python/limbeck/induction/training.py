"""From scored rules to training data: rules to generate, rules to apply, pairs to prefer.

The filter of ReDis (arXiv 2504.10647): of rules with one text in a task set, or where that is asked
for in a task, the first is kept. Each that is kept is an example of generating a rule. A rule is
preferred to another of the same task if it satisfies more than `gap` demonstrations more. What a
rule that was preferred at least once gives for its demonstrations is an example of applying one,
right or wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from limbeck.errors import InputError
from limbeck.induction.prompts import apply_prompt, rule_prompt
from limbeck.induction.score import Scored
from limbeck.induction.task import Kind

__all__ = ["GAPS", "Counts", "TrainingData", "training_data", "write_training_data"]

GAPS: dict[Kind, int] = {"one_d_arc": 1, "acre": 2, "list_functions": 3, "miniscan": 4}
"""The paper's gaps."""

Record = dict[str, Any]


@dataclass
class Counts:
    """What became of the rules of one kind.

    Attributes:
        rules: All of them.
        unique: Of different text.
        over_limit: Unique rules that are longer than the limit of their kind, and left out.
        generation: Examples of generating a rule.
        preferred: Rules that were preferred at least once.
        application: Examples of applying a rule.
        pairs: Of a preferred rule and another.
    """

    rules: int = 0
    unique: int = 0
    over_limit: int = 0
    generation: int = 0
    preferred: int = 0
    application: int = 0
    pairs: int = 0

    @property
    def truncated_share(self) -> float:
        """Share of the unique rules that a model held to the limit could not write in full."""
        return self.over_limit / self.unique if self.unique else 0.0


@dataclass
class TrainingData:
    """Records of generating and of applying rules, and preference pairs.

    Attributes:
        generation: `question` is the prompt for a rule, `answer` the rule.
        application: `question` is the prompt to apply a rule, `answer` what it gives.
        pairs: `prompt`, `chosen` and `rejected`, with the score of each.
        counts: By kind.
    """

    generation: list[Record] = field(default_factory=list)
    application: list[Record] = field(default_factory=list)
    pairs: list[Record] = field(default_factory=list)
    counts: dict[Kind, Counts] = field(default_factory=dict)


def training_data(
    tasks: Iterable[Sequence[Scored]],
    *,
    gaps: Mapping[Kind, int] = GAPS,
    least_score: float = 0.0,
    only_correct: bool = False,
    unique: Literal["all", "task"] = "all",
    limits: Mapping[Kind, int] | None = None,
    count_tokens: Callable[[str], int] | None = None,
) -> TrainingData:
    """Filter scored rules and pair them.

    Args:
        tasks: The rules of each task, in their order.
        gaps: By kind; a rule must satisfy more than so many demonstrations more to be preferred.
        least_score: Ablation: share of the demonstrations that a rule must satisfy to be an example
            of generating one. The paper takes every rule.
        only_correct: Ablation: only applications that give what the demonstration shows.
        unique: Of rules with one text the first counts: among all tasks, or in each task.
        limits: Tokens of a rule at most, by kind; longer ones are left out and counted.
        count_tokens: The student's tokens of a text; needed with `limits`.

    Raises:
        InputError: A share outside 0 to 1, or limits and nothing to count with.
    """
    if not 0 <= least_score <= 1:
        raise InputError(f"least_score: {least_score} is no share; give 0 to 1")
    if limits and count_tokens is None:
        raise InputError("limits: there is nothing to count tokens with; give count_tokens")
    data = TrainingData()
    rules_of_tasks = list(tasks)
    seen: set[tuple[Kind | int, str]] = set()
    preferred: set[tuple[Kind, str]] = set()
    for number, rules in enumerate(rules_of_tasks):
        kept = []
        for one in rules:
            kind = one.task.kind
            counts = data.counts.setdefault(kind, Counts())
            counts.rules += 1
            text = (number if unique == "task" else kind, one.rule)
            if text in seen:
                continue
            seen.add(text)
            counts.unique += 1
            if limits and count_tokens and count_tokens(one.rule) > limits.get(kind, 1 << 62):
                counts.over_limit += 1
            else:
                kept.append(one)
        _generate(kept, least_score, data)
        preferred |= _pair(kept, gaps, data)
    for kind, _ in preferred:
        data.counts[kind].preferred += 1
    _apply((one for rules in rules_of_tasks for one in rules), preferred, only_correct, data)
    return data


def _generate(rules: Sequence[Scored], least_score: float, data: TrainingData) -> None:
    for one in rules:
        if one.satisfied >= least_score * len(one.task.demonstrations):
            counts = data.counts[one.task.kind]
            counts.generation += 1
            name = f"rule-{counts.generation}"
            data.generation.append(_record(one, name, rule_prompt(one.task), one.rule))


def _pair(
    rules: Sequence[Scored], gaps: Mapping[Kind, int], data: TrainingData
) -> set[tuple[Kind, str]]:
    """Add every pair of a task's rules that differ enough; return the preferred rules."""
    preferred = set()
    for better in sorted(rules, key=lambda one: -one.satisfied):
        for other in rules:
            kind = better.task.kind
            if better.satisfied <= other.satisfied + gaps[kind]:
                continue
            preferred.add((kind, better.rule))
            data.counts[kind].pairs += 1
            data.pairs.append(
                {
                    "id": f"{better.task.id}-pair-{data.counts[kind].pairs}",
                    "domain": kind,
                    "prompt": rule_prompt(better.task),
                    "chosen": better.rule,
                    "rejected": other.rule,
                    "meta": {"chosen_score": better.satisfied, "rejected_score": other.satisfied},
                }
            )
    return preferred


def _apply(
    rules: Iterable[Scored],
    preferred: set[tuple[Kind, str]],
    only_correct: bool,
    data: TrainingData,
) -> None:
    """Add what preferred rules give, once for each input; where they give nothing, nothing."""
    seen: set[tuple[Kind, str, str]] = set()
    for one in rules:
        kind = one.task.kind
        if (kind, one.rule) not in preferred:
            continue
        for shown, output in zip(one.task.demonstrations, one.outputs, strict=True):
            known = (kind, one.rule, shown.input)
            if output is None or known in seen or (only_correct and output != shown.output):
                continue
            seen.add(known)
            data.counts[kind].application += 1
            name = f"apply-{data.counts[kind].application}"
            asked = apply_prompt(kind, one.rule, shown.input)
            data.application.append(_record(one, name, asked, output))


def _record(one: Scored, name: str, question: str, answer: str) -> Record:
    return {
        "id": f"{one.task.id}-{name}",
        "domain": one.task.kind,
        "question": question,
        "answer": answer,
        "split": "train",
        "meta": {"score": one.satisfied},
    }


def write_training_data(data: TrainingData, directory: Path) -> None:
    """Write `generation.jsonl`, `application.jsonl` and `pairs.jsonl`, as `prepare` reads them.

    Args:
        data: Of `training_data`.
        directory: Made if missing; files of these names are replaced.
    """
    directory.mkdir(parents=True, exist_ok=True)
    parts = {
        "generation": data.generation,
        "application": data.application,
        "pairs": data.pairs,
    }
    for name, records in parts.items():
        beside = directory / f".{name}.jsonl.tmp"
        with beside.open("w", encoding="utf-8", newline="\n") as lines:
            for record in records:
                lines.write(json.dumps(record, ensure_ascii=False) + "\n")
        beside.replace(directory / f"{name}.jsonl")
