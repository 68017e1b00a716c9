"""Rows that share prompts train what separate sequences train, on every attention backend."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch
import transformers.integrations.flex_attention
from accelerate.utils import send_to_device
from datasets import Dataset
from safetensors.torch import load_file
from tests.train.conftest import make_tokenizer, tiny_model
from tests.train.test_fused import Store
from tests.train.test_trainer import CHECKPOINTING
from tests.train.trie_rows import trie_rows
from torch.nn.attention.flex_attention import flex_attention

from limbeck.config import Prepare, Train, check
from limbeck.data import Collator, survey
from limbeck.domains import read_domains
from limbeck.forward import attach, hidden_states
from limbeck.isolation import check_sharing
from limbeck.objectives import make_terms
from limbeck.prepare import prepare
from limbeck.probe import prompts
from limbeck.spans import KINDS
from limbeck.train import train
from limbeck.trainer import DistillConfig, DistillTrainer
from limbeck.trie import separate, unfold
from limbeck.trie_masks import SharingError

WINDOW = {"sliding_window": 4}
BY_LAYER = {**WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
STUDENTS = {
    "llama": {},
    "qwen2": {},
    "mistral": WINDOW,
    "gemma3_text": {"head_dim": 8, **BY_LAYER},
}
RATE = 0.5
# Trained prompts count once an example, however often they are computed.
WEIGHTS = {"question": 0.25, "answer": 1.0, "rationale": 0.5, "end": 1.0}
OBJECTIVES = {
    "cross_entropy": {"name": "cross_entropy", "span_weights": WEIGHTS},
    "orpo": {"name": "orpo", "strength": 0.3},
}


def student(kind, **changes):
    return tiny_model(kind, initializer_range=0.3, **STUDENTS.get(kind, {}) | changes)


def dataset(rows) -> Dataset:
    listed = [{name: np.asarray(each).tolist() for name, each in row.items()} for row in rows]
    return Dataset.from_list(listed).with_format("numpy")


def apart(rows):
    return [one for row in rows for one in separate(row)]


def trained(model, rows, tmp_path, objective, *, at_once, **changes):
    """The loss and the moves of one step of plain SGD over all rows, which are the gradients."""
    args = DistillConfig(
        output_dir=str(tmp_path), use_cpu=True, disable_tqdm=True, save_strategy="no",
        objectives=[objective], optim="sgd", learning_rate=RATE, lr_scheduler_type="constant",
        max_grad_norm=0.0, max_steps=1, logging_steps=1, per_device_train_batch_size=at_once,
        gradient_accumulation_steps=-(-len(rows) // at_once), **changes,
    )  # fmt: skip
    trainer = DistillTrainer(model, args, dataset(rows))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer.train()
    moves = {name: (before[name] - p.detach()) / RATE for name, p in model.named_parameters()}
    return trainer.state.log_history[0], moves, trainer.counts


def assert_alike(one, two, tolerance):
    assert one[0]["loss"] == pytest.approx(two[0]["loss"], rel=1e-6)
    assert one[1].keys() == two[1].keys()
    for name, move in one[1].items():
        torch.testing.assert_close(
            move, two[1][name], rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("kind", STUDENTS)
def test_a_step_is_that_of_separate_sequences(kind, objective, attention, tmp_path):
    rows = trie_rows(3, seed=1, pairs=objective == "orpo")
    # The two of a pair stay in one row, lest the trainer deal them out to different batches.
    ordinary = [unfold(row) for row in rows] if objective == "orpo" else apart(rows)
    results = []
    for data, at_once in ((rows, 2), (ordinary, len(ordinary))):
        model = student(kind, attn_implementation=attention).double()
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="student: ")
            results.append(trained(model, data, tmp_path, OBJECTIVES[objective], at_once=at_once))
    assert_alike(*results, tolerance=1e-6)  # RMS norms and eager's softmax are fp32
    assert results[0][2]["tokens"] < results[1][2]["tokens"]
    for same in ("trained", "examples"):
        assert results[0][2][same] == results[1][2][same]


@pytest.mark.parametrize("kind", ["llama", "gemma3_text"])
def test_activations_are_recomputed_with_the_same_masks(kind, tmp_path):
    rows = trie_rows(3, seed=2)
    results = [
        trained(
            student(kind).double(), rows, tmp_path, OBJECTIVES["cross_entropy"], at_once=3,
            **{CHECKPOINTING: checkpointing},
        )
        for checkpointing in (False, True)
    ]  # fmt: skip
    assert_alike(*results, tolerance=1e-12)


def test_every_token_is_predicted_from_the_one_before_it_in_its_example():
    """By the model's ordinary logits, one sequence after the other."""
    rows = trie_rows(3, seed=3)
    model = student("llama").double()
    total = weight = 0.0
    for row in apart(rows):
        ids = torch.as_tensor(row["input_ids"])
        logs = model(ids[None]).logits[0].log_softmax(-1)
        for t in range(1, len(ids)):
            own = WEIGHTS.get(KINDS[row["span_kinds"][t]], 0.0)
            total -= own * logs[t - 1, ids[t]].item()
            weight += own
    terms = make_terms([OBJECTIVES["cross_entropy"]])
    attach(model, [term.build(16) for term in terms])
    batch = given(terms, rows, is_separate=False)
    assert batch["normalizers"].item() == pytest.approx(weight)
    assert model(**batch)["loss"].item() == pytest.approx(total / weight, rel=1e-6)


