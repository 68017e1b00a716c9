"""When the next request may go: so many requests and tokens a minute, and pauses asked for.

Requests are spread evenly rather than sent in bursts, so no window of a minute holds more than the
limit and one request. What a request will take is only known when it is answered; it waits for the
most it can take, and what it did not take is given back.
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Pace"]


class Pace:
    """The times of requests to one endpoint.

    Args:
        requests_per_minute: None for no limit.
        tokens_per_minute: Of prompts and completions together; None for no limit.
        clock: Seconds that only go forward.

    Example:
        >>> pace = Pace(requests_per_minute=120, clock=lambda: 0.0)
        >>> [pace.book(tokens=100) for _ in range(3)]
        [0.0, 0.5, 1.0]
    """

    def __init__(
        self,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._request_s = 0.0 if requests_per_minute is None else 60 / requests_per_minute
        self._token_s = 0.0 if tokens_per_minute is None else 60 / tokens_per_minute
        self._next_request = self._next_token = self._paused_until = clock()

    def book(self, tokens: int) -> float:
        """Take the next place in the queue.

        Args:
            tokens: What the request takes at most.

        Returns:
            Seconds to wait before it goes.
        """
        now = self._clock()
        at = max(now, self._paused_until, self._next_request, self._next_token)
        self._next_request = at + self._request_s
        self._next_token = at + tokens * self._token_s
        return at - now

    def give_back(self, tokens: int) -> None:
        """Return what a request booked and did not take; less than nothing where it took more."""
        self._next_token -= tokens * self._token_s

    def pause(self, seconds: float) -> None:
        """Send nothing for a while: the endpoint has asked for it."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def paused_s(self) -> float:
        """Seconds that a pause still lasts; a request that was booked before it must wait too."""
        return max(0.0, self._paused_until - self._clock())
