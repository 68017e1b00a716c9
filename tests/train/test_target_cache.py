"""Targets are computed once: what stands is known by its content, cut off or finished."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from tests.train.conftest import RECORDS, save_model, write_prepared

from limbeck.config import Targets
from limbeck.encoder import Encoder
from limbeck.errors import InputError
from limbeck.target_store import TargetStore
from limbeck.targets import targets

IDS = np.arange(len(RECORDS))


@pytest.fixture
def encoded(monkeypatch):
    """How many rationales each batch had that was really encoded."""
    batches = []
    ordinary = Encoder.states

    def states(self, passages):
        batches.append(len(passages))
        return ordinary(self, passages)

    monkeypatch.setattr(Encoder, "states", states)
    return batches


def make(prepared, encoder, output_dir, progress=None, reuse=(), **settings):
    settings = Targets(**{"encoder": str(encoder), "batch_size": 2, **settings})
    return targets(
        prepared, student=encoder, output_dir=output_dir, settings=settings, reuse=reuse,
        progress=progress,
    )  # fmt: skip


def read(directory, ids=IDS):
    return TargetStore(directory).read(ids)


@pytest.mark.parametrize("pooling", ["mean", "token"])
def test_a_run_that_was_killed_goes_on(tmp_path, prepared, encoder, encoded, pooling):
    """SIGKILL after the second of three batches, as when memory runs out."""

    def kill(done, total, text):
        if done == 4:
            os.kill(os.getpid(), signal.SIGKILL)

    cut = tmp_path / "cut"
    child = os.fork()
    if child == 0:
        try:
            make(prepared, encoder, cut, pooling=pooling, progress=kill)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    with pytest.raises(InputError, match=r"no targets.safetensors; run `targets`"):
        TargetStore(cut)
    partial = cut / ".targets.safetensors.partial"
    with partial.open("ab") as file:  # the kill may as well have come in the middle of a state
        file.write(b"torn")
    make(prepared, encoder, cut, pooling=pooling)
    assert encoded == [2]
    whole = make(prepared, encoder, tmp_path / "whole", pooling=pooling)
    assert os.listdir(cut) == os.listdir(whole)
    for name in ("targets.safetensors", "targets.json"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_second_run_computes_nothing(tmp_path, prepared, encoder, encoded):
    output = make(prepared, encoder, tmp_path / "targets")
    file = output / "targets.safetensors"
    before = file.read_bytes(), file.stat().st_mtime_ns
    encoded.clear()
    said = []
    make(prepared, encoder, output, progress=lambda *report: said.append(report))
    assert encoded == []
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    assert [done for done, _, _ in said] == [0]


def test_only_new_rationales_are_read(tmp_path, encoder, encoded):
    records = [("What is 7 + 7 ?", "14", "7 + 7 = 14"), *RECORDS[2:], RECORDS[0]]
    old = write_prepared(tmp_path / "old")
    new = write_prepared(tmp_path / "new", records)
    output = make(old, encoder, tmp_path / "targets")
    encoded.clear()
    make(new, encoder, output)
    assert encoded == [1]
    fresh = make(new, encoder, tmp_path / "fresh")
    torch.testing.assert_close(read(output), read(fresh))
    said = [json.loads((each / "targets.json").read_text()) for each in (output, fresh)]
    assert said[0] == said[1]
    # What was copied is known as well as what was computed, and nothing moves any more.
    encoded.clear()
    before = (output / "targets.safetensors").stat().st_mtime_ns
    make(new, encoder, output)
    assert (output / "targets.safetensors").stat().st_mtime_ns == before
    assert encoded == []


def test_states_of_another_directory_are_copied(tmp_path, prepared, encoder, encoded):
    first = make(prepared, encoder, tmp_path / "first", control="constant")
    encoded.clear()
    second = make(prepared, encoder, tmp_path / "second", reuse=[tmp_path / "none", first])
    assert encoded == []
    torch.testing.assert_close(read(second), read(make(prepared, encoder, tmp_path / "third")))


@pytest.mark.parametrize(
    "change", [{"layer": 1}, {"pooling": "last"}, {"max_length": 5}, {"dtype": "bfloat16"}]
)
def test_states_of_other_settings_are_not_taken(tmp_path, prepared, encoder, encoded, change):
    output = make(prepared, encoder, tmp_path / "targets")
    encoded.clear()
    make(prepared, encoder, output, **change)
    assert sum(encoded) == len(RECORDS)
    fresh = make(prepared, encoder, tmp_path / "fresh", **change)
    assert torch.equal(read(output), read(fresh))


def test_states_of_other_weights_are_not_taken(tmp_path, prepared, encoder, encoded):
    """The same name, trained on since."""
    directory = save_model(tmp_path / "student")
    output = make(prepared, directory, tmp_path / "targets")
    encoded.clear()
    save_model(directory, initializer_range=0.5)
    make(prepared, directory, output)
    assert sum(encoded) == len(RECORDS)


def test_a_damaged_file_is_written_anew(tmp_path, prepared, encoder, encoded):
    output = make(prepared, encoder, tmp_path / "targets")
    whole = (output / "targets.safetensors").read_bytes()
    for damaged in (whole[:-8], b"", b"\0" * 64):
        (output / "targets.safetensors").write_bytes(damaged)
        with pytest.raises(InputError, match="not a target file"):
            read(output)
        encoded.clear()
        make(prepared, encoder, output)
        assert sum(encoded) == len(RECORDS)
        assert (output / "targets.safetensors").read_bytes() == whole


def test_two_runs_do_not_write_one_file(tmp_path, prepared, encoder):
    def second(done, total, text):
        if done == 2:
            with pytest.raises(InputError, match="another run writes targets there; wait"):
                make(prepared, encoder, tmp_path)

    make(prepared, encoder, tmp_path, progress=second)
    assert len(TargetStore(tmp_path)) == len(RECORDS)


def test_a_full_disk_is_told_before_anything_is_computed(
    tmp_path, prepared, encoder, encoded, monkeypatch
):
    import shutil

    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(total=99, used=0, free=99)
    )
    with pytest.raises(InputError, match=r"take 0.0 GB and the disk has 0.0 GB left; free some"):
        make(prepared, encoder, tmp_path / "targets")
    assert encoded == []
