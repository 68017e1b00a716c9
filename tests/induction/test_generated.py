"""Tasks without end: their rules are true, their queries are determined, their splits apart."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from limbeck.errors import InputError
from limbeck.induction import (
    accuracy,
    majority,
    score_rule,
    slot_memoriser,
    solve_acre,
    solve_miniscan,
)
from limbeck.tasks import Induction, get

SPECS = [
    "acre",
    "acre:ambiguous=2:objects=9:demonstrations=8",
    "list_functions",
    "list_functions:steps=3:demonstrations=5:queries=1",
    "miniscan",
    "miniscan:functions=2:names=3:demonstrations=9:queries=3",
    "one_d_arc",
    "one_d_arc:steps=2:queries=2:longest=40",
]


@pytest.fixture(scope="module")
def made():
    """Some tasks of each split, made once."""
    return {
        spec: {split: list(get(spec).tasks(10, seed=0, split=split)) for split in ("train", "test")}
        for spec in SPECS
    }


@pytest.mark.parametrize("spec", SPECS)
def test_the_rule_of_a_task_is_true(made, spec):
    family = get(spec)
    for task in made[spec]["train"] + made[spec]["test"]:
        scored = score_rule(task, task.rule)
        assert scored.fault is None
        assert scored.right == len(task.queries) == family.queries
        assert len(task.demonstrations) == family.demonstrations
        missed = family.demonstrations - scored.satisfied
        assert missed <= getattr(family, "ambiguous", 0)
        inputs = [pair.input for pair in (*task.demonstrations, *task.queries)]
        assert len(set(inputs)) == len(inputs)


@pytest.mark.parametrize("spec", SPECS)
def test_splits_share_neither_rules_nor_demonstrations(made, spec):
    family = get(spec)
    train = made[spec]["train"] + list(family.tasks(12, seed=1, split="train"))
    test = made[spec]["test"]
    shown = [{frozenset(task.demonstrations) for task in part} for part in (train, test)]
    assert not shown[0] & shown[1]
    skeletons = [{family.skeleton(task.rule) for task in part} for part in (train, test)]
    if skeletons[0] != {None}:
        assert not skeletons[0] & skeletons[1]
        assert len(skeletons[0]) > 5


@pytest.mark.parametrize("spec", SPECS)
def test_the_seed_decides_and_prefixes_agree(made, spec):
    family = get(spec)
    again = list(family.tasks(4, seed=0, split="train"))
    assert again == made[spec]["train"][:4]
    assert again != list(family.tasks(4, seed=1, split="train"))


def test_what_is_asked_follows_from_what_is_shown(made):
    for spec, splits in made.items():
        solve = {"acre": solve_acre, "miniscan": solve_miniscan}.get(spec.split(":")[0])
        if solve:
            right, total = accuracy(solve, splits["train"] + splits["test"])
            assert right == total


def test_what_needs_no_reading_answers_little(made):
    for spec, splits in made.items():
        limit = 0.65 if spec.startswith("acre") else 0.25
        for control in (majority, slot_memoriser):
            right, total = accuracy(control(splits["train"]), splits["test"])
            assert right / total < limit


def test_acre_asks_all_states_and_shows_both(made):
    tasks = made["acre"]["train"] + made["acre"]["test"]
    for task in tasks:
        assert {pair.output for pair in task.demonstrations} == {"on", "off"}
    asked = Counter(pair.output for task in tasks for pair in task.queries)
    assert asked.keys() == {"on", "off", "undetermined"}
    assert min(asked.values()) > 0.15 * sum(asked.values())


def test_demonstrations_come_in_any_order(made):
    """In the public MiniSCAN the k-th input has the same words' places in every task."""
    lengths = {
        tuple(len(p.input.split()) for p in t.demonstrations) for t in made["miniscan"]["train"]
    }
    assert len(lengths) == 10


@pytest.mark.parametrize("spec", ["acre", "list_functions", "miniscan", "one_d_arc"])
def test_records_are_ordinary_ones_with_the_rule_as_rationale(made, spec):
    family = get(spec)
    records = list(family.records(7, seed=0))
    questions = list(family.questions(7, seed=0, split="train"))
    tasks = made[spec]["train"]
    for number, (record, question) in enumerate(zip(records, questions, strict=True)):
        task = tasks[number // family.queries]
        query = task.queries[number % family.queries]
        assert record["question"] == question.question
        assert record["question"].endswith(f"Input: {query.input}\nOutput:")
        assert record["question"].count("Input: ") == family.demonstrations + 1
        assert record["answer"] == record["teacher_answer"] == question.answer == query.output
        assert (record["rationale"], record["id"]) == (task.rule, question.id)
    assert len({record["id"] for record in records}) == 7


def test_there_are_no_false_rules_to_be_had():
    with pytest.raises(InputError, match=r"teacher\.hallucination: acre has only true rules"):
        next(get("acre").records(1, hallucination=0.5))


def test_settings_that_leave_no_task_are_told():
    with pytest.raises(InputError, match="are too few for 8 names and 4 functions; give 22"):
        get("miniscan:names=8:functions=4")
    with pytest.raises(InputError, match="leave next to no task"):
        next(get("acre:objects=4:demonstrations=12:queries=8").tasks(1, seed=0, split="train"))


def test_tasks_name_themselves():
    task = get("one_d_arc:steps=2")
    assert isinstance(task, Induction)
    assert str(task) == "one_d_arc:steps=2"
    assert next(task.questions(1, seed=0, split="test")).task == "one_d_arc:steps=2"


def test_an_object_map_lists_objects_as_the_demonstrations_show_them():
    """So that whoever writes it reads from the start; each for the first time is the next."""
    for task in get("acre:objects=5").tasks(20, seed=3, split="train"):
        shown = [name for pair in task.demonstrations for name in pair.input.split(", ")]
        assert list(json.loads(task.rule)) == list(dict.fromkeys(shown))
