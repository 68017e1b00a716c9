"""`evaluate` by search: a student whose rule is known, its rows, counts and controls."""

from __future__ import annotations

import json

import pytest

from limbeck.answering import answers
from limbeck.cli import app
from limbeck.config import Evaluate
from limbeck.errors import InputError
from limbeck.evaluate import evaluate, table
from limbeck.generate import generate
from limbeck.induction import query_record, rule_prompt
from limbeck.inference import InferenceChange
from limbeck.questions import Asked
from limbeck.teachers import Endpoint

SEARCH = {"hypotheses": 3, "temperature": 0.9, "scoring": "auto", "apply_temperature": 0.7}


@pytest.fixture
def asked(tasks, tmp_path):
    """The queries of one task, as a record file."""
    path = tmp_path / "asked.jsonl"
    records = [query_record(tasks[0], number, split="test") for number in range(2)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def rows(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_student_searches_as_is_stored_with_it(scripted_student, tasks, asked, tmp_path):
    student = scripted_student(rule_prompt(tasks[0]), "xs[1:]", search=SEARCH)
    out = tmp_path / "out"
    summary = evaluate(student, tasks=[asked], output_dir=out, settings=Evaluate())
    first, second = rows(out / "results.jsonl")
    assert (first["way"], first["text"], first["answer"]) == ("search", "xs[1:]", "[1]")
    assert (first["gold"], first["correct"], second["correct"]) == ("[1]", True, True)
    assert first["prompt"] == rule_prompt(tasks[0])
    found = summary.searches["list_functions"]
    assert (found.tasks, found.hypotheses, found.distinct, found.parsed) == (1, 3, 1, 3)
    assert (found.satisfying, found.explained) == (3, 1)
    assert (found.rule_calls, found.apply_calls) == (3, 0)
    assert first["prompt_tokens"] + second["prompt_tokens"] == found.prompt_tokens
    assert first["tokens_generated"] + second["tokens_generated"] == found.completion_tokens
    assert found.completion_tokens % 3 == 0
    task = summary.tasks["list_functions"]
    assert (task.accuracy, task.correct, task.questions) == (1.0, 2, 2)
    assert task.tokens_per_answer == found.completion_tokens / 2
    assert summary.decoding == {"order": "search", **SEARCH, "max_new_tokens": 40, "server": None}
    [searched] = rows(out / "search.jsonl")
    assert [one["satisfied"] for one in searched["rules"]] == [3, 3, 3]
    assert (searched["best"], searched["id"], searched["rule_calls"]) == (0, "drop", 3)
    assert summary.controls["list_functions"]["majority"].questions == 2
    lines = table(summary).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["list_functions", "majority", "1"]
    assert "3 model calls" in lines[-1]


def test_settings_ask_it_otherwise(scripted_student, tasks, asked, tmp_path):
    student = scripted_student(rule_prompt(tasks[0]), "xs[1:]", search=SEARCH)
    out = tmp_path / "out"
    one = Evaluate(inference=InferenceChange(mode="search", hypotheses=1, temperature=0))
    summary = evaluate(student, tasks=[asked], output_dir=out, settings=one)
    assert summary.searches["list_functions"].rule_calls == 1
    exact = Evaluate(inference=InferenceChange(scoring="exact"))
    summary = evaluate(student, tasks=[asked], output_dir=out, settings=exact)
    assert summary.decoding["order"] == "search", "what is not named stays as it is stored"
    assert (summary.decoding["scoring"], summary.decoding["hypotheses"]) == ("exact", 3)
    direct = Evaluate(inference=InferenceChange(mode="direct"), max_new_tokens=4)
    summary = evaluate(student, tasks=[asked], output_dir=out, settings=direct)
    assert (summary.searches, summary.decoding["order"]) == ({}, "answer-only")
    assert summary.controls["list_functions"]["majority"].questions == 2
    assert not (out / "search.jsonl").exists(), "an earlier search's rules are not this one's"


def test_a_student_without_a_search_may_be_asked_to(scripted_student, tasks, asked, tmp_path):
    student = scripted_student(rule_prompt(tasks[0]), "xs[::-1]")
    summary = evaluate(
        student,
        tasks=[asked],
        output_dir=tmp_path / "out",
        settings=Evaluate(inference=InferenceChange(mode="search", hypotheses=2)),
    )
    assert summary.tasks["list_functions"].correct == 0
    assert summary.searches["list_functions"].explained == 0


def test_the_command_line_reaches_the_search(scripted_student, tasks, asked, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    student = scripted_student(rule_prompt(tasks[0]), "xs[1:]")
    command = ["evaluate", str(student), "--tasks", asked, "--output-dir", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*command, "inference.mode=search", "inference.hypotheses=2"])
    assert done.exit_code == 0, done.output
    assert "2 model calls" in done.output
    assert "100.0%" in done.output


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"vote": 2, "temperature": 1.0}, r"evaluate\.vote: a search gives one answer"),
        ({"n_samples": 2, "temperature": 1.0}, r"evaluate\.n_samples: a search gives one answer"),
        ({"inference": {"temperature": 0}}, r"evaluate\.inference\..*several rules repeat one"),
    ],
)
def test_what_a_search_has_not_is_refused(
    scripted_student, tasks, asked, tmp_path, settings, fault
):
    student = scripted_student(rule_prompt(tasks[0]), "xs", search=SEARCH)
    with pytest.raises(InputError, match=fault):
        evaluate(student, tasks=[asked], output_dir=tmp_path, settings=Evaluate(**settings))


