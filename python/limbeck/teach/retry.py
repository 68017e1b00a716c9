"""How long to wait before a request is tried again."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

__all__ = ["backoff_s", "retry_after_s"]

FIRST_S, LONGEST_S = 0.5, 60.0


def backoff_s(attempt: int, rng: random.Random) -> float:
    """Seconds before the next attempt: doubled each time, the upper half of it by chance.

    Without chance the requests that failed together would come back together.

    Args:
        attempt: 0 after the first.
        rng: Draws the chance.
    """
    whole = min(LONGEST_S, FIRST_S * 2.0 ** min(attempt, 32))
    return whole * rng.uniform(0.5, 1.0)


def retry_after_s(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that the server asks to wait; None where it does not say, or says nonsense.

    Args:
        headers: Of its response: `retry-after-ms`, or `retry-after` in seconds or as a date.
        now: Unix time; by default the clock's.

    Example:
        >>> retry_after_s({"retry-after": "Thu, 01 Jan 1970 00:00:30 GMT"}, now=10.0)
        20.0
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
        return max(0.0, date.timestamp() - (time.time() if now is None else now))
    except (TypeError, ValueError, OverflowError):
        return None
