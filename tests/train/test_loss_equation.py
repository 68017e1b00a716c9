"""PST's loss, written out by hand in float64, and where its gradients go.

L = Σ w·nll / Σ w over the answer, `<|sem|>` and the end (w_a) and the rationale (w_r), plus w_s
times the mean over examples of d(P·h_sem, z).
"""

import hashlib

import numpy as np
import pytest
import torch
from tests.train.conftest import RECORDS, example, make_tokenizer, tiny_model

from limbeck.data import Collator, load_prepared
from limbeck.forward import attach
from limbeck.objectives import make_terms
from limbeck.recipes.templates import template
from limbeck.spans import KINDS
from limbeck.target_store import TargetStore
from limbeck.trainer import DistillConfig, DistillTrainer

ANSWER, RATIONALE, ALIGNMENT = 1.5, 0.25, 0.6
SPAN_WEIGHTS = {"answer": ANSWER, "semantic": ANSWER, "end": ANSWER, "rationale": RATIONALE}
SEMANTIC = KINDS.index("semantic")


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Token ids and the names of their span kinds, each record alone."""
    tokenizer = make_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    made = (example(tokenizer, record, template("answer-first", "plain")) for record in RECORDS)
    return [(ids, [KINDS[kind] for kind in kinds]) for ids, kinds in made]


@pytest.fixture(scope="module")
def encoded(encoder):
    """The mean state of each rationale under the encoder, `[6, 24]`."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = (kind.from_pretrained(encoder) for kind in (AutoTokenizer, AutoModel))
    with torch.no_grad():
        return torch.stack(
            [
                model(tokenizer(text, return_tensors="pt")["input_ids"])
                .last_hidden_state[0]
                .mean(0)
                for _, _, text in RECORDS
            ]
        ).double()


def distance(a, b, metric):
    if metric == "cosine":
        return 1 - (a @ b) / (a.norm() * b.norm())
    gap = (a - b).abs()
    if metric == "mse":
        return (gap**2).mean()
    return torch.where(gap < 1, gap**2 / 2, gap - 0.5).mean()


def by_hand(model, projection, examples, encoded, metric):
    """The equation, one example after the other, from the model's ordinary outputs."""
    summed = mass = far = 0.0
    for (ids, kinds), z in zip(examples, encoded, strict=True):
        output = model(torch.tensor([ids]), output_hidden_states=True)
        log_probabilities = output.logits[0].log_softmax(-1)
        for t in range(1, len(ids)):
            weight = SPAN_WEIGHTS.get(kinds[t], 0.0)
            summed = summed - weight * log_probabilities[t - 1, ids[t]]
            mass += weight
        state = output.hidden_states[-1][0, kinds.index("semantic")]
        far = far + distance(projection @ state, z, metric)
    return summed / mass, far / len(examples)


@pytest.mark.parametrize("metric", ["cosine", "mse", "smooth_l1"])
def test_a_step_of_the_trainer_descends_the_written_equation(
    tmp_path, prepared, targets, examples, encoded, metric
):
    """Packed rows in three micro-batches, one step of plain SGD: the weights are the gradients."""
    rate = 0.5
    cache = targets / "targets.safetensors"
    before = hashlib.sha256(cache.read_bytes()).hexdigest()
    args = DistillConfig(
        output_dir=str(tmp_path), use_cpu=True, disable_tqdm=True, save_strategy="no",
        objectives=[
            {"name": "cross_entropy", "span_weights": SPAN_WEIGHTS},
            {"name": "semantic_alignment", "weight": ALIGNMENT, "metric": metric},
        ],
        optim="sgd", learning_rate=rate, lr_scheduler_type="constant", max_grad_norm=0.0,
        max_steps=1, logging_steps=1, per_device_train_batch_size=1, gradient_accumulation_steps=3,
    )  # fmt: skip
    trainer = DistillTrainer(
        tiny_model(vocab_size=284).double(), args, load_prepared(prepared), targets=targets
    )
    trainer.objectives.double()
    weight = trainer.objectives["semantic_alignment"].projection.weight
    projection = weight.detach().clone().requires_grad_()
    trainer.train()

    model = tiny_model(vocab_size=284).double()
    entropy, far = by_hand(model, projection, examples, encoded, metric)
    (entropy + ALIGNMENT * far).backward()
    log = trainer.state.log_history[0]
    assert log["cross_entropy"] == pytest.approx(entropy.item(), rel=1e-6)
    assert log["semantic_alignment"] == pytest.approx(far.item(), rel=1e-6)
    assert log["loss"] == pytest.approx((entropy + ALIGNMENT * far).item(), rel=1e-6)
    wanted = dict(model.named_parameters())
    for name, trained in trainer.model.named_parameters():
        want = projection if name.startswith("objectives") else wanted.pop(name)
        assert want.grad.any(), name
        # To the rounding of the cached states, which are float32.
        torch.testing.assert_close(
            trained, want - rate * want.grad, rtol=0, atol=2e-7, msg=lambda m, n=name: f"{n}: {m}"
        )
    assert not wanted
    assert hashlib.sha256(cache.read_bytes()).hexdigest() == before


