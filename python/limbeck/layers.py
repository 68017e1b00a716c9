"""Which states of a model a layer names: 0 its embeddings, n what its n-th layer made of them.

Negative numbers count from the end, as those of a list do. The last are the states that the head
reads, behind the model's final norm.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from limbeck.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

LAST = -1


def layer_number(layer: int, config: Any, *, place: str, model: str) -> int:
    """Return `LAST`, or the number of another layer counted from the embeddings.

    Args:
        layer: As a user gives it.
        config: The text config of the model.
        place: The setting that names the layer.
        model: What messages call the model.

    Raises:
        InputError: The model has no such layer.

    Example:
        >>> from types import SimpleNamespace
        >>> config = SimpleNamespace(num_hidden_layers=4)
        >>> [layer_number(n, config, place="layer", model="it") for n in (0, 3, 4, -2, -1)]
        [0, 3, -1, 3, -1]
    """
    count: int = config.num_hidden_layers
    if not -count - 1 <= layer <= count:
        raise InputError(
            f"{place}: {layer}; {model} has states 0 (embeddings) to {count}, or -1 for the last"
        )
    number = layer % (count + 1)
    return LAST if number == count else number


def states_by_layer(model: Any, layers: Iterable[int], **inputs: Any) -> dict[int, Tensor]:
    """Run a model and return the states `[B, T, D]` of some of its layers.

    Args:
        model: A model of transformers without its head.
        layers: Numbers from `layer_number`.
        **inputs: What the model is called with.

    Returns:
        The states by number, those of `LAST` always among them.
    """
    others = set(layers) - {LAST}
    output = model(**inputs, **({"output_hidden_states": True} if others else {}))
    return {LAST: output.last_hidden_state} | {n: output.hidden_states[n] for n in others}
