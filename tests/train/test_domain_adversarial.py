"""The domain classifier follows its gradient, the student goes against it: through the trainer."""

from __future__ import annotations

import copy
import json
import math
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from safetensors.torch import load_file
from tests.train.conftest import RECORDS, make_tokenizer, random_rows, tiny_model
from tests.train.test_trainer import CHECKPOINTING
from transformers import AutoTokenizer

from limbeck.config import Prepare, Train, check
from limbeck.domains import Domains, read_domains
from limbeck.errors import InputError
from limbeck.forward import causal_model
from limbeck.generate import Generator
from limbeck.objectives import base, make_terms
from limbeck.prepare import prepare
from limbeck.spans import DEFAULT_SPAN_WEIGHTS, KINDS
from limbeck.train import train
from limbeck.trainer import DistillConfig, DistillTrainer
from limbeck_kernels import distillation_head

NAMES = ("apples", "pears", "plums")
LAMBDA, RATE, OWN_RATE = 0.3, 0.5, 0.125
TERM = {"name": "domain_adversarial", "strength": LAMBDA, "schedule": "constant"}
CROSS_ENTROPY = {"name": "cross_entropy"}


def rows() -> Dataset:
    """Packed rows whose examples begin with a question of two tokens; some have no domain."""
    found = random_rows(4, kinds=(1, 0, 2, 3, 6))
    domains = iter([0, 1, 0, -1, 2, 0, 1, 0] * 3)
    for row in found:
        row["domains"] = [next(domains) for _ in row["example_ids"]]
    return Dataset.from_list([{k: list(v) for k, v in row.items()} for row in found]).with_format(
        "numpy"
    )


def trainer(tmp_path, term, *, model=None, objectives=None, data=None, **changes):
    data = data or rows()
    arguments = {
        "max_steps": 1, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2,
        "optim": "sgd", "learning_rate": RATE, "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0, "use_cpu": True, "save_strategy": "no", "logging_steps": 1,
    }  # fmt: skip
    config = DistillConfig(
        output_dir=str(tmp_path),
        objectives=[*(objectives or []), {**TERM, **term}],
        **arguments | changes,
    )
    domains = read_domains(data, NAMES)
    return DistillTrainer(model or tiny_model().double(), config, data, domains=domains)


def domains_of(*numbers):
    return Domains(NAMES, np.arange(len(numbers)), np.array(numbers))


def states_at(model, layer, ids):
    """States of a layer as the last ones of a student that has no layers above it, nor a norm."""
    decoder = model.model
    layer %= len(decoder.layers) + 1
    if layer == len(decoder.layers):
        return decoder(input_ids=ids).last_hidden_state[0]
    cut = copy.copy(decoder)  # shares every weight
    cut._modules = {
        **decoder._modules, "layers": decoder.layers[:layer], "norm": torch.nn.Identity()
    }  # fmt: skip
    return cut(input_ids=ids).last_hidden_state[0]


def expected(model, classifier, first, term, data):
    """Both losses by their definition, one example after the other, in float64."""
    counts = Counter(int(d) for row in data for d in row["domains"] if d >= 0)
    target = term.get("target", ())
    size = {
        True: sum(n for d, n in counts.items() if NAMES[d] in target),
        False: sum(n for d, n in counts.items() if NAMES[d] not in target),
    }
    by_span, by_domain, spans, domains, right = [], [], 0.0, 0.0, 0.0
    for row in data:
        at = 0
        for length, domain in zip(row["example_lengths"], row["domains"], strict=True):
            ids = torch.tensor(row["input_ids"][at : at + length])[None]
            kinds = row["span_kinds"][at : at + length]
            at += length
            states = states_at(model, -1, ids)
            each = [DEFAULT_SPAN_WEIGHTS.get(KINDS[kind], 0.0) for kind in kinds[1:]]
            weights = torch.tensor(each, dtype=torch.float64)
            losses = F.cross_entropy(model.lm_head(states[:-1]), ids[0, 1:], reduction="none")
            by_span.append((weights * losses).sum())
            spans += weights.sum()
            if domain < 0:
                continue
            states = states_at(model, term.get("layer", -1), ids)
            question = {"mean": states[:2].mean(0, True), "last": states[1:2], "token": states[:2]}
            features = question[term.get("pooling", "mean")]
            if first is not None:
                features = F.gelu(first(features))
            weight = sum(counts.values()) / (2 * size[NAMES[domain] in target]) if target else 1.0
            kind = int(NAMES[domain] in target) if term.get("classes") else int(domain)
            logits = classifier(features)
            losses = F.cross_entropy(logits, torch.full((len(features),), kind), reduction="none")
            by_domain.append(weight * losses.mean())
            right += weight * (logits.argmax(-1) == kind).double().mean().item()
            domains += weight
    return sum(by_span) / spans, sum(by_domain) / domains, right / domains


