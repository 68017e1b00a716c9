"""One attempt at one request: an answer, or what to do about its absence.

The key lives here and nowhere else. It comes from the environment, goes into a header, and is cut
out of whatever an endpoint says, for some repeat it in their errors.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from limbeck.errors import InputError, UnfinishedError
from limbeck.teach.reply import BrokenReplyError, Reply, of_body
from limbeck.teach.retry import retry_after_s

if TYPE_CHECKING:
    from limbeck.teachers import Endpoint

__all__ = ["Client", "RefusedError", "TransientError"]

AGAIN = {408, 409, 425, 429}
MISCONFIGURED = {401, 403, 404, 405}
# What an endpoint calls it when money has run out; waiting does not help.
OUT_OF_MONEY = {"insufficient_quota", "billing_hard_limit_reached"}
_LONGEST_REASON = 400


class TransientError(Exception):
    """No answer came; the same request may have one later.

    Attributes:
        retry_after_s: What the endpoint asks to wait; None where it does not.
        was_sent: Whether the endpoint may have worked on it, and charged for it.
    """

    def __init__(self, reason: str, *, retry_after_s: float | None, was_sent: bool) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.was_sent = was_sent


class RefusedError(Exception):
    """The endpoint will not answer this request."""


class Client:
    """An endpoint; an async context manager.

    Args:
        teacher: Where it is and how long to wait for it.

    Raises:
        InputError: The `openai` package or the key is missing.
    """

    def __init__(self, teacher: Endpoint) -> None:
        try:
            import openai
        except ImportError:
            raise InputError(
                "teacher.name: openai needs the client of that name; install limbeck[teach]"
            ) from None
        self._library = openai
        self._key = os.environ.get(teacher.api_key_env, "").strip()
        is_elsewhere = teacher.base_url is not None or "OPENAI_BASE_URL" in os.environ
        if not self._key and not is_elsewhere:
            raise InputError(
                f"teacher.api_key_env: the environment has no {teacher.api_key_env}; set it to "
                "your key, or give `base_url` for a server of your own"
            )
        self._teacher = teacher
        self._client = openai.AsyncOpenAI(
            api_key=self._key or "none",  # servers of one's own want none, the client wants some
            base_url=teacher.base_url,
            max_retries=0,  # retried by us, who share pauses and keep count
            timeout=teacher.timeout_s,
        )

    @property
    def base_url(self) -> str:
        """Where requests go, without what may stand before the host."""
        url = self._client.base_url
        return f"{url.scheme}://{url.netloc.decode()}{url.path}"

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def attempt(self, request: Mapping[str, Any], *, prompt_tokens: int) -> list[Reply]:
        """Send a request once; it brings a reply, or as many as its `n` says at most.

        Args:
            request: Fields of a chat completion.
            prompt_tokens: What its prompt is taken for where the endpoint does not count.

        Raises:
            TransientError: No answer came, but one may.
            RefusedError: This request will not be answered.
            InputError: No request would be: the key, the model or the address is wrong.
            UnfinishedError: The account is empty.
        """
        library = self._library
        create = self._client.chat.completions.with_raw_response.create
        try:
            # A time for the whole: the client's own ends only when nothing comes at all, and an
            # answer that drips would hold its place for ever.
            raw = await asyncio.wait_for(create(**request), self._teacher.timeout_s)
        except (asyncio.TimeoutError, library.APITimeoutError):
            reason = f"no answer within {self._teacher.timeout_s:g} s"
            raise TransientError(reason, retry_after_s=None, was_sent=True) from None
        except library.APIConnectionError as error:
            cause = error.__cause__ or error
            never_there = type(cause).__name__ == "ConnectError"
            reason = self._clean(f"connection failed: {type(cause).__name__}: {cause}")
            raise TransientError(reason, retry_after_s=None, was_sent=not never_there) from None
        except library.APIStatusError as error:
            raise self._fault(error) from None
        try:
            body = raw.content.replace(self._key.encode(), b"***") if self._key else raw.content
            return of_body(body, prompt_tokens=prompt_tokens)
        except BrokenReplyError as error:
            raise TransientError(str(error), retry_after_s=None, was_sent=True) from None

    def _fault(self, error: Any) -> Exception:
        status, code = int(error.status_code), error.code or error.type
        # Servers of one's own put the reason elsewhere than OpenAI's does.
        said = error.body.get("message") if isinstance(error.body, dict) else None
        reason = self._clean(f"{status}: {said or error.response.text}")
        if status in MISCONFIGURED:
            return InputError(
                f"teacher: {self.base_url} says {reason}; check {self._teacher.api_key_env}, "
                "`model` and `base_url`"
            )
        if status == 402 or code in OUT_OF_MONEY:
            return UnfinishedError(
                f"teacher: {self.base_url} says {reason}; top the account up and run the same "
                "command to go on"
            )
        if status in AGAIN or status >= 500:
            wait = retry_after_s(error.response.headers)
            # Errors of a gateway may hide an answer that was made; a refusal to serve does not.
            return TransientError(reason, retry_after_s=wait, was_sent=status in (408, 504))
        return RefusedError(reason)

    def _clean(self, text: str) -> str:
        """Text for a user's eyes, without the key, on one line."""
        text = " ".join(text.split())
        text = text.replace(self._key, "***") if self._key else text
        return text[:_LONGEST_REASON]
