"""Rules applied by a model: `limbeck score --model`, and the training data that come of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.teach.conftest import Server
from typer.testing import CliRunner

from limbeck.cli import app
from limbeck.errors import InputError
from limbeck.induction import InductionTask, read_hypotheses, training_data, write_tasks
from limbeck.search.scoring import score_by_model
from limbeck.teachers import Endpoint, LocalModel

RULES = ["Rule: Leave out the first number.", "Sort the list.", "xs[1:]"]


def apply(prompt: str) -> str:
    """What the rules of this file give, in their words."""
    rule = prompt.partition("Rule: ")[2].partition("\n\nInput:")[0]
    numbers = json.loads(prompt.rpartition("Input: ")[2].removesuffix("\nOutput:"))
    given = sorted(numbers) if rule == "Sort the list." else numbers[1:]
    return f"Output: {given}"


@pytest.fixture
def home(tasks: list[InductionTask], tmp_path: Path) -> Path:
    """Task file and English hypotheses of it."""
    (tmp_path / "tasks").mkdir()
    write_tasks(tasks, tmp_path / "tasks/list_functions.jsonl")
    lines = [
        {"task": "list_functions", "index": index, "responses": RULES}
        for index in range(len(tasks))
    ]
    (tmp_path / "rules.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def score(home: Path, *more: str) -> Any:
    command = ["score", str(home / "rules.jsonl"), "--tasks", str(home / "tasks"), *more]
    return CliRunner().invoke(app, command)


def test_a_model_scores_english_rules(server: Server, home: Path) -> None:
    server.answer = lambda prompt, count: server.say(apply(prompt))
    asked = ("--model", "m", "--base-url", server.url, "--output-dir", str(home / "answers"))
    done = score(home, *asked, "--output", str(home / "scored.jsonl"), "--training-dir", str(home))
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in (home / "scored.jsonl").read_text().splitlines()]
    assert [(line["satisfied"], line["right"], line["by"]) for line in lines] == [
        (3, 2, "model"), (0, None, "model"), (3, None, "model"),
        (0, None, "model"), (1, 1, "model"), (0, None, "model"),
    ]  # fmt: skip
    assert lines[0]["outputs"] == ["[9, 4]", "[]", "[5]"]
    # Every rule on every input, which the two tasks share, and the best of each on its queries.
    assert len(server.bodies) == 3 * 3 + 2 + 1
    assert {body["temperature"] for body in server.bodies} == {0.7}
    assert "Rule: Rule:" not in server.bodies[0]["messages"][-1]["content"]
    requests = len(server.bodies)
    assert score(home, *asked).exit_code == 0
    assert len(server.bodies) == requests, "what stands is not asked again"


def test_auto_asks_for_what_no_executor_reads(server: Server, home: Path) -> None:
    server.answer = lambda prompt, count: server.say(apply(prompt))
    proposed = list(read_hypotheses(home / "rules.jsonl", home / "tasks"))
    teacher = Endpoint(model="m", base_url=server.url)
    scored = score_by_model(proposed, teacher=teacher, output_dir=home / "answers", scoring="auto")
    assert [[one.by for one in rules] for rules in scored] == [["model", "model", "executor"]] * 2
    assert len(server.bodies) == 2 * 3 + 2 + 1
    data = training_data(scored, gaps={"list_functions": 1})
    preferred = {record["chosen"] for record in data.pairs}
    assert preferred == {RULES[0], RULES[2]}
    applied = [record for record in data.application if RULES[0][6:] in record["question"]]
    assert [record["answer"] for record in applied][:3] == ["[9, 4]", "[]", "[5]"]


def test_a_dry_run_counts_and_asks_nothing(server: Server, home: Path) -> None:
    asked = ("--model", "m", "--base-url", server.url, "--output-dir", str(home / "answers"))
    done = score(home, *asked, "--dry-run")
    assert done.exit_code == 0, done.output
    assert f"{2 * 3 * 3 + 2 + 1} requests" in done.output
    assert server.bodies == []
    assert not (home / "answers").exists()


def test_a_model_on_this_machine_scores_too(chat_student: Path, home: Path) -> None:
    proposed = list(read_hypotheses(home / "rules.jsonl", home / "tasks"))
    teacher = LocalModel(model=str(chat_student), max_new_tokens=6, device="cpu")
    scored = score_by_model(proposed, teacher=teacher, output_dir=home / "answers")
    assert {one.by for rules in scored for one in rules} == {"model"}
    answers = (home / "answers/answers.jsonl").read_text().splitlines()
    assert 3 * 3 + 2 <= len(answers) <= 3 * 3 + 3


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        (("--scoring", "auto"), r"--scoring is for a model"),
        (("--output-dir", "x"), r"--output-dir is for a model"),
        (("--model", "m"), r"--output-dir: missing"),
        (("--model", "m", "--output-dir", "x", "--scoring", "exact"), r"no way to score"),
        (("--model", "m", "--output-dir", "x", "--set", "temperature=null"), r"give a number"),
        (("--base-url", "http://h/v1", "--output-dir", "x"), r"base_url"),
        (("--dry-run",), r"rules that are run take nothing"),
    ],
)
def test_what_does_not_go_together_is_said(home: Path, more: tuple[str, ...], fault: str) -> None:
    done = score(home, *more)
    assert isinstance(done.exception, InputError)
    assert done.exception.args[0] is not None
    with pytest.raises(InputError, match=fault):
        raise done.exception
