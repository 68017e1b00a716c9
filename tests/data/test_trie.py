"""Examples of one prompt in one row, where it stands once: twin for twin, and what it saves."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from tests.data.test_reference import compare

from limbeck.arrow import row_batches
from limbeck.config import Prepare
from limbeck.inspect import inspect, render
from limbeck.prepare import prepare, summary

# The last is not composed, so that its tokens are told apart by offsets, one run each.
QUESTIONS = ["how many?", "how many ? ", "so many", "how me\u0301 ?"]
RECORD = st.fixed_dictionaries(
    {
        "question": st.sampled_from(QUESTIONS),
        "answer": st.sampled_from(["1", "22", "so many"]),
        "rationale": st.lists(st.text("abc \n", min_size=1, max_size=30), min_size=1, max_size=3),
        "rejected_answer": st.sampled_from(["3", "none at all of them"]),
        "rejected_rationale": st.text("abc", min_size=1, max_size=20),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    records=st.lists(RECORD, min_size=1, max_size=25),
    template=st.sampled_from(["think-first", "answer-only", ("answer-first", "think-first")]),
    max_length=st.integers(90, 200),
    window=st.integers(1, 60),
    pairs=st.booleans(),
    soft_prompt=st.sampled_from([0, 2]),
    style=st.sampled_from(["plain", "chat"]),
)
def test_shared_prompts_are_the_twins(
    chat_tokenizer: Path,
    tmp_path_factory: pytest.TempPathFactory,
    opened: Callable[[Path], Any],
    records: list[dict[str, Any]],
    template: Any,
    max_length: int,
    window: int,
    pairs: bool,
    soft_prompt: int,
    style: Any,
) -> None:
    directory = tmp_path_factory.mktemp("trie")
    path = directory / "records.jsonl"
    sure = {"question": "sure", "answer": "1", "rationale": "r"}
    sure |= {"rejected_answer": "2", "rejected_rationale": "s"}
    path.write_text("".join(f"{json.dumps(each)}\n" for each in [*records, sure]), "utf-8")
    section = Prepare(
        template=template, packing="trie", packing_window=window, max_length=max_length,
        pairs=pairs, soft_prompt=soft_prompt, style=style,
        filters=({"name": "exact_duplicate"},),
    )  # fmt: skip
    config = json.loads((chat_tokenizer / "tokenizer_config.json").read_text("utf-8"))
    compare(
        [path],
        tokenizer=chat_tokenizer,
        output=directory / "out",
        opened=opened,
        section=section,
        chat_template=config["chat_template"],
    )
    manifest = opened(directory / "out").manifest
    stored, whole = (
        sum(len(row) for batch in batches for row in batch.column("input_ids"))
        for batches in (
            row_batches(directory / "out", is_folded=True),
            row_batches(directory / "out"),
        )
    )
    assert (manifest["stored_tokens"], manifest["tokens"]["total"]) == (stored, whole)


def test_unfolded_batches_are_the_examples(
    tokenizer: Path, tmp_path: Path, write: Callable[..., Path], opened: Callable[[Path], Any]
) -> None:
    """What reads the rows without knowing of shared prompts reads every example whole."""
    lines = [
        {"question": f"how many {n % 7}?", "answer": "1", "rationale": "so " * (n % 5) + "many"}
        for n in range(40)
    ]
    section = Prepare(template="think-first", packing="trie", max_length=120)
    prepare(write(lines), tokenizer=tokenizer, output_dir=tmp_path / "out", recipe=section)
    examples = opened(tmp_path / "out").examples
    table = pa.Table.from_batches(list(row_batches(tmp_path / "out")))
    assert "example_parents" not in table.column_names
    seen = 0
    for row in table.to_pylist():
        start = 0
        for number, length in zip(row["example_ids"], row["example_lengths"], strict=True):
            assert row["input_ids"][start : start + length] == examples[number].ids
            assert row["span_kinds"][start : start + length] == examples[number].kinds
            start += length
            seen += 1
        assert start == len(row["input_ids"]) == len(row["span_kinds"])
    assert seen == len(examples) > 20


def test_what_is_saved_is_told(
    tokenizer: Path, tmp_path: Path, write: Callable[..., Path], opened: Callable[[Path], Any]
) -> None:
    question = "how many answers are there to a question of so many words?"
    lines = [{"question": question, "answer": f"{n}"} for n in range(20)]
    told = {}
    for packing in ("bfd", "trie"):
        section = Prepare(template="answer-only", packing=packing, max_length=2048)
        output = tmp_path / packing
        told[packing] = prepare(
            write(lines), tokenizer=tokenizer, output_dir=output, recipe=section
        )
    bfd, trie = told["bfd"], told["trie"]
    assert bfd.tokens == trie.tokens
    assert bfd.stored_tokens is None
    assert "stored_tokens" not in opened(tmp_path / "bfd").manifest
    prompt = opened(tmp_path / "trie").examples[0].kinds.index(2)
    assert trie.stored_tokens == trie.tokens["total"] - 19 * prompt
    assert trie.rows == 1
    assert trie.fill == pytest.approx(trie.stored_tokens / 2048)
    line = f"{trie.stored_tokens:,} of them in the rows, where prompts are shared: "
    assert line in summary(trie)
    assert "shared" not in summary(bfd)


def test_a_pair_shares_its_own_prompt(
    tokenizer: Path, tmp_path: Path, write: Callable[..., Path], opened: Callable[[Path], Any]
) -> None:
    pair = {"question": "how many?", "answer": "1", "rejected_answer": "2"}
    section = Prepare(template="answer-only", packing="trie", pairs=True)
    manifest = prepare(
        write([pair]), tokenizer=tokenizer, output_dir=tmp_path / "out", recipe=section
    )
    directory = opened(tmp_path / "out")
    assert directory.parents == [[-1, 0]]
    (example,) = directory.examples.values()
    assert manifest.stored_tokens == len(example.ids) - example.kinds.index(2)


def test_a_row_is_shown_with_its_prompt_once(
    tokenizer: Path, tmp_path: Path, write: Callable[..., Path], opened: Callable[[Path], Any]
) -> None:
    lines = [{"question": "how many?", "answer": f"{n}", "domain": "counts"} for n in range(4)]
    section = Prepare(template="answer-only", packing="trie")
    prepare(write(lines), tokenizer=tokenizer, output_dir=tmp_path / "out", recipe=section)
    examples = opened(tmp_path / "out").examples
    shown = inspect(tmp_path / "out")
    assert [each.prompt_of for each in shown.examples] == [None, 0, 0, 0]
    assert shown.length == sum(len(each.tokens) for each in shown.examples)
    assert shown.separate_length == sum(len(each.ids) for each in examples.values())
    for each in shown.examples:
        own = examples[each.id].ids[-len(each.tokens) :]
        assert [token.id for token in each.tokens] == own
        positions = [token.position for token in each.tokens]
        assert positions == list(range(len(examples[each.id].ids)))[-len(own) :]
    # What comes first in a branch is predicted from the prompt, and trained.
    assert shown.examples[1].tokens[0].weight > 0
    (whole,) = inspect(tmp_path / "out", example=2).examples
    assert [token.id for token in whole.tokens] == examples[2].ids
    assert whole.prompt_of is None
    console = Console(file=io.StringIO(), width=120)
    console.print(render(shown))
    text = console.file.getvalue()
    assert f", {shown.separate_length} as separate sequences" in text
    assert "example 3, after the prompt of 0" in text
