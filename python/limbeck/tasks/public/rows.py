"""The rows of a public set: from the hub, from a copy of it, or from record files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.errors import InputError
from limbeck.lines import records, text

if TYPE_CHECKING:
    from limbeck.tasks.public.base import Hub

__all__ = ["Row", "hub_rows", "record_rows"]

Row = Mapping[str, Any]

# What training may read of a record beside question and answer.
_KEPT = ("rationale", "teacher_answer", "teacher")


def hub_rows(hub: Hub, copy: Path | None, name: str) -> Iterator[tuple[str, Row]]:
    """Yield each row of a set's splits with the name of its split.

    Args:
        hub: Where it is on the hub.
        copy: A local copy of the repository, or a data set saved by `datasets`; None for the hub.
        name: Of the set, for errors.

    Raises:
        InputError: It cannot be loaded, or lacks a split.
    """
    from datasets import load_dataset, load_from_disk

    place = hub.id if copy is None else str(copy)
    try:
        if copy is not None and (copy / "dataset_dict.json").is_file():
            found: Any = load_from_disk(place)
        else:
            found = load_dataset(place, hub.config, data_files=hub.file)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"{name}: {place}: cannot be loaded ({type(error).__name__}: {reason}); check the "
            f"network, or give a copy: {name}:path=DIRECTORY"
        ) from error
    for split in ("train",) if hub.file else hub.splits:
        if split not in found:
            raise InputError(
                f"{name}: {place}: has no split {split!r}, only {', '.join(found)}; give a copy "
                "that has it"
            )
        for row in found[split]:
            yield split, row


RecordRow = tuple[str | None, str, str, dict[str, Any]]
"""Split, question, answer and further fields of a record."""


def record_rows(path: Path) -> Iterator[RecordRow]:
    """Yield each record; its split is None where neither it nor its file names one.

    Args:
        path: A file, or a directory with `train.jsonl` and `test.jsonl`, which then are the splits.

    Raises:
        InputError: A file is missing or a record malformed.
    """
    files = (
        [(path, None)]
        if not path.is_dir()
        else [(path / f"{split}.jsonl", split) for split in ("train", "test")]
    )
    for file, split in files:
        if not file.is_file():
            raise InputError(f"{file}: no such file; check the path")
        for number, record in records(file):
            place = f"{file}:{number}"
            own = text(record, "split", place) if record.get("split") is not None else split
            kept = {key: record[key] for key in _KEPT if record.get(key) is not None}
            question = text(record, "question", place)
            yield own, question, text(record, "answer", place, number=True), kept
