"""The loss is that of the model's own logits, whichever way it is computed."""

import pytest
import torch
from tests.train.conftest import random_rows, tiny_model

from limbeck.data import Collator
from limbeck.forward import attach, hidden_states
from limbeck.head import Head
from limbeck.objectives import make_terms

peft = pytest.importorskip("peft")


def plain(kind, **changes):
    return lambda: tiny_model(kind, **changes)


def lora_on_head():
    model = tiny_model(tie_word_embeddings=False)
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj", "lm_head"])
    return stir(peft.get_peft_model(model, config))


def trained_rows(tied):
    def make():
        model = tiny_model(tie_word_embeddings=tied)
        indices = {"embed_tokens": [7, 8]} | ({} if tied else {"lm_head": [7, 8]})
        config = peft.LoraConfig(
            task_type="CAUSAL_LM", r=2, target_modules="all-linear", trainable_token_indices=indices
        )
        return stir(peft.get_peft_model(model, config))

    return make


def stir(model):
    """Move what is trainable away from its start, at which an adapter is the identity."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.5)
    return model


STUDENTS = {
    "llama": (plain("llama"), True),
    "llama tied": (plain("llama", tie_word_embeddings=True), True),
    "qwen2": (plain("qwen2"), True),
    "gpt_neox": (plain("gpt_neox"), True),
    "gpt2": (plain("gpt2", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0), True),
    "phi, a bias": (plain("phi"), True),
    "gemma2, a cap": (plain("gemma2", head_dim=8, final_logit_softcapping=5.0), True),
    "granite": (plain("granite", logits_scaling=4.0), True),
    "cohere": (plain("cohere", logit_scale=0.25), True),
    "LoRA on the head": (lora_on_head, False),
    "trained rows, tied": (trained_rows(True), False),
    "trained rows, untied": (trained_rows(False), False),
}


@pytest.mark.parametrize("name", STUDENTS)
def test_loss_and_gradients_are_those_of_the_own_logits(name):
    make, fused = STUDENTS[name]
    student = make().double().train()
    terms = make_terms([{"name": "cross_entropy"}])
    head = attach(student, [term.build(16) for term in terms])
    batch = Collator(terms)(random_rows(3, seed=2))
    arguments = {key: batch[key] for key in ("input_ids", "position_ids", "selections")}
    loss = student(**arguments, normalizers=batch["items"])["loss"]
    loss.backward()
    assert head.fused is fused
    got = {n: p.grad.clone() for n, p in student.named_parameters() if p.grad is not None}

    student.zero_grad()
    logits = student(
        input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False
    ).logits.flatten(0, 1)
    chosen = batch["selections"]["cross_entropy"]
    nll = torch.nn.functional.cross_entropy(
        logits[chosen["rows"]], chosen["labels"], reduction="none"
    )
    want = (nll * chosen["weights"]).sum() / chosen["weights"].sum()
    want.backward()
    assert loss.item() == pytest.approx(want.item(), rel=1e-6)
    assert got.keys() == {n for n, p in student.named_parameters() if p.grad is not None}
    for key, parameter in student.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(got[key], parameter.grad, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("field", ["final_logit_softcapping", "logit_scale"])
def test_a_head_that_config_does_not_describe_is_not_fused(field):
    """The numeric check: gemma2 and cohere with the field their forward reads hidden from us."""
    kind = "gemma2" if field == "final_logit_softcapping" else "cohere"
    values = {"head_dim": 8} if kind == "gemma2" else {}
    model = tiny_model(kind, **values)
    head = Head(model)
    hidden = torch.randn(4, 16)
    assert head._is_reproduced(hidden)
    parameters = head._parameters()
    hidden_from_us = {"softcap": None} if kind == "gemma2" else {"scale": 1.0}
    head._parameters = lambda: parameters | hidden_from_us
    assert not head._is_reproduced(hidden)
    assert not head._is_reproduced(hidden * 1e-4), "small logits hide a cap"


def test_chunks_of_own_logits_add_up(monkeypatch):
    student = lora_on_head().double()
    terms = make_terms([{"name": "cross_entropy"}])
    head = attach(student, [term.build(16) for term in terms])
    batch = Collator(terms)(random_rows(3, seed=2))
    chosen = batch["selections"]["cross_entropy"]
    hidden = hidden_states(
        student.get_base_model().get_decoder(), batch["input_ids"], batch["position_ids"]
    ).flatten(0, 1)

    def loss():
        return head.cross_entropy(
            hidden, rows_R=chosen["rows"], labels_R=chosen["labels"],
            weights_R=chosen["weights"], normalizer=batch["items"][0],
        )  # fmt: skip

    whole = loss()
    monkeypatch.setattr("limbeck.head.CHUNK_ROWS", 5)
    parts = loss()
    assert parts.item() == pytest.approx(whole.item(), rel=1e-12)
    wanted = [p for p in student.parameters() if p.requires_grad]
    for a, b in zip(
        torch.autograd.grad(whole, wanted, retain_graph=True),
        torch.autograd.grad(parts, wanted),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_without_our_keys_the_forward_is_the_ordinary_one():
    import inspect

    student = tiny_model()
    ordinary = student.forward
    ids = torch.arange(2, 10)[None]
    before = student(ids).logits
    attach(student, [term.build(16) for term in make_terms([{"name": "cross_entropy"}])])
    assert torch.equal(student(ids).logits, before)
    assert inspect.signature(student.forward) == inspect.signature(ordinary)
    assert student.generate(ids, max_new_tokens=3, do_sample=False).shape[1] > 8


def test_prompt_tuning_is_refused():
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    student = peft.get_peft_model(tiny_model(), config)
    with pytest.raises(ValueError, match="prompt learning does not pack"):
        attach(student, [])
