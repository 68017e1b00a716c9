"""Prepared directories and tiny students, made without the Rust core."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets import Dataset

from limbeck.recipes.templates import template
from limbeck.spans import KINDS
from limbeck.word_tokenizer import train_tokenizer

torch.set_num_threads(1)
logging.getLogger("transformers").setLevel(logging.ERROR)

RECORDS = [
    ("What is 1 + 2 ?", "3", "1 + 2 = 3"),
    ("What is 2 + 2 ?", "4", "2 + 2 = 4 of course"),
    ("What is 3 + 2 ?", "5", "3 + 2 = 5"),
    ("What is 4 + 4 ?", "8", "4 + 4 is 8 as 4 twice is 8"),
    ("Which is more , 1 or 2 ?", "2", "2 is more than 1"),
    ("What is 5 + 4 ?", "9", "5 + 4 = 9"),
]
TINY = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}


def make_tokenizer(directory: Path, *, sem: bool = True):
    texts = [f"Question: {q}\nAnswer: {a}\n{r} The answer is {a}." for q, a, r in RECORDS] * 5
    tokenizer = train_tokenizer(texts, 300)
    if sem:
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|sem|>"]})
    tokenizer.save_pretrained(directory)
    return tokenizer


def example(tokenizer, record, spec):
    """Token ids and span kinds of one record; literals take the kind of the field they lead to."""
    question, answer, rationale = record
    pieces = [(spec.prompt.format(question=question), "prompt")]
    rest = spec.completion
    while rest:
        start, end = rest.index("{"), rest.index("}") + 1
        field, literal = rest[start + 1 : end - 1], rest[:start]
        text = {
            "answer": answer, "rationale": rationale, "semantic": "<|sem|>", "end": "<|endoftext|>",
        }[field]  # fmt: skip
        pieces.append((literal + text, field))
        rest = rest[end:]
    ids, kinds = [], []
    for text, kind in pieces:
        new = tokenizer(text)["input_ids"]
        ids += new
        kinds += [KINDS.index(kind)] * len(new)
    return ids, kinds


def write_prepared(directory: Path, records=RECORDS, name="answer-first", per_row=2) -> Path:
    """A prepared directory as the contract has it, `per_row` examples packed in a row."""
    tokenizer = make_tokenizer(directory / "tokenizer")
    spec = template(name, "plain")
    examples = [example(tokenizer, record, spec) for record in records]
    rows = {key: [] for key in ("input_ids", "span_kinds", "example_lengths", "example_ids")}
    for start in range(0, len(examples), per_row):
        members = range(start, min(start + per_row, len(examples)))
        rows["input_ids"].append([id for i in members for id in examples[i][0]])
        rows["span_kinds"].append([kind for i in members for kind in examples[i][1]])
        rows["example_lengths"].append([len(examples[i][0]) for i in members])
        rows["example_ids"].append(list(members))
    rows["domains"] = [[-1] * len(ids) for ids in rows["example_ids"]]
    Dataset.from_dict(rows).save_to_disk(str(directory))
    table = pa.table(
        {
            "example_id": pa.array(range(len(records)), pa.int64()),
            "source": pa.array(["records.jsonl"] * len(records)),
            "line": pa.array(range(1, len(records) + 1), pa.int64()),
            "rationale": pa.array([r for _, _, r in records], pa.large_utf8()),
        }
    )
    path = str(directory / "examples.arrow")
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    manifest = {
        "render": {
            "template": spec.model_dump(),
            "style": "plain",
            "chat_variables": {},
            "end_token": "<|endoftext|>",
            "added_tokens": ["<|sem|>"],
        },
        "examples": len(records),
        "rows": len(rows["input_ids"]),
    }
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


def tiny_model(kind="llama", vocab_size=300, **changes):
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    values = TINY | changes
    if kind in ("gpt_neox", "opt", "gpt2"):
        values = {k: v for k, v in values.items() if k != "num_key_value_heads"}
    config = AutoConfig.for_model(
        kind, vocab_size=vocab_size, bos_token_id=None, eos_token_id=0, pad_token_id=1, **values
    )
    return AutoModelForCausalLM.from_config(config)


def random_rows(count=4, seed=0, vocab=300, kinds=(0, 2, 4, 3, 6)):
    """Packed rows of different lengths with random tokens and every span kind."""
    rng = np.random.default_rng(seed)
    rows, next_id = [], 0
    for _ in range(count):
        lengths = rng.integers(6, 12, size=int(rng.integers(1, 4)))
        span_kinds = [np.repeat(kinds, [2, 1, 1, n - 5, 1]) for n in lengths]
        rows.append(
            {
                "input_ids": rng.integers(2, vocab, size=int(lengths.sum())),
                "span_kinds": np.concatenate(span_kinds).astype(np.uint8),
                "example_lengths": lengths,
                "example_ids": np.arange(next_id, next_id + len(lengths)),
            }
        )
        next_id += len(lengths)
    return rows


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("train") / "prepared")


@pytest.fixture(scope="session")
def student(tmp_path_factory) -> Path:
    """A tiny student on disk with the prepared tokenizer."""
    return save_model(tmp_path_factory.mktemp("student"))


def save_model(directory: Path, kind="llama", info=None, **changes) -> Path:
    """A tiny trained-looking checkpoint with the prepared tokenizer."""
    from limbeck.model import save_student

    tokenizer = make_tokenizer(directory)
    model = tiny_model(kind, vocab_size=len(tokenizer), **changes)
    save_student(model, tokenizer, directory, info=info or {}, stop_ids=[0])
    return directory


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> Path:
    """A teacher of another width than the student's, so that a projection is trained."""
    return save_model(tmp_path_factory.mktemp("encoder"), hidden_size=24)


@pytest.fixture(scope="session")
def targets(tmp_path_factory, prepared, student, encoder) -> Path:
    from limbeck.config import Targets
    from limbeck.targets import targets as make

    return make(
        prepared,
        student=student,
        output_dir=tmp_path_factory.mktemp("targets"),
        settings=Targets(encoder=str(encoder)),
    )
