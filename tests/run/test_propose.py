"""Rules for training: of an oracle, of a file, and of a model that is asked; never of tests."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tests.teach.conftest import Server, server  # noqa: F401 (a fixture)
from tests.train.conftest import make_tokenizer
from transformers import AutoTokenizer

from limbeck.config import Teacher
from limbeck.errors import InputError
from limbeck.induction import (
    Hypotheses,
    parse_rule,
    read_tasks,
    score_rule,
    split_tasks,
    training_data,
    write_tasks,
)
from limbeck.propose import ask_for_rules, write_rules
from limbeck.recipes import redis
from limbeck.rules import Rules
from limbeck.run import plan
from limbeck.tasks import get
from limbeck.tasks.induction.wrong import wrong_rules
from limbeck.teachers import Endpoint

NAMES = ("one_d_arc", "acre", "list_functions", "miniscan")
PARTS = ("generation", "application", "pairs")


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_wrong_rules_are_rules_of_many_scores(name):
    task = get(name)
    rng = random.Random(0)
    scores, missing = [], 0
    for each in task.tasks(60, seed=0, split="train"):
        found = wrong_rules(task, each.rule, 9, rng)
        assert len(set(found)) == len(found)
        assert each.rule not in found
        missing += 9 - len(found)
        for rule in found:
            parse_rule(task.kind, rule)
            scores.append(score_rule(each, rule).satisfied)
    assert missing == 0
    assert min(scores) == 0 or name == "acre"
    assert len(set(scores)) >= min(3, len(each.demonstrations))
    share_right = sum(s == len(each.demonstrations) for s in scores) / len(scores)
    assert share_right < 0.2, "hardly any of them should be another way to say the same"


@pytest.mark.parametrize("name", NAMES)
def test_an_oracles_rules_make_all_three_kinds_of_examples(name, tmp_path):
    write_rules(
        [name], tmp_path / "rules", settings=Rules(), teacher=Teacher(), examples=40, seed=0,
        needed=PARTS,
    )  # fmt: skip
    counts = json.loads((tmp_path / "rules/counts.json").read_text())[get(name).kind]
    for part in PARTS:
        found = lines(tmp_path / f"rules/{part}.jsonl")
        assert len(found) == counts[part] > 0
    tasks = list(get(name).tasks(-(-40 // get(name).queries), seed=0, split="train"))
    assert counts["rules"] == 10 * len(tasks)
    preferred = {record["chosen"] for record in lines(tmp_path / "rules/pairs.jsonl")}
    assert preferred & {task.rule for task in tasks}
    scored = lines(tmp_path / "rules/scored.jsonl")
    assert {one["id"] for one in scored} == {task.id for task in tasks}
    again = tmp_path / "again"
    write_rules([name], again, settings=Rules(), teacher=Teacher(), examples=40, seed=0)
    assert lines(again / "pairs.jsonl") == lines(tmp_path / "rules/pairs.jsonl")


def test_the_public_hypotheses_of_training_tasks_alone(shared, tmp_path):
    data = shared / "data/induction"
    names = [f"{kind}_public:path={data / kind}.jsonl" for kind in ("acre", "miniscan")]
    write_rules(
        names,
        tmp_path / "rules",
        settings=Rules(hypotheses=str(data / "hypotheses_gpt4.jsonl")),
        teacher=Teacher(),
        examples=1,
        seed=0,
    )
    scored = lines(tmp_path / "rules/scored.jsonl")
    assert len(scored) == 2 * 90 * 5
    for kind in ("acre", "miniscan"):
        train, test = split_tasks(read_tasks(data / f"{kind}.jsonl"))
        own = {one["id"] for one in scored if one["task"] == kind}
        assert own == {task.id for task in train}
        assert not own & {task.id for task in test}
    counts = json.loads((tmp_path / "rules/counts.json").read_text())
    assert counts["acre"]["rules"] == counts["miniscan"]["rules"] == 450
    assert counts["miniscan"]["generation"] > 400


def test_a_model_is_asked_for_rules_and_applies_them(server: Server, tmp_path: Path) -> None:  # noqa: F811
    said = {"rules": 0, "applied": 0}
    [drawn] = get("list_functions:queries=2").tasks(1, seed=0, split="train")

    def answer(prompt: str, count: int) -> dict:
        if prompt.startswith("Apply"):
            said["applied"] += 1
            if "Do as shown." not in prompt:
                return server.say("[]")
            given = prompt.rpartition("Input: ")[2].removesuffix("\nOutput:")
            known = {pair.input: pair.output for pair in (*drawn.demonstrations, *drawn.queries)}
            return server.say(known[given])
        said["rules"] += 1
        return server.say("Do as shown." if count == 0 else f"Rule: guess {count}")

    server.answer = answer
    teacher = Endpoint(model="m", base_url=server.url, samples=3, temperature=1.0, n=3)
    tasks = ["list_functions:queries=2"]
    asked = {"teacher": teacher, "examples": 2, "seed": 0}
    ask_for_rules(tasks, tmp_path / "hypotheses", **asked)
    assert said == {"rules": 3, "applied": 0}
    assert [body["temperature"] for body in server.bodies] == [1.0]
    write_rules(
        tasks, tmp_path / "rules", settings=Rules(scoring="auto"), needed=PARTS,
        proposed=tmp_path / "hypotheses", **asked,
    )  # fmt: skip
    scored = lines(tmp_path / "rules/scored.jsonl")
    assert scored[0]["satisfied"] == len(drawn.demonstrations)
    assert {one["by"] for one in scored} == {"model"}
    assert said["applied"] == 3 * len(drawn.demonstrations) + 2
    assert {record["chosen"] for record in lines(tmp_path / "rules/pairs.jsonl")} == {
        "Do as shown."
    }


def test_a_file_that_is_needed_may_not_be_empty(tmp_path):
    with pytest.raises(InputError, match=r"rules: .* of 1 training tasks make no pairs"):
        write_rules(
            ["acre:demonstrations=3"], tmp_path / "rules", settings=Rules(wrong=1),
            teacher=Teacher(), examples=1, seed=5, needed=("pairs",),
        )  # fmt: skip


def test_rules_of_other_kinds_are_passed_over(tmp_path):
    tasks = list(get("acre").tasks(10, seed=0, split="train"))
    write_tasks(tasks, tmp_path / "acre.jsonl")
    rows = [{"task": "miniscan", "index": 0, "responses": ["x"]}]
    rows += [{"task": "acre", "index": n, "responses": [task.rule]} for n, task in enumerate(tasks)]
    (tmp_path / "h.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_rules(
        [f"acre_public:path={tmp_path / 'acre.jsonl'}"], tmp_path / "rules",
        settings=Rules(hypotheses=str(tmp_path / "h.jsonl")), teacher=Teacher(), examples=1, seed=0,
    )  # fmt: skip
    assert len(lines(tmp_path / "rules/generation.jsonl")) == 9, "the tenth task is for tests"


def test_ablations_reach_the_filter(tmp_path):
    def write(**settings):
        write_rules(["miniscan"], tmp_path / "rules", settings=Rules(**settings),
                    teacher=Teacher(), examples=40, seed=0)  # fmt: skip
        return {part: len(lines(tmp_path / f"rules/{part}.jsonl")) for part in PARTS}

    paper, strict = write(), write(least_score=1.0, only_correct=True)
    assert strict["generation"] < paper["generation"]
    assert strict["application"] < paper["application"]
    assert strict["pairs"] == paper["pairs"]


def test_scoring_again_gives_what_is_written(tmp_path):
    """The stage's files are those of `score` and `training_data` on the same rules."""
    task = get("acre")
    rng = random.Random("acre/0/wrong")
    proposed = []
    for each in task.tasks(10, seed=0, split="train"):
        rules = [each.rule, *wrong_rules(task, each.rule, 9, rng)]
        proposed.append(Hypotheses(each, tuple(rng.sample(rules, len(rules)))))
    data = training_data(
        [[score_rule(each.task, rule) for rule in each.rules] for each in proposed]
    )
    write_rules(
        ["acre"], tmp_path / "rules", settings=Rules(), teacher=Teacher(), examples=40, seed=0
    )
    assert lines(tmp_path / "rules/pairs.jsonl") == data.pairs


