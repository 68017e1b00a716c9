"""The loss of Distilling step-by-step through the trainer, against its equation in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from datasets import Dataset
from tests.train.conftest import tiny_model

from limbeck.errors import InputError
from limbeck.objectives import make_terms
from limbeck.recipes import step_by_step
from limbeck.spans import KINDS
from limbeck.trainer import DistillConfig, DistillTrainer

ANSWER, RATIONALE, END = (KINDS.index(kind) for kind in ("answer", "rationale", "end"))
# A label is short, a rationale long, and no two rows have the same number of either.
LABELS, RATIONALES = ([2], [1, 3], []), ([9], [4], [7, 5])


def rows():
    """Packed rows with label examples (template 0) and rationale examples (template 1)."""
    rng = np.random.default_rng(0)
    made, next_id = [], 0
    for labels, rationales in zip(LABELS, RATIONALES, strict=True):
        examples = [(ANSWER, 0, n) for n in labels] + [(RATIONALE, 1, n) for n in rationales]
        lengths = [3 + n + 1 for _, _, n in examples]
        made.append(
            {
                "input_ids": rng.integers(2, 60, size=sum(lengths)),
                "span_kinds": np.concatenate(
                    [[0, 1, 1, *[kind] * n, END] for kind, _, n in examples]
                ).astype(np.uint8),
                "example_lengths": lengths,
                "example_ids": np.arange(next_id, next_id + len(examples)),
                "example_templates": [number for _, number, _ in examples],
            }
        )
        next_id += len(examples)
    return made


def reference(model, alpha):
    """α·L_label + (1 − α)·L_rationale, each the mean over all tokens of its own task."""
    losses = {0: [], 1: []}
    for row in rows():
        start = 0
        for length, template in zip(row["example_lengths"], row["example_templates"], strict=True):
            ids = torch.tensor(row["input_ids"][start : start + length])
            logits = model(input_ids=ids[None]).logits[0, :-1]
            loss = torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none")
            losses[template].append(loss[2:])  # after the prompt's three tokens
            start += length
    label, rationale = (torch.cat(losses[template]).mean() for template in (0, 1))
    return alpha * label + (1 - alpha) * rationale, label, rationale


@pytest.mark.parametrize("alpha", [None, 0.2])
def test_the_step_is_the_gradient_of_the_equation(tmp_path, alpha):
    recipe = step_by_step(student="student", data={"paths": ["records.jsonl"]})
    objectives = [dict(term) for term in recipe.train.objectives]
    if alpha is not None:
        objectives[0]["weight"], objectives[1]["weight"] = alpha, 1 - alpha
    model = tiny_model(vocab_size=60).double()
    expected = tiny_model(vocab_size=60).double()
    loss, label, rationale = reference(expected, 0.5 if alpha is None else alpha)
    loss.backward()
    args = DistillConfig(
        output_dir=str(tmp_path), objectives=objectives, use_cpu=True, disable_tqdm=True,
        optim="sgd", learning_rate=1.0, lr_scheduler_type="constant", max_grad_norm=0.0,
        per_device_train_batch_size=1, gradient_accumulation_steps=3, max_steps=1,
        logging_steps=1, save_strategy="no",
    )  # fmt: skip
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer = DistillTrainer(model, args, Dataset.from_list(rows()).with_format("numpy"))
    trainer.train()
    for name, p in expected.named_parameters():
        step = before[name] - dict(trainer.model.named_parameters())[name].detach()
        torch.testing.assert_close(step, p.grad, rtol=1e-6, atol=1e-9, msg=lambda m, n=name: n + m)
    logs = trainer.state.log_history[0]
    assert logs["loss"] == pytest.approx(loss.item(), rel=1e-4)
    assert logs["label"] == pytest.approx(label.item(), rel=1e-4)
    assert logs["rationale"] == pytest.approx(rationale.item(), rel=1e-4)


def test_two_objectives_of_one_name_need_labels():
    term = {"name": "cross_entropy"}
    with pytest.raises(InputError, match="stands twice; give it once, or each a `label`"):
        make_terms([term, term])
    with pytest.raises(InputError, match=r"label: 'a.b'; give a word"):
        make_terms([{**term, "label": "a.b"}])
    with pytest.raises(InputError, match="template: -1; give its place"):
        make_terms([{**term, "template": -1}])
    assert [each.key for each in make_terms([term, {**term, "label": "other"}])] == [
        "cross_entropy",
        "other",
    ]
