"""Objectives in one fused head train exactly what they train one by one."""

import numpy as np
import pytest
import torch
from tests.train.conftest import random_rows, tiny_model

from limbeck.data import Collator
from limbeck.forward import attach
from limbeck.head import Head
from limbeck.objectives import base, make_terms
from limbeck.objectives.semantic_alignment import SemanticAlignment
from limbeck_kernels import distillation_head


class Store:
    """Target states of any example."""

    by_token = False

    def __init__(self, width):
        self.width = width

    def counts(self, example_ids):
        return np.ones(len(example_ids), np.int64)

    def read(self, example_ids):
        g = torch.Generator().manual_seed(0)
        return torch.randn(1000, self.width, generator=g)[torch.as_tensor(example_ids)]


@pytest.fixture
def heads(monkeypatch):
    """The terms that each fused head was given."""
    calls = []

    def spy(hidden, **terms):
        calls.append(sorted(terms))
        return distillation_head(hidden, **terms)

    monkeypatch.setattr(base, "distillation_head", spy)
    return calls


def step(student, metric, target_width, *, kinds=(0, 2, 4, 3, 6), fused=True, autocast=False):
    """Losses, logs and gradients of one batch."""
    terms = make_terms(
        [
            {"name": "cross_entropy", "weight": 2.0},
            {"name": "semantic_alignment", "weight": 0.3, "metric": metric},
        ],
        Store(target_width),
    )
    torch.manual_seed(3)
    objectives = [term.build(16) for term in terms]
    for objective in objectives:
        objective.to(next(student.parameters()).dtype)
    if not fused:  # one term that cannot join leaves the other nothing to join
        objectives[0].arguments = lambda *_: None
    attach(student, objectives)
    batch = Collator(terms)(random_rows(3, seed=2, kinds=kinds))
    arguments = {key: batch[key] for key in ("input_ids", "position_ids", "selections")}
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        outputs = student(**arguments, normalizers=batch["items"])
    outputs["loss"].backward()
    gradients = {n: p.grad for n, p in student.named_parameters() if p.grad is not None}
    return outputs["loss"], outputs["terms"], gradients


def assert_equal(one, two, **tolerance):
    torch.testing.assert_close(one[0], two[0], **tolerance)
    for got, want in zip(one[1:], two[1:], strict=True):
        assert got.keys() == want.keys()
        for name, value in got.items():
            torch.testing.assert_close(
                value, want[name], msg=lambda m, n=name: f"{n}: {m}", **tolerance
            )


def test_alignment_is_measured_at_the_semantic_tokens():
    """Against the definition at the rows that the term picked, and nowhere else."""
    terms = make_terms([{"name": "semantic_alignment"}], Store(24))
    objective = terms[0].build(16).double()
    batch = Collator(terms)(random_rows(3, seed=2))
    selection = batch["selections"]["semantic_alignment"]
    rows, n = selection["rows"], batch["input_ids"].numel()
    assert len(rows) > 3
    hidden = torch.full((n, 16), torch.nan, dtype=torch.float64)
    hidden[rows] = torch.randn(len(rows), 16, dtype=torch.float64)
    hidden.requires_grad_()
    loss = objective(base.States(hidden, None), selection, torch.tensor(7.0))
    predicted = hidden[rows] @ objective.projection.weight.T
    cosine = torch.nn.functional.cosine_similarity(predicted, selection["target"].double())
    torch.testing.assert_close(loss, (1 - cosine).sum() / 7)
    (grad,) = torch.autograd.grad(loss, hidden)
    assert set(grad.any(dim=1).nonzero().flatten().tolist()) == set(rows.tolist())


@pytest.mark.parametrize("metric", ["cosine", "mse", "smooth_l1"])
@pytest.mark.parametrize("target_width", [16, 24])
def test_losses_logs_and_gradients_are_those_of_the_single_terms(metric, target_width, heads):
    one = step(tiny_model().double(), metric, target_width)
    assert heads == [["alignment", "cross_entropy"]]
    two = step(tiny_model().double(), metric, target_width, fused=False)
    assert len(heads) == 1
    assert_equal(one, two, rtol=1e-10, atol=1e-12)


def test_a_batch_without_a_semantic_token(heads):
    one = step(tiny_model().double(), "cosine", 24, kinds=(0, 2, 2, 3, 6))
    assert len(heads) == 1
    two = step(tiny_model().double(), "cosine", 24, kinds=(0, 2, 2, 3, 6), fused=False)
    assert_equal(one, two, rtol=1e-10, atol=1e-12)
    assert one[1]["semantic_alignment"] == 0


def test_under_autocast_both_ways_see_the_states_that_the_head_sees(heads):
    one = step(tiny_model(), "cosine", 24, autocast=True)
    assert len(heads) == 1
    two = step(tiny_model(), "cosine", 24, autocast=True, fused=False)
    assert_equal(one, two, rtol=2e-2, atol=2e-3)


def test_an_adapted_head_is_not_fused(heads):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj", "lm_head"])
    student = peft.get_peft_model(tiny_model(tie_word_embeddings=False), config)
    loss, _, gradients = step(student, "cosine", 24)
    assert heads == []
    assert loss.isfinite()
    assert any("lm_head" in name for name in gradients)


@pytest.mark.parametrize("first_can_join", [True, False])
def test_objectives_of_one_part_each_keep_their_loss(first_can_join, heads, monkeypatch):
    """Two alignments beside one cross-entropy: the head has a place for one of them."""
    torch.manual_seed(0)
    terms = make_terms([{"name": "cross_entropy"}, {"name": "semantic_alignment"}], Store(24))
    near, far = terms[1].build(16), SemanticAlignment("other_alignment", 0.5, "mse", 16, 24)
    objectives = [terms[0].build(16), near, far]
    if not first_can_join:
        monkeypatch.setattr(near, "arguments", lambda *_: None)
        monkeypatch.setattr(near, "forward", lambda states, *_: states.hidden.square().mean())
        monkeypatch.setattr(near, "logs", lambda loss, *_: {near.name: loss.detach()})
    student = tiny_model()
    batch = Collator(terms)(random_rows(3, seed=2))
    selections = batch["selections"]
    other = torch.randn_like(selections[near.name]["target"])
    selections[far.name] = selections[near.name] | {"target": other}
    hidden = torch.randn(batch["input_ids"].numel(), 16, requires_grad=True)
    states = base.States(hidden, Head(student))
    normalizers = torch.tensor([5.0, 7.0, 3.0])

    total, logs = base.measured(objectives, states, selections, normalizers)
    assert heads == [["alignment", "cross_entropy"]]
    single = [
        objective(states, selections[objective.name], normalizer)
        for objective, normalizer in zip(objectives, normalizers, strict=True)
    ]
    assert len({round(loss.item(), 3) for loss in single}) == 3
    want = sum(o.weight * loss for o, loss in zip(objectives, single, strict=True))
    torch.testing.assert_close(total, want)
    for objective, loss in zip(objectives, single, strict=True):
        torch.testing.assert_close(logs[objective.name], loss.detach())
    trained = [hidden, far.projection.weight]
    if first_can_join:
        trained.append(near.projection.weight)
    for got, expected in zip(
        torch.autograd.grad(total, trained), torch.autograd.grad(want, trained), strict=True
    ):
        torch.testing.assert_close(got, expected)
