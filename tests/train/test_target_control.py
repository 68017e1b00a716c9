"""Controls: targets of other records, and one target for all."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.train.conftest import RECORDS, write_prepared

from limbeck.config import RecipeError, Targets, check
from limbeck.target_control import is_own, permuted
from limbeck.target_store import TargetStore
from limbeck.targets import targets

DOUBLED = [*RECORDS, RECORDS[2], RECORDS[0]]
IDS = np.arange(len(DOUBLED))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 3))
def test_nobody_keeps_a_rationale_that_can_be_exchanged(rationales, seed):
    """As few as can be keep theirs: none, unless more than half share one rationale."""
    rationales = np.array(rationales)
    records = np.arange(len(rationales))
    takes = permuted(rationales, records, seed)
    assert sorted(takes) == records.tolist()
    most = np.bincount(rationales).max()
    assert (rationales[takes] == rationales).sum() == max(0, 2 * most - len(rationales))


def test_another_rationale_of_the_same_record_is_no_stranger():
    rationales, records = np.arange(60), np.arange(60) // 6
    for seed in range(20):
        assert not is_own(rationales, records, permuted(rationales, records, seed)).any()


def test_the_seed_draws_the_permutation():
    numbers = np.arange(50)
    one, two, other = (permuted(numbers, numbers, seed) for seed in (1, 1, 2))
    assert (one == two).all()
    assert (one != other).mean() > 0.8


@pytest.fixture(scope="module")
def doubled(tmp_path_factory):
    return write_prepared(tmp_path_factory.mktemp("control") / "prepared", DOUBLED)


def read(doubled, encoder, output_dir, control, seed=0):
    targets(
        doubled, student=encoder, output_dir=output_dir, settings=Targets(control=control),
        seed=seed,
    )  # fmt: skip
    return TargetStore(output_dir).read(IDS), json.loads((output_dir / "targets.json").read_text())


def test_permuted_targets_are_those_of_others(tmp_path, doubled, encoder):
    own, said = read(doubled, encoder, tmp_path / "own", "none")
    assert said["control"] == "none"
    strangers, said = read(doubled, encoder, tmp_path / "permuted", "permuted", seed=3)
    assert (said["control"], said["control_seed"], said["control_unmoved"]) == ("permuted", 3, 0)
    assert not (own == strangers).all(1).any()
    assert torch.equal(own.sum(1).sort().values, strangers.sum(1).sort().values)


def test_the_share_that_stays_is_told(tmp_path, encoder):
    prepared = write_prepared(tmp_path / "prepared", [RECORDS[0]] * 3 + [RECORDS[1]])
    targets(
        prepared, student=encoder, output_dir=tmp_path, settings=Targets(control="permuted")
    )  # fmt: skip
    assert json.loads((tmp_path / "targets.json").read_text())["control_unmoved"] == 2


def test_the_constant_target_is_the_mean_of_all_examples(tmp_path, doubled, encoder):
    own, _ = read(doubled, encoder, tmp_path / "own", "none")
    constant, said = read(doubled, encoder, tmp_path / "constant", "constant")
    assert said["control"] == "constant"
    torch.testing.assert_close(constant, own.mean(0).expand_as(own))
    # Taken up from there, the others' states are as they were.
    again, _ = read(doubled, encoder, tmp_path / "constant", "none")
    assert torch.equal(again, own)


def test_controls_need_one_target_an_example():
    with pytest.raises(RecipeError, match="control: permuted needs one target an example"):
        check(Targets, {"pooling": "token", "control": "permuted"})
