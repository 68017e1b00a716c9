"""A comparison of tiny students on a generated task, walked once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

SMALL: dict[str, Any] = {
    "methods": [
        "answer_only",
        {"name": "cot", "method": "think_first", "train": {"per_device_train_batch_size": 2}},
    ],
    "seeds": [0, 1],
    "student": {
        "config": {
            "model_type": "llama",
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 256,
        },
        "tokenizer": {"vocab_size": 300},
    },
    "data": {"tasks": ["coin_flip"], "examples": 40},
    "prepare": {"packing": "none", "max_length": 256},
    "train": {"num_train_epochs": 1, "per_device_train_batch_size": 8, "logging_steps": 50},
    "evaluate": {"questions": 6, "max_new_tokens": 4},
}


def write(path: Path, **changes: Any) -> Path:
    """A comparison file whose output stands beside it."""
    values = {"output_dir": str(path.parent / "out"), **SMALL, **changes}
    path.write_text(yaml.safe_dump(values, sort_keys=False), "utf-8")
    return path


@pytest.fixture
def comparison(tmp_path: Path) -> Callable[..., Path]:
    """Write a comparison file with some of its keys changed."""
    return lambda **changes: write(tmp_path / "comparison.yaml", **changes)


@pytest.fixture(scope="session")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of two arms at two seeds; tests that change it copy it."""
    import limbeck

    file = write(tmp_path_factory.mktemp("compare") / "comparison.yaml")
    limbeck.compare(file)
    return file.parent / "out"
