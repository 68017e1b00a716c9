"""A stage reads files and writes one; it is skipped while what it reads has not changed.

Beside a stage's output `X` stands `.X.stamp.json` with the content hash of everything that went
into it: the files, the settings, and limbeck's version. The stamp is written last, so a stage that
was cut off has none and runs again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck import __version__

Progress = Callable[[int, int, str], None]
"""Done, total, and a text about the rate; `total` 0 where it is not known."""

Watch = Callable[["Stage", bool], AbstractContextManager[Progress]]
"""Told of each stage and whether it is skipped; yields the stage's progress callback."""


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    Attributes:
        name: What the user calls it (`pst/prepared`).
        output: The file or directory it writes.
        inputs: Files and directories it reads, hashed by content; a name that is neither counts as
            it is (a model or tokenizer on the hub).
        settings: Everything else that decides its output; JSON values.
        action: Does the work, given a progress callback.
        warning: What the user should know of the output, if anything.
    """

    name: str
    output: Path
    inputs: tuple[str | Path, ...]
    settings: Mapping[str, Any]
    action: Callable[[Progress], object]
    warning: Callable[[], str | None] = lambda: None

    @property
    def stamp(self) -> Path:
        """Where the content hash of the finished stage stands."""
        return self.output.with_name(f".{self.output.name}.stamp.json")

    def key(self) -> str:
        """The content hash of all that goes into the stage."""
        parts = {
            "limbeck": __version__,
            "settings": self.settings,
            "inputs": [digest(Path(each)) for each in self.inputs],
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    def is_done(self) -> bool:
        """Whether the output stands and was made from just these inputs."""
        if not self.output.exists() or not self.stamp.exists():
            return False
        return bool(json.loads(self.stamp.read_text("utf-8"))["key"] == self.key())

    def walk(self, progress: Progress) -> None:
        """Do the work, then stamp it."""
        key = self.key()
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self.stamp.unlink(missing_ok=True)
        self.action(progress)
        beside = self.stamp.with_suffix(".tmp")
        beside.write_text(json.dumps({"stage": self.name, "key": key}) + "\n", "utf-8")
        beside.replace(self.stamp)


def digest(path: Path) -> str:
    """SHA-256 over the names and contents of a file or of a directory's files.

    Hidden files and the caches that `datasets` leaves beside its data do not count. What does not
    exist counts by its name.
    """
    total = hashlib.sha256() if path.exists() else hashlib.sha256(str(path).encode())
    for name, file in _files(path):
        total.update(f"{name}\0{_file_digest(file, file.stat().st_mtime_ns)}\0".encode())
    return total.hexdigest()


_seen: dict[tuple[Path, int, int], str] = {}


def _file_digest(file: Path, modified: int) -> str:
    known = (file.resolve(), modified, file.stat().st_size)
    if known not in _seen:
        content = hashlib.sha256()
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                content.update(block)
        _seen[known] = content.hexdigest()
    return _seen[known]


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield path.name, path
        return
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        hidden = any(part.startswith(".") for part in name.split("/"))
        if file.is_file() and not hidden and not file.name.startswith(("cache-", "tmp")):
            yield name, file
