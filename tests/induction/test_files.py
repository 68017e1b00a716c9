"""Task files and hypotheses: read, written, refused with the place of what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limbeck.errors import InputError
from limbeck.induction import (
    InductionTask,
    Pair,
    few_shot_prompt,
    query_record,
    read_hypotheses,
    read_tasks,
    score,
    split_tasks,
    summarize,
    write_query_records,
    write_rule_prompts,
    write_tasks,
)
from limbeck.tasks import get, load

ACRE = {
    "idx": 7,
    "train": [{"input": ["red cube", "gray ball"], "output": "on"}],
    "test": [{"input": ["gray ball"], "output": "undetermined", "type": "potential"}],
}
LISTS = {
    "idx": 0,
    "train": [{"input": "[1, 2]", "output": "[2]"}, {"input": "[3]", "output": "[]"}],
    "test": [{"input": "[4, 5]", "output": "[5]"}],
}


def write(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def test_the_public_format_is_read(tmp_path):
    [task] = read_tasks(write(tmp_path / "acre.jsonl", ACRE))
    assert task == InductionTask(
        "acre",
        "7",
        (Pair("red cube, gray ball", "on"),),
        (Pair("gray ball", "undetermined"),),
    )
    for name in ("1d_arc", "list_function", "list_functions", "one_d_arc"):
        [task] = read_tasks(write(tmp_path / f"{name}.jsonl", LISTS))
        assert task.demonstrations[1] == ("[3]", "[]")
        assert task.kind in ("list_functions", "one_d_arc")
    assert read_tasks(write(tmp_path / "mine.jsonl", ACRE), kind="acre")[0].kind == "acre"


@pytest.mark.parametrize("name", ["acre", "list_functions", "miniscan", "one_d_arc"])
def test_generated_tasks_survive_being_written(tmp_path, name):
    tasks = list(get(name).tasks(5, seed=3, split="train"))
    write_tasks(tasks, tmp_path / f"{name}.jsonl")
    assert read_tasks(tmp_path / f"{name}.jsonl") == tasks


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"train": None}, "train: give a list"),
        ({"train": []}, "train: give a list"),
        ({"test": {}}, "test: give a list"),
        ({"test": ["a"]}, r"test\[0\]: no object"),
        ({"test": [{"input": "[1]"}]}, r"test\[0\]: output: missing"),
        ({"test": [{"input": 1, "output": "[1]"}]}, r"test\[0\]: input: wrong type"),
        ({"test": [{"input": "[1]", "output": "RED"}]}, r"test\[0\]: output: 'RED' is no list"),
        ({"test": [{"input": "[[1]]", "output": "[1]"}]}, r"input: '\[\[1\]\]' is no list"),
        ({"idx": None}, "idx: missing"),
        ({"rule": ["xs"]}, "rule: wrong type"),
    ],
)
def test_a_wrong_field_is_told_with_its_place(tmp_path, change, where):
    path = write(tmp_path / "list_function.jsonl", LISTS, {**LISTS, "idx": 1, **change})
    with pytest.raises(InputError, match=rf"list_function\.jsonl:2: {where}|:2: .*{where}"):
        read_tasks(path)


def test_wrong_objects_states_names_and_files_are_told(tmp_path):
    for change, where in (
        ({"train": [{"input": [], "output": "on"}]}, r":1: train\[0\]: input: give a list"),
        ({"train": [{"input": ["a", 3], "output": "on"}]}, r"train\[0\]: input\[1\]: input: wrong"),
        ({"train": [{"input": ["a"], "output": "dim"}]}, r"train\[0\]: output: 'dim'; one of on"),
    ):
        with pytest.raises(InputError, match=where):
            read_tasks(write(tmp_path / "acre.jsonl", {**ACRE, **change}))
    with pytest.raises(InputError, match=r"x\.jsonl: name: 'x' is no kind"):
        read_tasks(write(tmp_path / "x.jsonl", ACRE))
    with pytest.raises(InputError, match="holds no task"):
        read_tasks(write(tmp_path / "acre.jsonl"))
    with pytest.raises(InputError, match="idx: 7 stands twice"):
        read_tasks(write(tmp_path / "acre.jsonl", ACRE, ACRE))


def test_the_split_is_nine_tenths_and_a_tenth_whatever_the_seed():
    tasks = [InductionTask("one_d_arc", str(n), (), ()) for n in range(901)]
    for seed in (0, 10):
        train, test = split_tasks(tasks, seed=seed)
        assert (len(train), len(test)) == (810, 91)
        assert {task.id for task in train} | {task.id for task in test} == set(map(str, range(901)))
    assert split_tasks(tasks, seed=0) != split_tasks(tasks, seed=1)
    assert split_tasks(tasks, seed=0) == split_tasks(tasks, seed=0)


def hypotheses(**change):
    return {"task": "list_function", "index": 0, "responses": ["xs[1:]", "No idea."], **change}


def test_hypotheses_are_scored_and_written(tmp_path):
    write(tmp_path / "list_function.jsonl", LISTS)
    path = write(tmp_path / "rules.jsonl", hypotheses())
    [found] = read_hypotheses(path, tmp_path)
    assert found.task.id == "0"
    [summary] = summarize(score(path, tasks=tmp_path, output=tmp_path / "scored.jsonl"))
    assert summary == ("list_functions", 1, 2, 1, 1, 1, 1, 1, 1)
    assert summary.accuracy == 1
    first, second = map(json.loads, (tmp_path / "scored.jsonl").read_text().splitlines())
    assert (first["rule"], first["satisfied"], first["outputs"]) == ("xs[1:]", 2, ["[2]", "[]"])
    assert second["fault"] == "no expression: 'No idea.'"
    assert (second["satisfied"], second["outputs"]) == (0, [None, None])


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"task": "chess"}, "task: 'chess' is no kind"),
        ({"task": "acre"}, "task: no file of acre among"),
        ({"responses": None}, "responses: give a list of strings"),
        ({"index": 1}, "index: 1 is no place among 1 tasks"),
        ({"index": -1}, "index: -1 is no place"),
        ({"index": "first"}, "index: first is no place"),
        ({"responses": "xs"}, "responses: give a list of strings"),
        ({"responses": [1]}, "responses: give a list of strings"),
    ],
)
def test_wrong_hypotheses_are_told_with_their_place(tmp_path, change, where):
    write(tmp_path / "list_function.jsonl", LISTS)
    path = write(tmp_path / "rules.jsonl", hypotheses(), hypotheses(**change))
    with pytest.raises(InputError, match=rf"rules\.jsonl:2: {where}"):
        list(read_hypotheses(path, tmp_path))


def test_samples_of_a_teacher_are_hypotheses(tmp_path):
    tasks = read_tasks(write(tmp_path / "list_function.jsonl", LISTS, {**LISTS, "idx": "b"}))
    write_rule_prompts(tasks, tmp_path / "prompts.txt")
    first, second = map(json.loads, (tmp_path / "prompts.txt").read_text().splitlines())
    assert [first["id"], second["id"]] == ["list_functions/0", "list_functions/b"]
    assert first["prompt"].endswith("Input: [3]\nOutput: []\nRule:")
    rows = [{"id": first["id"], "sample": n, "text": rule} for n, rule in enumerate(["xs", ""])]
    path = write(tmp_path / "samples.txt", *rows, {"id": second["id"], "text": "xs[1:]"})
    found = list(read_hypotheses(path, tmp_path))
    assert [(each.task.id, each.rules) for each in found] == [("0", ("xs", "")), ("b", ("xs[1:]",))]
    with pytest.raises(InputError, match=r":1: id: list_functions has no task '7'"):
        list(read_hypotheses(write(path, {"id": "list_functions/7", "text": "xs"}), tmp_path))
    with pytest.raises(InputError, match=r":1: text: missing"):
        list(read_hypotheses(write(path, {"id": "list_functions/0"}), tmp_path))


def test_a_directory_without_task_files_or_with_two_of_a_kind_is_refused(tmp_path):
    path = write(tmp_path / "rules.jsonl", hypotheses())
    with pytest.raises(InputError, match="holds no task file"):
        list(read_hypotheses(path, tmp_path))
    write(tmp_path / "list_function.jsonl", LISTS)
    write(tmp_path / "list_functions.jsonl", LISTS)
    with pytest.raises(InputError, match="has the tasks of list_functions; remove one"):
        list(read_hypotheses(path, tmp_path))


def test_queries_become_records_that_evaluate_reads(tmp_path):
    [task] = read_tasks(write(tmp_path / "list_function.jsonl", LISTS))
    write_query_records([task], tmp_path / "records.jsonl")
    [question] = load(str(tmp_path / "records.jsonl"))
    assert question.question == few_shot_prompt(task, "[4, 5]")
    assert (question.task, question.answer) == ("list_functions", "[5]")
    assert "rationale" not in query_record(task, 0)