@pytest.mark.parametrize("with_cross_entropy", [True, False])
@pytest.mark.parametrize(
    "term",
    [
        {},
        {"hidden_size": 8, "learning_rate": OWN_RATE},
        {"pooling": "last", "learning_rate": OWN_RATE, "target": ["plums"]},
        {"pooling": "token", "target": ["plums", "pears"], "classes": "source_target"},
        {"pooling": "token", "hidden_size": 8, "weight": 2.0},
        {"pooling": "mean", "hidden_size": 4, "target": ["pears"], "classes": "source_target"},
        {"layer": 0},
        {"layer": 1, "target": ["plums"]},
        {"layer": -2, "pooling": "token", "hidden_size": 8, "learning_rate": OWN_RATE},
        {"layer": 2, "pooling": "last"},
    ],
)
def test_one_step_of_the_trainer_reverses_what_the_definition_says(
    term, with_cross_entropy, tmp_path
) -> None:
    data = rows()
    objectives = [CROSS_ENTROPY] * with_cross_entropy
    if not with_cross_entropy:  # an example without a domain would train nothing
        data = Dataset.from_list(
            [
                {**row, "domains": [max(0, d) for d in row["domains"]]}
                for row in data.with_format(None)
            ]
        ).with_format("numpy")
    run = trainer(tmp_path, term, objectives=objectives, data=data)
    felt, loss_d, accuracy = one_step(run, term, data, with_cross_entropy=with_cross_entropy)
    part_of = ("objectives", "embed_tokens", "layers.0", "layers.1", "model.norm")
    reached = {part for part in part_of for name in felt if part in name}
    assert reached == set(part_of[: {0: 2, 1: 3}.get(term.get("layer", -1) % 3, 5)])
    logs = run.state.log_history[0]
    assert logs["domain_adversarial"] == pytest.approx(loss_d, rel=1e-5)
    assert logs["domain_adversarial_accuracy"] == pytest.approx(accuracy, rel=1e-5)
    assert logs["domain_adversarial_strength"] == pytest.approx(LAMBDA, rel=1e-5)


def one_step(run, term, data, *, with_cross_entropy=True):
    """Check a step against the definition; return what felt the domain loss, it and accuracy."""
    part = run.objectives["domain_adversarial"].double()
    model = causal_model(run.model)
    loss_y, loss_d, accuracy = expected(model, part.classifier, part.first, term, data)
    named = {name: each for name, each in run.model.named_parameters() if each.requires_grad}
    before = {name: value.detach().clone() for name, value in named.items()}
    weight = term.get("weight", 1.0)
    grads_y = torch.autograd.grad(loss_y, named.values(), allow_unused=True, retain_graph=True)
    grads_d = torch.autograd.grad(loss_d, named.values(), allow_unused=True)
    run.train()
    felt = set()
    for name, grad_y, grad_d in zip(named, grads_y, grads_d, strict=True):
        none = torch.zeros_like(before[name])
        d = none if grad_d is None else weight * grad_d
        y = grad_y if with_cross_entropy and grad_y is not None else none
        is_classifier = name.startswith("objectives.")
        gradient = y + d if is_classifier else y - LAMBDA * d
        rate = term.get("learning_rate", RATE) if is_classifier else RATE
        torch.testing.assert_close(
            named[name].detach() - before[name], -rate * gradient, rtol=1e-5, atol=1e-8
        )
        if d.abs().max() > 1e-6:
            felt.add(name)
    return felt, loss_d.item(), accuracy


