"""Students made from nothing, fitted to a tokenizer, and their tokenizers."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.train.conftest import RECORDS, TINY, make_tokenizer, tiny_model

from limbeck.config import StudentSpec, Train
from limbeck.errors import InputError
from limbeck.model import check_student, create_student, is_untrained, load_student, save_student
from limbeck.word_tokenizer import train_tokenizer

LLAMA = {"model_type": "llama", **TINY}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "records.jsonl"
    lines = [{"question": q, "answer": a, "rationale": r} for q, a, r in RECORDS] * 5
    lines.append({"question": "1 or 2 ?", "answer": 1, "rationale": ["1", "it is 1"]})
    text = [json.dumps(line) for line in lines]
    path.write_text("\n".join([*text, "not json", '{"question": "no answer"}', ""]))
    return path


def test_a_student_from_a_config_is_an_ordinary_untrained_checkpoint(tmp_path, records):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    one, two, other = (
        create_student(
            StudentSpec(config=LLAMA, tokenizer={"vocab_size": 300}), [records], tmp_path / name,
            seed=seed,
        )
        for name, seed in (("one", 3), ("two", 3), ("other", 4))
    )  # fmt: skip
    assert is_untrained(one)
    tokenizer, model = (kind.from_pretrained(one) for kind in (AutoTokenizer, AutoModelForCausalLM))
    assert model.config.vocab_size == len(tokenizer) <= 300
    assert model.generation_config.eos_token_id == [tokenizer.eos_token_id]
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id
    same, differs = (
        torch.equal(model.lm_head.weight, AutoModelForCausalLM.from_pretrained(each).lm_head.weight)
        for each in (two, other)
    )
    assert same
    assert not differs
    # Words of records and of the templates are single tokens.
    for text in ("Question", "Answer", "The", " answer", " is", " twice", " 4"):
        assert len(tokenizer(text)["input_ids"]) == 1, text
    assert not is_untrained(tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_the_tokenizer_gives_back_every_byte(text):
    tokenizer = TOKENIZER
    for special in ("<|endoftext|>", "<|pad|>", "<|sem|>"):
        text = text.replace(special, "")
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


TOKENIZER = train_tokenizer(["one and one is two\n 12 34"] * 9, 280)


def test_frequent_words_are_whole_and_rare_ones_spelt(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = make_tokenizer(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    text = "Question: What is 4 + 8 ?\nAnswer: zebra  twice\n\n12 \t naïve 数<|sem|>"
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert again.decode(again(text)["input_ids"]) == text
    assert again.tokenize(" twice zz") == ["Ġtwice", "Ġ", "z", "z"]


def test_a_vocabulary_without_room_for_bytes_is_refused():
    with pytest.raises(InputError, match=r"vocab_size: 100 has no room .* give 258 or more"):
        train_tokenizer(["a"], 100)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "lama"}, "makes no causal language model of it"),
        ({**LLAMA, "hidden_size": 15}, "makes no causal language model of it"),
        ({**LLAMA, "vocab_size": 9}, r"student.config.vocab_size: the tokenizer decides"),
    ],
)
def test_a_bad_config_is_named(tmp_path, records, config, message):
    with pytest.raises(InputError, match=message):
        create_student(StudentSpec(config=config), [records], tmp_path, seed=0)


def test_parquet_records_do_not_train_a_tokenizer(tmp_path):
    with pytest.raises(InputError, match="trained on JSON lines"):
        create_student(StudentSpec(config=LLAMA), [tmp_path / "a.parquet"], tmp_path, seed=0)


@pytest.mark.parametrize("kind", ["t5", "bart"])
def test_encoder_decoders_are_refused_at_every_door(tmp_path, prepared, records, kind):
    """Of a BART transformers would load the decoder alone, as if it were a causal model."""
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    import limbeck
    from limbeck.trainer import DistillConfig, DistillTrainer

    directory = tmp_path / kind
    make_tokenizer(directory)
    sizes = {"d_model": 16, "d_ff": 32, "num_heads": 2} if kind == "t5" else {"d_model": 16}
    model = AutoModelForSeq2SeqLM.from_config(
        AutoConfig.for_model(kind, vocab_size=300, num_layers=1, encoder_layers=1, **sizes)
    )
    model.save_pretrained(directory)
    message = rf"{kind} is an encoder-decoder, which reads .* take a causal language model"
    recipe = limbeck.recipes.pst(
        student=str(directory), data={"paths": [str(records)]}, output_dir=tmp_path / "run"
    )
    doors = (
        lambda: limbeck.run(recipe),
        lambda: limbeck.prepare(records, tokenizer=directory, output_dir=tmp_path / "prepared"),
        lambda: limbeck.train(
            prepared, student=directory, output_dir=tmp_path / "student", settings=Train()
        ),
        lambda: create_student(
            StudentSpec(config={"model_type": kind}), [records], tmp_path, seed=0
        ),
        lambda: check_student(StudentSpec(config={"model_type": kind})),
        lambda: DistillTrainer(model, DistillConfig(str(tmp_path), use_cpu=True), None),
    )
    for door in doors:
        with pytest.raises(InputError, match=message):
            door()
    assert sorted(path.name for path in tmp_path.iterdir()) == [kind]


def test_embeddings_grow_but_never_shrink(tmp_path):
    directory = tmp_path / "student"
    tokenizer = make_tokenizer(directory)
    save_student(tiny_model(vocab_size=300), tokenizer, directory, info={}, stop_ids=[0])
    for tokens, rows in ((284, 300), (300, 300), (304, 304)):
        model = load_student(directory, tokenizer_length=tokens, dtype=torch.float32)
        assert model.get_input_embeddings().weight.shape[0] == rows
        assert model.get_output_embeddings().weight.shape[0] == rows
        assert model.config.vocab_size == rows
    # New rows lie among the old ones: a token nobody trained is not the most likely one.
    old, new = model.lm_head.weight[:300], model.lm_head.weight[300:]
    assert new.norm(dim=1).max() < 2 * old.norm(dim=1).max()
