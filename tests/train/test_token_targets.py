"""Token targets: each rationale token's state is drawn to the teacher's state of the same token."""

import json

import numpy as np
import pytest
import torch
from tests.train.conftest import RECORDS, example, save_model, write_prepared

from limbeck.config import Targets
from limbeck.data import Collator, load_prepared, survey
from limbeck.errors import InputError
from limbeck.objectives import make_terms
from limbeck.recipes.templates import template
from limbeck.spans import KINDS
from limbeck.target_store import TargetStore
from limbeck.targets import targets

CODE = {name: code for code, name in enumerate(KINDS)}
ALIGN = [{"name": "semantic_alignment"}]


def make(prepared, encoder, output_dir, **settings):
    settings = {"encoder": str(encoder), "pooling": "token", "batch_size": 4, **settings}
    return targets(
        prepared, student=encoder, output_dir=output_dir, settings=Targets(**settings)
    )  # fmt: skip


@pytest.fixture(scope="module")
def cached(tmp_path_factory, prepared, encoder):
    return make(prepared, encoder, tmp_path_factory.mktemp("tokens"))


def by_hand(encoder, record, name="answer-first", layer=-1):
    """The teacher's states of the rationale's tokens, read after the prompt."""
    from transformers import AutoModel

    ids, kinds = example(make_tokenizer_of(encoder), record, template(name, "plain"))
    read = [i for i, k in enumerate(kinds) if k in (CODE["prompt"], CODE["rationale"])]
    counted = [n for n, i in enumerate(read) if kinds[i] == CODE["rationale"]]
    model = AutoModel.from_pretrained(encoder)
    with torch.no_grad():
        output = model(torch.tensor([[ids[i] for i in read]]), output_hidden_states=True)
    return output.hidden_states[layer][0, counted], len(read)


