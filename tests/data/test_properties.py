"""The numbered properties of rust/README.md on real records; generated ones are Rust's tests.

P3 (isolation) belongs to training, P7 (crash-safe) to test_crash.py.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from limbeck.config import Prepare, check
from limbeck.prepare import Manifest, prepare
from limbeck.sources import Source

KINDS = ("prompt", "question", "answer", "rationale", "semantic", "soft_prompt", "end", "gate")


@pytest.fixture(scope="module")
def source(shared: Path) -> list[Path]:
    return [shared / "data/cot" / f"{name}.jsonl" for name in ("singleeq", "strategy_qa")]


def everything(shared: Path, **settings: Any) -> Prepare:
    """A section with every filter on."""
    names = ["answer_mismatch", "exact_duplicate", "near_duplicate", "repetition", "answer_leak"]
    against = [str(shared / "data/gsm8k/test.jsonl")]
    filters = [
        *names,
        {"name": "contaminated", "against": against},
        "charset",
        {"name": "over_cap", "max_per_question": 1},
    ]
    return check(Prepare, {"filters": filters, **settings})


def weighted(source: list[Path]) -> list[Source]:
    """Twice as many examples of the second source as of the first."""
    return [Source(path=str(path), weight=n + 1.0) for n, path in enumerate(source)]


@pytest.fixture(scope="module", params=["gpt2", "qwen", "gpt2, every filter"])
def prepared(
    request: pytest.FixtureRequest,
    shared: Path,
    source: list[Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Manifest, Path]:
    """Prepared with small rows and windows, so that there are many of both."""
    name, _, is_filtered = request.param.partition(", ")
    tokenizer = shared / "tokenizers" / f"{name}.json"
    settings = {"max_length": 384, "packing_window": 500}
    manifest = prepare(
        weighted(source) if is_filtered else [str(path) for path in source],
        tokenizer=tokenizer,
        output_dir=tmp_path_factory.mktemp("properties") / "out",
        recipe=everything(shared, **settings) if is_filtered else check(Prepare, settings),
    )
    if is_filtered:
        first, second = (each.records for each in manifest.sources)
        assert 2 * first.kept == second.kept
        assert "not_sampled" in manifest.records.rejected
    return manifest, tokenizer


def records(source: list[Path]) -> Iterator[dict[str, Any]]:
    for path in source:
        yield from map(json.loads, path.open(encoding="utf-8"))


def test_p1_conservation(
    prepared: tuple[Manifest, Path], source: list[Path], opened: Callable[[Path], Any]
) -> None:
    manifest, _ = prepared
    counts = manifest.records
    assert counts.read == sum(1 for _ in records(source))
    assert counts.kept + sum(counts.rejected.values()) == counts.read
    directory = opened(manifest.path)
    kept = [entry["example_id"] for entry in directory.entries]
    rejected = [line["example_id"] for line in directory.rejected]
    assert sorted(kept + rejected) == list(range(counts.read))
    placed = [example_id for row in directory.rows for example_id in row]
    assert sorted(placed) == kept
    by_reason = groupby(sorted(line["reason"] for line in directory.rejected))
    assert {reason: len(list(lines)) for reason, lines in by_reason} == counts.rejected
    examples = directory.examples
    assert sum(len(example.ids) for example in examples.values()) == manifest.tokens["total"]
    for code, name in enumerate(KINDS):
        count = sum(example.kinds.count(code) for example in examples.values())
        assert (count, code) == (manifest.tokens[name], manifest.span_kind_codes[name])
    for row in directory.rows:
        assert sum(len(examples[example_id].ids) for example_id in row) <= manifest.max_length


def test_p2_a_token_has_the_kind_of_its_first_byte(
    prepared: tuple[Manifest, Path], source: list[Path], opened: Callable[[Path], Any]
) -> None:
    from tokenizers import Tokenizer

    manifest, _ = prepared
    tokenizer = Tokenizer.from_file(str(manifest.path / "tokenizer/tokenizer.json"))
    vocabulary = {code: name for name, code in tokenizer.get_vocab().items()}
    by_id = dict(enumerate(records(source)))
    checked = 0
    for example_id, example in opened(manifest.path).examples.items():
        record = by_id[example_id]
        # White space belongs to what follows it, literals of the completion to what they lead to.
        spans = [
            ("prompt", "Question:"),
            ("question", " " + record["question"].strip()),
            ("prompt", "\nAnswer:"),
            ("answer", " " + record["answer"].strip()),
            ("semantic", "<|sem|>"),
            ("rationale", "\n" + record["rationale"].strip()),
            ("end", "<|endoftext|>"),
        ]
        if not all(unicodedata.is_normalized("NFC", text) for _, text in spans):
            continue  # then tokens are not the text's own bytes
        kinds = [KINDS.index(kind) for kind, text in spans for _ in text.encode()]
        start, expected = 0, []
        for token in example.ids:
            expected.append(kinds[start])
            start += len(vocabulary[token])  # byte-level: a character for each byte
        assert start == len(kinds)
        assert example.kinds == expected
        checked += 1
    assert checked > max(1000, 0.9 * manifest.examples)


@pytest.mark.parametrize("is_filtered", [False, True])
def test_p4_repeatable(
    shared: Path,
    source: list[Path],
    tmp_path: Path,
    opened: Callable[[Path], Any],
    is_filtered: bool,
) -> None:
    files = []
    settings = {"max_length": 512, "packing_window": 700}
    for threads in (1, 2, 4, 2):
        output = tmp_path / f"{len(files)}"
        prepare(
            weighted(source) if is_filtered else [str(path) for path in source],
            tokenizer=shared / "tokenizers/gpt2.json",
            output_dir=output,
            threads=threads,
            recipe=everything(shared, **settings) if is_filtered else check(Prepare, settings),
        )
        files.append(opened(output).files())
    assert set(files[0]) == {
        "data-00000-of-00001.arrow",
        "dataset_info.json",
        "examples.arrow",
        "manifest.json",
        "rejected.jsonl",
        "state.json",
        *(name for name in files[0] if name.startswith("tokenizer/")),
    }
    for other in files[1:]:
        assert other == files[0]


def test_p5_identity(
    prepared: tuple[Manifest, Path], source: list[Path], opened: Callable[[Path], Any]
) -> None:
    from tokenizers import Tokenizer

    manifest, path = prepared
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.add_special_tokens(["<|sem|>"])
    tokenizer.encode_special_tokens = True
    sem, end = (tokenizer.token_to_id(name) for name in ("<|sem|>", "<|endoftext|>"))

    def encode(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    by_id = dict(enumerate(records(source)))
    for example_id, example in opened(manifest.path).examples.items():
        question, answer, rationale = (
            by_id[example_id][field].strip() for field in ("question", "answer", "rationale")
        )
        assert example.ids == [
            *encode(f"Question: {question}\nAnswer:"),
            *encode(f" {answer}"),
            sem,
            *encode(f"\n{rationale}"),
            end,
        ]


def test_p8_truth(prepared: tuple[Manifest, Path], opened: Callable[[Path], Any]) -> None:
    manifest, _ = prepared
    rows = opened(manifest.path).rows
    assert manifest.steps.packed == manifest.rows == len(rows)
    assert manifest.steps.unpacked == manifest.examples == sum(map(len, rows))
    share = manifest.tokens["total"] / (len(rows) * manifest.max_length)
    assert manifest.fill == pytest.approx(share)
    assert manifest.fill > 0.98
