"""A record's fields to text with spans; twin of `template.rs` and `chat/`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

KINDS = ("prompt", "question", "answer", "rationale", "semantic", "soft_prompt", "end", "gate")
"""Span kinds by their codes."""

CONTROLS = {
    "semantic": "<|sem|>",
    "answer_first": "<|answer_first|>",
    "think_first": "<|think_first|>",
}
"""Tokens that a template may write, by their fields."""
GATES = ("answer_first", "think_first")
SOFT_PROMPT = "<|prompt_{}|>"
"""The tokens of a soft prompt, by their numbers."""
MARKS = "\U000f0000\U000f0001\U000f0002\U000f0003"
"""Characters that no record holds; they show where a message's content went."""


@dataclass(frozen=True)
class Piece:
    """A stretch of text of one kind; only in a literal a control token is one."""

    text: str
    kind: str
    is_literal: bool


@dataclass(frozen=True)
class Template:
    """The pieces' makings: (kind, field or None, literal text) of prompt and completion."""

    prompt: tuple[tuple[str, str | None, str], ...]
    completion: tuple[tuple[str, str | None, str], ...]

    @classmethod
    def parse(cls, spec: Mapping[str, str]) -> Template:
        """Read two format strings.

        In the prompt a literal is prompt, but for the whitespace before a field, which is the
        field's; in the completion it has the kind of what it leads to, the last one that of what
        it follows.
        """
        prompt: list[tuple[str, str | None, str]] = []
        parts = _parts(spec["prompt"])
        for n, (field, text) in enumerate(parts):
            if field is None and n + 1 < len(parts):
                blank = text[len(text.rstrip()) :]
                prompt.append(("prompt", None, text.rstrip()))
                prompt.append((str(parts[n + 1][0]), None, blank))
            else:
                prompt.append((field or "prompt", field, text))
        parts = _parts(spec["completion"])
        kind = next((_kind(field) for field, _ in reversed(parts) if field), "prompt")
        completion = []
        for field, text in reversed(parts):
            kind = _kind(field) if field else kind
            completion.append((kind, field, text))
        return cls(tuple(prompt), tuple(reversed(completion)))

    @property
    def is_question_only(self) -> bool:
        """Whether it is one for unlabelled questions."""
        return not self.completion

    @property
    def needs_rationale(self) -> bool:
        """Whether the completion holds the rationale."""
        return any(field == "rationale" for _, field, _ in self.completion)


def _kind(field: str) -> str:
    return "gate" if field in GATES else field


def _parts(spec: str) -> list[tuple[str | None, str]]:
    """Fields and literals in order; `{{` and `}}` are braces."""
    pieces = re.findall(r"\{\{|\}\}|\{\w+\}|[^{}]+", spec)
    named = [
        (piece[1:-1], "") if re.fullmatch(r"\{\w+\}", piece) else (None, piece) for piece in pieces
    ]
    parts: list[tuple[str | None, str]] = []
    for field, group in groupby(named, key=lambda part: part[0]):
        literal = "".join({"{{": "{", "}}": "}"}.get(text, text) for _, text in group)
        parts.append((field, literal))
    return parts


def fill(
    segments: tuple[tuple[str, str | None, str], ...], fields: Mapping[str, str], end_token: str
) -> list[Piece]:
    """The pieces of a prompt or of a completion; fields are trimmed."""
    controls = CONTROLS | {"end": end_token}
    return [
        Piece(fields[field].strip(), kind, is_literal=False)
        if field and field in fields
        else Piece(controls[field] if field else text, kind, is_literal=True)
        for kind, field, text in segments
    ]


def chat(
    source: str,
    variables: Mapping[str, Any],
    user: list[Piece],
    assistant: list[Piece],
    end_token: str,
) -> tuple[list[Piece], list[Piece]]:
    """The pieces of a chat's prompt and of what the student writes after it.

    Raises:
        ValueError: The chat template changes a message or does not begin with its own prompt.
    """
    contents = ["".join(piece.text for piece in pieces) for pieces in (user, assistant)]
    marked = [MARKS[0] + contents[0] + MARKS[1], MARKS[2] + contents[1] + MARKS[3]]
    whole = render(source, variables, contents, add_generation_prompt=False)
    prompt = render(source, variables, contents[:1], add_generation_prompt=True)
    parts = re.split(f"[{MARKS}]", render(source, variables, marked, add_generation_prompt=False))
    if "".join(parts) != whole or parts[1::2] != contents or not whole.startswith(prompt):
        raise ValueError("the chat template does not write the messages as they are")
    before, _, between, _, after = parts
    cut = len(prompt) - len(before) - len(contents[0])
    turn_end = after.index(end_token) + len(end_token)
    return (
        [Piece(before, "prompt", True), *user, Piece(between[:cut], "prompt", True)],
        [
            Piece(between[cut:], assistant[0].kind, True),
            *assistant,
            Piece(after[:turn_end], "end", True),
            Piece(after[turn_end:], "prompt", True),
        ],
    )


def chat_prompt(source: str, variables: Mapping[str, Any], user: list[Piece]) -> list[Piece]:
    """The pieces of what the student is given in a chat."""
    content = MARKS[0] + "".join(piece.text for piece in user) + MARKS[1]
    before, _, after = re.split(
        f"[{MARKS}]", render(source, variables, [content], add_generation_prompt=True)
    )
    return [Piece(before, "prompt", True), *user, Piece(after, "prompt", True)]


def render(
    source: str, variables: Mapping[str, Any], contents: list[str], *, add_generation_prompt: bool
) -> str:
    """A chat of a user's and perhaps an assistant's message, as transformers renders it."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    today = date.fromisoformat(variables.get("strftime_now", "2024-07-26"))
    environment.globals["strftime_now"] = today.strftime
    roles = ("user", "assistant")
    messages = [
        {"role": role, "content": text} for role, text in zip(roles, contents, strict=False)
    ]
    return environment.from_string(source).render(
        messages=messages,
        add_generation_prompt=add_generation_prompt,
        **{name: value for name, value in variables.items() if name != "strftime_now"},
    )