@pytest.mark.parametrize("hidden_size", [0, 8])
@pytest.mark.parametrize(("lora", "recomputed"), [(True, False), (False, True), (True, True)])
def test_a_lower_layer_of_an_adapted_or_recomputed_student(
    lora, recomputed, hidden_size, tmp_path
) -> None:
    data, model = rows(), tiny_model().double()
    if lora:
        peft = pytest.importorskip("peft")
        config = peft.LoraConfig(
            task_type="CAUSAL_LM", r=2, target_modules="all-linear", init_lora_weights=False
        )
        model = peft.get_peft_model(model, config)
    term = {"layer": 1, "hidden_size": hidden_size}
    run = trainer(
        tmp_path, term, model=model, objectives=[CROSS_ENTROPY], data=data,
        **{CHECKPOINTING: recomputed},
    )  # fmt: skip
    felt, *_ = one_step(run, term, data)
    assert any("layers.0" in name for name in felt)
    assert not any("layers.1" in name for name in felt)
    assert all("lora" in name or "objectives" in name for name in felt) == lora


@pytest.mark.parametrize(("layer", "joins"), [(-1, True), (2, True), (1, False), (0, False)])
def test_only_an_adversary_of_the_last_layer_joins_the_fused_head(
    layer, joins, tmp_path, monkeypatch
) -> None:
    parts = []

    def spy(hidden, **given):
        parts.append(sorted(given))
        return distillation_head(hidden, **given)

    monkeypatch.setattr(base, "distillation_head", spy)
    trainer(tmp_path, {"layer": layer}, objectives=[CROSS_ENTROPY]).train()
    assert parts == [["cross_entropy", "domain"]] * 2 * joins


def test_a_layer_that_the_student_lacks_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match=r"layer: 3; the student has states 0 .* to 2"):
        trainer(tmp_path, {"layer": 3})


def test_lambda_follows_the_training(tmp_path) -> None:
    for schedule, share in (
        ("dann", lambda p: 2 / (1 + math.exp(-10 * p)) - 1),
        (lambda p: p * p, lambda p: p * p),
    ):
        run = trainer(
            tmp_path, {"schedule": schedule}, objectives=[CROSS_ENTROPY], max_steps=4,
            model=tiny_model(),
        )  # fmt: skip
        run.train()
        logged = [log["domain_adversarial_strength"] for log in run.state.log_history[:4]]
        assert logged == pytest.approx([LAMBDA * share(step / 4) for step in range(4)], rel=1e-4)


