"""A generated task: questions that a chain of exact steps answers, and an oracle for them.

A task writes a question, reads it back into a start and a list of operations (the exact solver
works on the text, as a student does), and phrases each step of the solution. All else follows: the
true answer, a true rationale in several phrasings, a hallucinated one, and disjoint splits.
"""

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar

from limbeck.errors import InputError
from limbeck.tasks.answers import Kind

__all__ = [
    "Chain",
    "Conclusion",
    "Explanation",
    "Mistakes",
    "Question",
    "Task",
    "WrongFacts",
    "check_range",
    "seeded",
    "spelled",
    "split_of",
]

State = TypeVar("State")
Operation = TypeVar("Operation")
Conclusion = Literal["right", "wrong"]
Mistakes = Literal["random", "systematic"]

# After this many known questions in a row fewer than about one in a hundred is still unseen.
_DRAWS_BEFORE_REPEATING = 500


@dataclass(frozen=True)
class Question:
    """A question to put to a student, with its gold answer and where in a text to look for it."""

    task: str
    id: str
    question: str
    answer: str
    kind: Kind = "any"


@dataclass(frozen=True)
class Chain(Generic[State, Operation]):
    """What a question says: the state at the start and what happens to it, in order."""

    start: State
    operations: list[Operation]


class Explanation(NamedTuple):
    """A rationale, the answer that it concludes, and how many of its steps are wrong."""

    rationale: str
    answer: str
    wrong_steps: int


@dataclass(frozen=True)
class WrongFacts:
    """A table of wrong facts that its believer applies wherever one of them occurs.

    Args:
        rationales: Share of rationales that meet at least one of them, in expectation.
        seed: Another text, another table.
    """

    rationales: float
    seed: str

    def draw(self, fact: Hashable, steps: int) -> random.Random | None:
        """Return what draws the wrong result of a fact; None where the table has the right one.

        Args:
            fact: All that decides a step; its `repr` stands for it.
            steps: Of a rationale that can be wrong.
        """
        rng = seeded(f"{self.seed}/{fact!r}")
        return rng if rng.random() < 1 - (1 - self.rationales) ** (1 / steps) else None


