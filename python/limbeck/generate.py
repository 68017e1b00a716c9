"""Generate: a trained student answers questions as it was taught to.

limbeck generate STUDENT "Question?", or `generate(student, questions, settings=…)`. How what it
writes is read stands in `reading`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from limbeck.config import Evaluate
from limbeck.continuations import continuations, seeded
from limbeck.errors import InputError
from limbeck.reading import ORDERS, Reader

__all__ = ["Decoding", "Generation", "Generator", "generate", "read_card", "refuse_search"]

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Decoding:
    """How answers are decoded; every value that decides them but the seed.

    Attributes:
        order: What the student writes first: `answer-first`, `think-first` or `answer-only`.
        temperature: Of sampling; 0 is greedy.
        top_p: Mass of the likeliest tokens that are sampled from.
        n_samples: Answers per question.
        max_new_tokens: Where an answer that does not end is cut off.
        batch_size: Prompts generated together.
        dtype: Of weights and arithmetic.
    """

    order: str
    temperature: float
    top_p: float
    n_samples: int
    max_new_tokens: int
    batch_size: int
    dtype: str


@dataclass(frozen=True)
class Generation:
    """One answer to one question.

    Attributes:
        question: Index of the question.
        sample: Index among the question's answers.
        seed: Repeats this answer: a run of one sample with this seed gives it again, the questions
            and the batch size being the same.
        prompt: What the student was given.
        way: The order it was written in.
        text: What it wrote, up to the token that ended it.
        answer: The answer in it; None where it wrote none, or was cut off before its end.
        prompt_tokens: Tokens it was given.
        tokens_generated: Tokens it wrote, the one that ended it included.
    """

    question: int
    sample: int
    seed: int
    prompt: str
    way: str
    text: str
    answer: str | None
    prompt_tokens: int
    tokens_generated: int


def generate(
    student: str | Path,
    questions: Sequence[str],
    *,
    settings: Evaluate | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> list[Generation]:
    """Answer questions with a trained student.

    Args:
        student: A student's directory, as `limbeck train` writes it.
        questions: The questions, without any prompt around them.
        settings: `n_samples` (or `vote`), `temperature`, `top_p`, `max_new_tokens` and
            `batch_size` apply.
        seed: Of sampling; sample i of each question is drawn under `seed + i`.
        device: A torch device; `auto` takes a GPU where there is one.
        progress: Told answers done, answers in all, and a text.

    Returns:
        All samples of each question, in the order of the questions.

    Raises:
        InputError: The directory is no trained student, it answers by a search, or a prompt leaves
            no room for an answer.
    """
    refuse_search(student, settings)
    return Generator(student, device=device).generate(
        questions, settings=settings, seed=seed, progress=progress
    )


class Generator:
    """A student that is loaded once and answers many times.

    On a GPU it computes in bf16, on a CPU in fp32.

    Args:
        student: A student's directory, as `limbeck train` writes it.
        device: A torch device; `auto` takes a GPU where there is one.
        model: The student itself, where it is in memory already, as in training: the directory
            then needs no weights, and the model's device and dtype stay.

    Raises:
        InputError: The directory is no trained student.
    """

    def __init__(self, student: str | Path, *, device: str = "auto", model: Any = None) -> None:
        path = Path(student)
        card = read_card(path)  # refused before PyTorch is imported, which takes seconds

        import torch
        from transformers import AutoTokenizer

        from limbeck._native import Renderer
        from limbeck.model import load_trained, quiet

        self.order: str = card["inference"]["order"]
        self.max_new_tokens: int = card["inference"]["max_new_tokens"]
        self.method: str = card.get("method", "")
        self._renderer = Renderer(str(path), json.dumps(card["render"]))
        with quiet():
            self._tokenizer: Any = AutoTokenizer.from_pretrained(path)
        if model is None:
            if device == "auto":
                device = "cuda" if torch.cuda.is_available() else "cpu"
            dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
            length = len(self._tokenizer)
            model = load_trained(path, tokenizer_length=length, dtype=dtype).to(device).eval()
        self._model = model
        self.dtype = model.dtype
        self._reader = Reader(card, self._tokenizer, _stop_ids(path))

    def decoding(self, settings: Evaluate) -> Decoding:
        """Return how this student decodes under these settings."""
        limit = settings.max_new_tokens
        return Decoding(
            order=self.order,
            temperature=settings.temperature,
            top_p=settings.top_p,
            n_samples=settings.draws,
            max_new_tokens=self.max_new_tokens if limit is None else limit,
            batch_size=settings.batch_size,
            dtype=str(self.dtype).removeprefix("torch."),
        )

    def generate(
        self,
        questions: Sequence[str],
        *,
        settings: Evaluate | None = None,
        seed: int = 0,
        progress: Progress | None = None,
        first: int = 0,
    ) -> list[Generation]:
        """Answer questions; see the function of the same name.

        Args:
            questions: The questions.
            settings: How to decode.
            seed: Of sampling.
            progress: Told answers done, answers in all, and a text.
            first: Index of the first question, where these go on from others.
        """
        decoding = self.decoding(settings or Evaluate())
        if decoding.temperature == 0 and decoding.top_p < 1:
            warnings.warn("top_p has no effect on greedy decoding; set a temperature", stacklevel=2)
        prompts = self._renderer.prompt_ids(list(questions))
        self._check_room(prompts, decoding.max_new_tokens, first)
        # The longest go first: neighbours need little padding, and memory runs out at once or not.
        order = sorted(range(len(prompts)), key=lambda index: (-len(prompts[index]), index))
        size = decoding.batch_size
        batches = [order[first : first + size] for first in range(0, len(order), size)]
        total = len(prompts) * decoding.n_samples
        found: dict[tuple[int, int], Generation] = {}
        for sample in range(decoding.n_samples):
            with seeded(seed + sample, self._model.device):
                for batch in batches:
                    rows = self._written(
                        [prompts[index] for index in batch],
                        decoding.max_new_tokens,
                        decoding.temperature,
                        decoding.top_p,
                        samples=1,
                    )
                    for index, ids in zip(batch, rows, strict=True):
                        found[index, sample] = self._read(
                            first + index, sample, seed + sample, prompts[index], ids
                        )
                    if progress is not None:
                        progress(len(found), total, "answers")
        return [found[key] for key in sorted(found)]

    def stream(
        self, questions: Iterable[str], *, settings: Evaluate | None = None, seed: int = 0
    ) -> Iterator[list[Generation]]:
        """Answer questions as they come, `batch_size` at a time.

        Args:
            questions: Read no further than the batch at work.
            settings: As for `generate`.
            seed: Of sampling; every batch draws under seeds of its own, which its answers tell.

        Yields:
            All samples of one question, in the order of the questions.
        """
        settings = settings or Evaluate()
        waiting = iter(questions)
        first = 0
        while batch := list(islice(waiting, settings.batch_size)):
            own_seed = seed + first // settings.batch_size * settings.draws
            found = self.generate(batch, settings=settings, seed=own_seed, first=first)
            for at in range(0, len(found), settings.draws):
                yield found[at : at + settings.draws]
            first += len(batch)

    def sample(
        self,
        questions: Sequence[str],
        *,
        samples: int,
        temperature: float,
        max_new_tokens: int | None = None,
        batch_size: int = 64,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> list[list[Generation]]:
        """Draw several answers to each question, the prompt of a question computed once for all.

        Args:
            questions: The questions.
            samples: Answers to each.
            temperature: Of sampling; 0 is greedy.
            max_new_tokens: None is what the training data of the student call for.
            batch_size: Answers generated together; of a question with more, so many at a time.
            seed: Of sampling; the questions, their order and the batch size being the same.
            progress: Told answers done, answers in all, and a text.

        Returns:
            The answers to each question.

        Raises:
            InputError: A prompt leaves no room for an answer.
        """
        limit = self.max_new_tokens if max_new_tokens is None else max_new_tokens
        prompts = self._renderer.prompt_ids(list(questions))
        self._check_room(prompts, limit)
        order = sorted(range(len(prompts)), key=lambda index: (-len(prompts[index]), index))
        size = max(1, batch_size // samples)
        batches = [order[first : first + size] for first in range(0, len(order), size)]
        found: list[list[Generation]] = [[] for _ in prompts]
        done, total = 0, len(prompts) * samples
        with seeded(seed, self._model.device):
            for batch in batches:
                for first in range(0, samples, batch_size):
                    count = min(batch_size, samples - first)
                    asked = [prompts[index] for index in batch]
                    rows = self._written(asked, limit, temperature, 1.0, count)
                    for place, ids in enumerate(rows):
                        index = batch[place // count]
                        own = found[index]
                        own.append(self._read(index, len(own), seed, prompts[index], ids))
                    done += len(rows)
                    if progress is not None:
                        progress(done, total, "answers")
        return found

    def _check_room(
        self, prompts: Sequence[Sequence[int]], new_tokens: int, first: int = 0
    ) -> None:
        room = getattr(self._model.config, "max_position_embeddings", None)
        for index, ids in enumerate(prompts, start=first):
            if room is not None and len(ids) + new_tokens > room:
                raise InputError(
                    f"questions[{index}]: a prompt of {len(ids)} tokens and {new_tokens} new ones "
                    f"exceed the student's {room} positions; lower evaluate.max_new_tokens or "
                    "shorten the question"
                )

    def _written(
        self,
        prompts: list[list[int]],
        max_new_tokens: int,
        temperature: float,
        top_p: float,
        samples: int,
    ) -> list[list[int]]:
        """Return the ids that the student writes after each prompt, the stop token included."""
        rows = continuations(
            self._model,
            self._tokenizer,
            prompts,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            stop_ids=self._reader.stop_ids,
            stop_string=self._reader.stop_string,
            samples=samples,
        )
        return [self._reader.until_stop(row) for row in rows]

    def _read(
        self, index: int, sample: int, seed: int, prompt: list[int], ids: list[int]
    ) -> Generation:
        reading = self._reader.read(ids)
        return Generation(
            question=index,
            sample=sample,
            seed=seed,
            prompt=self._reader.decode(prompt),
            way=reading.way,
            text=reading.text,
            answer=reading.answer,
            prompt_tokens=len(prompt),
            tokens_generated=len(ids),
        )


def refuse_search(student: str | Path, settings: Evaluate | None) -> None:
    """Refuse what answers no single question: a search for rules, and a server.

    Args:
        student: Its directory.
        settings: How it is to be asked.

    Raises:
        InputError: The student searches and is not told to answer straight away, or is elsewhere.
    """
    from limbeck.asking import asked_inference

    card = read_card(Path(student))
    if asked_inference(card, settings or Evaluate()).mode == "search":
        raise InputError(
            f"student: {student}: answers induction tasks by searching a rule, which `limbeck "
            "evaluate` does; for what it writes to a question straight away add `--set "
            "inference.mode=direct`"
        )
    if settings is not None and settings.server is not None:
        raise InputError("server: a student is asked here; leave it out, or use `limbeck evaluate`")


def read_card(path: Path) -> dict[str, Any]:
    """Return `limbeck.json`, which says how a student was taught.

    Args:
        path: The student's directory.

    Raises:
        InputError: There is none, or it is no trained student's.
    """
    from limbeck.model import INFO_FILE

    file = path / INFO_FILE
    remedy = "give a student that `limbeck train` wrote"
    if not path.is_dir():
        raise InputError(f"student: {path}: no such directory; {remedy}")
    try:
        card: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"student: {path}: has no {INFO_FILE}, so how it answers is unknown; {remedy}"
        ) from None
    except ValueError as error:
        raise InputError(f"{file}: not JSON ({error}); restore the file") from error
    if card.get("untrained"):
        raise InputError(f"student: {path}: was never trained; {remedy}")
    inference = card.get("inference", {})
    if inference.get("order") not in ORDERS or "render" not in card:
        raise InputError(
            f"{file}: inference.order: none of {', '.join(ORDERS)}, or no render; {remedy}"
        )
    if (inference["order"] == "adaptive") != bool(inference.get("gates")):
        raise InputError(f"{file}: inference.gates: only an adaptive student has them; {remedy}")
    return card


def _stop_ids(path: Path) -> list[int]:
    """Return the ids that end an answer."""
    from transformers import GenerationConfig

    try:
        given = GenerationConfig.from_pretrained(path).eos_token_id
    except OSError:
        given = None
    stops = [] if given is None else [given] if isinstance(given, int) else list(given)
    if not stops:
        raise InputError(
            f"{path / 'generation_config.json'}: eos_token_id: missing, so no answer would end; "
            "restore the file as `limbeck train` wrote it"
        )
    return stops
