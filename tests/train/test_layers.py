"""A layer's number means the same in every architecture."""

from types import SimpleNamespace

import pytest
import torch
from tests.train.conftest import tiny_model

from limbeck.errors import InputError
from limbeck.forward import packed_states
from limbeck.layers import LAST, layer_number, states_by_layer

KINDS = {
    "llama": {}, "qwen3": {"head_dim": 8}, "gemma2": {"head_dim": 8}, "gpt_neox": {}, "gpt2": {},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_layers_states_are_what_the_next_block_reads(kind):
    decoder = tiny_model(kind, **KINDS[kind]).eval().get_decoder()
    blocks = getattr(decoder, "layers", None) or decoder.h
    read = []
    for block in blocks:
        block.register_forward_pre_hook(
            lambda _, args, kwargs: read.append((*args, kwargs.get("hidden_states"))[0]),
            with_kwargs=True,
        )
    ids = torch.arange(2, 18).view(2, 8)
    positions = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3]] * 2)
    with torch.no_grad():
        found = packed_states(decoder, ids, positions, [0, 1, LAST])
    assert found.keys() == {0, 1, LAST}
    torch.testing.assert_close(found[0], read[0], rtol=0, atol=0)
    torch.testing.assert_close(found[1], read[1], rtol=0, atol=0)
    assert (found[0] - found[1]).abs().max() > 1e-3
    assert (found[1] - found[LAST]).abs().max() > 1e-3


def test_the_last_layer_costs_no_other():
    def model(**inputs):
        assert "output_hidden_states" not in inputs
        return SimpleNamespace(last_hidden_state="states")

    assert states_by_layer(model, [LAST], input_ids=None) == {LAST: "states"}


@pytest.mark.parametrize("layer", [5, -6])
def test_a_layer_that_is_not_there_is_named(layer):
    config = SimpleNamespace(num_hidden_layers=4)
    with pytest.raises(InputError, match=rf"targets\.layer: {layer}; x has states 0 .* to 4"):
        layer_number(layer, config, place="targets.layer", model="x")
