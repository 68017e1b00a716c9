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
    # Distilling step-by-step: answer and rationale are two tasks, told apart by a prefix.
    "prefix-label": (" {answer}{end}", "{answer}"),
    "prefix-rationale": (" {rationale}{end}", "{rationale}"),
    # Adaptive thinking: the student first writes which way it takes.
    "gate-answer-first": (
        "{answer_first} {answer}{semantic}\n{rationale}{end}",
        "{answer_first}{answer}{semantic}\n{rationale}",
    ),
    "gate-think-first": (
        "{think_first} {rationale}\nThe answer is {answer}.{end}",
        "{think_first}{rationale}\nThe answer is {answer}.",
    ),
}

# name: what stands before the prompt.
PREFIXES = {"prefix-label": "[label] ", "prefix-rationale": "[rationale] "}


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
    prefix = PREFIXES.get(name, "")
    if style == "chat":
        return TemplateSpec(name=name, prompt=prefix + "{question}", completion=chat)
    return TemplateSpec(name=name, prompt=prefix + PLAIN_PROMPT, completion=plain)
