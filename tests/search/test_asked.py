"""Questions become the tasks again that they were made of."""

from __future__ import annotations

import json

import pytest

from limbeck.errors import InputError
from limbeck.induction import write_query_records, write_tasks
from limbeck.search.asked import group, is_induction
from limbeck.search.controls import Control, controls_of
from limbeck.tasks import Question, get, load

NAMES = ("one_d_arc", "acre:objects=5", "list_functions:steps=1", "miniscan:queries=4")


@pytest.mark.parametrize("name", NAMES)
def test_a_generated_tasks_questions_are_its_tasks(name):
    tasks = list(get(name).tasks(3, seed=1, split="test"))
    queries = len(tasks[0].queries)
    found = group(list(get(name).questions(3 * queries, seed=1, split="test")))
    assert [(each.task.demonstrations, each.task.queries) for each in found] == [
        (task.demonstrations, task.queries) for task in tasks
    ]
    assert [each.task.kind for each in found] == [get(name).kind] * 3
    assert [each.places for each in found] == [
        tuple(range(n * queries, (n + 1) * queries)) for n in range(3)
    ]
    assert [each.slots for each in found] == [tuple(range(queries))] * 3
    assert {each.name for each in found} == {name}


def test_a_record_file_has_its_tasks_too_and_a_sample_keeps_its_slots(tmp_path):
    tasks = list(get("miniscan").tasks(4, seed=0, split="test"))
    path = tmp_path / "asked.jsonl"
    write_query_records(tasks, path)
    found = group(load(str(path)))
    assert [each.task.queries for each in found] == [task.queries for task in tasks]
    some = load(str(path), limit=6)
    for each in group(some):
        [task] = [task for task in tasks if task.demonstrations == each.task.demonstrations]
        assert each.task.queries == tuple(task.queries[slot] for slot in each.slots)
        assert [some[place].answer for place in each.places] == [
            query.output for query in each.task.queries
        ]


def test_what_is_no_induction_task_is_refused():
    [question] = get("coin_flip").questions(1, seed=0, split="test")
    assert not is_induction(question)
    with pytest.raises(InputError, match=r"mode: search: coin_flip .*no induction task.*direct"):
        group([question])
    broken = Question("acre", "a-0", "Input: red cube\nOutput: on\nred cube?", "on")
    assert not is_induction(broken)
    with pytest.raises(InputError, match=r"acre \(a-0\) is no induction task"):
        group([broken])


def test_a_file_of_tasks_is_a_task_with_the_papers_split(tmp_path):
    tasks = list(get("acre").tasks(20, seed=0, split="train"))
    path = tmp_path / "acre.jsonl"
    write_tasks(tasks, path)
    name = f"acre_public:path={path}"
    asked = load(name)
    assert len(asked) == 2 * len(tasks[0].queries)
    assert {question.task for question in asked} == {"acre_public"}
    test = {each.task.demonstrations for each in group(asked)}
    trained = {each.demonstrations for each in find_training(name)}
    assert (len(test), len(trained), test & trained) == (2, 18, set())
    every = load(f"{name}:test=all")
    assert len(every) == sum(len(task.queries) for task in tasks)
    assert {question.task for question in every} == {"acre_public"}
    assert find_training(f"{name}:test=all") == []
    for wrong in ("acre_public", "acre_public:path=:test=all"):
        with pytest.raises(InputError, match=r"acre_public is a file of tasks; name it"):
            load(wrong)


def find_training(name):
    from limbeck.tasks import find

    return find(name).tasks(None, seed=0, split="train")


def test_controls_stand_beside_induction_tasks_and_no_others(tmp_path):
    asked = [*load("miniscan", limit=20), *load("coin_flip", limit=3)]
    found = controls_of(asked, ["miniscan", "coin_flip"], seed=0)
    assert found.keys() == {"miniscan"}
    assert found["miniscan"]["solver"] == Control(20, 20)
    golds = [question.answer for question in asked if question.task == "miniscan"]
    commonest = max(golds.count(answer) for answer in golds)
    assert found["miniscan"]["majority"] == Control(commonest, 20)
    assert found["miniscan"]["slot_memoriser"].questions == 20
    assert controls_of(load("coin_flip", limit=3), ["coin_flip"], seed=0) == {}


def test_a_memoriser_of_one_grammar_in_other_words_is_found_out(tmp_path):
    """As in the public MiniSCAN: the same outputs in every task, slot for slot."""
    [task] = get("miniscan").tasks(1, seed=0, split="train")
    lines = []
    for n in range(20):
        demonstrations = [
            {"input": f"w{n} {p.input}", "output": p.output} for p in task.demonstrations
        ]
        queries = [{"input": f"w{n} {p.input}", "output": p.output} for p in task.queries]
        lines.append(json.dumps({"idx": n, "train": demonstrations, "test": queries}))
    path = tmp_path / "miniscan.jsonl"
    path.write_text("\n".join(lines))
    name = f"miniscan_public:path={path}"
    asked = load(name, limit=7)  # some queries of each task, whose slots must not shift
    assert controls_of(asked, [name], seed=0)["miniscan_public"]["slot_memoriser"] == Control(7, 7)
