"""Targets: states of distinct rationales under encoders of every kind, and how they are read."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.train.conftest import RECORDS, make_tokenizer, save_model, tiny_model, write_prepared

from limbeck.config import Targets, check
from limbeck.errors import InputError
from limbeck.target_store import TargetStore
from limbeck.targets import targets


def by_hand(encoder, text, *, layer=-1, limit=512):
    """The states of one text alone, `[T, D]`."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = (kind.from_pretrained(encoder) for kind in (AutoTokenizer, AutoModel))
    ids = tokenizer(text, return_tensors="pt")["input_ids"][:, :limit]
    with torch.no_grad():
        return model(ids, output_hidden_states=True).hidden_states[layer][0]


@pytest.mark.parametrize("pooling", ["auto", "last"])
@pytest.mark.parametrize("layer", [-1, 0, 1])
def test_states_are_those_of_each_rationale_alone(tmp_path, prepared, encoder, pooling, layer):
    settings = Targets(pooling=pooling, layer=layer, batch_size=4, max_length=8)
    targets(prepared, student=encoder, output_dir=tmp_path, settings=settings)
    store = TargetStore(tmp_path)
    read = cut = 0
    for id, (_, _, rationale) in enumerate(RECORDS):
        length = len(by_hand(encoder, rationale))
        cut, read = cut + (length > 8), read + min(length, 8)
        states = by_hand(encoder, rationale, layer=layer, limit=8)
        want = states.mean(0) if pooling == "auto" else states[-1]
        torch.testing.assert_close(store.read(np.array([id]))[0], want, rtol=1e-4, atol=1e-5)
    assert cut > 0
    said = json.loads((tmp_path / "targets.json").read_text())
    assert said["truncated"] == cut
    assert said["tokens_encoded"] == read
    assert said["pooling"] == ("mean" if pooling == "auto" else "last")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_each_distinct_rationale_is_stored_once(tmp_path, encoder, dtype):
    prepared = write_prepared(tmp_path / "prepared", [*RECORDS, RECORDS[2], RECORDS[0]])
    said = []
    targets(
        prepared, student=encoder, output_dir=tmp_path / "out", settings=Targets(dtype=dtype),
        progress=lambda *report: said.append(report),
    )  # fmt: skip
    file = load_file(tmp_path / "out/targets.safetensors")
    assert file["targets"].shape == (len(RECORDS), 24)
    assert file["targets"].dtype == getattr(torch, dtype)
    assert file["example_ids"].tolist() == list(range(8))
    index = file["index"].tolist()
    assert sorted(index[:6]) == list(range(6))
    assert index[6:] == [index[2], index[0]]
    store = pickle.loads(pickle.dumps(TargetStore(tmp_path / "out")))
    assert len(store) == 6
    assert store.width == 24
    read = store.read(np.array([7, 1]))
    assert torch.equal(read, file["targets"][[index[7], index[1]]])
    size = (tmp_path / "out/targets.safetensors").stat().st_size
    assert json.loads((tmp_path / "out/targets.json").read_text())["bytes"] == size
    assert said[0] == (0, 6, f"6 rationales × 24 {dtype}, {size / 1e6:.1f} MB")
    assert said[-1][:2] == (6, 6)
    with pytest.raises(InputError, match=r"no target for example 8; run `targets` again"):
        store.read(np.array([1, 8]))


def test_the_time_left_is_told_once_it_was_measured(tmp_path, prepared, encoder):
    said = []
    targets(
        prepared, student=encoder, output_dir=tmp_path, settings=Targets(batch_size=2),
        progress=lambda *report: said.append(report),
    )  # fmt: skip
    assert [done for done, _, _ in said] == [0, 2, 4, 6]
    assert ["left" in text for _, _, text in said] == [False, False, True, True]
    assert said[-1][2].endswith("about 0 s left")


def test_reading_maps_the_file(tmp_path):
    """Resident memory grows by what is read, not by the file."""
    from limbeck.target_writer import TargetLayout, writing

    rows, width = 50_000, 512
    ids = np.arange(rows)
    layout = TargetLayout(
        starts=np.arange(rows + 1), keys=np.zeros((rows, 16), np.uint8), index=ids,
        example_ids=ids, width=width, dtype="float32", identity={"pooling": "mean"},
        prepared="",
    )  # fmt: skip
    with writing(tmp_path, layout) as writer:
        for start in range(0, rows, 1000):
            writer.append(torch.full((1000, width), float(start == 40_000)), 1000)

    def resident():
        with open("/proc/self/smaps_rollup") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("Rss:")) * 1024

    store = TargetStore(tmp_path)
    before = resident()
    assert store.read(np.array([3, 40_000, 7])).sum(1).tolist() == [0, width, 0]
    assert resident() - before < rows * width * 4 / 5


