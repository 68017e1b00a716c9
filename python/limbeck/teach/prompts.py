"""What a teacher is asked: ready prompts, and the requests they become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.errors import InputError
from limbeck.lines import records, text
from limbeck.teachers import Endpoint, LocalModel, ModelTeacher

__all__ = ["Message", "Prompt", "asking", "endpoint_request", "local_request", "read_prompts"]

Message = Mapping[str, str]
"""`role` and `content`."""

ROLES = ("system", "user", "assistant", "developer")


@dataclass(frozen=True)
class Prompt:
    """A conversation that a teacher is to continue.

    Attributes:
        id: What its owner calls it.
        messages: The turns so far, the last of them not the teacher's.

    Example:
        >>> Prompt.of("p1", "Name a rule.").messages
        ({'role': 'user', 'content': 'Name a rule.'},)
    """

    id: str
    messages: tuple[Message, ...]

    @classmethod
    def of(cls, id: str, text: str, *, system: str | None = None) -> Prompt:
        """A prompt of one turn."""
        told = () if system is None else ({"role": "system", "content": system},)
        return cls(id, (*told, {"role": "user", "content": text}))

    @property
    def size_bytes(self) -> int:
        """Of all turns, in UTF-8."""
        return sum(len(message["content"].encode()) for message in self.messages)

    @property
    def tokens_at_most(self) -> int:
        """A bound on its tokens that hardly any text exceeds: one every two bytes, and marks."""
        return -(-self.size_bytes // 2) + 16 * (1 + len(self.messages))


def asking(question: str, id: str, teacher: ModelTeacher) -> Prompt:
    """The prompt that puts a question to a teacher."""
    # No `str.format`: a question may hold braces.
    return Prompt.of(id, teacher.prompt.replace("{question}", question), system=teacher.system)


def endpoint_request(prompt: Prompt, teacher: Endpoint) -> dict[str, Any]:
    """The fields of a chat completion."""
    request: dict[str, Any] = {
        "model": teacher.model,
        "messages": [dict(message) for message in prompt.messages],
        teacher.limit_field: teacher.max_new_tokens,
    }
    if teacher.temperature is not None:
        request["temperature"] = teacher.temperature
    if teacher.top_p < 1:
        request["top_p"] = teacher.top_p
    if teacher.extra_body:
        request["extra_body"] = teacher.extra_body
    return request


def local_request(prompt: Prompt, teacher: LocalModel, seed: int) -> dict[str, Any]:
    """All that decides a local model's answers."""
    return {
        "model": teacher.model,
        "messages": [dict(message) for message in prompt.messages],
        "max_new_tokens": teacher.max_new_tokens,
        "temperature": teacher.temperature,
        "top_p": teacher.top_p,
        "seed": seed,
    }


def read_prompts(paths: Sequence[Path]) -> list[Prompt]:
    """Read files of JSON lines with `prompt`, text or messages, and perhaps `id`.

    Raises:
        InputError: A file is missing, a line is no prompt, or an id is given twice.
    """
    prompts: dict[str, Prompt] = {}
    for path in paths:
        if not path.is_file():
            raise InputError(f"{path}: no such file; check the path")
        for number, record in records(path):
            place = f"{path}:{number}"
            id = text(record, "id", place, default=str(number), number=True)
            if id in prompts:
                raise InputError(f"{place}: id: {id!r} is given twice; name each prompt once")
            if isinstance(record.get("prompt"), list):
                prompts[id] = Prompt(id, tuple(_messages(record["prompt"], f"{place}: prompt")))
            else:
                prompts[id] = Prompt.of(id, text(record, "prompt", place))
    return list(prompts.values())


def _messages(turns: Sequence[Any], place: str) -> Iterator[Message]:
    for index, turn in enumerate(turns):
        if not isinstance(turn, dict) or turn.get("role") not in ROLES:
            raise InputError(
                f"{place}[{index}]: no message; give an object with `content` and the `role` "
                f"{', '.join(ROLES[:-1])} or {ROLES[-1]}"
            )
        yield {"role": turn["role"], "content": text(turn, "content", f"{place}[{index}]")}
    if not turns or turns[-1]["role"] == "assistant":
        raise InputError(
            f"{place}: leaves the teacher nothing to answer; end it with a user's turn"
        )
