"""What a study of ReDis compares: answers learnt or asked for, search untuned, SFT, SFT + ORPO."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import limbeck
from limbeck.compare.cell import own_recipe, read_spent
from limbeck.compare.estimate import Trial, walk_trial
from limbeck.compare.plan import plan_comparison
from limbeck.config import Evaluate
from limbeck.errors import InputError
from limbeck.evaluate import Summary
from limbeck.recipes.phases import phase_recipes
from limbeck.run import plan

NONE = {"train": {"num_train_epochs": 0}}
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
    once = {"train": {"num_train_epochs": 1}}
    arms = [
        "answer_only",
        {"name": "untuned", "method": "redis", "phases": {"sft": NONE, "orpo": None}},
        {"name": "redis", "method": "redis", "phases": {"sft": once, "orpo": once}},
    ]
    return comparison(
        methods=arms, seeds=[0], student=student, data=DATA,
        prepare={"max_length": 1024}, inference={"hypotheses": 2},
        evaluate={"questions": 4, "max_new_tokens": 4},
    )  # fmt: skip


def test_arms_with_and_without_a_search_answer_the_same_questions(file: Path) -> None:
    limbeck.compare(file)
    cells = file.parent / "out/cells"
    asked, ways = {}, {}
    for arm in ("answer_only", "untuned", "redis"):
        rows = (cells / arm / "seed-0/evaluate/results.jsonl").read_text("utf-8").splitlines()
        asked[arm] = [json.loads(row)["question"] for row in rows]
        ways[arm] = {json.loads(row)["way"] for row in rows}
        assert len(asked[arm]) == 4
    assert len({tuple(questions) for questions in asked.values()}) == 1
    assert ways == {"answer_only": {"answer-only"}, "untuned": {"search"}, "redis": {"search"}}
    assert read_spent(cells / "untuned/seed-0").trained == 0
    sft, orpo = (
        json.loads((cells / "redis/seed-0" / place / "training.json").read_text())
        for place in ("phases/sft/student", "student")
    )
    total = sft["tokens_processed"] + orpo["tokens_processed"]
    assert read_spent(cells / "redis/seed-0").trained == total > orpo["tokens_processed"] > 0


def test_cells_share_the_student_and_make_their_own_rules(file: Path) -> None:
    cells = {cell.arm: cell for cell in plan_comparison(file).cells}
    assert len({cell.shared and cell.shared.name for cell in cells.values()}) == 1
    names = [stage.name for stage in plan([own_recipe(cells["redis"])])]
    assert names[0] == "rules"
    assert "base" not in names
    assert plan([own_recipe(cells["answer_only"])])[0].name == "prepared"


def test_an_arm_with_phases_is_tried_as_it_is_asked(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("limbeck.evaluate")
    evaluate, asked = module.evaluate, []

    def watched(*args: Any, settings: Evaluate, **more: Any) -> Summary:
        asked.append(settings.inference)
        return evaluate(*args, settings=settings, **more)

    monkeypatch.setattr(module, "evaluate", watched)
    cells = {cell.arm: cell for cell in plan_comparison(file).cells}
    event = walk_trial(Trial(cells["redis"]))
    assert event.done > 0
    assert (asked[-1].mode, asked[-1].scoring, asked[-1].hypotheses) == ("search", "exact", 2)


def test_a_budget_of_tokens_has_no_rule_for_phases(file: Path) -> None:
    with pytest.raises(InputError, match=r"budget: tokens, and untuned trains in phases"):
        plan_comparison(file, ["budget=tokens"])


def test_the_example_has_the_arms() -> None:
    cells = plan_comparison(Path(__file__).parents[2] / "examples/redis-arms.yaml").cells
    arms = {cell.arm: cell.recipe for cell in cells}
    assert len(cells) == 3 * len(arms) == 15
    trained = {
        name: {
            phase: each.train.arguments["num_train_epochs"]
            for phase, each in (phase_recipes(recipe) or {"": recipe}).items()
        }
        for name, recipe in arms.items()
    }
    assert trained == {
        "answers": {"": 4}, "few-shot": {"": 0}, "untuned": {"sft": 0}, "sft": {"sft": 4},
        "redis": {"sft": 4, "orpo": 5},
    }  # fmt: skip
    assert {name: recipe.inference.mode for name, recipe in arms.items()} == {
        "answers": "direct", "few-shot": "direct", "untuned": "search", "sft": "search",
        "redis": "search",
    }  # fmt: skip
