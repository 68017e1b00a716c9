"""The train stage: prepared data in, an ordinary checkpoint that answers and stops out."""

import json

import pytest
import torch
from safetensors.torch import load_file
from tests.train.conftest import RECORDS, write_prepared

from limbeck.config import Train, check
from limbeck.errors import InputError
from limbeck.train import check_settings, train

FAST = {"learning_rate": "1e-2", "per_device_train_batch_size": 3, "use_cpu": True}


def run(prepared, student, output_dir, targets=None, progress=None, seed=0, **changes):
    return train(
        prepared, student=student, output_dir=output_dir, settings=check(Train, FAST | changes),
        targets=targets, method="pst", seed=seed, progress=progress,
    )  # fmt: skip


def answer(directory, question):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory)
    ids = tokenizer(f"Question: {question}\nAnswer:", return_tensors="pt")["input_ids"]
    written = model.generate(ids, max_new_tokens=40, do_sample=False)[0, ids.shape[1] :]
    return tokenizer.decode(written)


@pytest.mark.parametrize(
    ("template", "stop", "text"),
    [
        ("answer-first", "<|sem|>", " 4<|sem|>"),
        ("think-first", "<|endoftext|>", " 2 + 2 = 4 of course\nThe answer is 4.<|endoftext|>"),
        ("answer-only", "<|endoftext|>", " 4<|endoftext|>"),
    ],
)
def test_a_student_learns_the_answer_and_stops(tmp_path, student, template, stop, text):
    """users: EOS never trained, endless generations."""
    prepared = write_prepared(tmp_path / "prepared", RECORDS[1:2] * 4, template)
    steps = []
    output = run(
        prepared, student, tmp_path / "student", max_steps=100,
        progress=lambda done, total, _: steps.append((done, total)),
    )  # fmt: skip
    assert answer(output, RECORDS[1][0]) == text
    assert steps == [(n, 100) for n in range(1, 101)]

    info = json.loads((output / "limbeck.json").read_text())
    assert info["format"] == 1
    assert info["method"] == "pst"
    assert info["render"] == json.loads((prepared / "manifest.json").read_text())["render"]
    order = "answer-first" if template.startswith("answer-first") else template
    assert info["inference"]["order"] == order
    assert info["inference"]["max_new_tokens"] >= len(text.split())
    eos = json.loads((output / "generation_config.json").read_text())["eos_token_id"]
    assert eos == ([0, 283] if stop == "<|sem|>" else [0])
    record = json.loads((output / "training.json").read_text())
    rows = 2
    assert record["steps"] == 100
    assert record["examples_seen"] == 100 * 2 * rows
    assert 0 < record["tokens_trained"] < record["tokens_processed"]
    assert record["parameters"] == record["trainable_parameters"] > 10_000
    log = json.loads((output / "trainer_state.json").read_text())["log_history"]
    assert {"loss", "learning_rate", "cross_entropy", "trained_share", "tokens_per_second"} <= (
        log[0].keys()
    )
    assert [path.name for path in tmp_path.iterdir()] == ["prepared", "student"]


def test_alignment_is_trained_and_saved_beside_the_student(tmp_path, prepared, student, targets):
    terms = [{"name": "cross_entropy"}, {"name": "semantic_alignment"}]
    output = run(prepared, student, tmp_path / "student", targets, objectives=terms, max_steps=60)
    log = json.loads((output / "trainer_state.json").read_text())["log_history"]
    assert log[0]["cosine"] < 0.5
    assert log[-2]["cosine"] > 0.9
    assert not [name for name in load_file(output / "model.safetensors") if "objectives" in name]
    assert load_file(output / "objectives.safetensors")[
        "semantic_alignment.projection.weight"
    ].shape == (24, 16)


@pytest.mark.parametrize("tied", [True, False])
def test_lora_trains_the_added_rows_and_merges(tmp_path, prepared, tied):
    peft = pytest.importorskip("peft")
    from tests.train.conftest import make_tokenizer, tiny_model
    from transformers import AutoModelForCausalLM

    from limbeck.model import save_student

    base = tmp_path / "base"
    tokenizer = make_tokenizer(base)
    model = tiny_model(vocab_size=len(tokenizer), tie_word_embeddings=tied)
    save_student(model, tokenizer, base, info={}, stop_ids=[0])
    options = {"use_peft": True, "lora_r": 4, "max_steps": 6}
    merged = run(prepared, base, tmp_path / "merged", **options)
    adapter = run(prepared, base, tmp_path / "adapter", merge_adapter=False, **options)

    before, after = load_file(base / "model.safetensors"), load_file(merged / "model.safetensors")
    assert before.keys() == after.keys()
    sem, others = 283, torch.arange(283)
    matrices = ["model.embed_tokens.weight"] + ([] if tied else ["lm_head.weight"])
    for name in matrices:
        assert not torch.equal(before[name][sem], after[name][sem]), name
        assert torch.equal(before[name][others], after[name][others]), name
    assert not torch.equal(
        before["model.layers.0.self_attn.q_proj.weight"],
        after["model.layers.0.self_attn.q_proj.weight"],
    )
    assert not (adapter / "model.safetensors").exists()
    ids = torch.tensor([[5, 6, sem, 7, 8]])
    whole, start = (AutoModelForCausalLM.from_pretrained(d) for d in (merged, base))
    adapted = peft.PeftModel.from_pretrained(start, adapter)
    torch.testing.assert_close(whole(ids).logits, adapted(ids).logits, rtol=1e-4, atol=1e-5)
    record = json.loads((merged / "training.json").read_text())
    assert record["trainable_parameters"] < record["parameters"]


