"""Whatever an endpoint does, no row is lost, none is doubled, and none is paid for twice."""

from __future__ import annotations

import asyncio
import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from limbeck.errors import InputError, UnfinishedError
from limbeck.teach import Prompt, sample
from limbeck.teachers import Endpoint

FAULTS = ("429", "429 0.05", "500", "503 0.05", "drop", "cut-json", "cut-body", "no-choices")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def endpoint(server: Any, **settings: Any) -> Endpoint:
    defaults = {"model": "m", "base_url": server.url, "timeout_s": 30, "samples": 2}
    return Endpoint(**{**defaults, **settings})


def prompts(count: int) -> list[Prompt]:
    return [Prompt.of(f"p{n}", f"prompt {n}") for n in range(count)]


def test_every_fault_is_survived(server: Any, tmp_path: Path) -> None:
    rng = random.Random(5)
    for n in range(40):
        server.faults[f"prompt {n}"] = rng.choices(FAULTS, k=n % 3)
    sampled = sample(prompts(40), output_dir=tmp_path, teacher=endpoint(server))
    rows = lines(tmp_path / "samples.jsonl")
    assert [(row["id"], row["sample"]) for row in rows] == [
        (f"p{n}", k) for n in range(40) for k in range(2)
    ]
    # Two answers of each went out, and it is these two that were kept.
    assert server.delivered == {f"prompt {n}": 2 for n in range(40)}
    for n in range(40):
        texts = {row["text"] for row in rows if row["id"] == f"p{n}"}
        assert texts == {"The answer is 0.", "The answer is 1."}
    assert not sampled.failed
    assert not (tmp_path / "failed.jsonl").exists()
    assert sampled.spent.answers == 80
    asked = sum(server.received.values())
    assert asked == 80 + sum(n % 3 for n in range(40))
    # Only what the endpoint may have worked on counts as lost.
    assert 0 < sampled.spent.lost < asked - 80
    assert server.most_at_once <= 16

    again = sample(prompts(40), output_dir=tmp_path, teacher=endpoint(server))
    assert (again, lines(tmp_path / "samples.jsonl")) == (sampled, rows)
    assert sum(server.received.values()) == asked


def test_answers_that_do_not_come_or_drip_are_given_up(server: Any, tmp_path: Path) -> None:
    server.faults["prompt 0"] = ["hang 9"]
    server.faults["prompt 1"] = ["drip 0.1"]  # something always comes, and never all of it
    teacher = endpoint(server, timeout_s=2.5, samples=1)
    sampled = sample(prompts(2), output_dir=tmp_path, teacher=teacher)
    assert (sampled.samples, sampled.failed, sampled.spent.lost) == (2, {}, 2)
    assert server.delivered == {"prompt 0": 1, "prompt 1": 1}
    # What they may have cost is counted at its most.
    assert sampled.spent.completion_tokens == 2 * 20 + 2 * teacher.max_new_tokens


def test_what_fails_to_the_end_is_told_and_tried_again(server: Any, tmp_path: Path) -> None:
    server.faults["prompt 1"] = ["500"] * 6
    server.faults["prompt 2"] = ["400"] * 2
    teacher = endpoint(server, max_retries=2, samples=2, concurrency=1)
    sampled = sample(prompts(4), output_dir=tmp_path, teacher=teacher)
    assert sampled.failed == {"unanswered": 2, "refused": 2}
    assert [row["id"] for row in lines(tmp_path / "samples.jsonl")] == ["p0"] * 2 + ["p3"] * 2
    failed = lines(tmp_path / "failed.jsonl")
    assert [(row["id"], row["sample"], row["is_refused"]) for row in failed] == [
        ("p1", 0, False),
        ("p1", 1, False),
        ("p2", 0, True),
        ("p2", 1, True),
    ]
    assert failed[0]["reason"].startswith("500: ")
    assert failed[0]["prompt"] == [{"role": "user", "content": "prompt 1"}]
    again = sample(prompts(4), output_dir=tmp_path, teacher=teacher)
    assert (again.failed, again.samples) == ({}, 8)
    assert not (tmp_path / "failed.jsonl").exists()
    assert server.delivered == {f"prompt {n}": 2 for n in range(4)}


def test_retry_after_holds_all_requests(server: Any, tmp_path: Path) -> None:
    server.faults["prompt 0"] = ["429 0.5"]
    teacher = endpoint(server, samples=1, concurrency=2)
    server.seconds = 0.05
    sample(prompts(8), output_dir=tmp_path, teacher=teacher)
    gaps = [later - earlier for earlier, later in pairwise(server.times)]
    assert max(gaps) > 0.35
    assert sum(server.received.values()) == 9


def test_requests_keep_to_the_rate(server: Any, tmp_path: Path) -> None:
    teacher = endpoint(server, samples=1, requests_per_minute=240)
    sample(prompts(6), output_dir=tmp_path, teacher=teacher)
    # Five quarters of a second, less what the first connection took to open.
    assert server.times[-1] - server.times[0] > 0.8


