"""Questions put to a student, straight away or by a search, here or at a server.

What comes back are the lines of `results.jsonl`, each answer judged.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.errors import InputError
from limbeck.inference import Inference
from limbeck.tasks.answers import parse

if TYPE_CHECKING:
    from limbeck.config import Evaluate
    from limbeck.generate import Generation
    from limbeck.search.backend import Backend
    from limbeck.search.evaluate import SearchSummary
    from limbeck.tasks import Question

__all__ = ["Answered", "Asking", "judge", "stored_inference"]

Progress = Callable[[int, int, str], None]
Row = dict[str, Any]


@dataclass(frozen=True)
class Answered:
    """Questions with their answers.

    Attributes:
        rows: One an answer.
        searches: By task, what the search of its rules took; empty without one.
        rules: Every rule of every task, with its score; the lines of `search.jsonl`.
    """

    rows: list[Row]
    searches: dict[str, SearchSummary] = field(default_factory=dict)
    rules: list[Row] = field(default_factory=list)


def stored_inference(card: Mapping[str, Any]) -> Inference:
    """How a student is asked by default: as its `limbeck.json` says.

    Raises:
        InputError: It says something else than a search has.
    """
    from limbeck.config import RecipeError, check

    search = card["inference"].get("search")
    if search is None:
        return Inference()
    try:
        return check(Inference, {**search, "mode": "search"})
    except RecipeError as error:
        raise InputError(
            f"limbeck.json: inference.search.{error}; restore it as `limbeck train` wrote it"
        ) from None


def asked_inference(card: Mapping[str, Any], settings: Evaluate) -> Inference:
    """How a student is asked: as its `limbeck.json` says, but for what the settings change.

    Raises:
        InputError: It says something else than a search has, or the change does not go with it.
    """
    stored = stored_inference(card)
    return settings.inference.of(stored) if settings.inference is not None else stored


class Asking:
    """A student, and how it is asked.

    Args:
        student: Its directory.
        card: Its `limbeck.json`.
        settings: How it decodes, how it is asked, and where it runs.
        seed: Of sampling.
        directory: Where answers of a server stand until all are there.
        progress: Told answers done, answers in all, and a text.

    Raises:
        InputError: Settings do not go together, or the directory is no trained student.
    """

    def __init__(
        self,
        student: str | Path,
        card: Mapping[str, Any],
        settings: Evaluate,
        *,
        seed: int,
        directory: Path,
        progress: Progress | None = None,
    ) -> None:
        from limbeck.generate import Generator

        self._card, self._settings, self._seed = card, settings, seed
        self._progress = progress
        self.inference = asked_inference(card, settings)
        self._served = directory / ".served"
        if self.inference.mode == "search":
            _refuse_samples(settings)
        elif settings.inference is not None and settings.inference.is_of_search:
            warnings.warn(
                "evaluate.inference: hypotheses, temperatures and scoring have no effect on an "
                "answer that is written straight away; set `mode: search`",
                stacklevel=3,
            )
        self._generator = None if settings.server is not None else Generator(student)

    @property
    def decoding(self) -> dict[str, Any]:
        """Every value that decides the answers but the seed."""
        settings, stored = self._settings, self._card["inference"]
        if self._generator is not None and self.inference.mode == "direct":
            return asdict(self._generator.decoding(settings))
        limit = settings.max_new_tokens
        shared = {
            "max_new_tokens": stored["max_new_tokens"] if limit is None else limit,
            "server": None if settings.server is None else settings.server.base_url,
        }
        if self.inference.mode == "search":
            search = self.inference.model_dump(exclude={"mode"})
            return {"order": "search", **search, **shared}
        sampled = {"temperature": settings.temperature, "n_samples": settings.draws}
        return {"order": stored["order"], **sampled, **shared}

    def ask(self, questions: Sequence[Question]) -> Answered:
        """Have questions answered.

        Args:
            questions: None are no questions: nothing is asked.

        Raises:
            InputError: A question leaves no room for an answer, or a search cannot answer it.
            UnfinishedError: The server did not answer; the same call goes on.
        """
        if not questions:
            return Answered([])
        if self.inference.mode == "search":
            return self._searched(questions)
        if self._generator is None:
            return Answered(list(self._of_server(questions)))
        found = self._generator.generate(
            [question.question for question in questions],
            settings=self._settings,
            seed=self._seed,
            progress=self._progress,
        )
        return Answered([_generated(questions[each.question], each) for each in found])

    def close(self) -> None:
        """Forget what the server answered: the results hold it, and the student may change."""
        shutil.rmtree(self._served, ignore_errors=True)

    def _searched(self, questions: Sequence[Question]) -> Answered:
        from limbeck.search.evaluate import answer_by_search

        found = answer_by_search(questions, self._backend(), self.inference)
        rows = [
            _row(
                question,
                prompt=answer.prompt,
                prompt_tokens=answer.prompt_tokens,
                sample=0,
                seed=self._seed,
                way="search",
                text=answer.rule,
                answer=answer.text,
                tokens=answer.tokens,
            )
            for question, answer in zip(questions, found.answers, strict=True)
        ]
        return Answered(rows, found.tasks, found.rows)

    def _of_server(self, questions: Sequence[Question]) -> Iterator[Row]:
        settings = self._settings
        asked = [question.question for question in questions]
        written = self._backend().write(
            asked, samples=settings.draws, temperature=settings.temperature
        )
        for question, each in zip(questions, written, strict=True):
            count = len(each.texts)
            for sample, text in enumerate(each.texts):
                yield _row(
                    question,
                    prompt=question.question,
                    prompt_tokens=(each.prompt_tokens + sample) // count,
                    sample=sample,
                    seed=self._seed,
                    way=self._card["inference"]["order"],
                    text=text or "",
                    answer=text,
                    tokens=(each.completion_tokens + sample) // count,
                )

    def _backend(self) -> Backend:
        settings = self._settings
        if self._generator is not None:
            from limbeck.search.student import StudentBackend

            return StudentBackend(
                self._generator,
                max_new_tokens=settings.max_new_tokens,
                batch_size=settings.batch_size,
                seed=self._seed,
                progress=self._progress,
            )
        from limbeck.search.served import ServedBackend

        assert settings.server is not None
        limit = settings.max_new_tokens
        return ServedBackend(
            self._card,
            settings.server,
            self._served,
            max_new_tokens=self._card["inference"]["max_new_tokens"] if limit is None else limit,
            progress=self._progress,
        )


def judge(question: Question, answer: str | None) -> tuple[str | None, bool]:
    """Return an answer as its task's kind has it, and whether it is right.

    Args:
        question: What was asked.
        answer: What was read of the student's text; None where nothing could be.
    """
    from limbeck._native import answers_equal

    if answer is None:
        return None, False
    parsed = parse(question.kind, answer, question.question)
    return parsed, answers_equal(parsed, question.answer)


def _refuse_samples(settings: Evaluate) -> None:
    """Refuse what has no meaning in a search, whose own settings say how it draws."""
    for key in ("n_samples", "vote"):
        if getattr(settings, key) not in (None, 1):
            raise InputError(
                f"evaluate.{key}: a search gives one answer; leave it out, and search again with "
                "another `seed` for more"
            )
    if settings.temperature or settings.top_p < 1:
        warnings.warn(
            "evaluate.temperature and top_p have no effect on a search; set "
            "inference.temperature and inference.apply_temperature",
            stacklevel=4,
        )


def _generated(question: Question, generation: Generation) -> Row:
    return _row(
        question,
        prompt=generation.prompt,
        prompt_tokens=generation.prompt_tokens,
        sample=generation.sample,
        seed=generation.seed,
        way=generation.way,
        text=generation.text,
        answer=generation.answer,
        tokens=generation.tokens_generated,
    )


def _row(
    question: Question,
    *,
    prompt: str,
    prompt_tokens: int,
    sample: int,
    seed: int,
    way: str,
    text: str,
    answer: str | None,
    tokens: int,
) -> Row:
    """A line of `results.jsonl`."""
    answer, correct = judge(question, answer)
    return {
        "task": question.task,
        "id": question.id,
        "question": question.question,
        "prompt": prompt,
        "prompt_tokens": prompt_tokens,
        "gold": question.answer,
        "sample": sample,
        "seed": seed,
        "way": way,
        "text": text,
        "answer": answer,
        "correct": correct,
        "tokens_generated": tokens,
    }
