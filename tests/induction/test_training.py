"""From scored rules to examples and pairs, by the paper's rule."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from limbeck.cli import app
from limbeck.config import Prepare
from limbeck.errors import InputError
from limbeck.induction import (
    InductionTask,
    Pair,
    apply_prompt,
    rule_prompt,
    score_rule,
    training_data,
    write_tasks,
    write_training_data,
)
from limbeck.prepare import prepare

SHOWN = tuple(Pair(f"[{n}, {n + 1}]", f"[{n + 1}]") for n in range(6))
TASK = InductionTask("list_functions", "t", SHOWN, (Pair("[9, 8]", "[8]"),))
OTHER = InductionTask("list_functions", "u", SHOWN[:5], (Pair("[9, 8]", "[8]"),))
# The first two are right, the next two once, `xs` never, and the last is no rule.
RULES = ["xs[1:]", "[xs[1]]", "[x for x in xs if 0 < x < 3][:1]", "[1]", "xs", "Take the last."]


def scored(task, rules=RULES):
    return [score_rule(task, rule) for rule in rules]


def test_scores_are_what_the_pairs_below_rest_on():
    assert [one.satisfied for one in scored(TASK)] == [6, 6, 1, 1, 0, 0]


def test_every_unique_rule_is_generated_and_pairs_differ_by_more_than_the_gap():
    data = training_data([scored(TASK), scored(OTHER, ["xs[1:]", "xs[-1:]", "xs"])])
    counts = data.counts["list_functions"]
    assert (counts.rules, counts.unique, counts.generation) == (9, 7, 7)
    assert [r["answer"] for r in data.generation] == [*RULES, "xs[-1:]"]
    assert data.generation[-1]["question"] == rule_prompt(OTHER)
    # The gap is 3: 6 beats 1 and 0; the other task has one rule of its own and no pair.
    pairs = {(pair["chosen"], pair["rejected"]) for pair in data.pairs}
    assert pairs == {(good, bad) for good in RULES[:2] for bad in RULES[2:]}
    assert all(pair["prompt"] == rule_prompt(TASK) for pair in data.pairs)
    assert (counts.pairs, counts.preferred) == (8, 2)


def test_a_text_counts_once_among_all_tasks_or_in_each():
    other = replace(OTHER, id=TASK.id)  # files number their tasks from 0, each of them
    tasks = [scored(TASK, ["xs[1:]", "xs", "xs"]), scored(other, ["xs[1:]"])]
    assert [r["answer"] for r in training_data(tasks).generation] == ["xs[1:]", "xs"]
    data = training_data(tasks, unique="task")
    assert [r["answer"] for r in data.generation] == ["xs[1:]", "xs", "xs[1:]"]
    assert data.generation[-1]["question"] == rule_prompt(OTHER)
    assert data.counts["list_functions"].unique == 3


@pytest.mark.parametrize(("gap", "number"), [(0, 12), (4, 8), (5, 4), (6, 0)])
def test_a_gap_is_exceeded_not_met(gap, number):
    assert len(training_data([scored(TASK)], gaps={"list_functions": gap}).pairs) == number


def test_what_a_preferred_rule_gives_is_applied_right_or_wrong():
    wrong_once = "[xs[1]] if xs[0] else xs"
    data = training_data([scored(TASK, [wrong_once, "xs"]), scored(OTHER, [wrong_once])])
    assert {r["question"]: r["answer"] for r in data.application} == {
        apply_prompt("list_functions", wrong_once, given): "[0, 1]" if given == "[0, 1]" else output
        for given, output in SHOWN
    }
    only = training_data([scored(TASK, [wrong_once, "xs"])], only_correct=True)
    assert [r["answer"] for r in only.application] == [pair.output for pair in SHOWN[1:]]


def test_a_rule_that_gives_nothing_is_not_applied():
    fails_once = "[xs[1] // xs[0] * 0 + xs[1]]"
    data = training_data([scored(TASK, [fails_once, "xs"])])
    assert len(data.application) == 5


def test_the_threshold_is_of_the_generation_alone():
    data = training_data([scored(TASK)], least_score=0.5)
    assert [r["answer"] for r in data.generation] == RULES[:2]
    assert len(data.pairs) == 8


def test_rules_over_the_limit_of_their_kind_are_left_out_and_counted():
    data = training_data([scored(TASK)], limits={"list_functions": 9}, count_tokens=len)
    counts = data.counts["list_functions"]
    assert (counts.unique, counts.over_limit, counts.generation) == (6, 2, 4)
    assert counts.truncated_share == 1 / 3
    assert {pair["rejected"] for pair in data.pairs} == {"[1]", "xs"}
    free = training_data([scored(TASK)], limits={"acre": 1}, count_tokens=len)
    assert free.counts["list_functions"].over_limit == 0


def test_wrong_settings_are_told():
    with pytest.raises(InputError, match="least_score: 2 is no share"):
        training_data([], least_score=2)
    with pytest.raises(InputError, match="give count_tokens"):
        training_data([], limits={"acre": 1})


def test_prepare_reads_what_is_written(tmp_path, shared):
    write_training_data(training_data([scored(TASK)]), tmp_path / "out")
    for name, count, form in (
        ("generation", 6, "records"),
        ("application", 12, "records"),
        ("pairs", 8, "preference"),
    ):
        manifest = prepare(
            tmp_path / "out" / f"{name}.jsonl",
            tokenizer=shared / "tokenizers/gpt2.json",
            output_dir=tmp_path / name,
            recipe=Prepare(template="answer-only"),
        )
        assert manifest.records.read == count
        assert manifest.sources[0].format == form
        # Of pairs only what is chosen is read, so that a rule chosen twice is one record.
        assert manifest.records.kept == (2 if name == "pairs" else count)


def test_the_command_prints_counts_and_writes(tmp_path):
    write_tasks([TASK], tmp_path / "list_functions.jsonl")
    rules = {"task": "list_functions", "index": 0, "responses": RULES}
    (tmp_path / "rules.txt").write_text(json.dumps(rules) + "\n", "utf-8")
    result = CliRunner().invoke(
        app,
        [
            *("score", str(tmp_path / "rules.txt"), "--tasks", str(tmp_path)),
            *("--output", str(tmp_path / "scored.txt"), "--training-dir", str(tmp_path / "out")),
        ],
    )
    assert result.exit_code == 0, result.output
    head, row, second, made = (line.split() for line in result.output.splitlines() if line.strip())
    assert head[0] == second[0] == "kind"
    assert " ".join(row) == "list_functions 1 6 5 2 1 1 / 1 1.000"
    assert " ".join(made) == "list_functions 6 6 6 2 12 8"
    assert len((tmp_path / "scored.txt").read_text().splitlines()) == 6
    assert len((tmp_path / "out/pairs.jsonl").read_text().splitlines()) == 8
