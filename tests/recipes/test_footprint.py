"""What training takes, counted without weights, beside what it takes; and the recipe for 24 GB."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from limbeck.errors import InputError
from limbeck.footprint import footprint
from limbeck.forward import hidden_states
from limbeck.prepare import prepare
from limbeck.recipes import answer_only
from limbeck.recipes.load import load

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "examples/r1-24gb.yaml"
SHARED = Path(os.environ.get("LIMBECK_SHARED", ROOT / "../shared"))
TINY = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 100,
    "tie_word_embeddings": False,
}
# The shapes of the published students.
QWEN3 = {
    "model_type": "qwen3",
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
    "max_position_embeddings": 40960,
}
SIZES = {
    "Qwen3-0.6B": {"hidden_size": 1024, "intermediate_size": 3072},
    "Qwen3-1.7B": {"hidden_size": 2048, "intermediate_size": 6144},
}


def recipe(**train):
    return answer_only(
        student={"config": TINY},
        data={"tasks": ["arithmetic"]},
        prepare={"max_length": 24},
        train={"per_device_train_batch_size": 2, "bf16": False} | train,
    )


def student():
    values = dict(TINY)
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    return AutoModelForCausalLM.from_config(config)


def test_weights_gradients_and_moments_are_what_a_step_leaves() -> None:
    model = student()
    optimizer = torch.optim.AdamW(model.parameters())
    model(input_ids=torch.arange(8)[None], labels=torch.arange(8)[None]).loss.backward()
    optimizer.step()
    moments = [
        each
        for state in optimizer.state.values()
        for name, each in state.items()
        if name.startswith("exp_avg")
    ]
    counted = footprint(recipe())
    assert counted.parameters == counted.trainable == sum(p.numel() for p in model.parameters())
    assert counted.weights == sum(each.nbytes for each in model.parameters())
    assert counted.gradients == sum(each.grad.nbytes for each in model.parameters())
    assert counted.optimizer == sum(each.nbytes for each in moments)


def test_activations_are_what_a_real_forward_keeps() -> None:
    model, kept = student().train(), {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage
        return tensor

    ids = torch.zeros(2, 24, dtype=torch.int64)
    packed = torch.arange(12).repeat(2).expand(2, 24)  # two examples a row, so a mask is kept too
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden_states(model.get_decoder(), ids, packed)
    counted = footprint(recipe(gradient_checkpointing=False))
    assert counted.activations == sum(storage.nbytes() for storage in kept.values())
    assert footprint(recipe()).activations < counted.activations


def test_lora_trains_few_on_a_frozen_half_precision_base() -> None:
    pytest.importorskip("peft")
    whole, lora = footprint(recipe()), footprint(recipe(use_peft=True, lora_r=2, bf16=True))
    # Rank 2 on the seven linear layers of each block.
    assert lora.trainable == 3 * 2 * (4 * 2 * 32 + 3 * (32 + 48))
    assert lora.parameters == whole.parameters + lora.trainable
    assert lora.weights < whole.weights * 0.75


def test_a_student_that_is_not_here_is_said_so() -> None:
    absent = answer_only(student="nobody/nothing", data={"tasks": ["arithmetic"]})
    with pytest.raises(InputError, match="nobody/nothing: no config of it is here"):
        footprint(absent)


@pytest.mark.parametrize(
    ("name", "changes", "fits"),
    [
        ("Qwen3-0.6B", (), True),
        ("Qwen3-1.7B", ("train.use_peft=true",), True),
        ("Qwen3-1.7B", (), False),
    ],
)
def test_the_students_of_the_24_gb_recipe_fit(
    tmp_path: Path, name: str, changes: tuple[str, ...], fits: bool
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(QWEN3 | SIZES[name]), "utf-8")
    (chosen,) = load(RECIPE, [f"student={tmp_path}", *changes])
    counted = footprint(chosen)
    assert counted.parameters == pytest.approx(float(name[-4:-1]) * 1e9, rel=0.05)
    assert (counted.total < 0.85 * 24e9) == fits, counted


def test_the_24_gb_recipe_prepares_a_dump_with_the_students_vocabulary(tmp_path: Path) -> None:
    if not (SHARED / "tokenizers/qwen.json").is_file():
        pytest.skip("LIMBECK_SHARED names no directory with tokenizers/qwen.json")
    lines = (ROOT / "tests/data/formats/open_r1.jsonl").read_text("utf-8").splitlines()
    dump = tmp_path / "data/train-00000-of-00001.parquet"
    dump.parent.mkdir()
    pq.write_table(pa.Table.from_pylist([json.loads(line) for line in lines]), dump)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(SHARED / "tokenizers/qwen.json"), eos_token="<|im_end|>"
    )
    tokenizer.chat_template = (ROOT / "tests/data/chat_templates/thinking.jinja").read_text("utf-8")
    tokenizer.save_pretrained(tmp_path / "student")
    (chosen,) = load(RECIPE)
    manifest = prepare(
        [f"{tmp_path}/data/*.parquet"],
        tokenizer=str(tmp_path / "student"),
        output_dir=tmp_path / "prepared",
        recipe=chosen,
    )
    assert manifest.examples > 0
    assert manifest.tokens["rationale"] > manifest.tokens["answer"] > 0
    assert manifest.tokens["semantic"] == manifest.examples