def test_a_notebook_may_call_it(server: Any, tmp_path: Path) -> None:
    async def cell() -> int:
        return sample(prompts(2), output_dir=tmp_path, teacher=endpoint(server)).samples

    assert asyncio.run(cell()) == 4


def test_a_wait_that_is_too_long_is_the_users(server: Any, tmp_path: Path) -> None:
    server.faults["prompt 0"] = ["429 86400"]
    with pytest.raises(UnfinishedError, match=r"wait 1,440 minutes.*run the same command"):
        sample(prompts(1), output_dir=tmp_path, teacher=endpoint(server))


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        ("401", InputError, "check OPENAI_API_KEY"),
        ("404", InputError, "`model` and `base_url`"),
        ("quota", UnfinishedError, "top the account up"),
    ],
)
def test_what_no_retry_mends_ends_the_job(
    server: Any, tmp_path: Path, fault: str, kind: type[Exception], text: str
) -> None:
    for n in range(50):
        server.faults[f"prompt {n}"] = [fault] * 2
    with pytest.raises(kind, match=text):
        sample(prompts(50), output_dir=tmp_path, teacher=endpoint(server, concurrency=4))
    assert sum(server.received.values()) <= 8


@pytest.mark.parametrize("fault", ["400", "500"])
def test_an_endpoint_that_never_answers_is_not_asked_for_ever(
    server: Any, tmp_path: Path, fault: str
) -> None:
    for n in range(100):
        server.faults[f"prompt {n}"] = [fault] * 4
    with pytest.raises(UnfinishedError, match="answered none of the last 20 requests; the last: "):
        sample(prompts(100), output_dir=tmp_path, teacher=endpoint(server, max_retries=0))
    assert sum(server.received.values()) < 60


def test_an_endpoint_that_is_not_there(tmp_path: Path) -> None:
    teacher = Endpoint(model="m", base_url="http://127.0.0.1:9/v1", max_retries=0)
    sampled = sample(prompts(1), output_dir=tmp_path, teacher=teacher)
    assert sampled.failed == {"unanswered": 1}
    assert "ConnectError" in lines(tmp_path / "failed.jsonl")[0]["reason"]
    # It was never sent, so nobody can charge for it.
    assert sampled.spent.lost == 0


def test_prompts_that_are_alike_share_their_samples(server: Any, tmp_path: Path) -> None:
    server.seconds = 0.02
    alike = [Prompt.of(f"p{n}", "prompt 0") for n in range(6)]
    sample(alike, output_dir=tmp_path, teacher=endpoint(server))
    assert server.delivered == {"prompt 0": 2}
    assert len(lines(tmp_path / "samples.jsonl")) == 12
    with pytest.raises(InputError, match="'p0' is given twice"):
        sample([alike[0], alike[0]], output_dir=tmp_path, teacher=endpoint(server))


def test_more_samples_cost_the_difference(server: Any, tmp_path: Path) -> None:
    sample(prompts(3), output_dir=tmp_path, teacher=endpoint(server, samples=1))
    sample(prompts(3), output_dir=tmp_path, teacher=endpoint(server, samples=3))
    assert server.delivered == {f"prompt {n}": 3 for n in range(3)}
    # Another request has answers of its own.
    sample(prompts(3), output_dir=tmp_path, teacher=endpoint(server, samples=1, temperature=0.1))
    assert server.delivered == {f"prompt {n}": 4 for n in range(3)}
    assert len(lines(tmp_path / "samples.jsonl")) == 3


def test_thinking_and_truncation_are_kept(server: Any, tmp_path: Path) -> None:
    server.answer = lambda prompt, count: server.say("four", reasoning_content="2 and 2")
    server.finish_reason = "length"
    sampled = sample(prompts(1), output_dir=tmp_path, teacher=endpoint(server, samples=1))
    (row,) = lines(tmp_path / "samples.jsonl")
    assert (row["text"], row["thinking"], row["finish_reason"]) == ("four", "2 and 2", "length")
    assert (row["prompt_tokens"], row["completion_tokens"], sampled.truncated) == (10, 20, 1)


def test_the_key_is_written_nowhere(
    server: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.answer = lambda prompt, count: server.say(
        f"You sent {server.key}.", reasoning=f"{server.key}?"
    )
    server.faults["prompt 0"] = ["500", "400"]  # their messages repeat it
    server.faults["prompt 1"] = ["cut-json"]
    sampled = sample(prompts(3), output_dir=tmp_path, teacher=endpoint(server, samples=1))
    assert sampled.failed == {"refused": 1}
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 4
    assert any(b"You sent ***." in each for each in written)
    assert "Bearer ***" in lines(tmp_path / "failed.jsonl")[0]["reason"]
    assert not any(server.key.encode() in each for each in written)
    server.faults["prompt 7"] = ["401"]
    with pytest.raises(InputError) as refused:
        sample([Prompt.of("p7", "prompt 7")], output_dir=tmp_path, teacher=endpoint(server))
    assert "Bearer ***" in str(refused.value)
    assert server.key not in str(refused.value) + "".join(capfd.readouterr())
