"""Held-out questions judge the checkpoints, choose one, and change nothing else."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from tests.train.conftest import RECORDS, write_prepared
from tests.train.test_train import run

import limbeck.validation
from limbeck.config import Train, check
from limbeck.errors import InputError
from limbeck.tasks import held_out_questions
from limbeck.train import check_settings

STEADY = {"lr_scheduler_type": "constant", "max_steps": 6, "save_steps": 2, "logging_steps": 2}


def hold_out(directory, records):
    lines = [json.dumps({"question": q, "answer": a, "split": "validation"}) for q, a, _ in records]
    (directory / "validation.jsonl").write_text("\n".join(lines) + "\n")
    return directory


@pytest.fixture(scope="module")
def validated(tmp_path_factory, prepared):
    """The prepared data with two of its questions as if they were held out."""
    copy = tmp_path_factory.mktemp("validated") / "prepared"
    shutil.copytree(prepared, copy)
    return hold_out(copy, RECORDS[:2])


@pytest.fixture
def right_once(monkeypatch):
    """Call every answer right in the first evaluation, and wrong ever after."""
    asked = []

    def judge(question, answer):
        asked.append(question)
        return answer, len(asked) <= 2

    monkeypatch.setattr(limbeck.validation, "judge", judge)
    return asked


def weights(directory):
    return {
        f"{file}/{name}": tensor
        for file in ("model", "objectives")
        if (directory / f"{file}.safetensors").is_file()
        for name, tensor in load_file(directory / f"{file}.safetensors").items()
    }


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def log(directory):
    return json.loads((directory / "trainer_state.json").read_text())["log_history"]


def test_the_best_checkpoint_becomes_the_student(
    tmp_path, prepared, validated, student, targets, right_once
):
    """What the objectives train goes with it."""
    terms = {"objectives": [{"name": "cross_entropy"}, {"name": "semantic_alignment"}]}
    best = run(validated, student, tmp_path / "best", targets, **STEADY, **terms)
    two = run(prepared, student, tmp_path / "two", targets, **{**STEADY, **terms, "max_steps": 2})
    last = run(prepared, student, tmp_path / "last", targets, **STEADY, **terms)
    assert same(weights(best), weights(two))
    assert not same(weights(best), weights(last))
    assert any(name.startswith("objectives/") for name in weights(best))
    judged = [
        (each["step"], each["eval_accuracy"]) for each in log(best) if "eval_accuracy" in each
    ]
    assert judged == [(2, 1.0), (4, 0.0), (6, 0.0)]
    record = json.loads((best / "training.json").read_text())
    assert record["validation"] == {"step": 2, "metric": 1.0}
    assert json.loads((last / "training.json").read_text())["validation"] is None
    assert len(right_once) == 6


def test_a_recipe_may_keep_the_last_and_validation_disturbs_no_training(
    tmp_path, prepared, validated, student, right_once
):
    options = STEADY | {"load_best_model_at_end": False}
    judged = run(validated, student, tmp_path / "judged", **options)
    plain = run(prepared, student, tmp_path / "plain", **STEADY)
    assert same(weights(judged), weights(plain))
    assert len([each for each in log(judged) if "eval_accuracy" in each]) == 3
    for name in ("generation_config.json", "limbeck.json"):
        assert (judged / name).read_text() == (plain / name).read_text()


def test_accuracy_is_that_of_the_answers(tmp_path, student):
    prepared = write_prepared(tmp_path / "prepared", RECORDS[1:2] * 4)
    hold_out(prepared, [RECORDS[1], (RECORDS[1][0], "17", "")])
    output = run(prepared, student, tmp_path / "student", max_steps=60, save_steps=20)
    judged = [each["eval_accuracy"] for each in log(output) if "eval_accuracy" in each]
    # It learns the one answer; the other question is the same with another.
    assert judged[-1] == 0.5
    assert [each["eval_tokens_per_answer"] for each in log(output) if "eval_accuracy" in each][
        -1
    ] == 2.0
    assert json.loads((output / "training.json").read_text())["validation"]["metric"] == 0.5


def test_an_interrupted_run_keeps_its_best(tmp_path, validated, student, right_once):
    def stop(done, total, text):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(validated, student, tmp_path / "cut", progress=stop, **STEADY)
    resumed = run(validated, student, tmp_path / "cut", **STEADY)
    assert json.loads((resumed / "training.json").read_text())["validation"]["step"] == 2


def test_without_checkpoints_nothing_is_judged(tmp_path, validated, student, right_once):
    output = run(validated, student, tmp_path / "s", max_steps=2, save_strategy="no")
    assert right_once == []
    assert json.loads((output / "training.json").read_text())["validation"] is None


def test_an_adapter_is_judged_too(tmp_path, validated, student, right_once):
    pytest.importorskip("peft")
    output = run(validated, student, tmp_path / "s", use_peft=True, lora_r=2, **STEADY)
    assert json.loads((output / "training.json").read_text())["validation"]["step"] == 2
    assert (output / "model.safetensors").is_file()


def test_a_metric_that_is_not_measured_is_refused(tmp_path, validated, student):
    with pytest.raises(
        InputError, match=r"metric_for_best_model: loss is not measured on held-out"
    ):
        run(validated, student, tmp_path / "s", metric_for_best_model="loss")


def test_an_evaluation_needs_questions(tmp_path, prepared, student):
    settings = {"eval_strategy": "steps", "eval_steps": 2}
    check_settings(check(Train, settings))
    with pytest.raises(InputError, match=r"train\.eval_strategy: .* holds no questions out"):
        run(prepared, student, tmp_path / "s", **settings)


def test_the_same_questions_are_asked_of_every_student(tmp_path):
    records = [(f"q{n}", str(n), "") for n in range(50)]
    hold_out(tmp_path, records)
    assert len(held_out_questions(tmp_path, 200)) == 50
    chosen = held_out_questions(tmp_path, 10)
    assert chosen == held_out_questions(tmp_path, 10)
    numbers = [int(each.answer) for each in chosen]
    assert numbers == sorted(numbers) != list(range(10))
    assert held_out_questions(tmp_path / "nowhere", 10) == []
