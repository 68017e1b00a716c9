"""ORPO against its equation in float64, and what of a pair the other objectives leave alone."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from tests.train.conftest import make_tokenizer, random_rows, tiny_model

from limbeck.config import Prepare, Train, check
from limbeck.data import Collator
from limbeck.errors import InputError
from limbeck.forward import attach
from limbeck.objectives import make_terms
from limbeck.objectives.base import States
from limbeck.objectives.orpo import Orpo
from limbeck.prepare import prepare
from limbeck.spans import KINDS
from limbeck.train import train
from limbeck.trainer import DistillConfig, DistillTrainer

PROMPT = {KINDS.index(kind) for kind in ("prompt", "question", "soft_prompt")}
RATE, LAMBDA = 0.5, 0.3


def pairs(rows: int = 4):
    """Packed rows of pairs, the chosen example before the rejected one."""
    found = random_rows(rows, kinds=(1, 0, 2, 3, 6))
    kept = []
    for row in found:
        count = len(row["example_ids"]) // 2 * 2
        tokens = sum(int(length) for length in row["example_lengths"][:count])
        if not count:
            continue
        kept.append(
            {
                "input_ids": list(row["input_ids"][:tokens]),
                "span_kinds": list(row["span_kinds"][:tokens]),
                "example_lengths": list(row["example_lengths"][:count]),
                "example_ids": [int(row["example_ids"][i // 2 * 2]) for i in range(count)],
                "example_roles": [1, 2] * (count // 2),
            }
        )
    assert sum(len(row["example_ids"]) for row in kept) > 4
    return kept


def means(model, row):
    """The mean log-probability of each completion of a row, from the model's ordinary logits."""
    at, found = 0, []
    for length in row["example_lengths"]:
        ids = torch.tensor(row["input_ids"][at : at + length])
        kinds = row["span_kinds"][at : at + length]
        at += length
        logits = model(ids[None]).logits[0].log_softmax(-1)
        own = [logits[t - 1, ids[t]] for t in range(1, length) if kinds[t] not in PROMPT]
        found.append(sum(own) / len(own))
    return list(zip(found[0::2], found[1::2], strict=True))


def by_hand(model, rows, strength=LAMBDA):
    """The equation, one pair after the other."""
    losses = []
    for chosen, rejected in (pair for row in rows for pair in means(model, row)):
        odds = [mean.exp() / (1 - mean.exp()) for mean in (chosen, rejected)]
        ratio = torch.log(torch.sigmoid(torch.log(odds[0]) - torch.log(odds[1])))
        losses.append(-chosen - strength * ratio)
    return sum(losses) / len(losses)


def test_a_step_of_the_trainer_descends_the_written_equation(tmp_path):
    """Packed rows in micro-batches, one step of plain SGD: the moves are the gradients."""
    rows = pairs()
    model = tiny_model().double()
    reference = tiny_model().double()
    reference.load_state_dict(model.state_dict())
    args = DistillConfig(
        output_dir=str(tmp_path), use_cpu=True, disable_tqdm=True, save_strategy="no",
        objectives=[{"name": "orpo", "strength": LAMBDA}], optim="sgd", learning_rate=RATE,
        lr_scheduler_type="constant", max_grad_norm=0.0, max_steps=1, logging_steps=1,
        per_device_train_batch_size=1, gradient_accumulation_steps=len(rows),
    )  # fmt: skip
    trainer = DistillTrainer(model, args, Dataset.from_list(rows).with_format("numpy"))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer.train()
    loss = by_hand(reference, rows)
    loss.backward()
    logged = trainer.state.log_history[0]
    assert logged["loss"] == pytest.approx(loss.item(), rel=1e-6)
    assert logged["orpo"] == pytest.approx(loss.item(), rel=1e-6)
    for name, parameter in reference.named_parameters():
        moved = (before[name] - model.get_parameter(name).detach()) / RATE
        torch.testing.assert_close(moved, parameter.grad, rtol=1e-5, atol=1e-8)
    right = [chosen > rejected for row in rows for chosen, rejected in means(reference, row)]
    assert logged["orpo_accuracy"] == pytest.approx(sum(right).item() / len(right))
    assert logged["orpo_chosen"] == pytest.approx(by_hand(reference, rows, 0.0).item(), rel=1e-6)


def losses(means_chosen, means_rejected, strength=LAMBDA):
    """The loss of completions of one token each, with these log-probabilities."""

    class Head:
        @staticmethod
        def nll(hidden, *, rows_R, labels_R):
            del rows_R, labels_R
            return -hidden

    both = torch.stack([means_chosen, means_rejected], 1).flatten()
    selection = {
        "rows": torch.arange(len(both)),
        "labels": torch.arange(len(both)),
        "completions": torch.arange(len(both)),
        "lengths": torch.ones(len(both), dtype=torch.int64),
    }
    pairs = torch.tensor(float(len(means_chosen)))
    return Orpo("orpo", 1.0, strength)(States(both, Head()), selection, pairs)


