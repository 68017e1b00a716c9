"""Real models as teachers: behind `transformers serve`, and in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limbeck.errors import InputError
from limbeck.teach import Prompt, sample, teach
from limbeck.teachers import Endpoint, LocalModel

PROMPTS = [Prompt.of(f"p{n}", f"What is the rule{' of it' * n}?") for n in range(5)]


def rows(directory: Path) -> list[dict[str, Any]]:
    # In bytes: an untrained model writes characters that end a line in text but not in JSON lines.
    return [json.loads(line) for line in (directory / "samples.jsonl").read_bytes().splitlines()]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_a_server_and_this_process_say_the_same(model: Path, served: str, tmp_path: Path) -> None:
    greedy: dict[str, Any] = {"model": str(model), "temperature": 0.0, "max_new_tokens": 8}
    remote = Endpoint(base_url=served, concurrency=2, **greedy)
    local = LocalModel(batch_size=3, **greedy)
    told = sample(PROMPTS, output_dir=tmp_path / "remote", teacher=remote)
    assert (told.samples, told.failed) == (5, {})
    sample(PROMPTS, output_dir=tmp_path / "local", teacher=local)
    assert rows(tmp_path / "remote") == rows(tmp_path / "local")
    assert len({row["prompt_tokens"] for row in rows(tmp_path / "local")}) == 5
    # An untrained model seldom ends by itself, and what it did not end is flagged.
    assert told.truncated == sum(
        row["finish_reason"] == "length" for row in rows(tmp_path / "local")
    )
    assert told.truncated > 0
    assert max(row["completion_tokens"] for row in rows(tmp_path / "remote")) == 8


def test_a_server_draws_different_samples(model: Path, served: str, tmp_path: Path) -> None:
    teacher = Endpoint(
        model=str(model), base_url=served, samples=4, temperature=1.0, max_new_tokens=6
    )
    told = sample(PROMPTS[:2], output_dir=tmp_path, teacher=teacher)
    assert told.samples == 8
    assert len({row["text"] for row in rows(tmp_path)}) > 4


def test_an_unknown_model_is_the_users_to_mend(served: str, tmp_path: Path) -> None:
    teacher = Endpoint(model="another", base_url=served, max_retries=0)
    told = sample(PROMPTS[:1], output_dir=tmp_path, teacher=teacher)
    assert told.failed == {"refused": 1}
    assert "pinned" in (tmp_path / "failed.jsonl").read_text()


def test_local_samples_repeat_and_go_on(model: Path, tmp_path: Path) -> None:
    teacher = LocalModel(
        model=str(model), samples=3, temperature=1.0, max_new_tokens=6, batch_size=4
    )
    sample(PROMPTS, output_dir=tmp_path / "one", teacher=teacher, seed=3)
    sample(PROMPTS, output_dir=tmp_path / "two", teacher=teacher, seed=3)
    sample(PROMPTS, output_dir=tmp_path / "other", teacher=teacher, seed=4)
    assert rows(tmp_path / "one") == rows(tmp_path / "two") != rows(tmp_path / "other")
    assert len({row["text"] for row in rows(tmp_path / "one")}) > 10
    # Half of the answers gone, as after a kill: the rest stands as it was.
    answers = (tmp_path / "two/answers.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "two/answers.jsonl").write_bytes(b"".join(answers[:7]))
    sample(PROMPTS, output_dir=tmp_path / "two", teacher=teacher, seed=3)
    resumed = (tmp_path / "two/answers.jsonl").read_bytes().splitlines(keepends=True)
    assert (resumed[:7], len(resumed)) == (answers[:7], 15)
    assert [row["id"] for row in rows(tmp_path / "two")] == [
        prompt.id for prompt in PROMPTS for _ in range(3)
    ]


def test_what_a_local_model_cannot_do_is_said(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"teacher.max_new_tokens: a prompt of .*256 positions"):
        sample(
            PROMPTS,
            output_dir=tmp_path / "long",
            teacher=LocalModel(model=str(model), max_new_tokens=250),
        )
    with pytest.raises(InputError, match=r"teacher.model: .*none: .*give a causal language model"):
        sample(
            PROMPTS,
            output_dir=tmp_path / "none",
            teacher=LocalModel(model=str(tmp_path / "none")),
        )
    with pytest.raises(InputError, match=r"no answer of .* is right"):
        teach(
            ["coin_flip"],
            output_dir=tmp_path / "wrong",
            teacher=LocalModel(model=str(model), max_new_tokens=4),
            examples=2,
        )
