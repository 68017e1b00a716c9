"""What the report reads of the files that no other module has a class for, and how it reads them.

Keys that are not shown are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from limbeck.errors import InputError

FormatT = TypeVar("FormatT")


class Shown(BaseModel):
    """A part of a stage's file."""

    model_config = ConfigDict(frozen=True, extra="ignore")


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

    SPENT: ClassVar[tuple[str, ...]] = (
        "steps",
        "epochs",
        "examples_seen",
        "tokens_processed",
        "tokens_trained",
        "seconds",
    )
    """What several trainings add up to."""

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


class Probed(Shown):
    """A linear probe's accuracy with its interval."""

    accuracy: float
    low: float
    high: float


class Projection(Shown):
    """States in two dimensions, before training and after, and the domain of each."""

    domains: tuple[int, ...]
    before: tuple[tuple[float, float], ...]
    after: tuple[tuple[float, float], ...]


class DomainProbe(Shown):
    """`probe.json`."""

    domains: tuple[str, ...]
    unlabelled: tuple[str, ...]
    train: int
    test: int
    majority: float
    states: dict[str, dict[str, Probed]]
    projection: Projection


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
    prompt_tokens: int
    tokens_generated: int


def read_json(kind: type[FormatT], path: Path) -> FormatT | None:
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
    return _check(TypeAdapter(kind), text, str(path))


def read_lines(kind: type[FormatT], path: Path) -> Iterator[FormatT]:
    """Each line of a JSONL file as a `kind`; nothing where there is no such file.

    Raises:
        InputError: A line is not JSON, or a key is missing or of another type.
    """
    if not path.exists():
        return
    adapter = TypeAdapter(kind)
    with path.open(encoding="utf-8", errors="replace") as lines:
        for n, line in enumerate(lines, start=1):
            if line.strip():
                yield _check(adapter, line, f"{path}:{n}")


def _check(adapter: TypeAdapter[FormatT], text: str, place: str) -> FormatT:
    try:
        return adapter.validate_python(json.loads(text))
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"])) or "the whole"
        raise InputError(f"{place}: {key}: {fault['msg']}; run its stage again") from None
    except ValueError as error:
        raise InputError(f"{place}: not JSON ({error}); run its stage again") from None