def test_the_odds_term_is_trls(monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.experimental.orpo import ORPOTrainer

    rows = pairs()
    model = tiny_model().double()
    found = [pair for row in rows for pair in means(model, row)]
    chosen, rejected = (torch.stack(side).detach() for side in zip(*found, strict=True))
    # What TRL takes for a completion's mean log-probability is what we take.
    first, ids = rows[0]["example_lengths"][0], torch.tensor(rows[0]["input_ids"])[None]
    kinds = rows[0]["span_kinds"][:first]
    labels = torch.tensor([[-100 if kind in PROMPT else 1 for kind in kinds]])
    labels = torch.where(labels == 1, ids[:, :first], labels)
    logps = ORPOTrainer.get_batch_logps(model(ids[:, :first]).logits, labels, average_log_prob=True)
    torch.testing.assert_close(logps[0], chosen[0], rtol=1e-12, atol=0)
    trainer = SimpleNamespace(beta=LAMBDA, accelerator=SimpleNamespace(device="cpu"))
    terms, *_ = ORPOTrainer.odds_ratio_loss(trainer, chosen, rejected)
    ours = losses(chosen, rejected) - losses(chosen, rejected, 0.0)
    assert ours.item() == pytest.approx(-terms.mean().item(), rel=1e-6)  # TRL computes in float32


def test_certain_and_hopeless_completions_have_a_finite_loss_and_gradient():
    extreme = torch.tensor([0.0, -1e-12, -1e-3, -5.0, -80.0, -700.0], dtype=torch.float32)
    chosen, rejected = (each.flatten() for each in torch.meshgrid(extreme, extreme, indexing="ij"))
    chosen, rejected = chosen.clone().requires_grad_(), rejected.clone().requires_grad_()
    loss = losses(chosen, rejected)
    loss.backward()
    assert loss.isfinite()
    assert chosen.grad.isfinite().all()
    assert rejected.grad.isfinite().all()
    inside = (rejected < -1e-5) & (rejected > -90) & (chosen > -90)
    assert (rejected.grad[inside] >= 0).all(), "what is rejected is made less likely"


def test_a_pair_without_completions_makes_no_nan():
    selection = {
        "rows": torch.zeros(0, dtype=torch.int64),
        "labels": torch.zeros(0, dtype=torch.int64),
        "completions": torch.zeros(0, dtype=torch.int64),
        "lengths": torch.zeros(2, dtype=torch.int64),
    }
    head = attach(tiny_model(), [Orpo("orpo", 1.0, LAMBDA)])
    states = States(torch.randn(3, 16), head)
    assert Orpo("orpo", 1.0, LAMBDA)(states, selection, torch.tensor(0.0)).isfinite()


def test_other_objectives_train_what_is_chosen_and_not_what_is_rejected():
    rows = pairs()
    terms = make_terms([{"name": "cross_entropy"}, {"name": "orpo"}])
    batch = Collator(terms)(rows)
    chosen_only = [
        {key: value for key, value in row.items() if key != "example_roles"} for row in rows
    ]
    all_rows = Collator(make_terms([{"name": "cross_entropy"}]))(chosen_only)
    of_pairs = batch["selections"]["cross_entropy"]
    of_all = all_rows["selections"]["cross_entropy"]
    roles = torch.tensor([role for row in rows for role in row["example_roles"]])
    width = batch["input_ids"].shape[1]
    example = torch.full(batch["input_ids"].shape, -1)
    seen = 0
    for b, row in enumerate(rows):
        lengths = torch.tensor(row["example_lengths"])
        numbers = torch.arange(len(lengths)).repeat_interleave(lengths) + seen
        example[b, : len(numbers)] = numbers
        seen += len(lengths)
    kept = roles[example.flatten()[of_all["rows"]]] == 1
    assert torch.equal(of_pairs["rows"], of_all["rows"][kept])
    assert torch.equal(of_pairs["weights"], of_all["weights"][kept])
    assert width == all_rows["input_ids"].shape[1]
    assert batch["items"][1].item() == pytest.approx(len(roles) / 2)


def test_prepared_pairs_train_and_what_is_chosen_becomes_the_likelier(tmp_path, prepared):
    """From records to a student, whose questions all have one wrong answer."""
    lines = [
        {
            "question": f"What is {n} + {m} ?",
            "answer": str(n + m),
            "rejected_answer": "4 of course",
        }
        for n in range(1, 5)
        for m in range(1, 5)
    ]
    records = tmp_path / "records.jsonl"
    records.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    tokenizer = make_tokenizer(tmp_path / "start", sem=False)
    model = tiny_model(vocab_size=len(tokenizer))
    model.save_pretrained(tmp_path / "start")
    section = check(Prepare, {"template": "answer-only", "pairs": True, "max_length": 64})
    prepare(
        [records], tokenizer=str(tmp_path / "start"), output_dir=tmp_path / "pairs", recipe=section
    )
    settings = {
        "objectives": [{"name": "orpo", "strength": 1.0}], "max_steps": 30, "learning_rate": 5e-3,
        "per_device_train_batch_size": 2, "logging_steps": 10, "save_strategy": "no",
    }  # fmt: skip
    student = train(
        tmp_path / "pairs", student=str(tmp_path / "start"), output_dir=tmp_path / "student",
        settings=check(Train, settings),
    )  # fmt: skip
    history = json.loads((student / "trainer_state.json").read_text("utf-8"))["log_history"]
    first, *_, last = (entry for entry in history if "orpo" in entry)
    assert last["orpo"] < first["orpo"]
    assert last["orpo_accuracy"] > 0.9
    with pytest.raises(InputError, match=r"orpo: the prepared data have no example_roles; prepare"):
        train(
            prepared, student=str(tmp_path / "start"), output_dir=tmp_path / "none",
            settings=check(Train, settings),
        )  # fmt: skip


@pytest.mark.parametrize(("strength", "told"), [(-0.1, "0 or more"), ("a", "give a number")])
def test_a_strength_out_of_range_is_refused(strength, told):
    with pytest.raises(InputError, match=rf"^train\.objectives: orpo: strength: .*{told}"):
        make_terms([{"name": "orpo", "strength": strength}])
