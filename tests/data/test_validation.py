"""What is held out for validation: whole questions, by their text, in no row, on any threads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck import _reference, prepare
from limbeck.config import Prepare, RecipeError, check
from limbeck.errors import InputError
from limbeck.sources import Data
from limbeck.tasks import held_out_questions

RECORDS = [
    {
        "id": f"r{n}",
        "question": f"What is {n} + 1?",
        "answer": n + 1,
        "rationale": [f"{n} + 1 = {n + 1}", f"{n + 1}, as one more than {n}"],
    }
    for n in range(200)
]


def lines(directory: Path) -> list[dict[str, Any]]:
    text = (directory / "validation.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_share_of_the_questions_is_held_out_whole(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path, opened: Callable[[Path], Any]
) -> None:
    path, out = write(RECORDS), tmp_path / "out"
    manifest = prepare(path, tokenizer=tokenizer, output_dir=out, validation=0.2)
    held_out = lines(out)
    expected = [
        record for record in RECORDS if _reference.records.is_drawn(str(record["question"]), 0.2)
    ]
    assert held_out == [
        {
            "id": record["id"],
            "question": record["question"],
            "answer": str(record["answer"]),
            "split": "validation",
        }
        for record in expected
    ]
    assert 25 < len(expected) < 55
    records = manifest.records
    assert records.held_out == len(expected)
    assert records.read == records.kept == 2 * (len(RECORDS) - len(expected))
    kept = {entry["record_id"] for entry in opened(out).entries}
    assert kept == {record["id"] for record in RECORDS} - {line["id"] for line in held_out}
    assert [each.question for each in held_out_questions(out, 1000)] == [
        record["question"] for record in expected
    ]


def test_records_may_name_the_split_themselves(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    marked = [RECORDS[0] | {"split": "validation", "domain": "sums"}, *RECORDS[1:3]]
    chat = {
        "messages": [
            {"role": "user", "content": "What is 5 + 1?"},
            {"role": "assistant", "content": "<think>5 + 1 = 6</think>6"},
        ],
        "split": "validation",
    }
    paths = [write(marked), write([chat, chat | {"split": "train"}], "chat.jsonl")]
    manifest = prepare(paths, tokenizer=tokenizer, output_dir=tmp_path / "out")
    assert (manifest.records.held_out, manifest.records.other_split) == (2, 0)
    assert [(line["question"], line["answer"]) for line in lines(tmp_path / "out")] == [
        ("What is 0 + 1?", "1"),
        ("What is 5 + 1?", "6"),
    ]
    assert lines(tmp_path / "out")[0]["domain"] == "sums"
    test = prepare(
        paths[0],
        tokenizer=tokenizer,
        output_dir=tmp_path / "validation",
        recipe=Prepare(split="validation"),
    )
    assert (test.records.held_out, test.records.kept) == (0, 6)
    assert not (tmp_path / "validation" / "validation.jsonl").exists()


def test_the_bytes_do_not_depend_on_threads(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path, opened: Callable[[Path], Any]
) -> None:
    path = write([record | {"id": f"{copy}"} for copy in range(30) for record in RECORDS])
    files = []
    for threads in (1, 3):
        out = tmp_path / str(threads)
        prepare(path, tokenizer=tokenizer, output_dir=out, validation=0.3, threads=threads)
        files.append(opened(out).files())
    assert files[0] == files[1]
    assert len(files[0]["validation.jsonl"].splitlines()) > 1000


def test_what_cannot_be_asked_is_rejected_as_before(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    broken = [
        RECORDS[0] | {"split": "validation", "answer": " "},
        RECORDS[1] | {"split": "validation", "question": 3},
        RECORDS[2],
    ]
    manifest = prepare(write(broken), tokenizer=tokenizer, output_dir=tmp_path / "out")
    assert manifest.records.held_out == 0
    assert manifest.records.rejected == {"malformed": 1, "empty": 2}
    assert not (tmp_path / "out" / "validation.jsonl").exists()


def test_a_dry_run_counts_them(tokenizer: Path, write: Callable[..., Path], tmp_path: Path) -> None:
    manifest = prepare(
        write(RECORDS),
        tokenizer=tokenizer,
        output_dir=tmp_path / "out",
        validation=0.5,
        dry_run=True,
    )
    assert 70 < manifest.records.held_out < 130
    assert not (tmp_path / "out").exists()


def test_shares_that_are_none_are_refused(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="validation: input should be less than 1"):
        check(Data, {"paths": ["a"], "validation": 1.0})

    def attempt(validation: float, split: str = "train") -> None:
        prepare(
            write(RECORDS[:1]),
            tokenizer=tokenizer,
            output_dir=tmp_path / "out",
            recipe=Prepare(split=split),
            validation=validation,
        )

    with pytest.raises(InputError, match=r"data\.validation: 1\.5 is no share"):
        attempt(1.5)
    with pytest.raises(InputError, match="the validation split itself is prepared"):
        attempt(0.1, "validation")
    with pytest.raises(InputError, match=r"no record of split .* 1 held out"):
        attempt(0.999999)