def test_rules_longer_than_their_kind_may_be_are_left_out_and_counted(tmp_path):
    make_tokenizer(tmp_path / "student")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "student")
    shared = {"teacher": Teacher(), "examples": 40, "seed": 0, "student": str(tmp_path / "student")}
    write_rules(["acre", "miniscan"], tmp_path / "all", settings=Rules(), **shared)
    rules = [each["answer"] for each in lines(tmp_path / "all/generation.jsonl")]
    lengths = {rule: len(tokenizer.encode(rule, add_special_tokens=False)) for rule in rules}
    acre = {one["rule"] for one in lines(tmp_path / "all/scored.jsonl") if one["task"] == "acre"}
    limit = sorted(lengths[rule] for rule in acre)[len(acre) // 2]
    limited = Rules(limits={"acre": limit})
    write_rules(["acre", "miniscan"], tmp_path / "some", settings=limited, **shared)
    kept = [each["answer"] for each in lines(tmp_path / "some/generation.jsonl")]
    assert kept == [rule for rule in rules if rule not in acre or lengths[rule] <= limit]
    counts = json.loads((tmp_path / "some/counts.json").read_text())
    left_out = sum(lengths[rule] > limit for rule in acre)
    assert counts["acre"]["over_limit"] == left_out > 0
    assert counts["acre"]["truncated_share"] == left_out / len(acre)
    assert counts["miniscan"]["truncated_share"] == 0


def test_limits_need_a_tokenizer_that_is_there():
    spec = {"config": {"model_type": "llama"}}
    recipe = redis(student=spec, data={"tasks": ["acre"]}, rules={"limits": {"acre": 9}})
    with pytest.raises(InputError, match=r"rules\.limits: the student's tokenizer is made of"):
        plan([recipe])
