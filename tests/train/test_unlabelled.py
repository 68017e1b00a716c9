"""PRADA's energy through the trainer: unlabelled questions reach the domain loss and no other."""

from __future__ import annotations

import os
import socket

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from datasets import Dataset
from tests.train.conftest import tiny_model

from limbeck.data import Layout
from limbeck.domains import Domains, read_domains, unlabelled_domains
from limbeck.errors import InputError
from limbeck.objectives import make_terms
from limbeck.recipes import prada
from limbeck.spans import KINDS
from limbeck.trainer import DistillConfig, DistillTrainer

NAMES = ("apples", "pears", "plums")
SPANS = [
    "soft_prompt", "soft_prompt", "prompt", "question", "question", "prompt", "rationale",
    "rationale", "answer", "end",
]  # fmt: skip
PROMPT_IDS, PROMPT = [298, 299], 6
LAMBDA, RATE = 0.3, 0.5
LABELS, ADVERSARY = prada(student="gpt2", data={"paths": ["records.jsonl"]}).train.objectives
#: Domains of the examples of each row; plums are asked and not answered. Some rows have no label at
#: all, so that a micro-batch of them has no cross-entropy, and some nothing but labels.
ROWS = [[2, 2], [0, 2, 1], [1, 0, 0], [2, 1, 2], [2], [0, 1, 1], [1, 2], [2, 0, 2]]


def rows() -> Dataset:
    rng = np.random.default_rng(0)
    found, next_id = [], 0
    for domains in ROWS:
        lengths = [PROMPT if domain == 2 else len(SPANS) for domain in domains]
        text = [[*PROMPT_IDS, *rng.integers(2, 298, size=n - 2).tolist()] for n in lengths]
        found.append(
            {
                "input_ids": [id for ids in text for id in ids],
                "span_kinds": [KINDS.index(kind) for n in lengths for kind in SPANS[:n]],
                "example_lengths": lengths,
                "example_ids": list(range(next_id, next_id + len(domains))),
                "example_templates": [int(domain == 2) for domain in domains],
                "domains": domains,
            }
        )
        next_id += len(domains)
    return Dataset.from_list(found).with_format("numpy")


def domains_of(data: Dataset) -> Domains:
    return read_domains(data, NAMES, [1])


def make_trainer(
    output_dir, hidden_size=0, *, dtype=torch.float64, soft_prompt_mlp=0, term=None, **changes
) -> DistillTrainer:
    """A trainer of the recipe's objectives whose optimizer step is the gradient, and all rows."""
    data = rows()
    options = {"strength": LAMBDA, "schedule": "constant", "learning_rate": None}
    arguments = {
        "max_steps": 1, "per_device_train_batch_size": 1, "gradient_accumulation_steps": len(ROWS),
        "optim": "sgd", "learning_rate": RATE, "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0, "use_cpu": True, "save_strategy": "no", "logging_steps": 1,
        "train_sampling_strategy": "sequential", "disable_tqdm": True,
    }  # fmt: skip
    config = DistillConfig(
        output_dir=str(output_dir),
        objectives=[
            LABELS, {**ADVERSARY, **options, "hidden_size": hidden_size, **(term or {})}
        ],
        **arguments | changes,
    )  # fmt: skip
    run = DistillTrainer(
        tiny_model(), config, data, domains=domains_of(data),
        soft_prompt=(PROMPT_IDS, soft_prompt_mlp) if soft_prompt_mlp else None,
    )  # fmt: skip
    run.model.to(dtype)
    return run


