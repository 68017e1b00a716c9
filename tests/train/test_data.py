"""The collator: positions, the rows that are trained, and refusals."""

import numpy as np
import pytest
import torch
from tests.train.conftest import random_rows
from torch.utils.data import DataLoader

from limbeck.data import Collator, Layout, load_prepared, survey
from limbeck.errors import InputError
from limbeck.objectives import make_terms
from limbeck.spans import KINDS

CODE = {name: code for code, name in enumerate(KINDS)}


def terms(**weights):
    return make_terms([{"name": "cross_entropy", **({"span_weights": weights} if weights else {})}])


def test_rows_are_those_before_weighted_tokens_of_the_same_example():
    row = {
        "input_ids": [10, 11, 12, 13, 20, 21, 22],
        "span_kinds": [CODE[k] for k in ["prompt", "answer", "semantic", "rationale"]]
        + [CODE[k] for k in ["answer", "answer", "end"]],
        "example_lengths": [4, 3],
        "example_ids": [5, 6],
    }
    short = {**row, "input_ids": [30, 31], "span_kinds": [0, CODE["end"]],
             "example_lengths": [2], "example_ids": [9]}  # fmt: skip
    batch = Collator(terms(answer=1.0, rationale=0.25, end=2.0), pad_id=99)([row, short])
    chosen = batch["selections"]["cross_entropy"]
    # The first answer token of example 6 has nothing of its own before it: 20 is never a target.
    assert chosen["rows"].tolist() == [0, 2, 4, 5, 7]
    assert chosen["labels"].tolist() == [11, 13, 21, 22, 31]
    assert chosen["weights"].tolist() == [1.0, 0.25, 1.0, 2.0, 2.0]
    assert batch["items"].tolist() == [6.25]
    assert batch["input_ids"][1].tolist() == [30, 31, 99, 99, 99, 99, 99]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 0, 1, 2], [0, 1, 0, 1, 2, 3, 4]]
    assert batch["counts"] == {"tokens": 9, "trained": 5, "examples": 3}
    assert "attention_mask" not in batch


def test_alignment_takes_each_examples_last_semantic_token(targets):
    row = {
        "input_ids": np.arange(8),
        "span_kinds": np.array([0, 4, 4, 3, 2, 4, 0, 2], np.uint8),
        "example_lengths": [4, 2, 2],
        "example_ids": [3, 0, 1],
    }
    from limbeck.target_store import TargetStore

    store = TargetStore(targets)
    (term,) = make_terms([{"name": "semantic_alignment"}], store)
    chosen = term.select(Layout.of([row]))
    assert chosen["rows"].tolist() == [2, 5]
    assert chosen["weights"].tolist() == [1.0, 1.0]
    assert torch.equal(term.load(chosen)["target"], store.read(np.array([3, 0])))
    none = term.select(Layout.of([{**row, "span_kinds": np.zeros(8, np.uint8)}]))
    assert none["rows"].size == 0
    assert term.load(none)["target"].shape == (0, store.width)


def test_an_example_without_a_trained_token_is_refused(prepared):
    rows = random_rows(3)
    last = sum(len(row["example_ids"]) for row in rows) - 1
    rows[-1]["span_kinds"][-int(rows[-1]["example_lengths"][-1]) :] = CODE["prompt"]
    with pytest.raises(InputError, match=rf"example {last} .* has no trained token; give"):
        Collator(terms())(rows)
    with pytest.raises(InputError, match=r"example 0 .* has no trained token"):
        survey(load_prepared(prepared), terms(soft_prompt=1.0))


def test_survey_measures_what_a_student_must_be_able_to_write(prepared):
    found = survey(load_prepared(prepared), terms(), rows_at_once=2)
    # " 8" and what follows it; then a newline, the longest rationale and the end.
    assert found.longest_answer == 2
    assert found.longest_completion == 1 + 1 + 1 + 10 + 1


def test_loader_workers_and_seed(prepared):
    dataset = load_prepared(prepared)
    assert sum(dataset["example_lengths"][0]) == len(dataset["input_ids"][0])

    def batches(workers, seed):
        loader = DataLoader(
            dataset, batch_size=2, shuffle=True, collate_fn=Collator(terms()),
            num_workers=workers, generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        return [batch["input_ids"].tolist() for batch in loader]

    assert batches(0, 1) == batches(2, 1)
    assert batches(0, 1) != batches(0, 5)


def test_what_is_not_prepared_is_refused(tmp_path):
    from datasets import Dataset

    with pytest.raises(InputError, match="not prepared data"):
        load_prepared(tmp_path / "missing")
    Dataset.from_dict({"text": ["a"]}).save_to_disk(str(tmp_path / "text"))
    with pytest.raises(InputError, match="not prepared data; write it with `limbeck prepare`"):
        load_prepared(tmp_path / "text")
