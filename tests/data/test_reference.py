"""The Rust core does what its slow twin in Python does, record for record."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limbeck import _reference
from limbeck._native import answers_equal, conclusion
from limbeck._reference import answers
from limbeck._reference.packing import together
from limbeck.config import Prepare, check
from limbeck.prepare import native_config, prepare
from limbeck.sources import Source


def compare(
    inputs: list[Path],
    *,
    tokenizer: Path,
    output: Path,
    opened: Callable[[Path], Any],
    section: Prepare,
    keep_rationale: bool = False,
    domain: str | None = None,
    chat_template: str | None = None,
    weights: list[float | None] | None = None,
    validation: float = 0.0,
    unlabelled: Path | None = None,
) -> dict[str, int]:
    """Prepare with both, and find no difference; how many were rejected for each reason."""
    weights = weights or [None] * len(inputs)
    sources = [
        Source(path=str(path), domain=domain, weight=weight)
        for path, weight in zip(inputs, weights, strict=True)
    ]
    if unlabelled is not None:
        sources.append(Source(path=str(unlabelled), domain="target", labelled=False))
    manifest = prepare(
        sources,
        tokenizer=tokenizer,
        output_dir=output,
        recipe=section,
        keep_rationale=keep_rationale,
        validation=validation,
        overwrite=True,
    )
    config = native_config(
        section,
        inputs=sources,
        tokenizer=tokenizer,
        output_dir=output,
        keep_rationale=keep_rationale,
        validation=validation,
    )
    twin = _reference.prepare(
        config, end_token=manifest.render["end_token"], chat_template=chat_template
    )
    directory = opened(output)
    names = manifest.templates
    rejected = [
        (
            line["example_id"],
            line["record_id"],
            line.get("template", names[0]),
            line["source"],
            line["line"],
            line["byte_offset"],
            line["reason"],
            line["detail"].split(": ")[0],
        )
        for line in directory.rejected
    ]
    assert rejected == [
        tuple((vars(each) | {"template": each.template or names[0]}).values())
        for each in twin.rejected
    ]
    domains = manifest.domains
    found = [
        (
            entry["example_id"],
            entry["record_id"],
            entry["template"],
            entry["source"],
            entry["line"],
            entry["byte_offset"],
            domains[entry["domain"]] if entry["domain"] >= 0 else None,
            entry["rationale"],
        )
        for entry in directory.entries
    ]
    assert found == [
        (
            each.example_id,
            each.record_id,
            each.template,
            each.source,
            each.line,
            each.byte_offset,
            each.domain,
            each.rationale,
        )
        for each in twin.examples
    ]
    examples = directory.examples
    for each in twin.examples:
        assert (examples[each.example_id].ids, examples[each.example_id].kinds) == (
            each.ids,
            each.kinds,
        ), each
        assert names[examples[each.example_id].template] == each.template
        assert examples[each.example_id].chosen == each.chosen
    assert directory.rows == twin.rows
    assert directory.parents == twin.parents
    unverified = sum(not each.verified for each in twin.examples)
    assert manifest.records.unverified == unverified
    return manifest.records.rejected


@pytest.mark.parametrize("template", ["answer-first", "think-first", "answer-only"])
def test_real_records(
    shared: Path, tmp_path: Path, opened: Callable[[Path], Any], template: str
) -> None:
    inputs = []
    for path in sorted((shared / "data/cot").glob("*.jsonl")):
        with path.open("rb") as lines:
            head = b"".join(itertools.islice(lines, 100))
        inputs.append(tmp_path / path.name)
        inputs[-1].write_bytes(head)
    compare(
        inputs,
        tokenizer=shared / "tokenizers/gpt2.json",
        output=tmp_path / "out",
        opened=opened,
        section=Prepare(template=template, max_length=256, packing_window=300),
        keep_rationale=template == "answer-first",
    )


def test_real_records_with_the_filters_of_one_candidate(
    shared: Path, tmp_path: Path, opened: Callable[[Path], Any]
) -> None:
    inputs = []
    for path in [*sorted((shared / "data/cot").glob("s*.jsonl")), shared / "data/gsm8k/test.jsonl"]:
        with path.open("rb") as lines:
            inputs.append(tmp_path / path.name)
            inputs[-1].write_bytes(b"".join(itertools.islice(lines, 330)))
    against = tmp_path / "against.jsonl"
    against.write_bytes(b"".join(inputs[-1].open("rb").readlines()[:50]))
    names = ["repetition", "charset", "answer_leak"]
    rejected = compare(
        inputs,
        tokenizer=shared / "tokenizers/gpt2.json",
        output=tmp_path / "out",
        opened=opened,
        section=check(
            Prepare, {"filters": [*names, {"name": "contaminated", "against": [str(against)]}]}
        ),
    )
    assert rejected["contaminated"] >= 50
    assert rejected["repetition"] > 0


def test_every_filter_at_once(
    tokenizer: Path, tmp_path: Path, opened: Callable[[Path], Any]
) -> None:
    """Similarities far from the thresholds, where an estimate says the same as the exact one."""
    chance = random.Random(3)

    def text(words: int) -> list[str]:
        return [f"word{chance.randrange(10_000)}" for _ in range(words)]

    def records(questions: int) -> list[dict[str, str]]:
        found = []
        for n in range(questions):
            question = f"{' '.join(text(6))} how many?"
            thoughts = [text(60) for _ in range(4)]
            thoughts += [[*thoughts[0][:45], *text(15)], [*thoughts[0][:30], *text(30)]]
            thoughts += [[*thoughts[2][:59], "changed"], thoughts[3]]
            if n % 3 == 0:
                thoughts += [text(4) * 15, [*text(20), "\x07"], [*text(8), "привет" * 9]]
            for thought in thoughts:
                found.append({"question": question, "rationale": " ".join(thought), "answer": "7"})
            found.append({**found[-1], "rationale": "The answer is 8."})
            told = f"{question} The answer is 7."
            found.append({"question": told, "rationale": " ".join(text(40)), "answer": "7"})
        return found

    inputs = [tmp_path / f"{n}.jsonl" for n in range(3)]
    for path, questions in zip(inputs, (12, 7, 2), strict=True):
        path.write_text("".join(f"{json.dumps(each)}\n" for each in records(questions)), "utf-8")
    against = tmp_path / "against.jsonl"
    against.write_text("".join(inputs[0].read_text("utf-8").splitlines(keepends=True)[:3]), "utf-8")
    names = ["answer_leak", "charset", "repetition", "near_duplicate"]
    filters = [
        *names,
        {"name": "contaminated", "against": [str(against)]},
        {"name": "over_cap", "max_per_question": 5},
        "answer_mismatch",
        "exact_duplicate",
    ]
    for seed in (0, 1):
        rejected = compare(
            inputs,
            tokenizer=tokenizer,
            output=tmp_path / "out",
            opened=opened,
            section=check(Prepare, {"filters": filters, "max_length": 1024, "seed": seed}),
            weights=[0.5, 0.5, None],
            unlabelled=inputs[1],
        )
        assert set(rejected) == {
            "answer_leak",
            "answer_mismatch",
            "charset",
            "contaminated",
            "exact_duplicate",
            "near_duplicate",
            "not_sampled",
            "over_cap",
            "repetition",
        }


# Few words, so that duplicates and near misses come up; specials, which must stay text.
WORDS = st.sampled_from(
    ["the answer is", "5", "five", " ", "\n", "é", "東京", "😀", "<|sem|>", "<|endoftext|>", "so"]
)
TEXT = st.lists(WORDS, max_size=8).map(" ".join)
SCALAR = st.one_of(TEXT, st.integers(-3, 3), st.none(), st.booleans(), st.just(0.50))
RECORD = st.fixed_dictionaries(
    {"question": TEXT, "answer": SCALAR},
    optional={
        "id": SCALAR,
        "rationale": st.one_of(TEXT, st.lists(st.one_of(TEXT, st.none()), max_size=3), SCALAR),
        "domain": st.one_of(TEXT, SCALAR),
        "split": st.sampled_from(["train", "test", "validation", None]),
        "teacher_answer": SCALAR,
        "rejected_answer": st.one_of(SCALAR, st.lists(TEXT, max_size=1)),
        "rejected_rationale": SCALAR,
        "meta": st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=2), max_leaves=4),
    },
)
LINE = st.one_of(
    RECORD.map(json.dumps),
    RECORD.map(lambda record: json.dumps(record, ensure_ascii=False)),
    st.sampled_from(
        [
            "",
            " \t\r",
            "{",
            '{"question": "a", "question": "b", "answer": "1"}',
            '{"question": "\\ud800", "answer": "1", "rationale": "r"}',
            '{"question": "q", "answer": NaN, "rationale": "r"}',
            '{"question": "q", "answer": 1.50e3, "rationale": "r"}\r',
            '{"question": "q", "answer": "1", "rationale": "r"} x',
        ]
    ),
)
SURE = json.dumps(
    {
        "question": "sure",
        "answer": "1",
        "rationale": "kept",
        "rejected_answer": "2",
        "rejected_rationale": "lost",
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    lines=st.lists(LINE, max_size=25),
    template=st.sampled_from(["answer-first", "think-first", "answer-only"]),
    bounds=st.tuples(st.integers(0, 12), st.integers(60, 120)),
    window=st.integers(1, 30),
    packing=st.sampled_from(["bfd", "domain_balanced", "trie", "none"]),
    keep_rationale=st.booleans(),
    domain=st.sampled_from([None, "sums"]),
    validation=st.sampled_from([0.0, 0.3]),
    questions=st.none() | st.lists(LINE, max_size=12),
    pairs=st.booleans(),
)
def test_any_records(
    tokenizer: Path,
    tmp_path_factory: pytest.TempPathFactory,
    opened: Callable[[Path], Any],
    lines: list[str],
    template: str,
    bounds: tuple[int, int],
    window: int,
    packing: Any,
    keep_rationale: bool,
    domain: str | None,
    validation: float,
    questions: list[str] | None,
    pairs: bool,
) -> None:
    directory = tmp_path_factory.mktemp("twin")
    path, unlabelled = directory / "records.jsonl", None
    path.write_text("\n".join([*lines, SURE]), "utf-8", newline="")
    if questions is not None:
        unlabelled = directory / "questions.jsonl"
        unlabelled.write_text("\n".join([*questions, SURE]), "utf-8", newline="")
    compare(
        [path],
        tokenizer=tokenizer,
        output=directory / "out",
        opened=opened,
        section=Prepare(
            template=template,
            min_length=bounds[0],
            max_length=bounds[1],
            packing=packing,
            packing_window=window,
            pairs=pairs,
        ),
        keep_rationale=keep_rationale,
        domain=domain,
        validation=validation,
        unlabelled=unlabelled,
    )


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(lines=st.lists(RECORD.map(json.dumps), max_size=12))
def test_any_records_in_a_chat(
    chat_tokenizer: Path,
    tmp_path_factory: pytest.TempPathFactory,
    opened: Callable[[Path], Any],
    lines: list[str],
) -> None:
    directory = tmp_path_factory.mktemp("twin")
    path = directory / "records.jsonl"
    path.write_text("\n".join([*lines, SURE]), "utf-8")
    config = json.loads((chat_tokenizer / "tokenizer_config.json").read_text("utf-8"))
    compare(
        [path],
        tokenizer=chat_tokenizer,
        output=directory / "out",
        opened=opened,
        section=Prepare(max_length=256),
        unlabelled=path,
        chat_template=config["chat_template"],
    )


# fmt: off
PIECES = [
    "5", "12", "3/4", "\\frac{1}{2}", ".", ",", ":", "=", "$", "%", "km", "yes", "no", "(B)", "B",
    "banana", "\\boxed{", "}", "#### ", "is ", "answer ", "Answer:", "the ", "not ", "that ",
    "likely ", "-", "**", "'", "1,000", "1e3", " dollars", "\n", "Mr. ", " ",
]
# fmt: on
ANSWER = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


@settings(max_examples=600, deadline=None)
@given(ANSWER, ANSWER)
def test_answers_are_read_and_compared_alike(a: str, b: str) -> None:
    assert conclusion(a) == answers.conclusion(a)
    assert answers_equal(a, b) == answers.equal(a, b)


def test_real_conclusions_are_read_alike(shared: Path) -> None:
    for path in sorted((shared / "data/cot").glob("*.jsonl")):
        for line in itertools.islice(path.open(encoding="utf-8"), 300):
            record = json.loads(line)
            concluded = answers.conclusion(record["rationale"])
            assert conclusion(record["rationale"]) == concluded
            for claim in (concluded or "", record["teacher_answer"]):
                expected = answers.equal(record["answer"], claim)
                assert answers_equal(record["answer"], claim) == expected, record["id"]


def test_the_twin_ends_a_window_where_the_core_does():
    """At so many examples, or at 2²⁴ tokens; `window.rs` has the same seventeen."""
    assert together([1] * 5, 2) == [range(2), range(2, 4), range(4, 5)]
    assert together([2**20 - 1] * 20, 100) == [range(17), range(17, 20)]
