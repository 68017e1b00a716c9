"""A comparison file becomes cells, and what is wrong with it is said before anything runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.compare.plan import plan_comparison
from limbeck.errors import InputError

Write = Callable[..., Path]


def test_each_arm_at_each_seed_is_a_run_of_its_own(comparison: Write) -> None:
    found = plan_comparison(comparison(), ["train.learning_rate=0.5", "seeds=[3, 4]"])
    assert [cell.name for cell in found.cells] == [
        *("answer_only/seed-3", "cot/seed-3", "answer_only/seed-4", "cot/seed-4")
    ]
    assert len({cell.recipe.output_dir for cell in found.cells}) == 4
    assert {cell.recipe.train.arguments["learning_rate"] for cell in found.cells} == {0.5}
    assert [cell.recipe.seed for cell in found.cells] == [3, 3, 4, 4]
    assert {cell.recipe.evaluate.seed for cell in found.cells} == {3}, "the same questions"
    assert (found.baseline, found.contrasts) == ("answer_only", (("cot", "answer_only"),))


def test_cells_of_a_seed_share_what_is_the_same(comparison: Write) -> None:
    wrong = {"name": "wrong", "method": "think_first", "teacher": {"hallucination": 0.5}}
    found = plan_comparison(comparison(methods=["answer_only", "think_first", wrong]))
    names = [cell.shared.name for cell in found.cells if cell.shared]
    assert names[0] == names[1] != names[2]
    assert len(set(names)) == 4, "two kinds of records at two seeds"


def test_an_encoder_that_is_an_arm_comes_first(comparison: Write) -> None:
    pst = {"method": "pst", "targets": {"encoder": "think_first"}}
    found = plan_comparison(
        comparison(methods=["answer_only", "think_first", pst], budget="tokens", seeds=[0])
    )
    cell = found.cells[2]
    assert cell.needs == ("answer_only/seed-0", "think_first/seed-0")
    assert cell.recipe.targets.encoder.endswith("cells/think_first/seed-0/student")
    assert str(cell.encoder_of).endswith("cells/think_first/seed-0")
    assert found.cells[0].needs == ()
    assert found.cells[0].encoder_of is None


@pytest.mark.parametrize(
    ("asked", "processes", "threads"),
    [(None, 1, 8), (None, 3, 2), (None, 16, 2), ("1", 1, 1), ("3", 4, 3), ("0", 2, 1)],
)
def test_processes_share_the_cores_unless_the_user_says_how_many(
    comparison: Write,
    monkeypatch: pytest.MonkeyPatch,
    asked: str | None,
    processes: int,
    threads: int,
) -> None:
    monkeypatch.setattr(sys.modules[plan_comparison.__module__], "usable_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    found = plan_comparison(comparison(), [f"processes={processes}", "seeds=[0, 1]"])
    assert found.threads == threads


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": []}, "methods"),
        ({"methods": ["answr_only"]}, r"comparison.yaml:\d+: methods.0: .*`answer_only`"),
        ({"methods": ["pst", "pst"]}, "pst is given twice"),
        ({"methods": [{"method": "pst", "name": "../x"}]}, "makes no directory"),
        ({"methods": [{"method": "pst", "seed": 1}]}, "methods.0.seed: the same for all arms"),
        (
            {"methods": [{"method": "pst", "train": {"lora_r": -1}}]},
            r"comparison.yaml:\d+: methods.0.train.lora_r",
        ),
        ({"train": {"lora_r": -1}}, r"comparison.yaml:\d+: train.lora_r"),
        ({"method": "pst"}, "list them as `methods`"),
        ({"seeds": [1, 1]}, "given twice"),
        ({"baseline": "cott"}, "`cot`"),
        ({"contrasts": [["cot", "nope"]]}, "no arm 'nope'"),
        ({"contrasts": [["cot", "cot"]]}, "against itself"),
        (
            {"contrast_tasks": ["coin_flop"]},
            "contrast_tasks: no question is of the task .coin_flop.",
        ),
        ({"budget": "time"}, "budget"),
        ({"processes": 0}, "processes"),
        (
            {"methods": ["answer_only", {"method": "pst", "evaluate": {"questions": 3}}]},
            "pst answers other questions than answer_only",
        ),
        ({"methods": [{"method": "pst", "targets": {"encoder": "pst"}}]}, "no student can be"),
    ],
)
def test_faults_are_found_and_said(comparison: Write, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        plan_comparison(comparison(**changes))