def make_tokenizer_of(directory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(directory)


@pytest.mark.parametrize("layer", [-1, 1])
def test_states_are_those_of_the_tokens_after_the_prompt(tmp_path, prepared, encoder, layer):
    said = []
    settings = Targets(encoder=str(encoder), pooling="token", layer=layer, batch_size=4)
    targets(
        prepared, student=encoder, output_dir=tmp_path, settings=settings,
        progress=lambda *report: said.append(report),
    )  # fmt: skip
    want = [by_hand(encoder, record, layer=layer) for record in RECORDS]
    store = TargetStore(tmp_path)
    assert store.by_token
    assert store.counts(np.arange(6)).tolist() == [len(states) for states, _ in want]
    # Out of order: the states of each stay together.
    read = store.read(np.array([4, 0, 3]))
    torch.testing.assert_close(
        read, torch.cat([want[i][0] for i in (4, 0, 3)]), rtol=1e-4, atol=1e-5
    )
    summary = json.loads((tmp_path / "targets.json").read_text())
    assert summary["states"] == sum(len(states) for states, _ in want)
    assert summary["tokens_encoded"] == sum(length for _, length in want)
    size = (tmp_path / "targets.safetensors").stat().st_size
    assert size == summary["bytes"]
    assert said[0][2] == (
        f"{summary['states']} tokens of 6 rationales × 24 float32, {size / 1e6:.1f} MB"
    )


def test_each_token_meets_its_own_state(prepared, encoder, cached):
    terms = make_terms(ALIGN, TargetStore(cached))
    rows = list(load_prepared(prepared))
    batch = Collator(terms)(rows)
    chosen = batch["selections"]["semantic_alignment"]
    ids, kinds = [], []
    for row in rows:
        pad = batch["input_ids"].shape[1] - len(row["input_ids"])
        kinds += [*row["span_kinds"].tolist(), *[255] * pad]
        ids += row["example_ids"].tolist()
    assert chosen["rows"].tolist() == [n for n, k in enumerate(kinds) if k == CODE["rationale"]]
    assert chosen["weights"].tolist() == [1.0] * len(chosen["rows"])
    assert batch["items"].tolist() == [len(chosen["rows"])]
    want = torch.cat([by_hand(encoder, RECORDS[id])[0] for id in ids])
    torch.testing.assert_close(chosen["target"], want, rtol=1e-4, atol=1e-5)


def test_a_survey_reads_no_state(prepared, cached, monkeypatch):
    """The cache may be larger than memory; only training goes through it."""

    def read(self, example_ids):
        raise AssertionError("read")

    terms = make_terms(ALIGN, TargetStore(cached))
    monkeypatch.setattr(TargetStore, "read", read)
    survey(load_prepared(prepared), terms)


def test_the_loss_is_the_mean_distance_over_tokens(prepared, student, encoder, cached):
    from transformers import AutoModelForCausalLM

    from limbeck.forward import attach

    model = AutoModelForCausalLM.from_pretrained(student).double()
    terms = make_terms([{"name": "semantic_alignment", "metric": "mse"}], TargetStore(cached))
    torch.manual_seed(0)
    objective = terms[0].build(16).double()
    attach(model, [objective])
    batch = Collator(terms)(list(load_prepared(prepared)))
    loss = model(
        input_ids=batch["input_ids"], position_ids=batch["position_ids"],
        selections=batch["selections"], normalizers=batch["items"],
    )["loss"]  # fmt: skip

    distances = []
    tokenizer = make_tokenizer_of(student)
    for record in RECORDS:
        ids, kinds = example(tokenizer, record, template("answer-first", "plain"))
        states = model.get_decoder()(torch.tensor([ids])).last_hidden_state[0]
        at = [n for n, kind in enumerate(kinds) if kind == CODE["rationale"]]
        gaps = states[at] @ objective.projection.weight.T - by_hand(encoder, record)[0]
        distances += gaps.square().mean(1).tolist()
    assert loss.item() == pytest.approx(sum(distances) / len(distances), rel=1e-5)


def test_training_draws_the_tokens_to_their_states(tmp_path, prepared, student, cached):
    from limbeck.config import Train, check
    from limbeck.train import train

    settings = {
        "objectives": [{"name": "cross_entropy"}, *ALIGN], "learning_rate": 1e-2, "max_steps": 40,
        "per_device_train_batch_size": 3, "use_cpu": True,
    }  # fmt: skip
    output = train(
        prepared, student=student, output_dir=tmp_path / "student",
        settings=check(Train, settings), targets=cached,
    )  # fmt: skip
    log = json.loads((output / "trainer_state.json").read_text())["log_history"]
    assert log[0]["cosine"] < 0.7
    assert log[-2]["cosine"] > 0.9


def test_another_tokenizer_is_refused(tmp_path, prepared):
    other = save_model(tmp_path / "other")
    tokenizer = make_tokenizer_of(other)
    text = tokenizer.backend_tokenizer.to_str()
    vocabulary = json.loads(text)["model"]["vocab"]
    a, b = (next(t for t, n in vocabulary.items() if n == number) for number in (40, 41))
    swapped = json.loads(text)
    swapped["model"]["vocab"] |= {a: 41, b: 40}
    (other / "tokenizer.json").write_text(json.dumps(swapped))
    with pytest.raises(InputError, match=r"token 40 of the student, is 41 there; pooling: token"):
        make(prepared, other, tmp_path / "out")


def test_more_tokens_than_the_teacher_reads_are_refused(tmp_path, prepared, encoder):
    with pytest.raises(
        InputError, match=r"targets.max_length: example \d has \d+ tokens .* at most 12; raise it"
    ):
        make(prepared, encoder, tmp_path, max_length=12)
    assert list(tmp_path.iterdir()) == []


def test_a_template_without_a_rationale_is_refused(tmp_path, encoder):
    pure = write_prepared(tmp_path / "pure", name="answer-first-pure")
    with pytest.raises(InputError, match=r"no example of .* has a rationale token"):
        make(pure, encoder, tmp_path / "out")


def test_targets_of_other_tokens_are_refused(tmp_path, prepared, encoder, cached):
    """Other records under the same ids: found before the first step."""
    other = write_prepared(tmp_path / "other", RECORDS[::-1])
    terms = make_terms(ALIGN, TargetStore(cached))
    with pytest.raises(InputError, match="example 1 are of other tokens than the prepared data's"):
        survey(load_prepared(other), terms)