def given(terms, rows, is_separate):
    """What the wrapped forward takes."""
    batch = Collator(terms, is_separate=is_separate)(rows)
    names = {"input_ids", "position_ids", "selections", "trie"} & batch.keys()
    return {name: batch[name] for name in names} | {"normalizers": batch["items"].double()}


def both_ways(model, terms, rows):
    """Loss, logs and gradients, folded and separate."""
    device = next(model.parameters()).device
    for is_separate in (False, True):
        model.zero_grad()
        outputs = model(**send_to_device(given(terms, rows, is_separate), device))
        outputs["loss"].backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        yield outputs["loss"].detach(), outputs["terms"], gradients


@pytest.mark.parametrize(
    ("pooling", "hidden_size", "layer"),
    [("mean", 0, -1), ("last", 0, -1), ("token", 0, -1), ("mean", 8, 1), ("token", 8, -1)],
)
def test_questions_that_are_computed_once_count_for_every_example(pooling, hidden_size, layer):
    """Together with the other objectives, in one fused head where that can be."""
    rows = trie_rows(3, seed=4)
    for row in rows:
        row["domains"] = [number % 3 for number in row["example_ids"]]
        row["span_kinds"][row["span_kinds"] == KINDS.index("rationale")] = KINDS.index("semantic")
    adversary = {
        "name": "domain_adversarial", "schedule": "constant", "strength": 0.3,
        "pooling": pooling, "hidden_size": hidden_size, "layer": layer,
    }  # fmt: skip
    terms = make_terms(
        [OBJECTIVES["cross_entropy"], {"name": "semantic_alignment"}, adversary],
        Store(24),
        read_domains(dataset(rows), ("a", "b", "c")),
    )
    model = student("llama").double()
    attach(model, [term.build(16).double() for term in terms])
    one, two = both_ways(model, terms, rows)
    torch.testing.assert_close(one[0], two[0], rtol=1e-6, atol=0)
    for got, want in zip(one[1:], two[1:], strict=True):
        assert got.keys() == want.keys()
        for name, value in got.items():
            torch.testing.assert_close(value, want[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["llama", "gemma3_text"])
def test_flex_attention_sees_the_same(kind, monkeypatch):
    """On a CPU the states alone, for there its backward does not run (torch 2.15); uncompiled."""

    def uncompiled(query, key, value, training=False, **kwargs):
        del training
        kwargs = {name: kwargs[name] for name in ("block_mask", "enable_gqa", "scale")}
        return flex_attention(query, key, value, **kwargs)

    monkeypatch.setattr(
        transformers.integrations.flex_attention, "compile_friendly_flex_attention", uncompiled
    )
    batch = Collator(make_terms([OBJECTIVES["cross_entropy"]]))(trie_rows(3, seed=5))
    names = ("input_ids", "position_ids", "trie")
    states = []
    for attention in ("flex_attention", "sdpa"):
        model = student(kind, attn_implementation=attention).eval().double()
        with torch.no_grad():
            states.append(hidden_states(model.get_decoder(), *(batch[name] for name in names)))
    is_token = batch["trie"]["groups"] >= 0
    torch.testing.assert_close(states[0][is_token], states[1][is_token], rtol=1e-6, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="flex attention has no backward on a CPU")
def test_flex_attention_trains_the_same():
    rows = trie_rows(3, seed=5)
    model = student("llama", attn_implementation="flex_attention", head_dim=16).cuda()
    check_sharing(model)
    terms = make_terms([OBJECTIVES["cross_entropy"]])
    attach(model, [term.build(16) for term in terms])
    one, two = both_ways(model, terms, rows)
    torch.testing.assert_close(one[0], two[0], rtol=1e-4, atol=0)
    for name, value in one[2].items():
        torch.testing.assert_close(value, two[2][name], rtol=0, atol=1e-3)


STATE_SPACE = {
    "mamba": {"num_hidden_layers": 1},
    "qwen3_next": {
        "layer_types": ["linear_attention", "full_attention"], "head_dim": 8,
        "linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2,
        "linear_num_value_heads": 2, "num_experts": 2, "num_experts_per_tok": 1,
        "moe_intermediate_size": 8, "shared_expert_intermediate_size": 8,
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", STATE_SPACE)
def test_a_student_that_cannot_share_is_given_every_example_alone(kind, tmp_path):
    rows = trie_rows(2, seed=6)
    objective = OBJECTIVES["cross_entropy"]
    model = tiny_model(kind, **STATE_SPACE[kind])
    with pytest.warns(
        UserWarning, match=r"^student: .* cannot share a prompt; .* a row of its own"
    ):
        shared = trained(model, rows, tmp_path, objective, at_once=2)
    alone = apart(rows)
    model = tiny_model(kind, **STATE_SPACE[kind])
    unpacked = trained(model, alone, tmp_path, objective, at_once=len(alone))
    assert_alike(shared, unpacked, tolerance=1e-5)
    assert shared[2] == unpacked[2]


def test_records_train_alike_however_they_are_packed(tmp_path):
    """From records to a student: several pairs of one question, all in one batch."""
    lines = [
        {"question": f"What is {n} + 2 ?", "answer": f"{n + 2}", "rejected_answer": f"4 of {m}"}
        for n in range(1, 4)
        for m in range(1, 4)
    ]
    records = tmp_path / "records.jsonl"
    records.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    tokenizer = make_tokenizer(tmp_path / "start", sem=False)
    student("llama", vocab_size=len(tokenizer)).save_pretrained(tmp_path / "start")
    weights, tokens = [], []
    for packing in ("bfd", "trie"):
        section = {"template": "answer-only", "pairs": True, "max_length": 64, "packing": packing}
        prepared = tmp_path / packing
        prepare(
            records, tokenizer=tmp_path / "start", output_dir=prepared,
            recipe=check(Prepare, section),
        )  # fmt: skip
        settings = {
            "objectives": [OBJECTIVES["orpo"]], "max_steps": 2, "optim": "sgd",
            "learning_rate": RATE, "per_device_train_batch_size": 20, "save_strategy": "no",
        }  # fmt: skip
        trained_student = train(
            prepared, student=str(tmp_path / "start"), output_dir=tmp_path / f"{packing}-student",
            settings=check(Train, settings),
        )  # fmt: skip
        weights.append(load_file(trained_student / "model.safetensors"))
        report = json.loads((trained_student / "training.json").read_text("utf-8"))
        tokens.append(report["tokens_processed"])
    start = load_file(tmp_path / "start/model.safetensors")
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-5)
    assert any((start[name] - value).abs().max() > 1e-2 for name, value in weights[0].items())
    assert tokens[1] < tokens[0] / 2


@pytest.mark.parametrize("kind", ["llama", "mamba"])
def test_an_evaluation_sees_what_training_sees(kind, tmp_path):
    rows, changes = trie_rows(2, seed=8), STATE_SPACE.get(kind, {})
    losses = []
    for data in (rows, apart(rows)):
        args = DistillConfig(
            output_dir=str(tmp_path), use_cpu=True, disable_tqdm=True, save_strategy="no",
            objectives=[OBJECTIVES["cross_entropy"]], learning_rate=0.0, max_steps=1,
            per_device_eval_batch_size=len(data), eval_strategy="steps", eval_steps=1,
        )  # fmt: skip
        model = tiny_model(kind, **changes)
        trainer = DistillTrainer(model, args, dataset(data), eval_dataset=dataset(data))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="student: ")
            trainer.train()
        losses += [
            entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry
        ]
    assert len(losses) == 2
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("kind", STUDENTS)
def test_the_check_passes_what_keeps_branches_apart(kind):
    model = student(kind).train()
    check_sharing(model)
    assert model.training


def test_the_check_refuses_masks_that_are_not_heeded():
    model = tiny_model()
    decoder, inner = model.get_decoder(), model.get_decoder().forward

    def leaking(**kwargs):
        return inner(**kwargs | {"attention_mask": None})

    decoder.forward = leaking
    with pytest.raises(
        SharingError, match="branches are not what they are alone in LlamaForCausalLM"
    ):
        check_sharing(model)


def test_the_check_refuses_windows_that_are_left_out():
    """One mask for all layers would switch the windows of some off."""
    model = student("gemma3_text")
    decoder, inner = model.get_decoder(), model.get_decoder().forward

    def without_windows(**kwargs):
        if (masks := kwargs["attention_mask"]) is not None:
            kwargs["attention_mask"] = dict.fromkeys(masks, masks["full_attention"])
        return inner(**kwargs)

    decoder.forward = without_windows
    with pytest.raises(SharingError, match="branches are not what they are alone in Gemma3"):
        check_sharing(model)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"attn_implementation": "flash_attention_2"}, "'flash_attention_2' takes no mask"),
        ({"layer_types": ["full_attention", "conv"]}, "layers of conv"),
        ({"attention_chunk_size": 4}, "cut by attention_chunk_size"),
    ],
)
def test_what_no_mask_can_tell_is_refused(change, told):
    model = tiny_model()
    config = model.get_decoder().config
    for name, value in change.items():
        setattr(config, {"attn_implementation": "_attn_implementation"}.get(name, name), value)
    with pytest.raises(SharingError, match=told):
        check_sharing(model)


def test_what_reads_examples_reads_them_whole():
    rows = trie_rows(4, seed=7)
    for row in rows:
        row["domains"] = [number % 2 for number in row["example_ids"]]
    terms = make_terms([OBJECTIVES["cross_entropy"]])
    assert survey(dataset(rows), terms) == survey(dataset(apart(rows)), terms)
    assert "example_parents" not in unfold(rows[0])
    found = [
        sorted((each.domain, each.ids.tolist()) for each in prompts(dataset(data), 1000, 2, seed=0))
        for data in (rows, apart(rows))
    ]
    assert found[0] == found[1]
