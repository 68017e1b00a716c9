"""Targets: pooled states of distinct rationales, and how they are read back."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.train.conftest import RECORDS, make_tokenizer, tiny_model, write_prepared

from limbeck.config import Targets
from limbeck.errors import InputError
from limbeck.model import save_student
from limbeck.target_store import TargetStore
from limbeck.targets import targets


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    directory = tmp_path_factory.mktemp("encoder")
    tokenizer = make_tokenizer(directory)
    save_student(tiny_model(vocab_size=len(tokenizer)), tokenizer, directory, info={}, stop_ids=[0])
    return directory


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("layer", [-1, 0, 1])
def test_states_are_those_of_each_rationale_alone(tmp_path, prepared, encoder, pooling, layer):
    from transformers import AutoModel, AutoTokenizer

    settings = Targets(pooling=pooling, layer=layer, batch_size=4, max_length=8)
    targets(prepared, student=encoder, output_dir=tmp_path, settings=settings)
    store = TargetStore(tmp_path)
    tokenizer, model = (kind.from_pretrained(encoder) for kind in (AutoTokenizer, AutoModel))
    cut = 0
    for id, (_, _, rationale) in enumerate(RECORDS):
        ids = tokenizer(rationale, return_tensors="pt")["input_ids"]
        cut += ids.shape[1] > 8
        with torch.no_grad():
            states = model(ids[:, :8], output_hidden_states=True).hidden_states[layer][0]
        want = states.mean(0) if pooling == "mean" else states[-1]
        torch.testing.assert_close(store.read(np.array([id]))[0], want, rtol=1e-4, atol=1e-5)
    assert cut > 0
    assert json.loads((tmp_path / "targets.json").read_text())["truncated"] == cut


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_each_distinct_rationale_is_stored_once(tmp_path, encoder, dtype):
    prepared = write_prepared(tmp_path / "prepared", [*RECORDS, RECORDS[2], RECORDS[0]])
    said = []
    targets(
        prepared, student=encoder, output_dir=tmp_path / "out", settings=Targets(dtype=dtype),
        progress=lambda *report: said.append(report),
    )  # fmt: skip
    file = load_file(tmp_path / "out/targets.safetensors")
    assert file["targets"].shape == (len(RECORDS), 16)
    assert file["targets"].dtype == getattr(torch, dtype)
    assert file["index"].tolist() == [0, 1, 2, 3, 4, 5, 2, 0]
    assert file["example_ids"].tolist() == list(range(8))
    store = pickle.loads(pickle.dumps(TargetStore(tmp_path / "out")))
    assert len(store) == 6
    assert store.width == 16
    read = store.read(np.array([7, 1]))
    assert torch.equal(read, file["targets"][[0, 1]])
    size = 6 * 16 * (4 if dtype == "float32" else 2) + 2 * 8 * 8
    assert json.loads((tmp_path / "out/targets.json").read_text())["bytes"] == size
    assert said[0] == (0, 6, f"6 rationales × 16 {dtype}, {size / 1e6:.1f} MB")
    assert said[-1][:2] == (6, 6)
    with pytest.raises(InputError, match=r"no target for example 8; run `targets` again"):
        store.read(np.array([1, 8]))


def test_reading_maps_the_file(tmp_path):
    """Resident memory grows by what is read, not by the file."""
    from limbeck.target_store import TargetWriter

    rows, width = 50_000, 512
    ids = np.arange(rows)
    writer = TargetWriter(
        tmp_path, rows=rows, width=width, dtype="float32", index=ids, example_ids=ids
    )
    with writer:
        writer.write(np.array([3, 40_000]), torch.ones(2, width))

    def resident():
        with open("/proc/self/smaps_rollup") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("Rss:")) * 1024

    store = TargetStore(tmp_path)
    before = resident()
    assert store.read(np.array([3, 40_000, 7])).sum(1).tolist() == [width, width, 0]
    assert resident() - before < rows * width * 4 / 5


def test_an_interrupted_run_leaves_nothing(tmp_path, prepared, encoder):
    def interrupt(done, total, text):
        if done:
            raise KeyboardInterrupt

    settings = Targets(batch_size=2)
    with pytest.raises(KeyboardInterrupt):
        targets(
            prepared, student=encoder, output_dir=tmp_path, settings=settings, progress=interrupt
        )
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match=r"no targets.safetensors; run `targets`"):
        TargetStore(tmp_path)


def test_encoders_that_mean_nothing_are_refused(tmp_path, prepared, encoder):
    untrained = tmp_path / "untrained"
    tokenizer = make_tokenizer(untrained)
    save_student(tiny_model(), tokenizer, untrained, info={"untrained": True}, stop_ids=[0])
    for student, settings, message in (
        (untrained, Targets(), "was never trained"),
        (encoder, Targets(encoder=str(untrained)), "was never trained"),
        (encoder, Targets(encoder=str(tmp_path / "missing")), "cannot be loaded"),
        (encoder, Targets(layer=3), r"targets.layer: 3; .* has states 0 \(embeddings\) to 2"),
    ):
        with pytest.raises(InputError, match=message):
            targets(prepared, student=student, output_dir=tmp_path / "out", settings=settings)


def test_missing_rationales_are_named(tmp_path, encoder):
    import pyarrow as pa

    table = pa.table({"example_id": [4], "rationale": pa.array([None], pa.large_utf8())})
    path = str(tmp_path / "examples.arrow")
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    with pytest.raises(InputError, match="example 4 has no rationale"):
        targets(tmp_path, student=encoder, output_dir=tmp_path / "out", settings=Targets())
