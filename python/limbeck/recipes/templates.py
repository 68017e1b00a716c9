"""The built-in templates: what stands in a prompt and in a completion, plain or in a chat.

A template is two format strings; which tokens are question, answer or rationale follows from their
fields, so the text alone says it all. In the completion a literal counts as the field it leads to:
a student must learn to write ` The answer is` as much as the answer.
"""

from __future__ import annotations

from typing import Literal

from limbeck.config import TemplateSpec, suggest
from limbeck.errors import InputError

PLAIN_PROMPT = "Question: {question}\nAnswer:"

# name: (plain completion, chat completion). In a chat the template of the tokenizer ends the turn.
COMPLETIONS = {
    "answer-only": (" {answer}{end}", "{answer}"),
    "think-first": (
        " {rationale}\nThe answer is {answer}.{end}",
        "{rationale}\nThe answer is {answer}.",
    ),
    # PST: the answer, the token whose state carries the meaning of the rationale, the rationale.
    "answer-first": (
        " {answer}{semantic}\n{rationale}{end}",
        "{answer}{semantic}\n{rationale}",
    ),
    # Pure PST: the rationale reaches the student through `<|sem|>` alone.
    "answer-first-pure": (" {answer}{semantic}{end}", "{answer}{semantic}"),
}


def template(name: str, style: Literal["plain", "chat"]) -> TemplateSpec:
    """The built-in template `name` in the given style.

    Args:
        name: One of `COMPLETIONS`.
        style: `plain` text, or the contents of a `chat`'s user and assistant messages.

    Raises:
        InputError: There is no template of that name.

    Example:
        >>> template("answer-only", "plain").completion
        ' {answer}{end}'
    """
    if name not in COMPLETIONS:
        raise InputError(
            f"prepare.template: there is no template {name!r}; {suggest(name, COMPLETIONS)}"
        )
    plain, chat = COMPLETIONS[name]
    if style == "chat":
        return TemplateSpec(name=name, prompt="{question}", completion=chat)
    return TemplateSpec(name=name, prompt=PLAIN_PROMPT, completion=plain)
