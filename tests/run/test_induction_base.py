"""The base of a study of rules: it reads demonstrations, learns rules and pairs, and searches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import limbeck

BASE = Path(__file__).parents[2] / "examples/induction-base.yaml"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base")
    changes = [
        f"output_dir={out}", "data.examples=24", "train.max_steps=1", "evaluate.questions=1",
        "evaluate.max_new_tokens=2",
    ]  # fmt: skip
    limbeck.run(BASE, overrides=changes)
    return out


def test_it_reads_every_token_and_no_rule(base: Path) -> None:
    training = json.loads((base / "student/training.json").read_text("utf-8"))
    assert training["tokens_trained"] + training["examples_seen"] == training["tokens_processed"]
    records = (base / "teach/records.jsonl").read_text("utf-8").splitlines()
    shown = {json.loads(line)["question"].rpartition("Input: ")[0] for line in records}
    assert len(shown) == len(records) == 48, "a query a task"


def test_rules_and_pairs_are_taught_to_it(base: Path, tmp_path: Path) -> None:
    """Its convolutions see across a row, so each side of a pair is read alone."""
    recipe = tmp_path / "rules.yaml"
    recipe.write_text("method: redis\n", "utf-8")
    changes = [
        f"student={base / 'student'}", f"output_dir={tmp_path / 'out'}",
        "data.tasks=[acre:objects=4:queries=1]", "data.examples=24", "rules.wrong=2",
        "prepare.max_length=1024", "train.use_peft=false", "phases.sft.train.max_steps=1",
        "phases.orpo.train.max_steps=1", "evaluate.tasks=[acre:objects=4]",
        "evaluate.questions=4", "inference.hypotheses=2", "evaluate.max_new_tokens=4",
    ]  # fmt: skip
    with pytest.warns(UserWarning, match="a row of its own"):
        limbeck.run(recipe, overrides=changes)
    summary = json.loads((tmp_path / "out/evaluate/summary.json").read_text("utf-8"))
    search = summary["searches"]["acre:objects=4"]
    assert (search["tasks"], search["hypotheses"]) == (1, 2)
    assert (summary["tasks"]["acre:objects=4"]["questions"], search["rule_calls"]) == (4, 2)
