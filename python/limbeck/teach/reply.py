"""What a teacher said: its response, its thinking, why it ended, and what it took.

Everything here comes from outside and is read with distrust: whatever is not shaped like an answer
raises `BrokenReplyError`.
"""

from __future__ import annotations

import json
import re
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


def of_body(body: bytes, *, prompt_tokens: int) -> Reply:
    """Read the body of a chat completion.

    Args:
        body: As it came.
        prompt_tokens: What the prompt is taken for where the server does not count; the completion
            is then taken for a token every two bytes.

    Raises:
        BrokenReplyError: It is cut off, no JSON, or holds no message.
    """
    try:
        values = json.loads(body)
        choice = values["choices"][0]
        message = choice["message"]
        content, thinking = message.get("content"), _thinking(message)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BrokenReplyError(f"no chat completion came, but {body[:60]!r}") from error
    if not isinstance(content, str | None) or not isinstance(thinking, str | None):
        raise BrokenReplyError("a message came whose content is no text")
    usage = values.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    written = len(((thinking or "") + (content or "")).encode(errors="replace"))
    return of_text(
        content or "",
        thinking=thinking,
        finish_reason=str(choice.get("finish_reason") or "unknown"),
        prompt_tokens=_count(usage.get("prompt_tokens"), prompt_tokens),
        completion_tokens=_count(usage.get("completion_tokens"), -(-written // 2)),
    )


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
