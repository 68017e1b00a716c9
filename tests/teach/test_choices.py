"""Several answers of one request: what they take, and a server that gives fewer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.teach.conftest import Server

from limbeck.errors import UnfinishedError
from limbeck.teach import Prompt, estimate_samples, sample
from limbeck.teach.reply import of_body
from limbeck.teachers import Endpoint

PROMPTS = [Prompt.of("a", "What is the rule?"), Prompt.of("b", "And here?")]


def endpoint(server: Server, **more: Any) -> Endpoint:
    return Endpoint(model="m", base_url=server.url, temperature=1.0, **more)


def rows(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "samples.jsonl").read_bytes().splitlines()]


def test_a_request_asks_for_several_answers(server: Server, tmp_path: Path) -> None:
    server.answer = lambda prompt, count: server.say(f"{prompt} {count}")
    teacher = endpoint(server, samples=5, n=3)
    expected = estimate_samples(PROMPTS, output_dir=tmp_path, teacher=teacher)
    told = sample(PROMPTS, output_dir=tmp_path, teacher=teacher)
    assert sorted(body.get("n", 1) for body in server.bodies) == [2, 2, 3, 3]
    assert (told.samples, expected.requests) == (10, 4)
    found = rows(tmp_path)
    assert {row["text"] for row in found} == {
        f"{prompt.messages[0]['content']} {count}" for prompt in PROMPTS for count in range(5)
    }
    # Four requests of 10 tokens read and 20 written, however many answers each had.
    assert (told.spent.prompt_tokens, told.spent.completion_tokens) == (40, 80)
    assert sum(row["prompt_tokens"] for row in found) == 40


def test_what_n_is_does_not_part_answers_from_their_prompt(server: Server, tmp_path: Path) -> None:
    sample(PROMPTS, output_dir=tmp_path, teacher=endpoint(server, samples=4, n=4))
    sample(PROMPTS, output_dir=tmp_path, teacher=endpoint(server, samples=5, n=1))
    assert sorted(body.get("n", 1) for body in server.bodies) == [1, 1, 4, 4]


def test_a_server_that_gives_fewer_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.most_choices = 2
    told = sample(PROMPTS[:1], output_dir=tmp_path, teacher=endpoint(server, samples=5, n=5))
    assert [body.get("n", 1) for body in server.bodies] == [5, 3, 1]
    assert told.samples == 5


def test_the_budget_holds_for_the_most_that_all_answers_can_take(
    server: Server, tmp_path: Path
) -> None:
    at_most = PROMPTS[0].tokens_at_most
    teacher = endpoint(server, samples=4, n=4, max_new_tokens=20, max_tokens=at_most + 79)
    with pytest.raises(UnfinishedError, match=r"`max_tokens`"):
        sample(PROMPTS[:1], output_dir=tmp_path / "less", teacher=teacher)
    assert server.bodies == []
    enough = teacher.model_copy(update={"max_tokens": at_most + 80})
    assert sample(PROMPTS[:1], output_dir=tmp_path / "more", teacher=enough).samples == 4


def test_a_failed_request_fails_all_its_answers(server: Server, tmp_path: Path) -> None:
    server.faults["What is the rule?"] = ["400"]
    told = sample(PROMPTS[:1], output_dir=tmp_path, teacher=endpoint(server, samples=3, n=3))
    assert told.failed == {"refused": 3}


def test_completion_tokens_are_shared_out_by_length() -> None:
    choices = [{"message": {"content": text}, "finish_reason": "stop"} for text in ("ab" * 3, "ab")]
    body = {"choices": choices, "usage": {"prompt_tokens": 7, "completion_tokens": 9}}
    first, second = of_body(json.dumps(body).encode(), prompt_tokens=1)
    assert (first.prompt_tokens, second.prompt_tokens) == (7, 0)
    assert (first.completion_tokens, second.completion_tokens) == (6, 3)
