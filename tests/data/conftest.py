"""Records, tokenizers and prepared directories for the tests of the data pipeline."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare `tokenizer.json`: a small byte-level BPE."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        show_progress=False,
    )
    bpe.train_from_iterator(["Question: how many? Answer: the answer is so many."] * 3, trainer)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    bpe.save(str(path))
    return path


@pytest.fixture(scope="session")
def chat_tokenizer(tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the same tokenizer and a chat template."""
    directory = tmp_path_factory.mktemp("chat")
    (directory / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "chat_template": CHAT_TEMPLATE,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    return directory


@dataclass(frozen=True)
class Example:
    """An example as it stands in a row."""

    ids: list[int]
    kinds: list[int]
    domain: int
    template: int
    chosen: int = 0


CHOSEN, REJECTED = 1, 2


def _roles(row: dict[str, Any]) -> list[int]:
    return row.get("example_roles") or [0] * len(row["example_ids"])


def _with_prompts(row: dict[str, Any]) -> dict[str, Any]:
    if "example_parents" not in row:
        return row
    ids: list[int] = []
    kinds: list[int] = []
    lengths: list[int] = []
    start, starts = 0, []
    for length, parent in zip(row["example_lengths"], row["example_parents"], strict=True):
        starts.append(start)
        before = len(ids)
        if parent >= 0:
            assert row["example_parents"][parent] == -1
            at = starts[parent]
            while row["span_kinds"][at] in (0, 1, 5):
                ids.append(row["input_ids"][at])
                kinds.append(row["span_kinds"][at])
                at += 1
        ids += row["input_ids"][start : start + length]
        kinds += row["span_kinds"][start : start + length]
        lengths.append(len(ids) - before)
        start += length
    assert start == len(row["input_ids"])
    return {**row, "input_ids": ids, "span_kinds": kinds, "example_lengths": lengths}


@dataclass(frozen=True)
class Directory:
    """A prepared directory, read with nothing of limbeck's."""

    path: Path

    @property
    def manifest(self) -> dict[str, Any]:
        return json.loads((self.path / "manifest.json").read_text("utf-8"))

    @property
    def rejected(self) -> list[dict[str, Any]]:
        lines = (self.path / "rejected.jsonl").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The rows of `examples.arrow`."""
        with pa.ipc.open_stream(self.path / "examples.arrow") as reader:
            return reader.read_all().to_pylist()

    @property
    def rows(self) -> list[list[int]]:
        """The example ids of each row; a pair counts once."""
        return [
            [
                example_id
                for example_id, role in zip(row["example_ids"], _roles(row), strict=True)
                if role != REJECTED
            ]
            for row in self._table()
        ]

    @property
    def parents(self) -> list[list[int]] | None:
        """Of each row, the examples whose prompts stand before others; None without the column."""
        rows = [row.get("example_parents") for row in self._table()]
        return None if None in rows else rows

    @property
    def examples(self) -> dict[int, Example]:
        """The examples of all rows by their id; each stands once, a pair as one.

        One that shares a prompt has it again.
        """
        found: dict[int, Example] = {}
        for row in map(_with_prompts, self._table()):
            start = 0
            for index, (example_id, role) in enumerate(
                zip(row["example_ids"], _roles(row), strict=True)
            ):
                end = start + row["example_lengths"][index]
                own = Example(
                    row["input_ids"][start:end],
                    row["span_kinds"][start:end],
                    row["domains"][index],
                    row["example_templates"][index],
                    end - start if role == CHOSEN else 0,
                )
                if role == REJECTED:
                    before = found[example_id]
                    assert row["example_ids"][index - 1] == example_id
                    assert _roles(row)[index - 1] == CHOSEN
                    assert (before.domain, before.template) == (own.domain, own.template)
                    ids, kinds = before.ids + own.ids, before.kinds + own.kinds
                    own = replace(before, ids=ids, kinds=kinds)
                else:
                    assert example_id not in found
                found[example_id] = own
                start = end
            assert start == len(row["input_ids"]) == len(row["span_kinds"])
        return found

    def files(self) -> dict[str, bytes]:
        """The content of every file."""
        files = sorted(path for path in self.path.rglob("*") if path.is_file())
        return {path.relative_to(self.path).as_posix(): path.read_bytes() for path in files}

    def _table(self) -> list[dict[str, Any]]:
        with pa.ipc.open_stream(self.path / "data-00000-of-00001.arrow") as reader:
            return reader.read_all().to_pylist()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes records, or lines as they are, to a JSONL file."""

    def write(lines: Iterable[Mapping[str, Any] | str], name: str = "records.jsonl") -> Path:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path = tmp_path / name
        path.write_text("".join(f"{text}\n" for text in texts), "utf-8")
        return path

    return write


@pytest.fixture
def opened() -> Callable[[Path], Directory]:
    """Opens a prepared directory."""
    return Directory
