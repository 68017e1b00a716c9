"""Whether a student keeps the examples of a row apart, tried out before it trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.errors import InputError
from limbeck.forward import causal_model, hidden_states
from limbeck.trie_masks import SharingError


class IsolationError(InputError):
    """The examples of a row see each other in this student."""


@torch.no_grad()
def check_isolation(student: nn.Module) -> None:
    """Refuse a student in which packed examples see each other.

    Two rows of two examples each; whatever the first example says, the states of the second must
    stay as they are.

    Args:
        student: The model as it will train: architecture and attention implementation decide.

    Raises:
        IsolationError: They do not.
    """
    model = causal_model(student)
    ids = _some_ids(model, 32).view(2, 16)
    other = ids.clone()
    other[:, :8] = (other[:, :8] + 3) % _vocabulary(model)
    positions = torch.arange(8, device=ids.device).repeat(2).expand(2, 16)
    try:
        one, two = (_states(student, each, positions)[:, 8:] for each in (ids, other))
    except TypeError as error:
        raise IsolationError(_not_isolated(model)) from error
    if not _differ(one, two) <= torch.finfo(one.dtype).eps:
        raise IsolationError(_not_isolated(model))


@torch.no_grad()
def check_sharing(student: nn.Module) -> None:
    """Refuse a student in which an example is another when it shares its prompt.

    Two rows of a prompt, the rest of its example, and a second branch. Whatever the first one says,
    the states of the second must stay as they are; and they must be those of the prompt and the
    branch as a sequence of their own, but for the order in which attention adds up.

    Args:
        student: The model as it will train: architecture and attention implementation decide.

    Raises:
        SharingError: It is.
    """
    model = causal_model(student)
    prompt, a, b = _some_ids(model, 24).split(8)
    other = (a + 3) % _vocabulary(model)
    ids = torch.stack([torch.cat(parts) for parts in ((prompt, a, b), (prompt, other, b))])
    t = torch.arange(24, device=ids.device)
    positions = torch.where(t < 16, t, t - 8).expand(2, 24)
    trie = {"groups": torch.zeros_like(ids), "branches": (t // 8).expand(2, 24)}
    try:
        states = _states(student, ids, positions, trie)[:, 16:]
        alone = _states(student, torch.cat([prompt, b])[None], t[None, :16])[0, 8:]
    except SharingError:
        raise
    except (TypeError, AttributeError, RuntimeError, ValueError, KeyError) as error:
        # Whatever a model says that was not made for such masks.
        raise SharingError(type(model).__name__, "masks by branches are not taken") from error
    eps = torch.finfo(states.dtype).eps
    if not (_differ(*states) <= eps and _differ(alone, states[0]) <= eps**0.5):
        raise SharingError(type(model).__name__, "branches are not what they are alone")


def _some_ids(model: Any, count: int) -> Tensor:
    device = next(model.parameters()).device
    return torch.arange(count, device=device) * 7 % _vocabulary(model)


def _vocabulary(model: Any) -> int:
    rows: int = model.get_input_embeddings().weight.shape[0]
    return rows


def _states(
    student: nn.Module, ids: Tensor, positions: Tensor, trie: Mapping[str, Tensor] | None = None
) -> Tensor:
    """Return the last states, without dropout."""
    was_training = student.training
    student.eval()
    try:
        return hidden_states(causal_model(student).get_decoder(), ids, positions, trie)
    finally:
        student.train(was_training)


def _differ(one: Tensor, two: Tensor) -> Tensor:
    """The largest difference, as a share of the largest value."""
    return (one - two).abs().max() / one.abs().max()


def _not_isolated(model: Any) -> str:
    attention = model.config._attn_implementation
    return (
        f"student: in {type(model).__name__} with attn_implementation={attention!r} packed "
        "examples see each other; use sdpa, eager or flex_attention, or prepare with packing: none"
    )