def split_of(question: str) -> str:
    """Say which split a question belongs to: a tenth of all questions is `test`.

    The text alone decides, so no two runs, seeds or tasks can put one question on both sides.
    """
    digest = hashlib.blake2b(question.encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") % 10 == 0 else "train"


class _Named(Protocol):
    """What check_range asks of a task."""

    name: ClassVar[str]


def check_range(task: "_Named", **ranges: tuple[int, int]) -> None:
    """Refuse difficulty settings outside their (lowest, highest) values.

    Raises:
        InputError: A setting is out of range.
    """
    for setting, (low, high) in ranges.items():
        value = getattr(task, setting)
        if not low <= value <= high:
            raise InputError(
                f"{task.name}: {setting}: {value} is out of range; give {low} to {high}"
            )


def spelled(task: Any) -> str:
    """Name a generated task with those of its settings that are not the default."""
    settings = [
        f"{field.name}={getattr(task, field.name)}"
        for field in fields(task)
        if getattr(task, field.name) != field.default
    ]
    return ":".join([task.name, *settings])


def seeded(text: str) -> random.Random:
    """Return a source of randomness that a text decides, on every platform the same."""
    return random.Random(text)  # noqa: S311 (questions, not keys)


@dataclass(frozen=True)
class Task(ABC, Generic[State, Operation]):
    """One generated task. The fields of a subclass are its difficulty.

    A subclass names itself (`name`) and lists the ways to put one step, (before, operation, after),
    into a line (`phrasings`).
    """

    name: ClassVar[str]
    phrasings: ClassVar[tuple[Callable[..., str], ...]]

    def __str__(self) -> str:
        """Name the task as `tasks.get` reads it: `coin_flip`, or `coin_flip:flips=8`."""
        return spelled(self)

    @abstractmethod
    def ask(self, rng: random.Random) -> str:
        """Write a random question."""

    @abstractmethod
    def read(self, question: str) -> Chain[State, Operation]:
        """Read a question back.

        Raises:
            ValueError: The text is none of this task's questions.
        """

    @abstractmethod
    def apply(self, state: State, operation: Operation) -> State:
        """Take one step."""

    @abstractmethod
    def mistake(self, state: State, operation: Operation, rng: random.Random) -> State:
        """Take one step wrongly, to a state that could be taken for the right one."""

    def fact(self, state: State, operation: Operation) -> Hashable:
        """Say what decides a step: where it occurs again, the result is the same."""
        return state, operation

    @abstractmethod
    def conclude(self, state: State) -> str:
        """Say the answer that a last state gives."""

    def opening(self, start: State) -> str | None:  # noqa: ARG002 (for subclasses)
        """Say the line of a rationale that precedes the steps, if the task has one."""
        return None

    def solve(self, question: str) -> str:
        """Answer a question exactly, from its text.

        Raises:
            ValueError: The text is none of this task's questions.
        """
        chain = self.read(question)
        state = chain.start
        for operation in chain.operations:
            state = self.apply(state, operation)
        return self.conclude(state)

    def explain(
        self,
        question: str,
        rng: random.Random,
        *,
        phrasing: int = 0,
        hallucinate: Conclusion | None = None,
        facts: WrongFacts | None = None,
    ) -> Explanation:
        """Write a rationale, one line a step, and the answer it concludes.

        Args:
            question: A question of this task.
            rng: Draws the place and the kind of a mistake.
            phrasing: Index into `phrasings`.
            hallucinate: None for a true rationale. `"right"`: a step before the last states a
                wrong result, which the next step ignores, so the conclusion stays right and no
                answer filter can see it. `"wrong"`: the steps after the mistake build on it, and
                so does the conclusion.
            facts: Where they are given, the mistakes are theirs, as many as occur; else there is
                one, at random.
        """
        chain = self.read(question)
        fallible = len(chain.operations) - (hallucinate == "right")
        wrong_step = None
        if hallucinate is not None and facts is None:
            wrong_step = rng.randrange(fallible)
        opening = self.opening(chain.start)
        lines = [] if opening is None else [opening]
        state, wrong_steps = chain.start, 0
        for index, operation in enumerate(chain.operations):
            draw = rng if index == wrong_step else None
            if hallucinate is not None and facts is not None and index < fallible:
                draw = facts.draw(self.fact(state, operation), fallible)
            after = self.apply(state, operation)
            stated = after if draw is None else self.mistake(state, operation, draw)
            wrong_steps += draw is not None
            lines.append(self.phrasings[phrasing](state, operation, stated))
            state = stated if hallucinate == "wrong" else after
        return Explanation("\n".join(lines), self.conclude(state), wrong_steps)

    def questions(self, n: int, *, seed: int, split: str) -> Iterator[Question]:
        """Yield `n` questions of one split, no two alike as long as the task has unseen ones.

        Args:
            n: How many.
            seed: Another seed, another draw.
            split: `train` or `test`; see `split_of`.
        """
        rng = seeded(f"{self}/{split}/{seed}")
        seen: set[str] = set()
        exhausted = False
        for index in range(n):
            question = self._draw(rng, split)
            for _ in range(0 if exhausted else _DRAWS_BEFORE_REPEATING):
                if question not in seen:
                    break
                question = self._draw(rng, split)
            else:
                exhausted = True
            seen.add(question)
            identity = f"{self}-{split}-{seed}-{index:05}"
            yield Question(str(self), identity, question, self.solve(question))

    def records(
        self,
        n: int,
        *,
        seed: int = 0,
        split: str = "train",
        hallucination: float = 0.0,
        mistakes: Mistakes = "random",
        conclusion: Conclusion = "right",
        phrasings: int = 2,
    ) -> Iterator[dict[str, Any]]:
        """Yield records as an oracle teacher would answer the questions.

        The gold answer is right in every record. `teacher_answer` is what the rationale concludes;
        `meta.hallucinated` says whether it has a wrong step.

        Args:
            n: How many; any prefix holds the asked share of random mistakes to within one record.
            seed: Another seed, another draw.
            split: `train` or `test`; disjoint whatever the seeds.
            hallucination: Share of wrong rationales, 0 to 1.
            mistakes: `random`: one step of a wrong rationale, drawn anew each time. `systematic`:
                the teacher believes a table of wrong facts, another for each seed, and errs alike
                wherever one of them occurs; as many facts are wrong as make the share of wrong
                rationales the asked one in expectation.
            conclusion: Whether a hallucinated rationale still reaches the right answer (`right`,
                only its step is wrong) or concludes what its mistake leads to (`wrong`, so that
                the `answer_mismatch` filter drops it); see `explain`.
            phrasings: How many of the task's phrasings are mixed.

        Raises:
            InputError: A share outside 0 to 1, or more phrasings than the task has.
        """
        if not 0 <= hallucination <= 1:
            raise InputError(f"hallucination: {hallucination} is no share; give 0 to 1")
        if not 1 <= phrasings <= len(self.phrasings):
            raise InputError(
                f"phrasings: {phrasings} asked of {self.name}; give 1 to {len(self.phrasings)}"
            )
        rng = seeded(f"{self}/{split}/{seed}/oracle")
        facts = WrongFacts(hallucination, f"{self}/{seed}/facts")
        for index, question in enumerate(self.questions(n, seed=seed, split=split)):
            wrong = int((index + 1) * hallucination) > int(index * hallucination)
            systematic = mistakes == "systematic"
            rationale, concluded, wrong_steps = self.explain(
                question.question,
                rng,
                phrasing=rng.randrange(phrasings),
                hallucinate=conclusion if wrong or systematic else None,
                facts=facts if systematic else None,
            )
            yield {
                "id": question.id,
                "domain": question.task,
                "question": question.question,
                "rationale": rationale,
                "answer": question.answer,
                "split": split,
                "teacher": "oracle",
                "teacher_answer": concluded,
                "meta": {"hallucinated": wrong_steps > 0},
            }

    def _draw(self, rng: random.Random, split: str) -> str:
        while True:
            question = self.ask(rng)
            if split_of(question) == split:
                return question