def test_an_encoder_decoder_encodes_with_its_encoder(tmp_path, prepared, encoder):
    from transformers import AutoConfig, AutoModel

    directory = tmp_path / "t5"
    config = AutoConfig.for_model(
        "t5", vocab_size=len(make_tokenizer(directory)), d_model=24, d_ff=32, d_kv=4, num_heads=2,
        num_layers=2, decoder_start_token_id=0,
    )  # fmt: skip
    model = AutoModel.from_config(config).eval()
    model.save_pretrained(directory)
    output = targets(
        prepared, student=encoder, output_dir=tmp_path / "out",
        settings=Targets(encoder=str(directory)),
    )  # fmt: skip
    ids = make_tokenizer(tmp_path)(RECORDS[3][2], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        want = model.get_encoder()(ids).last_hidden_state[0].mean(0)
    torch.testing.assert_close(TargetStore(output).read(np.array([3]))[0], want)


def test_an_adapter_encodes_with_its_base(tmp_path, prepared, student):
    """A think-first student that was kept as an adapter, its base without the added rows."""
    peft = pytest.importorskip("peft")
    from limbeck.train import train

    small = tiny_model(vocab_size=283)
    small.save_pretrained(tmp_path / "base")
    make_tokenizer(tmp_path / "base", sem=False)
    from limbeck.config import Train

    adapter = train(
        prepared, student=tmp_path / "base", output_dir=tmp_path / "adapter",
        settings=check(
            Train, {"use_peft": True, "merge_adapter": False, "max_steps": 2, "use_cpu": True}
        ),
    )  # fmt: skip
    base = tiny_model(vocab_size=283)
    base.resize_token_embeddings(284)  # the adapter brings the new row
    merged = peft.PeftModel.from_pretrained(base, adapter).merge_and_unload()
    output = targets(
        prepared, student=student, output_dir=tmp_path / "out",
        settings=Targets(encoder=str(adapter)),
    )  # fmt: skip
    ids = make_tokenizer(tmp_path)(RECORDS[3][2], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        want = merged.get_decoder()(ids).last_hidden_state[0].mean(0)
    torch.testing.assert_close(TargetStore(output).read(np.array([3]))[0], want)


@pytest.mark.parametrize("pooling", ["auto", "token"])
def test_encoders_that_mean_nothing_are_refused(tmp_path, prepared, encoder, pooling):
    untrained = save_model(tmp_path / "untrained", info={"untrained": True})
    for student, settings, message in (
        (untrained, {}, "was never trained"),
        (encoder, {"encoder": str(untrained)}, "was never trained"),
        (encoder, {"encoder": str(tmp_path / "missing")}, "cannot be loaded"),
        (encoder, {"layer": 3}, r"targets.layer: 3; .* has states 0 \(embeddings\) to 2"),
    ):
        with pytest.raises(InputError, match=message):
            targets(
                prepared, student=student, output_dir=tmp_path / "out",
                settings=Targets(pooling=pooling, **settings),
            )  # fmt: skip


def test_a_text_needs_room_beside_the_special_tokens(tmp_path, prepared, encoder):
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    bert_like = save_model(tmp_path / "encoder")
    tokenizer = AutoTokenizer.from_pretrained(bert_like)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|sem|> $A <|sem|>", special_tokens=[("<|sem|>", 283)]
    )
    tokenizer.save_pretrained(bert_like)
    settings = Targets(encoder=str(bert_like), max_length=2)
    with pytest.raises(InputError, match="max_length: 2 leaves no room beside the 2 special"):
        targets(prepared, student=encoder, output_dir=tmp_path / "out", settings=settings)


def test_missing_rationales_are_named(tmp_path, encoder):
    import pyarrow as pa

    table = pa.table({"example_id": [4], "rationale": pa.array([None], pa.large_utf8())})
    path = str(tmp_path / "examples.arrow")
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    with pytest.raises(InputError, match="example 4 has no rationale"):
        targets(tmp_path, student=encoder, output_dir=tmp_path / "out", settings=Targets())
