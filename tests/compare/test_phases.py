"""What a study of ReDis compares: answers learnt or asked for, search untuned, SFT, SFT + ORPO."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import limbeck
from limbeck.compare.cell import own_recipe, read_spent
from limbeck.compare.estimate import Trial, walk_trial
from limbeck.compare.plan import plan_comparison
from limbeck.errors import InputError
from limbeck.run import plan

NONE = {"train": {"num_train_epochs": 0}}
ARMS = [
    "answer_only",
    {"name": "few-shot", "method": "answer_only", **NONE},
    {"name": "untuned", "method": "redis", "phases": {"sft": NONE, "orpo": None}},
    {"name": "sft", "method": "redis", "phases": {"orpo": None}},
    "redis",
]
DATA = {"tasks": ["acre:demonstrations=4:objects=5"], "examples": 24}


@pytest.fixture
def file(comparison: Callable[..., Path]) -> Path:
    student = {
        "config": {
            "model_type": "llama", "hidden_size": 16, "intermediate_size": 32,
            "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 1024,
        },
        "tokenizer": {"vocab_size": 400},
    }  # fmt: skip
    redis = {"sft": {"train": {"num_train_epochs": 1}}, "orpo": {"train": {"num_train_epochs": 1}}}
    arms = [
        {"name": "redis", "method": "redis", "phases": redis} if a == "redis" else a for a in ARMS
    ]
    arms[3] = {"name": "sft", "method": "redis", "phases": {**redis, "orpo": None}}
    return comparison(
        methods=arms, seeds=[0], student=student, data=DATA,
        prepare={"max_length": 1024}, inference={"hypotheses": 2},
        evaluate={"questions": 4, "max_new_tokens": 4},
    )  # fmt: skip


def test_all_arms_answer_the_same_questions(file: Path) -> None:
    limbeck.compare(file)
    cells = file.parent / "out/cells"
    asked, ways = {}, {}
    for arm in ("answer_only", "few-shot", "untuned", "sft", "redis"):
        rows = (cells / arm / "seed-0/evaluate/results.jsonl").read_text("utf-8").splitlines()
        asked[arm] = [json.loads(row)["question"] for row in rows]
        ways[arm] = {json.loads(row)["way"] for row in rows}
        assert len(asked[arm]) == 4
    assert len({tuple(questions) for questions in asked.values()}) == 1
    assert ways == {
        "answer_only": {"answer-only"}, "few-shot": {"answer-only"},
        "untuned": {"search"}, "sft": {"search"}, "redis": {"search"},
    }  # fmt: skip
    spent = {arm: read_spent(cells / arm / "seed-0").trained for arm in asked}
    assert spent["untuned"] == spent["few-shot"] == 0
    assert spent["redis"] > spent["sft"] > 0, "what the first phase cost is counted"
    sft, first = (
        json.loads((cells / place / "training.json").read_text())["tokens_processed"]
        for place in ("sft/seed-0/student", "redis/seed-0/phases/sft/student")
    )
    assert sft == first == spent["sft"]


def test_cells_share_the_student_and_make_their_own_rules(file: Path) -> None:
    cells = {cell.arm: cell for cell in plan_comparison(file).cells}
    assert len({cell.shared and cell.shared.name for cell in cells.values()}) == 1
    names = [stage.name for stage in plan([own_recipe(cells["redis"])])]
    assert names[0] == "rules"
    assert "base" not in names
    assert plan([own_recipe(cells["answer_only"])])[0].name == "prepared"


def test_an_arm_with_phases_can_be_tried(file: Path) -> None:
    cells = {cell.arm: cell for cell in plan_comparison(file).cells}
    event = walk_trial(Trial(cells["redis"]))
    assert event.done > 0


def test_a_budget_of_tokens_has_no_rule_for_phases(file: Path) -> None:
    with pytest.raises(InputError, match=r"budget: tokens, and untuned trains in phases"):
        plan_comparison(file, ["budget=tokens"])