def test_weights_of_nought_and_one_are_a_mask(examples):
    """As transformers' own loss with the other labels masked, tokens of all examples alike."""
    trained = {"answer", "semantic"}
    terms = make_terms([{"name": "cross_entropy", "span_weights": dict.fromkeys(trained, 1.0)}])
    rows = [
        {
            "input_ids": ids, "span_kinds": [KINDS.index(kind) for kind in kinds],
            "example_lengths": [len(ids)], "example_ids": [n],
        }
        for n, (ids, kinds) in enumerate(examples)
    ]  # fmt: skip
    batch = Collator(terms)(rows)
    ours, theirs = (tiny_model(vocab_size=284).double() for _ in range(2))
    attach(ours, [term.build(16) for term in terms])
    loss = ours(
        input_ids=batch["input_ids"], position_ids=batch["position_ids"],
        selections=batch["selections"], normalizers=batch["items"],
    )["loss"]  # fmt: skip
    loss.backward()

    labels = torch.full_like(batch["input_ids"], -100)
    for row, (ids, kinds) in enumerate(examples):
        for t, kind in enumerate(kinds):
            if kind in trained:
                labels[row, t] = ids[t]
    want = theirs(
        batch["input_ids"], attention_mask=(batch["input_ids"] >= 0).long(), labels=labels
    ).loss
    want.backward()
    assert loss.item() == pytest.approx(want.item(), rel=1e-6)
    for (name, one), two in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("pooling", ["mean", "token"])
def test_the_alignment_reaches_what_was_read_before_and_nothing_else(
    tmp_path, prepared, encoder, pooling
):
    """By attention the tokens before; no token after, no other example, no head, no target."""
    from limbeck.config import Targets
    from limbeck.targets import targets as make

    settings = Targets(encoder=str(encoder), pooling=pooling)
    store = TargetStore(make(prepared, student=encoder, output_dir=tmp_path, settings=settings))
    terms = make_terms([{"name": "semantic_alignment"}], store)
    model = tiny_model(vocab_size=284).double()
    objective = terms[0].build(16).double()
    attach(model, [objective])
    seen = {}
    model.get_input_embeddings().register_forward_hook(
        lambda _module, _inputs, output: seen.setdefault("read", output).retain_grad()
    )
    model.model.norm.register_forward_hook(
        lambda _module, _inputs, output: seen.setdefault("last", output).retain_grad()
    )
    row = load_prepared(prepared)[1]  # two examples
    batch = Collator(terms)([row])
    # Only the first example's rows count: what its gradient touches is its own.
    selection = batch["selections"]["semantic_alignment"]
    first = int(row["example_lengths"][0])
    selection["weights"][selection["rows"] >= first] = 0
    model(
        input_ids=batch["input_ids"], position_ids=batch["position_ids"],
        selections=batch["selections"], normalizers=batch["items"],
    )["loss"].backward()  # fmt: skip

    kind = SEMANTIC if pooling == "mean" else KINDS.index("rationale")
    aligned = np.flatnonzero(row["span_kinds"][:first] == kind)
    touched = {name: states.grad[0].any(1).nonzero().flatten() for name, states in seen.items()}
    assert touched["last"].tolist() == aligned.tolist()
    assert touched["read"].tolist() == list(range(aligned[-1] + 1))
    assert objective.projection.weight.grad.any()
    assert model.lm_head.weight.grad is None
    assert not any(value.requires_grad for value in selection.values())
