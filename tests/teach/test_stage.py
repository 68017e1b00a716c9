"""A model as the teacher of a recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limbeck.compare.plan import plan_comparison
from limbeck.config import Recipe, check
from limbeck.errors import InputError, UnfinishedError
from limbeck.run import plan_shared, walk
from limbeck.teach.prompts import asking
from limbeck.teachers import Endpoint


def test_a_run_teaches_the_questions_of_its_files(server: Any, tmp_path: Path) -> None:
    path = tmp_path / "asked.jsonl"
    path.write_text(
        "".join(json.dumps({"question": f"q{n}", "answer": 7}) + "\n" for n in range(3))
    )
    server.answer = lambda prompt, count: server.say("The answer is 7.")
    values = {
        "method": "think_first",
        "student": "unused",
        "data": {"paths": [str(path)]},
        "teacher": {
            "name": "openai",
            "model": "m",
            "base_url": server.url,
            "timeout_s": 30,
            "max_retries": 0,
        },
    }
    recipe = check(Recipe, values)
    assert isinstance(recipe.teacher, Endpoint)
    second = asking("q1", "", recipe.teacher).messages[-1]["content"]
    server.faults[second] = ["500"]
    (stage,) = plan_shared(recipe, tmp_path / "out", recipe.data.sources)
    with pytest.raises(UnfinishedError, match=r"failed.jsonl: 1 answers could not be had"):
        walk([stage])
    assert not stage.is_done()
    walk([stage])
    assert stage.is_done()
    rows = (tmp_path / "out/teach/records.jsonl").read_text().splitlines()
    assert [json.loads(row)["question"] for row in rows] == ["q0", "q1", "q2"]
    assert set(server.delivered.values()) == {1}

    weighted = check(Recipe, {**values, "data": {"paths": [{"path": str(path), "weight": 0.5}]}})
    with pytest.raises(InputError, match="says more than a path"):
        plan_shared(weighted, tmp_path / "out", weighted.data.sources)


def test_a_comparison_does_not_pay_for_every_seed(tmp_path: Path) -> None:
    path = tmp_path / "compare.yaml"
    path.write_text(
        "methods: [think_first, answer_only]\nseeds: [0, 1]\nstudent: s\n"
        "data: {tasks: [coin_flip]}\nteacher: {name: openai, model: m}\n"
    )
    with pytest.raises(InputError, match=r"teacher.name: a model would be asked again for every"):
        plan_comparison(path)
