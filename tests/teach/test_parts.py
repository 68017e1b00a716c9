"""The parts: pace, waits, cache, budget, settings, what is read."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import datetime, timezone
from email.utils import format_datetime
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from limbeck.config import Recipe, RecipeError, check
from limbeck.errors import InputError
from limbeck.recipes.load import dump, load
from limbeck.teach import Prompt, read_prompts, sample
from limbeck.teach.budget import Budget, Price
from limbeck.teach.cache import Cache, request_key
from limbeck.teach.choose import choose_teacher
from limbeck.teach.pace import Pace
from limbeck.teach.reply import BrokenReplyError, Reply, of_body
from limbeck.teach.retry import backoff_s, retry_after_s
from limbeck.teachers import Endpoint, LocalModel

REPLY = Reply("The answer is 4.", None, "stop", 7, 5)
KEYS = [request_key({"n": n}) for n in range(3)]


def test_pace_keeps_requests_and_tokens_to_their_minute() -> None:
    now = [0.0]
    pace = Pace(requests_per_minute=60, tokens_per_minute=6000, clock=lambda: now[0])
    times = []
    for _ in range(30):
        now[0] += pace.book(tokens=300)
        times.append(now[0])
        pace.give_back(100)
    # 200 tokens each of 6000 are two seconds; requests alone would be one apart.
    assert [round(b - a, 6) for a, b in pairwise(times)] == [2.0] * 29
    pace.pause(30)
    assert pace.paused_s() == 30
    assert pace.book(tokens=1) == pytest.approx(30)
    now[0] += 100
    assert (pace.paused_s(), pace.book(tokens=1)) == (0, 0)


def test_waits_double_with_chance_and_servers_are_heard() -> None:
    first = import_module("limbeck.teach.retry").FIRST_S
    waits = [[backoff_s(n, random.Random(seed)) for seed in range(50)] for n in range(12)]
    for n, drawn in enumerate(waits):
        whole = min(60.0, first * 2**n)
        assert whole / 2 <= min(drawn) < max(drawn) <= whole
    date = format_datetime(datetime.fromtimestamp(1000, timezone.utc), usegmt=True)
    for headers, seconds in (
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": date}, 40.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-1"}, None),
        ({}, None),
    ):
        assert retry_after_s(headers, now=960.0) == seconds, headers


def test_the_cache_takes_a_half_line_back_and_refuses_damage(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with Cache(path) as cache:
        cache.put(KEYS[0], 0, REPLY)
        cache.put_lost(KEYS[1], 0, 100, 200)
        cache.put(KEYS[0], 3, REPLY)
        with pytest.raises(InputError, match="another run is writing it"):
            Cache(path)
    whole = path.read_bytes()
    for cut in range(len(whole.splitlines(keepends=True)[-1])):
        path.write_bytes(whole[: len(whole) - cut])
        with Cache(path) as cache:
            assert cache.has(KEYS[0], 3) == (cut == 0)
            assert cache.get(KEYS[0], 0) == REPLY
            assert (cache.lost, cache.prompt_tokens) == (1, 107 + 7 * (cut == 0))
            assert not cache.has(KEYS[1], 0)
            cache.put(KEYS[2], 0, REPLY)
        with Cache(path) as cache:
            assert cache.get(KEYS[2], 0) == REPLY
    path.write_bytes(b"{}\n" + whole)
    with pytest.raises(InputError, match=r"answers.jsonl:1: damaged .*remove the line"):
        Cache(path)
    path.write_bytes(whole)
    Cache(path).__exit__(None, None, None)


def test_the_budget_waits_for_what_is_under_way() -> None:
    async def spend() -> list[bool]:
        budget = Budget(price=Price(1e6, 1e6), max_cost=10, max_tokens=100)
        assert await budget.admit(2, 4)
        second = asyncio.ensure_future(budget.admit(2, 4))
        await asyncio.sleep(0)
        assert not second.done()
        await budget.settle((2, 4), (2, 1))
        had = [await second]
        await budget.settle((2, 4), (2, 4))
        had += [await budget.admit(1, 1)]
        assert (budget.cost, budget.is_spent) == (9, True)
        return had

    assert asyncio.run(spend()) == [True, False]


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"choices": []}', b'{"choices": [{"message": {"content": 5}}]}'],
)
def test_what_is_no_answer_is_broken(body: bytes) -> None:
    with pytest.raises(BrokenReplyError):
        of_body(body, prompt_tokens=9)


def test_tokens_that_nobody_counts_are_overcounted() -> None:
    body = json.dumps({"choices": [{"message": {"content": "ten bytes."}}]}).encode()
    [reply] = of_body(body, prompt_tokens=9)
    assert (reply.prompt_tokens, reply.completion_tokens, reply.finish_reason) == (9, 5, "unknown")


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"api_key_env": "sk-secret"}, "no name of an environment variable"),
        ({"base_url": "https://me:secret@host/v1"}, "more than an address"),
        ({"base_url": "https://host/v1?key=secret"}, "more than an address"),
        ({"base_url": "secret"}, "no address"),
        ({"api_key": "secret"}, "unknown key"),
        ({"max_cost": 3}, "give `price_prompt` and"),
        ({"price_prompt": 3}, "give both"),
        ({"samples": 4, "max_samples": 3}, "can never give 4"),
        ({"samples": 2, "temperature": 0}, "one greedy answer"),
        ({"prompt": "Think."}, "has no {question}"),
        ({"extra_body": {"n": 2}}, "n is not set here"),
    ],
)
def test_settings_that_cannot_be_are_refused(values: dict[str, Any], fault: str) -> None:
    with pytest.raises(RecipeError, match=fault) as refused:
        check(Endpoint, {"model": "m", **values})
    assert "secret" not in str(refused.value)


def test_a_request_carries_the_settings(server: Any, tmp_path: Path) -> None:
    teacher = Endpoint(
        model="m",
        base_url=server.url,
        timeout_s=30,
        limit_field="max_completion_tokens",
        max_new_tokens=9,
        temperature=None,
        top_p=0.5,
        extra_body={"reasoning_effort": "low"},
    )
    sample([Prompt.of("a", "hello", system="Be brief.")], output_dir=tmp_path, teacher=teacher)
    assert server.bodies == [
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "hello"},
            ],
            "max_completion_tokens": 9,
            "top_p": 0.5,
            "reasoning_effort": "low",
        }
    ]


def test_a_missing_key_is_said_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    teacher = Endpoint(model="m", api_key_env="NO_SUCH_KEY")
    with pytest.raises(InputError, match="the environment has no NO_SUCH_KEY; set it"):
        sample([Prompt.of("a", "hello")], output_dir=tmp_path, teacher=teacher)


def test_prompt_files(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    path.write_text(json.dumps({"id": "x", "prompt": "Hi {there}"}) + "\n")
    assert read_prompts([path]) == [Prompt.of("x", "Hi {there}")]
    for record, fault in (
        ({"question": "q"}, "1: prompt: missing"),
        ({"prompt": []}, "1: prompt: leaves the teacher nothing"),
        ({"prompt": turns}, "1: prompt: leaves the teacher nothing"),
        ({"prompt": [{"role": "tool", "content": "x"}]}, r"prompt\[0\]: no message"),
        ({"prompt": [{"role": "user", "content": 5}]}, r"prompt\[0\]: content: wrong type"),
    ):
        path.write_text(json.dumps(record))
        with pytest.raises(InputError, match=fault):
            read_prompts([path])


def test_the_command_line_and_recipes_mean_the_same_teacher(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "method: think_first\nstudent: s\ndata: {tasks: [coin_flip]}\n"
        "teacher: {name: openai, model: big, samples: 3}\n"
    )

    def choose(recipe: Path | None = None, *overrides: str, **chosen: Any) -> Any:
        return choose_teacher(
            recipe,
            overrides,
            local=chosen.pop("local", False),
            prompts=chosen.pop("prompts", False),
            chosen={"model": None, **chosen},
        )

    assert choose(recipe) == load(recipe)[0].teacher == Endpoint(model="big", samples=3)
    assert load(recipe)[0].teacher == load(_written(tmp_path, dump(load(recipe))))[0].teacher
    assert choose(recipe, "top_p=0.9", model="small").model == "small"
    assert choose(model="m", prompts=True).temperature == 1.0
    assert choose(model="m", local=True) == LocalModel(model="m")
    assert choose().name == "oracle"
    for overrides, chosen, fault in (
        (["colour=red"], {"model": "m"}, "teacher.colour: unknown key"),
        (["name=opneai"], {}, "teacher.name: there is no 'opneai'; did you mean `openai`"),
        ([], {"prompts": True}, "teacher.model: missing"),
        (["batch_size=3"], {"model": "m"}, "teacher.batch_size: unknown key"),
    ):
        with pytest.raises(InputError, match=fault):
            choose(None, *overrides, **chosen)
    recipe.write_text(recipe.read_text().replace("samples: 3", "sampels: 3"))
    with pytest.raises(InputError, match=r"recipe.yaml:4: teacher.sampels: unknown.*`samples`"):
        load(recipe)


def test_the_documented_recipe_is_one() -> None:
    document = (Path(__file__).parents[2] / "docs/teach.md").read_text("utf-8")
    values = yaml.safe_load(document.partition("```yaml\n")[2].partition("```")[0])
    recipe = check(Recipe, values)
    assert isinstance(recipe.teacher, Endpoint)
    assert set(values["teacher"]) <= set(Endpoint.model_fields)


def _written(directory: Path, text: str) -> Path:
    path = directory / "resolved.yaml"
    path.write_text(text)
    return path