def losses(model, part, data) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The means of L_y over source, of L_d over source, and of L_d over target, in float64."""
    label, source, target = [], [], []
    for row in data:
        at = 0
        for length, domain in zip(row["example_lengths"], row["domains"], strict=True):
            ids = torch.tensor(row["input_ids"][at : at + length])[None]
            at += length
            states = model.model(input_ids=ids).last_hidden_state[0]
            features = states[3:5].mean(0)
            if part.first is not None:
                features = F.gelu(part.first(features))
            own = F.cross_entropy(part.classifier(features)[None], torch.tensor([int(domain)]))
            (target if domain == 2 else source).append(own)
            if domain == 2:
                continue
            weights = torch.tensor([LABELS["span_weights"].get(kind, 0.0) for kind in SPANS[1:]])
            nll = F.cross_entropy(model.lm_head(states[:-1]), ids[0, 1:], reduction="none")
            label.append((nll * weights).sum() / weights.sum())
    return tuple(torch.stack(each).mean() for each in (label, source, target))


@pytest.mark.parametrize("soft_prompt_mlp", [0, 4])
@pytest.mark.parametrize("hidden_size", [0, 8])
def test_one_step_descends_the_papers_energy(hidden_size, soft_prompt_mlp, tmp_path) -> None:
    """E = L_y − λ·(L_d over source + L_d over target): the student down, the classifier up it."""
    run = make_trainer(tmp_path, hidden_size, soft_prompt_mlp=soft_prompt_mlp)
    model, part = run.model, run.objectives["domain_adversarial"]
    label, source, target = losses(model, part, rows())
    named = dict(model.named_parameters())
    before = {name: value.detach().clone() for name, value in named.items()}
    gradients = [
        torch.autograd.grad(each, named.values(), allow_unused=True, retain_graph=True)
        for each in (label, source + target)
    ]
    run.train()
    against = set()
    for name, grad_y, grad_d in zip(named, *gradients, strict=True):
        zero = torch.zeros_like(before[name])
        y, d = (zero if each is None else each for each in (grad_y, grad_d))
        expected = d if name.startswith("objectives.") else y - LAMBDA * d
        moved = named[name].detach() - before[name]
        torch.testing.assert_close(moved, -RATE * expected, rtol=1e-5, atol=1e-8)
        if d.abs().max() > 1e-6:
            against.add(name)
    assert len(against) > 10
    # Both layers of the classifier, and the network of the prompt, which starts as zero.
    part_name = "objectives.domain_adversarial"
    assert (f"{part_name}.first.weight" in against) == (hidden_size > 0)
    assert f"{part_name}.classifier.weight" in against
    assert ("soft_prompt.2.weight" in against) == (soft_prompt_mlp > 0)
    logs = run.state.log_history[0]
    mean = (source + target).item() / 2
    assert logs["domain_adversarial"] == pytest.approx(mean, rel=1e-5)
    assert logs["cross_entropy"] == pytest.approx(label.item(), rel=1e-5)


STEPS = 4
TRAJECTORY = {"hidden_size": 8, "soft_prompt_mlp": 4, "max_steps": STEPS}
ONE_BATCH = {"per_device_train_batch_size": len(ROWS), "gradient_accumulation_steps": 1}
ONE_BY_ONE = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": len(ROWS)}
UNEVEN = {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 3}
#: How far a training may stray from its float64 trajectory, as a share of the way it has come. A
#: float32 (unit roundoff 2⁻²⁴) is rounded a few times a step even where all else is float64:
#: examples' weights and normalizers. Gradients made in bfloat16 are off by its roundoff, 2⁻⁸.
FLOAT32, BFLOAT16 = STEPS * 8 * 2**-24, STEPS * 2**-8


def weights(run: DistillTrainer) -> dict[str, torch.Tensor]:
    model = run.accelerator.unwrap_model(run.model)
    return {name: value.detach().double().clone() for name, value in model.named_parameters()}


def trained(output_dir, **changes) -> dict[str, torch.Tensor]:
    run = make_trainer(output_dir, **{**TRAJECTORY, **changes})
    run.train()
    return weights(run)


def run_rank(rank, port, output_dir, changes) -> None:
    """One of two processes, forked: what the parent knows of its own must be forgotten."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    run = make_trainer(
        output_dir, **TRAJECTORY, **changes, gradient_accumulation_steps=len(ROWS) // 2,
        ddp_backend="gloo",
    )  # fmt: skip
    assert run.accelerator.num_processes == 2
    run.train()
    if rank == 0:
        torch.save(weights(run), output_dir / "rank0.pt")
    torch.distributed.destroy_process_group()


def distance(run: dict, truth: dict, start: dict) -> float:
    """How far a training went astray, of the parts that are trained the farthest."""

    def norm(one: dict, two: dict, part: str) -> torch.Tensor:
        own = [name for name in truth if name.partition(".")[0] == part]
        return torch.cat([(one[name] - two[name]).flatten() for name in own]).norm()

    parts = {name.partition(".")[0] for name in truth}
    assert parts == {"model", "lm_head", "objectives", "soft_prompt"}
    return max((norm(run, truth, part) / norm(truth, start, part)).item() for part in parts)


def trained_by_two(output_dir, **changes) -> dict[str, torch.Tensor]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.start_processes(
        run_rank, (port, output_dir, changes), nprocs=2, start_method="fork"
    )
    return torch.load(output_dir / "rank0.pt", weights_only=True)


@pytest.mark.parametrize(
    ("precision", "bound"),
    [
        ({}, FLOAT32),
        ({"dtype": torch.float32}, FLOAT32),
        ({"dtype": torch.float32, "bf16": True}, BFLOAT16),
    ],
    ids=["float64", "float32", "bfloat16"],
)
def test_every_division_of_a_step_follows_one_trajectory(precision, bound, tmp_path) -> None:
    """Micro-batches and ranks may lack source, target or labels; the step's weights count."""
    start = weights(make_trainer(tmp_path, **TRAJECTORY))
    truth = trained(tmp_path, **ONE_BATCH)
    whole = distance(trained(tmp_path, **ONE_BATCH, **precision), truth, start)
    divided = [
        distance(trained(tmp_path, **ONE_BY_ONE, **precision), truth, start),
        distance(trained(tmp_path, **UNEVEN, **precision), truth, start),
        distance(trained_by_two(tmp_path, **precision), truth, start),
    ]
    assert max(whole, *divided) < bound
    # Division adds no error of its own: gradients are summed in the dtype of the weights.
    assert max(divided) < 1.5 * whole + FLOAT32
    without = trained(tmp_path, **ONE_BATCH, **precision, term={"strength": 0.28})
    assert distance(without, truth, start) > 2 * bound


