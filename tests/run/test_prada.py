"""PRADA the whole way: source tasks with answers, a target task without, and the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import limbeck
from limbeck.compare.plan import plan_comparison
from limbeck.config import Recipe, check
from limbeck.errors import InputError
from limbeck.prepare import Manifest
from limbeck.recipes import prada
from limbeck.run import plan
from limbeck.tasks import SETS
from limbeck.tasks.transfer import CATEGORIES, within_categories

STUDENT = {
    "config": {
        "model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 2, "max_position_embeddings": 256, "tie_word_embeddings": True,
    }
}  # fmt: skip
DATA = {"tasks": ["coin_flip"], "unlabelled_tasks": ["last_letters"], "examples": 24}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps, once."""
    out = tmp_path_factory.mktemp("prada") / "out"
    recipe = prada(
        student=STUDENT,
        output_dir=str(out),
        data={**DATA, "validation": 0.2},
        prepare={"soft_prompt": 2, "max_length": 256},
        train={"max_steps": 2, "logging_steps": 1, "validation_questions": 2},
        evaluate={"questions": 2, "max_new_tokens": 4},
        probe={"questions": 16},
    )
    limbeck.run([recipe])
    return out


def test_questions_of_the_target_come_without_answers(root: Path) -> None:
    lines = (root / "questions.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == DATA["examples"]
    for line in map(json.loads, lines):
        assert line.keys() == {"id", "domain", "question", "split"}
        assert (line["domain"], line["split"]) == ("last_letters", "train")
    manifest = Manifest.load(root / "prepared")
    assert manifest.templates == ("think-first", "question-only")
    source, target = manifest.sources
    assert source.records.held_out > 0
    assert (target.records.kept, target.records.held_out, target.records.unverified) == (24, 0, 0)
    held_out = (root / "prepared/validation.jsonl").read_text("utf-8").splitlines()
    assert {json.loads(line)["domain"] for line in held_out} == {"coin_flip"}


def test_training_follows_the_classifier(root: Path) -> None:
    logs = json.loads((root / "student/trainer_state.json").read_text("utf-8"))["log_history"]
    followed = [log for log in logs if "domain_adversarial_accuracy" in log]
    assert len(followed) == 2
    assert all(0 <= log["domain_adversarial_accuracy"] <= 1 for log in followed)


def test_the_probe_and_the_report_say_what_domains_show(root: Path) -> None:
    probe = json.loads((root / "probe.json").read_text("utf-8"))
    assert (probe["domains"], probe["unlabelled"]) == (
        ["coin_flip", "last_letters"],
        ["last_letters"],
    )
    assert (probe["train"], probe["test"], probe["majority"]) == (8, 8, 0.5)
    for place in ("question", "prompt_end"):
        for when in ("before", "after"):
            found = probe["states"][place][when]
            assert 0 <= found["low"] <= found["accuracy"] <= found["high"] <= 1
    # Questions of another task have other words, which even random states tell.
    assert probe["states"]["question"]["before"]["accuracy"] == 1
    assert len(probe["projection"]["after"]) == len(probe["projection"]["domains"]) == 16
    page = (root / "report.html").read_text("utf-8")
    assert page.count("target: no answers trained") == 1
    assert "prada, before training" in page
    assert "domain classifier&#39;s accuracy" in page or "domain classifier's accuracy" in page


def test_an_oracle_and_a_run_without_a_probe_are_settings(tmp_path: Path) -> None:
    oracle = {"tasks": ["coin_flip", "last_letters"], "examples": 8}
    recipe = prada(
        student=STUDENT, output_dir=str(tmp_path), data=oracle, probe={"questions": 0},
        train={"objectives": {1: {"strength": 0}}},
    )  # fmt: skip
    assert [stage.name for stage in plan([recipe])] == [
        "teach", "base", "prepared", "student", "evaluate",
    ]  # fmt: skip
    assert recipe.train.objectives[1]["weight"] == 2.0
    with pytest.raises(InputError, match=r"train\.objectives\.2: no such element; there are 2"):
        prada(student=STUDENT, data=oracle, train={"objectives": {2: {"strength": 0}}})


def test_the_ablations_are_arms_of_one_method() -> None:
    cells = plan_comparison(Path(__file__).parents[2] / "examples/prada.yaml").cells
    arms = {cell.arm: cell.recipe for cell in cells}
    assert len(cells) == 5 * len(arms) == 30
    found = {
        name: (
            each.prepare.soft_prompt,
            each.train.objectives[1]["strength"],
            each.train.objectives[1].get("control"),
            each.data.unlabelled_tasks,
        )
        for name, each in arms.items()
    }
    target = ("arithmetic_game:steps=2",)
    assert found == {
        "source-only": (0, 0, None, target),
        "prompt": (16, 0, None, target),
        "adversary": (0, 0.1, None, target),
        "prada": (16, 0.1, None, target),
        "permuted-domains": (16, 0.1, "permuted", target),
        "oracle": (16, 0, None, ()),
    }


def test_a_base_reads_every_domain_and_the_prompts_too(tmp_path: Path) -> None:
    changes = [
        f"output_dir={tmp_path}", "data.examples=24", "train.max_steps=1", "evaluate.questions=1",
        "evaluate.max_new_tokens=2", "student.config.num_hidden_layers=1",
    ]  # fmt: skip
    limbeck.run(Path(__file__).parents[2] / "examples/base.yaml", overrides=changes)
    manifest = Manifest.load(tmp_path / "prepared")
    assert len(manifest.domains) == 7
    training = json.loads((tmp_path / "student/training.json").read_text("utf-8"))
    # Of every example all is predicted but its first token.
    assert training["tokens_trained"] + training["examples_seen"] == training["tokens_processed"]


def test_the_twelve_sets_are_in_four_categories() -> None:
    assert sorted(name for names in CATEGORIES.values() for name in names) == sorted(SETS)
    for data in within_categories():
        check(Recipe, {"method": "prada", "student": "gpt2", "data": data})


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({"paths": [{"path": "a.jsonl", "labelled": False}]}, "every path is unlabelled"),
        ({"tasks": ["coin_flip"], "unlabelled_tasks": ["coin_flip"]}, "name it once"),
        (
            {"paths": ["a.jsonl", {"path": "b", "labelled": False, "format": "alpaca"}]},
            "an unlabelled source has none",
        ),
    ],
)
def test_data_that_teach_nothing_are_refused(data: dict[str, object], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        check(Recipe, {"method": "prada", "student": "gpt2", "data": data})
