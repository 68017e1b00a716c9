"""Questions are asked until enough answers are right, within the budget."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from limbeck.config import Teacher
from limbeck.errors import InputError, UnfinishedError
from limbeck.prepare import prepare
from limbeck.teach import estimate, teach
from limbeck.teachers import Endpoint

SUMS = [{"id": f"s{n}", "question": f"What is {n} + {n}?", "answer": 2 * n} for n in range(6)]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def endpoint(server: Any, **settings: Any) -> Endpoint:
    return Endpoint(**{"model": "m", "base_url": server.url, "timeout_s": 30, **settings})


def number(prompt: str) -> int:
    found = re.match(r"What is (\d+)", prompt)
    assert found
    return int(found[1])


@pytest.fixture
def sums(tmp_path: Path) -> str:
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in SUMS), "utf-8")
    return str(path)


def test_drawn_until_enough_are_right(server: Any, sums: str, tmp_path: Path) -> None:
    """Question n is answered wrongly n times, then rightly; the fifth never, within the limit."""

    def answer(prompt: str, count: int) -> dict[str, Any]:
        n = number(prompt)
        said: dict[str, Any] = server.say(
            f"Twice {n}, try {count}.\nThe answer is {2 * n if count >= n else -1}."
        )
        return said

    server.answer = answer
    # One at a time, so that the server counts as the samples are numbered.
    teacher = endpoint(server, samples=2, max_samples=5, concurrency=1)
    expected = estimate([sums], output_dir=tmp_path / "out", teacher=teacher)
    assert (expected.requests, expected.requests_at_most) == (12, 30)
    assert not (tmp_path / "out").exists()
    taught = teach([sums], output_dir=tmp_path / "out", teacher=teacher)
    rows = lines(tmp_path / "out/records.jsonl")
    assert [(row["id"], row["meta"]["sample"]) for row in rows] == [
        ("s0", 0),
        ("s0", 1),
        ("s1", 1),
        ("s1", 2),
        ("s2", 2),
        ("s2", 3),
        ("s3", 3),
        ("s3", 4),
        ("s4", 4),
    ]
    assert rows[2] == {
        "id": "s1",
        "domain": "sums",
        "question": "What is 1 + 1?",
        "rationale": "Twice 1, try 1.\nThe answer is 2.",
        "answer": "2",
        "teacher": "m",
        "teacher_answer": "2",
        "meta": {
            "sample": 1,
            "finish_reason": "stop",
            "prompt_tokens": 10,
            "completion_tokens": 20,
        },
    }
    wrong = lines(tmp_path / "out/wrong.jsonl")
    assert len(wrong) == 0 + 1 + 2 + 3 + 4 + 5
    assert {row["reason"] for row in wrong} == {"answer_mismatch"}
    assert (taught.records, taught.unsolved, taught.wrong) == (9, 1, {"answer_mismatch": 15})
    # No question was drawn of once it had enough.
    drawn = {number(prompt): count for prompt, count in server.delivered.items()}
    assert drawn == {0: 2, 1: 3, 2: 4, 3: 5, 4: 5, 5: 5}
    assert json.loads((tmp_path / "out/summary.json").read_text())["spent"]["answers"] == 24
    manifest = prepare(
        tmp_path / "out/records.jsonl",
        tokenizer=_tokenizer(tmp_path),
        output_dir=tmp_path / "prepared",
    )
    assert (manifest.records.kept, manifest.records.unverified) == (9, 0)


def test_what_a_reply_may_be(server: Any, tmp_path: Path) -> None:
    replies = {
        "boxed": server.say("So \\boxed{72}."),
        "thought": server.say("72", reasoning_content="3 * 24 = 72"),
        "thought2": server.say("72", reasoning="3 * 24 = 72"),
        "tags": server.say("<think>\n3 * 24 = 72\n</think>\n\n72"),
        "endless": server.say("<think>3 * 24 = "),
        "silent": server.say(None),
        "mute": server.say("Hm."),
        "surrogate": server.say("\ud800 The answer is 72."),
    }
    path = tmp_path / "asked.jsonl"
    path.write_text(
        "".join(json.dumps({"id": id, "question": id, "answer": "72"}) + "\n" for id in replies)
    )
    server.answer = lambda prompt, count: replies[prompt.split("\n")[0]]
    teacher = endpoint(server, max_samples=1)
    teach([str(path)], output_dir=tmp_path / "out", teacher=teacher)
    rows = {row["id"]: row for row in lines(tmp_path / "out/records.jsonl")}
    assert {id: row["rationale"] for id, row in rows.items()} == {
        "boxed": "So \\boxed{72}.",
        "thought": "3 * 24 = 72",
        "thought2": "3 * 24 = 72",
        "tags": "3 * 24 = 72",
        "surrogate": "\ufffd The answer is 72.",
    }
    assert rows["tags"]["meta"]["response"] == "72"
    wrong = {row["id"]: row["reason"] for row in lines(tmp_path / "out/wrong.jsonl")}
    assert wrong == {"endless": "no_answer", "silent": "empty", "mute": "no_answer"}
    # The other part of a reply is no new request.
    short = teacher.model_copy(update={"rationale": "response"})
    teach([str(path)], output_dir=tmp_path / "out", teacher=short)
    rows = {row["id"]: row for row in lines(tmp_path / "out/records.jsonl")}
    assert (rows["tags"]["rationale"], rows["tags"]["meta"]["thinking"]) == ("72", "3 * 24 = 72")
    assert set(server.delivered.values()) == {1}


def test_truncated_answers_are_not_taken(server: Any, sums: str, tmp_path: Path) -> None:
    server.answer = lambda prompt, count: server.say(f"The answer is {2 * number(prompt)}.")
    server.finish_reason = "length"
    with pytest.raises(InputError, match=r"wrong.jsonl: no answer of m is right \(6 truncated\)"):
        teach([sums], output_dir=tmp_path / "out", teacher=endpoint(server, max_samples=1))
    assert not (tmp_path / "out/records.jsonl").exists()
    assert json.loads((tmp_path / "out/summary.json").read_text())["truncated"] == 6


def test_a_question_without_an_answer_takes_the_teachers(server: Any, tmp_path: Path) -> None:
    path = tmp_path / "open.jsonl"
    path.write_text(
        '{"question": "Why?", "domain": "deep"}\n'
        '{"question": "Who?", "split": "test"}\n'
        '{"question": "who?"}\n'
    )
    server.answer = lambda prompt, count: server.say("The answer is 42.")
    teach([str(path)], output_dir=tmp_path / "out", teacher=endpoint(server))
    (row,) = lines(tmp_path / "out/records.jsonl")
    assert (row["question"], row["answer"], row["domain"]) == ("Why?", "42", "deep")
    # A test question is asked in no capitals.
    assert len(server.received) == 1


def test_tasks_are_asked_their_training_questions(server: Any, tmp_path: Path) -> None:
    from limbeck.tasks import get, split_of

    server.answer = lambda prompt, count: server.say(
        f"The answer is {get('coin_flip').solve(prompt.partition(chr(10))[0])}."
    )
    taught = teach(["coin_flip"], output_dir=tmp_path / "out", teacher=endpoint(server), examples=5)
    rows = lines(tmp_path / "out/records.jsonl")
    assert (taught.records, len(rows)) == (5, 5)
    assert {(row["split"], split_of(row["question"])) for row in rows} == {("train", "train")}
    oracle = teach(["coin_flip"], output_dir=tmp_path / "oracle", teacher=Teacher(), examples=5)
    assert oracle.records == 5
    truths = lines(tmp_path / "oracle/records.jsonl")
    assert [row["question"] for row in truths] == [row["question"] for row in rows]


def test_the_budget_is_never_exceeded_and_can_be_raised(
    server: Any, sums: str, tmp_path: Path
) -> None:
    server.answer = lambda prompt, count: server.say(f"The answer is {2 * number(prompt)}.")
    server.usage = {"prompt_tokens": 50, "completion_tokens": 100}
    prices = {"price_prompt": 1000.0, "price_completion": 10_000.0}  # 1.05 an answer
    common: dict[str, Any] = {"max_new_tokens": 100, "concurrency": 3, **prices}
    out = tmp_path / "out"
    with pytest.raises(UnfinishedError, match=r"`max_cost` of 4.*raise it and run the same"):
        teach([sums], output_dir=out, teacher=endpoint(server, max_cost=4.0, **common))
    # Three answers for 3.15; a fourth would have fitted, but might have been longer.
    assert sum(server.delivered.values()) == 3
    assert not (out / "records.jsonl").exists()
    with pytest.raises(UnfinishedError, match=r"`max_tokens` of 700"):
        teach([sums], output_dir=out, teacher=endpoint(server, max_tokens=700, **common))
    assert sum(server.delivered.values()) == 4
    rest = estimate([sums], output_dir=out, teacher=endpoint(server, **common))
    assert (rest.known, rest.requests, rest.completion_tokens) == (4, 2, 200)
    taught = teach([sums], output_dir=out, teacher=endpoint(server, **common))
    assert (taught.records, taught.spent.cost) == (6, pytest.approx(6.3))
    assert set(server.delivered.values()) == {1}


def _tokenizer(directory: Path) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "<eos>": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<eos>"])
    tokenizer.save(str(directory / "tokenizer.json"))
    return directory / "tokenizer.json"