def test_two_processes_deal_out_the_same_domains_and_reach_the_same_layer(tmp_path) -> None:
    term = {"control": "permuted", "layer": 1}
    start = weights(make_trainer(tmp_path, **TRAJECTORY))
    truth = trained(tmp_path, **ONE_BATCH, term=term)
    assert distance(trained_by_two(tmp_path, term=term), truth, start) < FLOAT32
    for other in ({"control": "permuted"}, {"layer": 1}, {**term, "weight": 1.9}):
        found = trained(tmp_path, **ONE_BATCH, term=other)
        assert distance(found, truth, start) > 100 * FLOAT32


def test_domains_without_an_answer_are_the_target() -> None:
    data = rows()
    assert unlabelled_domains(data, [1]) == {2}
    assert unlabelled_domains(data, []) == frozenset()
    (term,) = make_terms([{"name": "domain_adversarial"}], None, domains_of(data))
    assert term.target == ("plums",)
    (named,) = make_terms(
        [{"name": "domain_adversarial", "target": ["pears"]}], None, domains_of(data)
    )
    assert list(named.target) == ["pears"]
    with pytest.raises(InputError, match="target: missing, and no domain is unlabelled"):
        make_terms(
            [{"name": "domain_adversarial", "classes": "source_target"}],
            None,
            read_domains(data, NAMES),
        )


def test_permuted_domains_are_those_of_all_examples_dealt_out_again() -> None:
    """The example decides, whatever it stands beside; the seed decides what it gets."""
    data = rows()
    own = {
        int(id): int(domain)
        for row in data
        for id, domain in zip(row["example_ids"], row["domains"], strict=True)
    }

    def dealt(seed: int, batches: list[list[int]]) -> dict[int, int]:
        specification = {"name": "domain_adversarial", "control": "permuted"}
        (term,) = make_terms([specification], None, domains_of(data), seed)
        found = {}
        for batch in batches:
            layout = Layout.of([data[number] for number in batch])
            selection = term.select(layout)
            ids = layout.example_ids[layout.examples[selection["ends"] - 1]]
            found |= dict(zip(ids.tolist(), selection["classes"].tolist(), strict=True))
        return found

    together = [list(range(len(ROWS)))]
    first = dealt(7, together)
    assert first == dealt(7, [[3], [1, 2, 7], [0, 4], [6, 5]])
    assert sorted(first) == sorted(own)
    assert sorted(first.values()) == sorted(own.values())
    assert first != own
    assert first != dealt(8, together)


def test_a_permutation_keeps_every_count_and_says_nothing_of_the_own_domain() -> None:
    ids = np.arange(0, 30_000, 3)
    numbers = np.repeat([0, 1, 2], [5000, 3000, 2000])
    dealt = Domains(NAMES, ids, numbers).dealt_out_again(0)
    assert dealt.examples == {0: 5000, 1: 3000, 2: 2000}
    # As often as chance has it; the standard deviation is below 0.005.
    assert (dealt.numbers == numbers).mean() == pytest.approx(0.5**2 + 0.3**2 + 0.2**2, abs=0.02)
    # The two examples of a pair have one id, and stay together.
    pairs = Domains(NAMES, np.repeat(ids, 2), np.repeat(numbers, 2)).dealt_out_again(0)
    np.testing.assert_array_equal(pairs.numbers, np.repeat(dealt.numbers, 2))
    np.testing.assert_array_equal(pairs.of(ids[5:9]), dealt.numbers[5:9])


def test_examples_without_a_domain_are_dealt_none() -> None:
    data = rows().with_format(None)
    bare = [{**row, "domains": [d if d else -1 for d in row["domains"]]} for row in data]
    domains = read_domains(Dataset.from_list(bare).with_format("numpy"), NAMES)
    assert domains.examples == {1: 6, 2: 9}
    assert len(domains.example_ids) == 15
    (term,) = make_terms([{"name": "domain_adversarial", "control": "permuted"}], None, domains)
    layout = Layout.of(bare)
    chosen = term.select(layout)
    counts = np.bincount(chosen["classes"])
    assert counts.tolist() == [0, 6, 9]
    np.testing.assert_array_equal(layout.domains[layout.examples[chosen["ends"] - 1]] > 0, True)
