"""Whether a reply teaches what it should: the answer it comes to, and its rationale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from limbeck.tasks.answers import parse
from limbeck.teach.problems import Problem
from limbeck.teach.reply import Reply

__all__ = ["Verdict", "judge"]

Reason = Literal["truncated", "content_filter", "empty", "no_answer", "answer_mismatch"]


@dataclass(frozen=True)
class Verdict:
    """What was read of a reply.

    Attributes:
        rationale: Its rationale; empty where there is none.
        answer: The answer it comes to; None where none can be read.
        reason: Why it is not taken; None where it is.
    """

    rationale: str
    answer: str | None
    reason: Reason | None


def judge(
    problem: Problem, reply: Reply, *, rationale: Literal["thinking", "response"] = "thinking"
) -> Verdict:
    """Read a reply as the importers do, and compare its answer with the gold one.

    Args:
        problem: What was asked.
        reply: What came.
        rationale: Which part is the rationale of a reply that thinks apart from its response.

    Example:
        >>> problem = Problem("1", "3 * 24?", "72", "sums", None, "any")
        >>> reply = Reply("3 * 24 is 60 + 12. The answer is 72.", None, "stop", 9, 22)
        >>> judge(problem, reply).answer, judge(problem, reply).reason
        ('72', None)
    """
    from limbeck._native import answers_equal, conclusion

    takes_thinking = reply.thinking is not None and rationale == "thinking"
    text = (reply.thinking or "") if takes_thinking else reply.text
    answer = conclusion(reply.text)
    if answer is None and reply.thinking is not None:
        # What follows the thinking is the answer, where it marks no other.
        answer = reply.text or None
    if answer is not None:
        answer = parse(problem.kind, answer, problem.question)
    reason: Reason | None = None
    if reply.is_truncated:
        reason = "truncated"
    elif reply.finish_reason == "content_filter":
        reason = "content_filter"
    elif not text:
        reason = "empty"
    elif answer is None:
        reason = "no_answer"
    elif problem.answer is not None and not answers_equal(answer, problem.answer):
        reason = "answer_mismatch"
    return Verdict(text, answer, reason)
