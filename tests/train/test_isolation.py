"""P3: packed loss = unpacked loss, on every attention backend that runs here."""

import pytest
import torch
from tests.train.conftest import random_rows, tiny_model

from limbeck.data import Collator
from limbeck.errors import InputError
from limbeck.forward import attach, hidden_states
from limbeck.isolation import check_isolation
from limbeck.objectives import make_terms

BACKENDS = [
    (kind, attention) for kind in ("llama", "qwen2", "gpt_neox") for attention in ("eager", "sdpa")
]


def unpacked(rows):
    for row in rows:
        start = 0
        for length, id in zip(row["example_lengths"], row["example_ids"], strict=True):
            stop = start + int(length)
            yield {
                "input_ids": row["input_ids"][start:stop],
                "span_kinds": row["span_kinds"][start:stop],
                "example_lengths": [length],
                "example_ids": [id],
            }
            start = stop


def loss_and_gradients(model, batch, normalizer):
    model.zero_grad()
    out = model(
        input_ids=batch["input_ids"], position_ids=batch["position_ids"],
        selections=batch["selections"], normalizers=normalizer,
    )  # fmt: skip
    out["loss"].backward()
    return out["loss"].item(), {n: p.grad.clone() for n, p in model.named_parameters()}


@pytest.mark.parametrize(("kind", "attention"), BACKENDS)
def test_packed_equals_unpacked(kind, attention):
    rows = random_rows(3, seed=1)
    model = tiny_model(kind, attn_implementation=attention, initializer_range=0.3).double().train()
    terms = make_terms([{"name": "cross_entropy"}])
    attach(model, [term.build(16) for term in terms])
    collate = Collator(terms)
    packed = collate(rows)
    z = packed["items"].double()
    loss, gradients = loss_and_gradients(model, packed, z)
    assert torch.isfinite(torch.tensor(loss))
    model.zero_grad()
    apart = 0.0
    for row in unpacked(rows):
        batch = collate([row])
        part = model(
            input_ids=batch["input_ids"], position_ids=batch["position_ids"],
            selections=batch["selections"], normalizers=z,
        )["loss"]  # fmt: skip
        part.backward()
        apart += part.item()
    tolerance = 1e-6 if attention == "eager" else 1e-10  # eager takes its softmax in fp32
    assert apart == pytest.approx(loss, rel=tolerance)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(
            parameter.grad, gradients[name], rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}{m}"
        )


def test_padding_changes_nothing():
    rows = random_rows(2, seed=4)
    model = tiny_model(attn_implementation="sdpa").double().eval()
    both = Collator(make_terms([{"name": "cross_entropy"}]))(rows)
    padded = hidden_states(model.get_decoder(), both["input_ids"], both["position_ids"])
    for b, row in enumerate(rows):
        alone = Collator(make_terms([{"name": "cross_entropy"}]))([row])
        states = hidden_states(model.get_decoder(), alone["input_ids"], alone["position_ids"])
        torch.testing.assert_close(padded[b, : states.shape[1]], states[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("kind", "attention"), BACKENDS)
def test_the_check_passes_what_isolates(kind, attention):
    model = tiny_model(kind, attn_implementation=attention).train()
    check_isolation(model)
    assert model.training


def test_the_check_refuses_what_leaks():
    model = tiny_model()
    decoder, inner = model.get_decoder(), model.get_decoder().forward

    def leaking(**kwargs):  # as with a cache: positions no longer part the examples
        kwargs["attention_mask"] = torch.ones_like(kwargs["input_ids"])
        return inner(**kwargs)

    decoder.forward = leaking
    with pytest.raises(InputError, match="packed examples see each other"):
        check_isolation(model)


def test_the_check_refuses_a_model_without_positions():
    model = tiny_model("mamba", num_hidden_layers=1)
    with pytest.raises(InputError, match="packed examples see each other"):
        check_isolation(model)


def test_a_model_that_cannot_pack_is_given_every_example_alone(tmp_path):
    """Of packed rows it is told, and learns from them what it does from rows of one example."""
    from tests.train.conftest import RECORDS, write_prepared

    from limbeck.data import load_prepared
    from limbeck.trainer import DistillConfig, DistillTrainer

    def train(per_row):
        prepared = write_prepared(tmp_path / str(per_row), per_row=per_row)
        args = DistillConfig(
            output_dir=str(tmp_path), use_cpu=True, disable_tqdm=True, max_steps=1,
            save_strategy="no", per_device_train_batch_size=len(RECORDS),
        )  # fmt: skip
        torch.manual_seed(0)
        # Weights so large that what is seen of another example shows in the loss.
        model = tiny_model("mamba", num_hidden_layers=1, initializer_range=0.5)
        for name, weight in model.named_parameters():
            if "conv" in name:
                torch.nn.init.normal_(weight)
        return DistillTrainer(model, args, load_prepared(prepared)).train().training_loss

    alone = train(per_row=1)
    with pytest.warns(UserWarning, match=r"packed examples see each other.* a row of its own"):
        packed = train(per_row=2)
    assert packed == pytest.approx(alone, rel=1e-5)
