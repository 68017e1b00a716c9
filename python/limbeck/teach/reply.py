"""What a teacher said: its response, its thinking, why it ended, and what it took.

Everything here comes from outside and is read with distrust: whatever is not shaped like an answer
raises `BrokenReplyError`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["BrokenReplyError", "Reply", "of_body", "of_text"]

# Where thinking stands in the response itself; a server that knows the model takes it out.
_THOUGHT = re.compile(
    r"\A\s*(?:<think>|<\|begin_of_thought\|>)?(.*?)(?:</think>|<\|end_of_thought\|>)\s*(.*)\Z",
    re.DOTALL,
)
_OPENED = re.compile(r"\A\s*(?:<think>|<\|begin_of_thought\|>)(.*)\Z", re.DOTALL)
# Around the part that follows the thinking, in the models that write these tokens.
_SOLUTION = re.compile(r"<\|(?:begin|end)_of_solution\|>")


class BrokenReplyError(ValueError):
    """What came is no complete answer; asking again may bring one."""


@dataclass(frozen=True)
class Reply:
    """One answer of a teacher.

    Attributes:
        text: The response, without the thinking.
        thinking: What it thought before, where that stands apart; None where it does not.
        finish_reason: `stop`, `length` where it was cut off, `content_filter`, or the server's own.
        prompt_tokens: Tokens it was given.
        completion_tokens: Tokens it wrote, its thinking included.
    """

    text: str
    thinking: str | None
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int

    @property
    def is_truncated(self) -> bool:
        """Whether it was cut off before its end."""
        return self.finish_reason == "length"


def of_body(body: bytes, *, prompt_tokens: int) -> list[Reply]:
    """Read the body of a chat completion, which has one choice or several.

    Args:
        body: As it came.
        prompt_tokens: What the prompt is taken for where the server does not count; a completion
            is then taken for a token every two bytes.

    Returns:
        A reply for each choice. The first carries the tokens of the prompt, which was computed
        once; the completions' tokens, which a server tells in one sum, are shared out.

    Raises:
        BrokenReplyError: It is cut off, no JSON, or holds no message.
    """
    try:
        values = json.loads(body)
        choices = list(values["choices"])
        messages = [choice["message"] for choice in (choices[0], *choices[1:])]
        parts = [(each.get("content"), _thinking(each)) for each in messages]
        reasons = [str(each.get("finish_reason") or "unknown") for each in choices]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BrokenReplyError(f"no chat completion came, but {body[:60]!r}") from error
    if not all(isinstance(each, str | None) for pair in parts for each in pair):
        raise BrokenReplyError("a message came whose content is no text")
    usage = values.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    sizes = [
        -(-len(((thinking or "") + (content or "")).encode(errors="replace")) // 2)
        for content, thinking in parts
    ]
    written = _shares(_count(usage.get("completion_tokens"), sum(sizes)), sizes)
    given = _count(usage.get("prompt_tokens"), prompt_tokens)
    return [
        of_text(
            content or "",
            thinking=thinking,
            finish_reason=reason,
            prompt_tokens=given if place == 0 else 0,
            completion_tokens=tokens,
        )
        for place, ((content, thinking), reason, tokens) in enumerate(
            zip(parts, reasons, written, strict=True)
        )
    ]


def _shares(total: int, sizes: Sequence[int]) -> list[int]:
    """Part a number as some sizes are to each other; the parts add up to it."""
    whole = sum(sizes) or 1
    ends = [total * sum(sizes[: n + 1]) // whole for n in range(len(sizes))]
    ends[-1] = total
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def of_text(
    text: str,
    *,
    thinking: str | None = None,
    finish_reason: str,
    prompt_tokens: int,
    completion_tokens: int,
) -> Reply:
    """A reply of what was written, any thinking within it set apart.

    Example:
        >>> reply = of_text("<think>3 * 24 = 72.</think>72", finish_reason="stop",
        ...                 prompt_tokens=9, completion_tokens=12)
        >>> reply.thinking, reply.text
        ('3 * 24 = 72.', '72')
    """
    if thinking is None and (found := _THOUGHT.match(text)):
        thinking, text = found[1], found[2]
    elif thinking is None and (opened := _OPENED.match(text)):
        thinking, text = opened[1], ""
    return Reply(
        text=_whole(_SOLUTION.sub("", text)).strip(),
        thinking=None if thinking is None else _whole(thinking).strip() or None,
        finish_reason=finish_reason,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
    )


def _thinking(message: Any) -> Any:
    """The thinking of a message, under the name that its server gives it."""
    given = (message.get(name) for name in ("reasoning_content", "reasoning"))
    return next((each for each in given if each), None)


def _whole(text: str) -> str:
    """Text whose lone surrogates, which no file can hold, are replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _count(value: Any, default: int) -> int:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_count else default
