"""The two back-ends: a student here and at a server say the same, and count what they take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.search.conftest import card
from tests.teach.conftest import Server

from limbeck.config import Evaluate
from limbeck.errors import InputError, UnfinishedError
from limbeck.generate import Generator, read_card
from limbeck.induction import InductionTask
from limbeck.inference import Inference
from limbeck.search import ModelBackend, StudentBackend, search
from limbeck.search.served import ServedBackend
from limbeck.teachers import Endpoint, LocalModel

GREEDY = Inference(mode="search", hypotheses=1, temperature=0, apply_temperature=0, scoring="model")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def endpoint(url: str, student: Path | str = "m", **more: object) -> Endpoint:
    return Endpoint(model=str(student), base_url=url, **more)  # type: ignore[arg-type]


def test_here_and_at_a_server_the_same_rules_are_found(
    chat_student: Path, served_student: str, tasks: list[InductionTask], tmp_path: Path
) -> None:
    here = StudentBackend(Generator(chat_student, device="cpu"), max_new_tokens=24)
    there = ServedBackend(
        read_card(chat_student),
        endpoint(served_student, chat_student, concurrency=2),
        tmp_path,
        max_new_tokens=24,
    )
    local, remote = (search(tasks, backend, settings=GREEDY) for backend in (here, there))
    assert local == remote
    assert any(one.rule for found in local for one in found.rules), "some texts must end"
    assert {found.usage.rule_calls for found in local} == {1}
    applied = [found for found in local if found.best.by == "model"]
    assert [found.usage.apply_calls for found in applied] == [
        len(found.task.demonstrations) + len(found.task.queries) for found in applied
    ]


def test_a_batch_computes_a_prompt_once_for_its_rules(
    chat_student: Path, tasks: list[InductionTask]
) -> None:
    generator = Generator(chat_student, device="cpu")
    [prompt] = generator.sample(["one?"], samples=1, temperature=0, max_new_tokens=2)
    for batch_size, times in ((64, 1), (4, 2), (2, 3)):
        backend = StudentBackend(generator, max_new_tokens=2, batch_size=batch_size)
        [written] = backend.write(["one?"], samples=5, temperature=1.0)
        assert len(written.texts) == 5
        assert written.prompt_tokens == times * prompt[0].prompt_tokens
        assert 5 <= written.completion_tokens <= 10


def test_a_server_that_gives_several_reads_the_prompt_once(
    server: Server, tasks: list[InductionTask], tmp_path: Path
) -> None:
    rules = ("xs", "xs[1:]", "xs[::-1]")
    server.answer = lambda prompt, count: server.say(rules[count % 3])
    backend = ModelBackend(endpoint(server.url, n=8), tmp_path)
    drop, turn = search(tasks, backend, settings=Inference(hypotheses=3))
    assert sorted(body["n"] for body in server.bodies) == [3, 3]
    assert {body["temperature"] for body in server.bodies} == {0.9}
    assert (drop.answers, turn.answers) == (("[1]", "[8, 2]"), ("[1, 5]",))
    assert (drop.usage.calls, drop.usage.prompt_tokens, drop.usage.completion_tokens) == (3, 10, 20)


def test_a_search_at_a_server_goes_on_where_it_was_cut_off(
    server: Server, tasks: list[InductionTask], tmp_path: Path
) -> None:
    server.answer = lambda prompt, count: server.say("xs[1:]")
    backend = ModelBackend(endpoint(server.url, max_retries=0, concurrency=1), tmp_path)
    settings = Inference(hypotheses=2)
    second = {"drop": "[3, 9, 4]\nOutput: [9, 4]", "turn": "[3, 9, 4]\nOutput: [4, 9, 3]"}
    from limbeck.induction import rule_prompt

    assert second["turn"] in rule_prompt(tasks[1])
    server.faults[rule_prompt(tasks[1])] = ["500", "500"]
    with pytest.raises(UnfinishedError, match=r"2 of 4 texts could not be had.*run the same"):
        search(tasks, backend, settings=settings)
    asked = len(server.bodies)
    drop, _ = search(tasks, backend, settings=settings)
    assert len(server.bodies) == asked + 2, "what was answered is not asked again"
    assert drop.answers == ("[1]", "[8, 2]")


def test_a_model_of_transformers_is_a_backend_too(
    chat_student: Path, tasks: list[InductionTask], tmp_path: Path
) -> None:
    """What `teach` makes of it is what the student itself writes."""
    local = LocalModel(model=str(chat_student), max_new_tokens=24, batch_size=4, device="cpu")
    here = StudentBackend(Generator(chat_student, device="cpu"), max_new_tokens=24)
    assert search(tasks, ModelBackend(local, tmp_path), settings=GREEDY) == search(
        tasks, here, settings=GREEDY
    )


def test_a_student_of_plain_text_is_refused_at_a_server(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"evaluate.server: .*not taught in a chat"):
        ServedBackend(card("plain"), endpoint("http://127.0.0.1:9/v1"), tmp_path, max_new_tokens=4)


def test_the_server_gets_the_template_and_its_variables(
    server: Server, tmp_path: Path, chat_student: Path
) -> None:
    taught = card("chat")
    taught["render"]["template"]["prompt"] = "[rule] {question}"
    taught["render"]["chat_variables"] = {"enable_thinking": False, "strftime_now": "2024-01-01"}
    server.answer = lambda prompt, count: server.say(" xs ")
    backend = ServedBackend(taught, endpoint(server.url), tmp_path, max_new_tokens=7)
    [written] = backend.write(["What?"], samples=1, temperature=0.5)
    [body] = server.bodies
    assert written.texts == ("xs",)
    assert body["messages"] == [{"role": "user", "content": "[rule] What?"}]
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert (body["max_tokens"], body["temperature"]) == (7, 0.5)


def test_evaluate_asks_a_server_straight_away_too(
    chat_student: Path, served_student: str, tmp_path: Path
) -> None:
    from limbeck.evaluate import evaluate

    settings = {"questions": 4, "max_new_tokens": 6, "batch_size": 2}
    for name, more in (("here", {}), ("there", {"server": endpoint(served_student, chat_student)})):
        evaluate(
            chat_student,
            tasks=["acre"],
            output_dir=tmp_path / name,
            settings=Evaluate(**settings, **more),  # type: ignore[arg-type]
        )
    here, there = (
        [json.loads(line) for line in (tmp_path / name / "results.jsonl").read_bytes().splitlines()]
        for name in ("here", "there")
    )
    kept = ("id", "answer", "correct", "prompt_tokens", "tokens_generated")
    assert [[row[key] for key in kept] for row in here] == [
        [row[key] for key in kept] for row in there
    ]
    assert not (tmp_path / "there/.served").exists()
