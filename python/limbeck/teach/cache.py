"""Every answer that was paid for, kept from the moment it came.

An append-only file of JSON lines: one write an answer, on the disk before anyone is told. A process
that is killed loses the requests under way and nothing else; a last line without its end is what a
write left that was cut off, and is taken back when the file is next opened. Answers are found by a
hash of the whole request and the number of the sample, so a job is continued by asking for what is
not there. No request is written, and no key can be: none is in what is hashed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from limbeck.errors import InputError
from limbeck.teach.reply import Reply

__all__ = ["Cache", "request_key"]


def request_key(request: Mapping[str, Any]) -> str:
    """The hash of a request, whatever the order of its fields.

    Example:
        >>> request_key({"model": "m", "n": 1}) == request_key({"n": 1, "model": "m"})
        True
    """
    text = json.dumps(request, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Cache:
    """The answers of one job, by request and sample; a context manager.

    Args:
        path: The file, made if missing.

    Attributes:
        prompt_tokens: Of all answers and of what was lost.
        completion_tokens: The same of what was written.
        lost: Requests that were sent and never answered; a provider may have charged for them.

    Raises:
        InputError: Another process has the file open, or it is damaged.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.prompt_tokens = self.completion_tokens = self.lost = 0
        # 16 bytes of hash and a number, not a string of 32 letters: jobs have millions of rows.
        self._offsets: dict[tuple[bytes, int], int] = {}
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise InputError(
                f"{path.parent}: another run is writing it; wait for it, or choose another "
                "output directory"
            ) from None
        try:
            self._end = self._read()
        except BaseException:
            os.close(self._file)
            raise

    def __len__(self) -> int:
        """Answers in the file."""
        return len(self._offsets)

    def __enter__(self) -> Cache:
        """Return the cache itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file and let others have it."""
        os.close(self._file)

    def get(self, key: str, sample: int) -> Reply | None:
        """Return an answer; None where it is not known."""
        offset = self._offsets.get((bytes.fromhex(key), sample))
        if offset is None:
            return None
        with self.path.open("rb") as lines:
            lines.seek(offset)
            row = json.loads(lines.readline())
        return Reply(**row["reply"])

    def has(self, key: str, sample: int) -> bool:
        """Whether an answer is known."""
        return (bytes.fromhex(key), sample) in self._offsets

    def put(self, key: str, sample: int, reply: Reply) -> None:
        """Keep an answer; when this returns, it is on the disk.

        Raises:
            OSError: The disk is full, or gone.
        """
        self._append({"key": key, "sample": sample, "reply": asdict(reply)})

    def put_lost(self, key: str, sample: int, prompt_tokens: int, completion_tokens: int) -> None:
        """Note that a request was sent and never answered, with the most it can have taken."""
        lost = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
        self._append({"key": key, "sample": sample, "lost": lost})

    def _append(self, row: dict[str, Any]) -> None:
        line = json.dumps(row).encode() + b"\n"
        at = self._end
        written = 0
        try:
            while written < len(line):
                written += os.write(self._file, line[written:])
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, at)  # a half line would spoil the next
            raise
        self._end += len(line)
        self._note(row, at)

    def _read(self) -> int:
        """Learn what the file holds, take a half line at its end back, and return its length."""
        offset = 0
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    os.ftruncate(self._file, offset)
                    break
                try:
                    self._note(json.loads(line), offset)
                except (ValueError, LookupError, TypeError, AttributeError) as error:
                    raise InputError(
                        f"{self.path}:{number}: damaged ({type(error).__name__}); remove the line, "
                        "and what it held is asked for again"
                    ) from error
                offset += len(line)
        return offset

    def _note(self, row: dict[str, Any], offset: int) -> None:
        taken = row["lost"] if "lost" in row else row["reply"]
        prompt, completion = int(taken["prompt_tokens"]), int(taken["completion_tokens"])
        if "lost" in row:
            self.lost += 1
        else:
            self._offsets[bytes.fromhex(row["key"]), int(row["sample"])] = offset
        self.prompt_tokens += prompt
        self.completion_tokens += completion
