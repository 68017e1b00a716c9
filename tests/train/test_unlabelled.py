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
from limbeck.spans import DEFAULT_SPAN_WEIGHTS, KINDS
from limbeck.trainer import DistillConfig, DistillTrainer

NAMES = ("apples", "pears", "plums")
SPANS = ["prompt", "question", "question", "prompt", "rationale", "rationale", "answer", "end"]
PROMPT = 4
LAMBDA, RATE = 0.3, 0.5
#: Domains of the examples of each row; plums are asked and not answered. The first row has no
#: label at all, so that its micro-batch has no cross-entropy.
ROWS = [[2, 2], [0, 2, 1], [1, 0, 0], [2, 1, 2]]


def rows() -> Dataset:
    rng = np.random.default_rng(0)
    found, next_id = [], 0
    for domains in ROWS:
        lengths = [PROMPT if domain == 2 else len(SPANS) for domain in domains]
        found.append(
            {
                "input_ids": rng.integers(2, 300, size=sum(lengths)).tolist(),
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


def make_trainer(output_dir, hidden_size=0, **changes) -> DistillTrainer:
    data = rows()
    method = prada(student="gpt2", data={"paths": ["records.jsonl"]}).train.objectives
    options = {"strength": LAMBDA, "schedule": "constant", "learning_rate": None}
    arguments = {
        "max_steps": 1, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 4,
        "optim": "sgd", "learning_rate": RATE, "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0, "use_cpu": True, "save_strategy": "no", "logging_steps": 1,
        "train_sampling_strategy": "sequential",
    }  # fmt: skip
    config = DistillConfig(
        output_dir=str(output_dir),
        objectives=[
            {"name": "cross_entropy"}, {**method[1], **options, "hidden_size": hidden_size}
        ],
        **arguments | changes,
    )  # fmt: skip
    run = DistillTrainer(tiny_model().double(), config, data, domains=domains_of(data))
    run.objectives.double()
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
            features = states[1:3].mean(0)
            if part.first is not None:
                features = F.gelu(part.first(features))
            own = F.cross_entropy(part.classifier(features)[None], torch.tensor([int(domain)]))
            (target if domain == 2 else source).append(own)
            if domain == 2:
                continue
            weights = torch.tensor([DEFAULT_SPAN_WEIGHTS.get(kind, 0.0) for kind in SPANS[1:]])
            nll = F.cross_entropy(model.lm_head(states[:-1]), ids[0, 1:], reduction="none")
            label.append((nll * weights).sum() / weights.sum())
    return tuple(torch.stack(each).mean() for each in (label, source, target))


@pytest.mark.parametrize("hidden_size", [0, 8])
def test_one_step_descends_the_papers_energy(hidden_size, tmp_path) -> None:
    """E = L_y − λ·(L_d over source + L_d over target): the student down, the classifier up it."""
    run = make_trainer(tmp_path, hidden_size)
    model, part = run.model, run.objectives["domain_adversarial"]
    label, source, target = losses(model, part, rows())
    named = dict(model.named_parameters())
    before = {name: value.detach().clone() for name, value in named.items()}
    gradients = [
        torch.autograd.grad(each, named.values(), allow_unused=True, retain_graph=True)
        for each in (label, source + target)
    ]
    run.train()
    against = 0
    for name, grad_y, grad_d in zip(named, *gradients, strict=True):
        zero = torch.zeros_like(before[name])
        y, d = (zero if each is None else each for each in (grad_y, grad_d))
        expected = d if name.startswith("objectives.") else y - LAMBDA * d
        moved = named[name].detach() - before[name]
        torch.testing.assert_close(moved, -RATE * expected, rtol=1e-5, atol=1e-8)
        against += bool(d.abs().max() > 1e-6)
    assert against > 10
    logs = run.state.log_history[0]
    mean = (source + target).item() / 2
    assert logs["domain_adversarial"] == pytest.approx(mean, rel=1e-5)
    assert logs["cross_entropy"] == pytest.approx(label.item(), rel=1e-5)


def run_rank(rank, port, output_dir) -> None:
    """One of two processes, forked: what the parent knows of its own must be forgotten."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    run = make_trainer(
        output_dir, 8, max_steps=2, gradient_accumulation_steps=2, ddp_backend="gloo"
    )
    assert run.accelerator.num_processes == 2
    run.train()
    if rank == 0:
        torch.save(run.accelerator.unwrap_model(run.model).state_dict(), output_dir / "rank0.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_that_accumulate_equal_one_batch(tmp_path) -> None:
    """A rank's share may lack source or target; the weights are those of the whole step."""
    one = make_trainer(
        tmp_path, 8, max_steps=2, per_device_train_batch_size=4, gradient_accumulation_steps=1
    )
    one.train()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.start_processes(run_rank, (port, tmp_path), nprocs=2, start_method="fork")
    found = torch.load(tmp_path / "rank0.pt", weights_only=True)
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-8)


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

    first = dealt(7, [[0, 1, 2, 3]])
    assert first == dealt(7, [[3], [1, 2], [0]])
    assert sorted(first) == sorted(own)
    assert sorted(first.values()) == sorted(own.values())
    assert first != own
    assert first != dealt(8, [[0, 1, 2, 3]])


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
    assert domains.examples == {1: 3, 2: 5}
    assert len(domains.example_ids) == 8
    (term,) = make_terms([{"name": "domain_adversarial", "control": "permuted"}], None, domains)
    layout = Layout.of(bare)
    chosen = term.select(layout)
    counts = np.bincount(chosen["classes"])
    assert counts.tolist() == [0, 3, 5]
    np.testing.assert_array_equal(layout.domains[layout.examples[chosen["ends"] - 1]] > 0, True)