def test_sampling_settings_without_effect_are_told(scripted_student, tasks, asked, tmp_path):
    student = scripted_student(rule_prompt(tasks[0]), "xs", search=SEARCH)
    with pytest.warns(UserWarning, match=r"no effect on a search; set inference.temperature"):
        evaluate(
            student, tasks=[asked], output_dir=tmp_path / "out", settings=Evaluate(temperature=0.5)
        )


def test_other_tasks_are_refused(scripted_student, tasks, tmp_path):
    student = scripted_student(rule_prompt(tasks[0]), "xs", search=SEARCH)
    with pytest.raises(InputError, match=r"coin_flip .* is no induction task"):
        evaluate(student, tasks=["coin_flip"], output_dir=tmp_path, settings=Evaluate(questions=2))


def test_generate_answers_a_question_only_straight_away(scripted_student, tasks, server):
    student = scripted_student(rule_prompt(tasks[0]), "xs[1:]", search=SEARCH)
    with pytest.raises(InputError, match=r"by searching a rule.*--set inference.mode=direct"):
        generate(student, [rule_prompt(tasks[0])])
    direct = Evaluate(inference=InferenceChange(mode="direct"))
    [line] = answers(student, [Asked(rule_prompt(tasks[0]))], settings=direct)
    assert line == "xs[1:]"
    with pytest.raises(InputError, match=r"by searching"):
        list(answers(student, [Asked("?")], settings=Evaluate()))
    elsewhere = direct.model_copy(update={"server": Endpoint(model="m", base_url=server.url)})
    with pytest.raises(InputError, match=r"server: a student is asked here"):
        generate(student, ["?"], settings=elsewhere)


def test_settings_of_a_search_have_no_effect_without_one(scripted_student, tasks, asked, tmp_path):
    student = scripted_student(rule_prompt(tasks[0]), "xs")
    settings = Evaluate(inference=InferenceChange(mode="direct", hypotheses=3), max_new_tokens=2)
    with pytest.warns(UserWarning, match=r"have no effect on an answer .* straight away"):
        evaluate(student, tasks=[asked], output_dir=tmp_path / "out", settings=settings)


def test_a_damaged_card_is_said(scripted_student, tasks, asked, tmp_path):
    student = scripted_student(rule_prompt(tasks[0]), "xs", search={"hypotheses": 0})
    with pytest.raises(InputError, match=r"limbeck.json: inference.search.hypotheses: .*restore"):
        evaluate(student, tasks=[asked], output_dir=tmp_path, settings=Evaluate())
