"""What the report reads from each stage's files; keys that it does not show are passed over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from limbeck.errors import InputError

ShownT = TypeVar("ShownT", bound="Shown")


class Shown(BaseModel):
    """A part of a stage's file."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Counts(Shown):
    """What became of candidates: read = kept + the sum of rejected."""

    read: int
    kept: int
    rejected: dict[str, int]
    unverified: int = 0


class Source(Shown):
    """A record file."""

    path: str
    records: Counts


class Steps(Shown):
    """Optimizer steps of one epoch at batch size 1, with packing and without."""

    packed: int
    unpacked: int


class Manifest(Shown):
    """`prepared/manifest.json`."""

    records: Counts
    sources: tuple[Source, ...]
    tokens: dict[str, int]
    rows: int
    examples: int
    fill: float
    max_length: int
    steps: Steps
    template: str
    versions: dict[str, Any] = {}


class Rejection(Shown):
    """A line of `prepared/rejected.jsonl`."""

    record_id: str | None
    source: str
    line: int
    reason: str
    detail: str | None


class StudentCard(Shown):
    """`student/limbeck.json`."""

    method: str | None = None


class Training(Shown):
    """`student/training.json`; seconds are of the wall clock."""

    steps: int
    epochs: float
    examples_seen: int
    tokens_processed: int
    tokens_trained: int
    seconds: float
    parameters: int
    trainable_parameters: int


class TrainerState(Shown):
    """`student/trainer_state.json`, as `transformers` writes it."""

    log_history: tuple[dict[str, Any], ...]


class TaskResult(Shown):
    """A task of `evaluate/summary.json`; shares are of 1, `low` and `high` a 95 % interval."""

    accuracy: float
    low: float
    high: float
    questions: int
    samples: int
    correct: int
    chance: float | None = None
    tokens_per_answer: float | None = None
    answered: float | None = None


class Summary(Shown):
    """`evaluate/summary.json`."""

    decoding: dict[str, Any] = {}
    seed: int | None = None
    tasks: dict[str, TaskResult]


class Sample(Shown):
    """A line of `evaluate/results.jsonl`."""

    task: str
    id: str | int
    question: str
    gold: str
    sample: int
    text: str
    answer: str | None
    correct: bool
    tokens_generated: int


def read_json(kind: type[ShownT], path: Path) -> ShownT | None:
    """The file as a `kind`; None where there is no such file.

    Raises:
        InputError: The file is not JSON, or a key is missing or of another type.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; run its stage again") from None
    return _check(kind, text, str(path))


def read_lines(kind: type[ShownT], path: Path) -> Iterator[ShownT]:
    """Each line of a JSONL file as a `kind`; nothing where there is no such file.

    Raises:
        InputError: A line is not JSON, or a key is missing or of another type.
    """
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for n, line in enumerate(lines, start=1):
            if line.strip():
                yield _check(kind, line, f"{path}:{n}")


def _check(kind: type[ShownT], text: str, place: str) -> ShownT:
    try:
        return kind.model_validate(json.loads(text))
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"])) or "the whole"
        raise InputError(f"{place}: {key}: {fault['msg']}; run its stage again") from None
    except ValueError as error:
        raise InputError(f"{place}: not JSON ({error}); run its stage again") from None
