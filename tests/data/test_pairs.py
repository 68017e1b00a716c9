"""Pairs: a chosen and a rejected example of each record, side by side in one row."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from limbeck._reference import imports
from limbeck.config import Prepare, check
from limbeck.prepare import Manifest, prepare
from limbeck.sources import Source

PAIR = {
    "id": "a",
    "question": "3 + 4?",
    "rationale": "3 + 4 = 7.",
    "answer": "7",
    "rejected_rationale": "3 + 4 = 8.",
    "rejected_answer": "8",
}
OTHER = {
    "id": "b",
    "question": "2 + 2?",
    "rationale": "2 + 2 = 4.",
    "answer": "4",
    "rejected_rationale": "2 and 2 are 22.",
    "rejected_answer": "22",
}
PREFERENCES = [
    {
        "id": each["id"],
        "prompt": each["question"],
        "chosen": f"<think>{each['rationale']}</think>{each['answer']}",
        "rejected": f"<think>{each['rejected_rationale']}</think>{each['rejected_answer']}",
    }
    for each in (PAIR, OTHER)
]


@pytest.fixture
def read(
    tokenizer: Path, tmp_path: Path, write: Callable[..., Path], opened: Callable[[Path], Any]
) -> Callable[..., tuple[Manifest, Any]]:
    """Prepares lines as pairs."""

    def read(lines: Any, weight: float | None = None, **settings: Any) -> tuple[Manifest, Any]:
        section = check(Prepare, {"pairs": True, "template": "think-first", **settings})
        manifest = prepare(
            [Source(path=str(write(lines)), weight=weight)],
            tokenizer=tokenizer,
            output_dir=tmp_path / "out",
            recipe=section,
            overwrite=True,
        )
        return manifest, opened(tmp_path / "out")

    return read


def texts(directory: Any) -> dict[int, tuple[str, str]]:
    """What is chosen and what is rejected, by example id."""
    tokenizer = AutoTokenizer.from_pretrained(directory.path / "tokenizer")
    found = {}
    for example_id, example in directory.examples.items():
        sides = example.ids[: example.chosen], example.ids[example.chosen :]
        found[example_id] = tuple(tokenizer.decode(side) for side in sides)
    return found


@pytest.mark.parametrize("packing", ["bfd", "none", "domain_balanced", "trie"])
@pytest.mark.parametrize("lines", [[PAIR, OTHER], PREFERENCES], ids=["records", "preference"])
def test_both_sides_stand_in_one_row_under_one_id(
    packing: str, lines: list[Any], read: Callable[..., tuple[Manifest, Any]]
) -> None:
    manifest, directory = read(lines, packing=packing)
    assert (manifest.records.read, manifest.records.kept) == (2, 2)
    assert manifest.rows == (2 if packing == "none" else 1)
    end = "<|endoftext|>"
    assert texts(directory) == {
        number: tuple(
            f"Question: {each['question']}\nAnswer: {rationale}\nThe answer is {answer}.{end}"
            for rationale, answer in (
                (each["rationale"], each["answer"]),
                (each["rejected_rationale"], each["rejected_answer"]),
            )
        )
        for number, each in enumerate((PAIR, OTHER))
    }


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"rejected_answer": None}, "malformed", "rejected_answer: missing"),
        ({"rejected_rationale": None}, "malformed", "rejected_rationale: missing"),
        ({"rejected_answer": ["8"]}, "malformed", "rejected_answer: a list instead of text"),
        ({"rejected_answer": " "}, "empty", "rejected_answer: blank"),
        ({"rejected_rationale": "\n"}, "empty", "rejected_rationale: blank"),
        (
            {"rejected_answer": " 7", "rejected_rationale": "3 + 4 = 7. "},
            "malformed",
            "rejected_answer: the same as what is chosen",
        ),
        ({}, "exact_duplicate", "line"),
    ],
)
def test_what_makes_no_pair_says_why(
    changes: dict[str, Any],
    reason: str,
    detail: str,
    read: Callable[..., tuple[Manifest, Any]],
) -> None:
    manifest, directory = read([PAIR, {**PAIR, **changes}])
    assert manifest.records.rejected == {reason: 1}
    (rejected,) = directory.rejected
    assert rejected["line"] == 2
    assert rejected["detail"].startswith(detail)


def test_one_question_may_have_several_pairs_and_a_template_without_rationales(
    read: Callable[..., tuple[Manifest, Any]],
) -> None:
    again = {**PAIR, "rejected_answer": "9"}
    manifest, directory = read([PAIR, again], template="answer-only")
    assert manifest.records.kept == 2
    answers = [
        tuple(side.split("Answer: ")[1] for side in sides) for sides in texts(directory).values()
    ]
    assert answers == [("7<|endoftext|>", "8<|endoftext|>"), ("7<|endoftext|>", "9<|endoftext|>")]


def test_a_row_must_hold_both(read: Callable[..., tuple[Manifest, Any]]) -> None:
    _, directory = read([PAIR])
    tokens = len(directory.examples[0].ids)
    manifest, _ = read([PAIR], max_length=tokens)
    assert manifest.records.kept == 1
    manifest, directory = read(
        [PAIR, {**OTHER, "rejected_rationale": "w " * tokens}], max_length=tokens
    )
    assert manifest.records.rejected == {"too_long": 1}


def test_sides_are_kept_apart_where_a_choice_is_made(
    read: Callable[..., tuple[Manifest, Any]],
) -> None:
    _, straight = read([PAIR, OTHER])
    filters = ["exact_duplicate", {"name": "over_cap", "max_per_question": 3}]
    _, chosen = read([PAIR, OTHER], filters=filters, weight=1.0)
    assert chosen.examples == straight.examples


def test_without_pairs_the_other_side_is_left_alone(
    read: Callable[..., tuple[Manifest, Any]],
) -> None:
    _, whole = read([PAIR, {**OTHER, "rejected_answer": [1]}], pairs=False)
    plain = [{k: v for k, v in each.items() if "rejected" not in k} for each in (PAIR, OTHER)]
    _, without = read(plain, pairs=False)
    assert whole.examples == without.examples
    assert all("example_roles" not in row for row in whole._table())


def test_the_twin_reads_preferences_alike() -> None:
    for row, record in zip(PREFERENCES, (PAIR, OTHER), strict=True):
        (found,) = imports.read(row, "preference")
        assert {k: found[k] for k in record if k != "id"} == {
            k: v for k, v in record.items() if k != "id"
        }
    messages = [{"role": "assistant", "content": "I say \\boxed{8}"}]
    row = {"prompt": "q", "chosen": "So \\boxed{7}", "rejected": messages}
    (found,) = imports.read(json.loads(json.dumps(row)), "preference")
    assert found["rejected_answer"] == "8"
