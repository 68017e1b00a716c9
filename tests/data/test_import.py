"""Records in other people's formats: the same content in each is the same prepared set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from limbeck._reference import imports
from limbeck._reference.records import FaultError
from limbeck.config import Prepare
from limbeck.errors import InputError
from limbeck.prepare import Manifest, prepare
from limbeck.sources import Source
from limbeck.word_tokenizer import record_texts

SHAPES = {
    "records": "records",
    "open_r1": "r1",  # open-r1/OpenR1-Math-220k
    "s1k": "r1",  # simplescaling/s1K
    "deepseek": "r1",  # open-thoughts/OpenThoughts-114k, subset metadata
    "gsm8k": "r1",  # openai/gsm8k
    "open_thoughts": "sharegpt",  # open-thoughts/OpenThoughts3
    "stratos": "sharegpt",  # bespokelabs/Bespoke-Stratos-17k
    "reasoning_content": "messages",  # as servers answer
    "parts": "messages",  # content in parts
    "prompt_completion": "prompt_completion",  # TRL
    "conversational": "prompt_completion",  # TRL; the chat template wrote `<think>`
    "tulu": "preference",  # allenai/llama-3.1-tulu-3-8b-preference-mixture
    "pair": "preference",
    "alpaca": "alpaca",  # tatsu-lab/alpaca
}
"""The files in `formats/`, which all say the same, and the format of each."""


def rows(shape: str) -> list[dict[str, Any]]:
    """The content in one shape."""
    text = (Path(__file__).parent / "formats" / f"{shape}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


CONTENT = [(row["question"], row["rationale"], row["answer"]) for row in rows("records")]


@pytest.fixture
def read(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path, opened: Callable[[Path], Any]
) -> Callable[..., tuple[Manifest, Any]]:
    """Prepares rows, or a file, and opens what comes out."""

    def read(source: Any, *, format: Any = "auto", **settings: Any) -> tuple[Manifest, Any]:
        path = source if isinstance(source, Path) else write(source)
        output = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        manifest = prepare(
            Source(path=str(path), format=format),
            tokenizer=tokenizer,
            output_dir=output,
            recipe=Prepare(**{"max_length": 600, **settings}),
            keep_rationale=True,
        )
        return manifest, opened(output)

    return read


def write_table(rows: list[Any], path: Path) -> Path:
    """Rows as a table; the suffix says of which kind."""
    table = pa.Table.from_pylist(rows)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".feather":
        pyarrow.feather.write_feather(table, str(path), compression="lz4")
    elif path.suffix == ".stream":
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
    else:
        from datasets import Dataset

        Dataset.from_list(rows).save_to_disk(path, num_shards=2)
    return path


@pytest.mark.parametrize("shape", SHAPES)
def test_all_shapes_are_the_same_set(
    shape: str, read: Callable[..., tuple[Manifest, Any]], tmp_path: Path
) -> None:
    _, expected = read(rows("records"))
    assert [entry["rationale"] for entry in expected.entries] == [each[1] for each in CONTENT]
    files = [f"{shape}{suffix}" for suffix in (".parquet", ".feather", ".stream", "")]
    for source in [rows(shape), *(write_table(rows(shape), tmp_path / name) for name in files)]:
        manifest, found = read(source)
        assert {each.format for each in manifest.sources} == {SHAPES[shape]}
        assert manifest.records.rejected == {}
        assert found.examples == expected.examples
        assert [entry["rationale"] for entry in found.entries] == [each[1] for each in CONTENT]


@pytest.mark.parametrize("shape", SHAPES)
def test_naming_the_format_changes_nothing(
    shape: str, read: Callable[..., tuple[Manifest, Any]]
) -> None:
    _, detected = read(rows(shape))
    manifest, named = read(rows(shape), format=SHAPES[shape])
    assert named.examples == detected.examples
    assert manifest.sources[0].format == SHAPES[shape]


def chat(*turns: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text} for role, text in turns], **more}


GOOD = chat(("user", "q"), ("assistant", "<think>r</think>1"))
FAULTS = [
    (chat(("user", "q")), "messages: no message of the assistant"),
    (chat(("assistant", "a")), "messages: no message of the user"),
    (chat(("user", "q"), ("assistant", "a"), ("user", "q")), "messages[2]: a second turn"),
    (chat(("user", "q"), ("user", "q"), ("assistant", "a")), "messages[1]: a second turn"),
    (chat(("user", "q"), ("system", "s"), ("assistant", "a")), "messages[1]: a system"),
    (chat(("user", "q"), ("tool", "t"), ("assistant", "a")), 'messages[1].role: "tool"'),
    (chat(("user", 1), ("assistant", "a")), "messages[0].content: a number instead of text"),
    (chat(("user", "q"), ("assistant", None)), "messages[1].content: null instead of text"),
    (chat(("user", "q"), ("assistant", "<think>r")), "messages[1].content: `<think>` without"),
    (chat(("user", "\ud800"), ("assistant", "a")), "messages[0].content: a lone surrogate"),
    (chat(("user", [{"type": "image"}]), ("assistant", "a")), "messages[0].content[0]: a part"),
    ({"messages": "text"}, "messages: text instead of a list"),
    ({"messages": ["text"]}, "messages[0]: text instead of a message"),
    ({"prompt": "q"}, "messages: missing"),
    (chat(("user", "q"), ("assistant", "<think>r</think>1"), answer=[1]), "answer: a list"),
    (chat(("user", "q"), ("assistant", "no thinking")), "rationale: missing"),
    ("{", "line: not JSON"),
    ('{"messages": [], "messages": []}', "messages: given twice"),
]


@pytest.mark.parametrize(("line", "detail"), FAULTS)
def test_what_is_no_record_is_malformed_and_says_where(
    line: Any, detail: str, read: Callable[..., tuple[Manifest, Any]]
) -> None:
    manifest, directory = read([GOOD, line])
    assert manifest.records.rejected == {"malformed": 1}
    (rejected,) = directory.rejected
    assert (rejected["line"], rejected["example_id"]) == (2, 1)
    assert rejected["detail"].startswith(detail), rejected["detail"]


OTHERS = [
    ("prompt_completion", {"prompt": "q"}, "completion: missing"),
    ("prompt_completion", {"prompt": GOOD["messages"], "completion": "a"}, "prompt[1].content"),
    ("prompt_completion", {"prompt": "q", "completion": GOOD["messages"]}, "completion: holds"),
    ("preference", {"chosen": "a", "rejected": "b"}, "prompt: missing"),
    ("alpaca", {"instruction": "i", "output": "o", "history": [["a", "b"]]}, "history: earlier"),
    ("alpaca", {"instruction": "i", "output": 1}, "output: a number"),
    ("sharegpt", {"conversations": [{"from": "bing", "value": "v"}]}, "conversations[0].from"),
    ("r1", {"problem": "p", "generations": []}, "generations: an empty list"),
    ("r1", {"problem": "p", "generations": ["<think>a"]}, "generations[0]: `<think>` without"),
    ("r1", {"problem": "p"}, "generations: no response"),
    ("r1", {"solution": "s"}, "question: missing"),
]


@pytest.mark.parametrize(("format", "line", "detail"), OTHERS)
def test_every_format_refuses_what_it_cannot_say(
    format: str, line: Any, detail: str, read: Callable[..., tuple[Manifest, Any]]
) -> None:
    shape = next(name for name, each in SHAPES.items() if each == format)
    manifest, directory = read([rows(shape)[0], line], format=format)
    assert manifest.records.rejected == {"malformed": 1}
    assert directory.rejected[0]["detail"].startswith(detail), directory.rejected[0]


def test_every_generation_is_a_candidate_and_is_judged(
    read: Callable[..., tuple[Manifest, Any]],
) -> None:
    generations = [
        "<think>a</think>\\boxed{7}",
        "<think>b</think>It must be $\\boxed{8}$.",
        "<think>c",
        "<think>d</think>7",
    ]
    row = {"id": "p1", "problem": "q", "answer": 7, "generations": generations}
    manifest, directory = read([row])
    assert (manifest.records.read, manifest.records.kept) == (4, 2)
    assert [entry["rationale"] for entry in directory.entries] == ["a", "d"]
    assert {entry["record_id"] for entry in directory.entries} == {"p1"}
    reasons = [(line["reason"], line["detail"].split(":")[0]) for line in directory.rejected]
    assert reasons == [("answer_mismatch", "teacher_answer"), ("malformed", "generations[2]")]
    assert {line["record_id"] for line in directory.rejected} == {"p1"}


def test_the_system_comes_before_the_question(
    read: Callable[..., tuple[Manifest, Any]],
) -> None:
    plain = [{"question": "Be brief.\n\nq", "rationale": "r", "answer": "1"}]
    _, expected = read(plain)
    told = ("system", "Be brief.\n")
    asked = [("user", "q"), ("assistant", "<think>r</think>1")]
    for row in (chat(told, *asked), chat(*asked, system="Be brief.")):
        _, found = read([row])
        assert found.examples == expected.examples


def test_other_splits_are_not_imported(read: Callable[..., tuple[Manifest, Any]]) -> None:
    manifest, _ = read([GOOD, {**chat(("user", "q")), "split": "test"}])
    assert (manifest.records.read, manifest.records.other_split) == (1, 1)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([{"text": "t", "label": 1}], ["no known format", "text, label", "alpaca (instruction"]),
        ([{"question": "q"}], ["no known format", "question"]),
        ([{**rows("alpaca")[0], **GOOD}], ["messages or alpaca", "format: alpaca"]),
        ([GOOD, rows("alpaca")[0]], ["messages or alpaca"]),
    ],
)
def test_what_is_unknown_or_ambiguous_is_refused(
    lines: list[Any], words: list[str], read: Callable[..., tuple[Manifest, Any]]
) -> None:
    with pytest.raises(InputError) as caught:
        read(lines)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_tables_that_are_unknown_are_refused_by_their_columns(
    tmp_path: Path, read: Callable[..., tuple[Manifest, Any]]
) -> None:
    for name in ("t.parquet", "t.feather", "t.stream"):
        with pytest.raises(InputError, match="has the keys text, label"):
            read(write_table([{"text": "t", "label": 1}], tmp_path / name))


def test_the_twin_imports_alike(tmp_path: Path, read: Callable[..., tuple[Manifest, Any]]) -> None:
    for shape, format in SHAPES.items():
        made = rows(shape)
        assert imports.detect(made) == format
        if format == "records":
            continue
        found = [record for row in made for record in imports.read(row, format)]
        assert [
            (each["question"], each["rationale"].strip(), each["answer"]) for each in found
        ] == [tuple(content) for content in CONTENT]
    for line, detail in FAULTS:
        if isinstance(line, str) or detail.startswith("rationale"):
            continue  # what is no JSON, and what the template asks for, is not the importer's
        with pytest.raises(FaultError) as caught:
            list(imports.read(json.loads(json.dumps(line)), "messages"))
        assert detail.startswith(caught.value.field), detail


def test_a_tokenizer_is_not_trained_on_what_it_cannot_read(write: Callable[..., Path]) -> None:
    assert list(record_texts([write(rows("records"))]))
    with pytest.raises(InputError, match="trained on the record schema"):
        list(record_texts([write(rows("alpaca"))]))