def test_prepared_records_train_a_student_and_a_classifier_at_its_own_rate(tmp_path) -> None:
    make_tokenizer(tmp_path / "tokenizer", sem=False)
    keys = ("question", "answer", "rationale")
    lines = [
        json.dumps({**dict(zip(keys, record, strict=True)), "domain": NAMES[number % 2]})
        for number, record in enumerate(RECORDS)
    ]
    (tmp_path / "records.jsonl").write_text("\n".join(lines))
    section = check(Prepare, {"template": "think-first", "max_length": 64, "filters": []})
    prepare(
        tmp_path / "records.jsonl",
        tokenizer=tmp_path / "tokenizer", output_dir=tmp_path / "out", recipe=section,
    )  # fmt: skip
    model = tiny_model(vocab_size=len(AutoTokenizer.from_pretrained(tmp_path / "tokenizer")))
    model.save_pretrained(tmp_path / "base")
    term = {**TERM, "target": [NAMES[1]], "hidden_size": 8, "learning_rate": 0.01}
    settings = check(
        Train,
        {
            "objectives": [CROSS_ENTROPY, term], "max_steps": 2, "logging_steps": 1,
            "use_cpu": True, "learning_rate": 1e-3,
        },
    )  # fmt: skip
    student = train(
        tmp_path / "out", student=tmp_path / "base", output_dir=tmp_path / "s", settings=settings
    )
    logs = json.loads((student / "trainer_state.json").read_text())["log_history"][0]
    assert 0 <= logs["domain_adversarial_accuracy"] <= 1
    assert logs["domain_adversarial"] > 0
    apart = load_file(student / "objectives.safetensors")
    assert apart["domain_adversarial.first.weight"].shape == (8, 16)
    assert Generator(student, device="cpu").generate(["What is 1 + 2 ?"])


@pytest.mark.parametrize(
    ("options", "rate", "decay"),
    [
        ({"learning_rate": OWN_RATE}, OWN_RATE, 0.5),
        ({"weight_decay": 10}, RATE, 10),
        ({"learning_rate": OWN_RATE, "weight_decay": 0}, OWN_RATE, 0),
    ],
)
def test_an_own_rate_or_decay_makes_a_group_of_its_own(options, rate, decay, tmp_path) -> None:
    run = trainer(
        tmp_path, options, objectives=[CROSS_ENTROPY], model=tiny_model(),
        optim="adamw_torch", weight_decay=0.5,
    )  # fmt: skip
    *groups, own = run.create_optimizer().param_groups
    mine = {id(each) for each in run.objectives.parameters()}
    assert {id(each) for each in own["params"]} == mine
    assert (own["lr"], own["weight_decay"]) == (rate, decay)
    others = [each for group in groups for each in group["params"]]
    assert not mine & {id(each) for each in others}
    assert len(others) + len(mine) == len(list(run.model.parameters()))


def test_the_classifier_is_saved_apart(tmp_path) -> None:
    run = trainer(tmp_path, {}, objectives=[CROSS_ENTROPY], model=tiny_model())
    run.save_model(str(tmp_path / "saved"))
    student = load_file(tmp_path / "saved" / "model.safetensors")
    assert not any("objectives" in name for name in student)
    apart = load_file(tmp_path / "saved" / "objectives.safetensors")
    assert set(apart) == {
        "domain_adversarial.classifier.weight", "domain_adversarial.classifier.bias",
    }  # fmt: skip
    assert apart["domain_adversarial.classifier.weight"].shape == (3, 16)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"layer": "last"}, "layer: 'last'; give a number"),
        ({"control": "random"}, "control: 'random'; use none, permuted"),
        ({"pooling": "max"}, "pooling: 'max'; use mean, last, token"),
        ({"classes": "source_target"}, "target: missing"),
        ({"schedule": "linear"}, "schedule: 'linear'; use constant, dann"),
        ({"strength": -1}, "strength: -1; give 0 or more"),
        ({"hidden_size": -1}, "hidden_size: -1"),
        ({"learning_rate": 0}, "learning_rate: 0"),
        ({"weight_decay": -1}, "weight_decay: -1; give 0 or more"),
        ({"target": "plums"}, "give a list of domains"),
        ({"target": ["figs"]}, "no example is of the domain 'figs'"),
        ({"target": list(NAMES)}, "nothing to tell apart"),
    ],
)
def test_what_cannot_be_is_refused(options, fault) -> None:
    with pytest.raises(InputError, match=fault):
        make_terms([TERM | options], None, domains_of(0, 0, 0, 1, 1, 2))


def test_data_of_one_domain_are_refused() -> None:
    with pytest.raises(InputError, match="nothing to tell apart"):
        make_terms([TERM], None, domains_of(0, 0, 0, 0))