@pytest.mark.parametrize("tied", [True, False])
def test_lora_students_learn_both_ends(tmp_path, tied):
    """`<|sem|>` after the answer and the end after the rationale, on a frozen random base."""
    pytest.importorskip("peft")
    from tests.train.conftest import save_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = save_model(tmp_path / "base", tie_word_embeddings=tied, initializer_range=0.2)
    prepared = write_prepared(tmp_path / "prepared", RECORDS[1:2] * 4)
    output = run(prepared, base, tmp_path / "student", use_peft=True, lora_r=8, max_steps=40)
    question, _, rationale = RECORDS[1]
    assert answer(output, question) == " 4<|sem|>"
    tokenizer = AutoTokenizer.from_pretrained(output)
    model = AutoModelForCausalLM.from_pretrained(output)
    text = f"Question: {question}\nAnswer: 4<|sem|>\n{rationale}"
    logits = model(tokenizer(text, return_tensors="pt")["input_ids"]).logits[0, -1]
    assert tokenizer.decode(logits.argmax()) == "<|endoftext|>"


def test_a_stage_that_was_cut_off_goes_on_and_ends_the_same(tmp_path, prepared, student):
    options = {"max_steps": 6, "save_steps": 2, "per_device_train_batch_size": 1}
    whole = run(prepared, student, tmp_path / "whole", **options)
    seen = []

    def until(stop):
        def progress(done, total, text):
            seen.append(done)
            if done == stop:
                raise KeyboardInterrupt

        return progress

    with pytest.raises(KeyboardInterrupt):
        run(prepared, student, tmp_path / "cut", progress=until(5), **options)
    assert not (tmp_path / "cut").exists()
    resumed = run(prepared, student, tmp_path / "cut", progress=until(None), **options)
    assert seen == [1, 2, 3, 4, 5, 5, 6]
    one, two = (load_file(d / "model.safetensors") for d in (whole, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)
    records = [json.loads((d / "training.json").read_text()) for d in (whole, resumed)]
    assert records[0]["tokens_processed"] == records[1]["tokens_processed"]

    # Other inputs do not take up a stranger's checkpoint.
    seen.clear()
    with pytest.raises(KeyboardInterrupt):
        run(prepared, student, tmp_path / "cut", progress=until(3), seed=1, **options)
    assert (tmp_path / "cut" / "config.json").exists(), "the finished student went too early"
    run(prepared, student, tmp_path / "cut", progress=until(None), seed=2, **options)
    assert seen == [1, 2, 3, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rat": 1}, r"train.learning_rat: unknown key; did you mean `learning_rate`"),
        ({"seed": 1}, r"train.seed: not set here; set the recipe's `seed`"),
        ({"output_dir": "x"}, r"train.output_dir: not set here"),
        ({"lr_scheduler_type": "cosin"}, r"train: cosin is not a valid SchedulerType"),
        ({"objectives": [{"name": "dpo"}]}, r"no objective 'dpo'; use one of"),
    ],
)
def test_settings_are_checked_before_anything_runs(change, message):
    with pytest.raises(InputError, match=message):
        check_settings(check(Train, change))


def test_targets_of_another_preparation_are_refused(tmp_path, student, targets):
    """Its example ids are other examples, and training would go on without a word."""
    other = write_prepared(tmp_path / "prepared", RECORDS[::-1])
    terms = [{"name": "cross_entropy"}, {"name": "semantic_alignment"}]
    with pytest.raises(InputError, match=r"made of another preparation than .*; run `targets`"):
        run(other, student, tmp_path / "student", targets, objectives=terms)


def test_what_cannot_be_read_is_named(tmp_path, prepared, student):
    with pytest.raises(InputError, match=r"missing: cannot be loaded as a causal language model"):
        run(prepared, str(tmp_path / "missing"), tmp_path / "student")
    with pytest.raises(InputError, match="not prepared data"):
        run(tmp_path, student, tmp_path / "student")
