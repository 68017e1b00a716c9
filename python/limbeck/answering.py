"""What `limbeck generate` prints: each question's answers as text or as JSON, while they come."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.visible import visible
from limbeck.vote import vote

if TYPE_CHECKING:
    from limbeck.config import Evaluate
    from limbeck.generate import Generation
    from limbeck.questions import Asked

__all__ = ["answers"]


def answers(
    student: str | Path,
    asked: Iterable[Asked],
    *,
    settings: Evaluate,
    seed: int = 0,
    as_json: bool = False,
) -> Iterator[str]:
    """Yield what is to be printed, in the order of the questions, batch by batch.

    Args:
        student: A student's directory, as `limbeck train` writes it.
        asked: The questions; read no further than the batch at work.
        settings: How to decode; where samples vote, a vote is one answer.
        seed: Of sampling.
        as_json: JSON lines with tokens and seeds, in place of what the student wrote.

    Raises:
        InputError: The directory is no trained student, it answers by a search, or a prompt leaves
            no room for an answer.
    """
    from limbeck.generate import Generator, refuse_search

    refuse_search(student, settings)
    told, put = tee(asked)
    generator = Generator(student)
    stream = generator.stream((each.question for each in put), settings=settings, seed=seed)
    for question, samples in zip(told, stream, strict=True):
        size = settings.vote or 1
        for first in range(0, len(samples), size):
            group = samples[first : first + size]
            if as_json:
                yield json.dumps(_record(question, group), ensure_ascii=False)
            else:
                yield visible(_text(group), keep="\n")


def _record(asked: Asked, samples: Sequence[Generation]) -> dict[str, Any]:
    """One answer as JSON: a single sample with its text, or a vote with its counts."""
    known = {} if asked.id is None else {"id": asked.id}
    shared: dict[str, Any] = {**known, "question": asked.question}
    tokens = {
        "prompt_tokens": sum(each.prompt_tokens for each in samples),
        "tokens_generated": sum(each.tokens_generated for each in samples),
    }
    if len(samples) > 1:
        outcome = vote([each.answer for each in samples])
        votes = [{"answer": answer, "votes": count} for answer, count in outcome.counts]
        return {**shared, "answer": outcome.answer, "votes": votes, **tokens}
    [sample] = samples
    place = {"sample": sample.sample, "seed": sample.seed}
    return {
        **shared,
        "answer": sample.answer,
        "way": sample.way,
        "text": sample.text,
        **tokens,
        **place,
    }


def _text(samples: Sequence[Generation]) -> str:
    """One answer for people: what the student wrote, or the winner with all votes."""
    if len(samples) == 1:
        return samples[0].text.strip()
    outcome = vote([each.answer for each in samples])
    if outcome.answer is None:
        return f"no answer in {len(samples)} samples"
    counts = ", ".join(f"{answer}: {count}" for answer, count in outcome.counts)
    return f"{outcome.answer} ({counts}; of {len(samples)})"
