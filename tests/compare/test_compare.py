"""Two arms at two seeds: what they leave, what is done again, and what a failure costs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import limbeck
from limbeck.compare.workers import Event


class Log:
    """A listener that notes which stages ran and how jobs ended."""

    def __init__(self) -> None:
        self.stages: set[tuple[str, str]] = set()
        self.ended: dict[str, str | None] = {}

    def __call__(self, event: Event) -> None:
        if event.is_last:
            self.ended[event.job] = event.error
        else:
            self.stages.add((event.job, event.stage))


def test_every_cell_is_an_ordinary_run(walked: Path) -> None:
    for arm in ("answer_only", "cot"):
        for seed in (0, 1):
            cell = walked / "cells" / arm / f"seed-{seed}"
            for name in ("recipe.yaml", "student/config.json", "evaluate/results.jsonl"):
                assert (cell / name).is_file(), f"{arm} {seed} {name}"
            assert not (cell / "base").exists(), "the base student is shared"
    assert len(list((walked / "shared").iterdir())) == 2, "one a seed"


def test_the_arms_of_all_seeds_answer_the_same_questions(walked: Path) -> None:
    asked = {
        tuple(json.loads(line)["question"] for line in path.read_text("utf-8").splitlines())
        for path in walked.glob("cells/*/*/evaluate/results.jsonl")
    }
    assert len(asked) == 1
    starts = [path.read_bytes() for path in walked.glob("shared/*/base/model.safetensors")]
    assert starts[0] != starts[1], "another seed is another student"


def test_what_is_written_adds_up(walked: Path) -> None:
    found = json.loads((walked / "compare.json").read_text("utf-8"))
    assert found["failed"] == {}
    arms = {arm["name"]: arm for arm in found["arms"]}
    assert list(arms) == ["answer_only", "cot"]
    for name, arm in arms.items():
        rows = [
            json.loads(line)
            for path in walked.glob(f"cells/{name}/*/evaluate/results.jsonl")
            for line in path.read_text("utf-8").splitlines()
        ]
        right = sum(row["correct"] for row in rows) / len(rows)
        assert arm["accuracy"]["mean"] == pytest.approx(right)
        assert (arm["accuracy"]["seeds"], arm["accuracy"]["questions"]) == (2, 6)
        spent = [
            json.loads(path.read_text("utf-8"))["tokens_processed"]
            for path in walked.glob(f"cells/{name}/*/student/training.json")
        ]
        assert arm["tokens"] == sum(spent) / 2
    assert arms["cot"]["tokens"] > arms["answer_only"]["tokens"], "rationales are longer"
    (contrast,) = found["contrasts"]
    gain = arms["cot"]["accuracy"]["mean"] - arms["answer_only"]["accuracy"]["mean"]
    assert contrast["difference"]["mean"] == pytest.approx(gain)
    assert contrast["sentence"].startswith("cot is ")


def test_what_stands_is_not_done_again(walked: Path) -> None:
    log, before = Log(), (walked / "compare.json").read_bytes()
    limbeck.compare(walked.parent / "comparison.yaml", listener=log)
    assert log.ended == {}
    assert (walked / "compare.json").read_bytes() == before


def test_only_the_missing_is_done_at_equal_tokens_and_a_failure_costs_one_cell(
    walked: Path,
) -> None:
    """The baseline lost its answers; one arm has its tokens to spend, one not even a step of them.

    All in one call: a worker takes seconds to load PyTorch.
    """
    shutil.rmtree(walked / "cells/answer_only/seed-0/evaluate")
    file, log = walked.parent / "tokens.yaml", Log()
    shutil.copy(walked.parent / "comparison.yaml", file)
    huge = {
        "name": "huge",
        "method": "answer_only",
        "data": {"examples": 400},
        "train": {"per_device_train_batch_size": 400},
    }
    arms = f"[answer_only, {{name: cheap, method: think_first}}, {json.dumps(huge)}]"
    summary = limbeck.compare(
        file, overrides=["budget=tokens", "seeds=[0]", f"methods={arms}"], listener=log
    )
    walks = {stage for job, stage in log.stages if job == "answer_only/seed-0"}
    assert walks == {"evaluate"}, "the baseline's student stood"
    assert log.ended["cheap/seed-0"] is None
    assert list(summary.failed) == ["huge/seed-0"]
    assert "less than a step" in summary.failed["huge/seed-0"]
    baseline, cheap = summary.arms
    assert cheap.tokens == pytest.approx(baseline.tokens, rel=0.15)
    assert cheap.steps < baseline.steps, "its rationales take more of the same tokens"
    assert [(each.arm, each.baseline) for each in summary.contrasts] == [("cheap", "answer_only")]
    again = Log()
    limbeck.compare(walked.parent / "comparison.yaml", listener=again)
    assert again.ended == {}, "all of the first comparison stands again"
