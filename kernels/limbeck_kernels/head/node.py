"""The autograd node of `distillation_head`: three losses forward, one gradient of the states back.

Each term is what its own op does, less the last step: instead of a gradient as wide as the states
it hands over a part (`parts.py`), and the parts are added where the gradient is written.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from limbeck_kernels.alignment import AlignmentArguments
from limbeck_kernels.alignment.op import (
    distance_backward,
    distance_forward,
    projected_distance_backward,
    projected_distance_forward,
)
from limbeck_kernels.common import accumulation_dtype, reciprocal, refuse_double_backward
from limbeck_kernels.cross_entropy import SelectedRows
from limbeck_kernels.cross_entropy.op import cross_entropy_total, scaled
from limbeck_kernels.domain import DomainArguments
from limbeck_kernels.domain.op import domain_backward, domain_forward
from limbeck_kernels.head.op import states_backward
from limbeck_kernels.head.parts import Distance, Gathered, Logits, collected
from limbeck_kernels.pooling.naive import segment_of_tokens
from limbeck_kernels.pooling.op import pool_forward


class RowsArguments(NamedTuple):
    """Arguments of the cross-entropy, checked."""

    chosen: SelectedRows
    softcap: float | None
    scale: float
    normalizer: Tensor | None
    wanted: tuple[bool, bool, bool]


class Plan(NamedTuple):
    """What each term was given; None where there is no such term."""

    rows: RowsArguments | None
    alignment: AlignmentArguments | None
    domain: DomainArguments | None
    impl: str


def _spread(
    d_pooled_SD: Tensor,
    where_S: Tensor,
    pooling: str,
    select_N: Tensor | None,
    cu_seqlens: Tensor,
    n_tokens: int,
) -> Gathered:
    """Return the part of a pooled loss: equation (3) of the pooling's README, as a gather."""
    n_segments = where_S.numel()
    if pooling == "last":
        # Segments without a token write into one more element, which is cut off.
        index_N = where_S.new_full((n_tokens + 1,), -1)
        places_S = torch.where(where_S >= 0, where_S, n_tokens)
        segments_S = torch.arange(n_segments, device=where_S.device)
        return Gathered(d_pooled_SD, index_N.scatter(0, places_S, segments_S)[:-1], None)
    segment_N = segment_of_tokens(select_N, cu_seqlens, n_tokens)
    share_S = 1 / where_S.clamp(min=1).to(d_pooled_SD.dtype)
    share_N = torch.cat([share_S, share_S.new_zeros(1)])[segment_N]
    index_N = torch.where(segment_N < n_segments, segment_N, -1)
    return Gathered(d_pooled_SD, index_N, share_N)


class DistillationHead(torch.autograd.Function):
    """Losses of the terms in a plan; one gradient of the states, written once."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        head_weight: Tensor | None,
        head_bias: Tensor | None,
        projection: Tensor | None,
        classifier: Tensor | None,
        classifier_bias: Tensor | None,
        plan: Plan,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Return the losses of cross-entropy, alignment and domain, None where there is none."""
        losses: list[Tensor | None] = [None, None, None]
        saved: dict[str, Tensor] = {}
        if plan.rows is not None:
            assert head_weight is not None
            chosen, softcap, scale, normalizer, wanted = plan.rows
            total, unit, saved["d_rows"], saved["d_weight"], saved["d_bias"] = cross_entropy_total(
                hidden_ND, head_weight, head_bias, *chosen, softcap, scale, wanted
            )
            z = chosen.weights_R.sum() if normalizer is None else normalizer
            inverse = reciprocal(z, total)
            saved["rows_unit"] = unit * inverse
            losses[0] = total * inverse
        if plan.alignment is not None:
            losses[1] = _alignment_forward(hidden_ND, projection, plan.alignment, saved)
        if plan.domain is not None:
            assert classifier is not None
            d = plan.domain
            states, valid, starts = hidden_ND, d.select_N, d.cu_seqlens
            if d.pooling != "token":
                assert starts is not None
                states, saved["domain_where"], valid = pool_forward(
                    hidden_ND, valid, starts, d.pooling, d.impl
                )
                saved["domain_states"], starts = states, None
            losses[2], saved["gradient"], saved["row_weight"], saved["domain_inverse"] = (
                domain_forward(
                    states, classifier, classifier_bias, d.domains, d.weights_I, valid, starts,
                    d.normalizer, d.strength, d.impl,
                )
            )  # fmt: skip
        ctx.set_materialize_grads(False)
        ctx.plan, ctx.names = plan, list(saved)
        ctx.save_for_backward(
            hidden_ND, head_weight, head_bias, projection, classifier, classifier_bias,
            *saved.values(),
        )  # fmt: skip
        return losses[0], losses[1], losses[2]

    @staticmethod
    def backward(
        ctx: Any,
        grad_rows: Tensor | None,
        grad_alignment: Tensor | None,
        grad_domain: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        """Collect the parts of the states' gradient, write their sum, return all gradients."""
        refuse_double_backward("distillation_head")
        plan: Plan = ctx.plan
        hidden_ND, head_weight, head_bias, projection, classifier, classifier_bias, *rest = (
            ctx.saved_tensors
        )
        saved = dict(zip(ctx.names, rest, strict=True))
        want_states = ctx.needs_input_grad[0]
        parts: list[Gathered | Distance | Logits] = []
        parameters: list[Tensor | None] = [None] * 5

        if plan.rows is not None and grad_rows is not None:
            factor = grad_rows * saved["rows_unit"]
            if ctx.needs_input_grad[1]:
                assert head_weight is not None
                parameters[0] = scaled(saved["d_weight"], factor, head_weight.dtype)
            if ctx.needs_input_grad[2]:
                assert head_bias is not None
                parameters[1] = scaled(saved["d_bias"], factor, head_bias.dtype)
            if want_states:
                rows_R, n_tokens = plan.rows.chosen.rows_R, hidden_ND.shape[0]
                order_R = torch.arange(rows_R.numel(), device=rows_R.device)
                index_N = rows_R.new_full((n_tokens,), -1).scatter(0, rows_R, order_R)
                share_N = factor.expand(n_tokens).contiguous()
                parts.append(Gathered(saved["d_rows"], index_N, share_N))
        if plan.alignment is not None and grad_alignment is not None:
            aligned, parameters[2] = _alignment_backward(
                grad_alignment, hidden_ND, projection, plan.alignment, saved
            )
            parts.append(aligned)
        if plan.domain is not None and grad_domain is not None:
            adverse, parameters[3], parameters[4] = _domain_backward(
                grad_domain, hidden_ND, classifier, classifier_bias, plan.domain, saved
            )
            parts.append(adverse)

        d_hidden_ND = None
        if want_states:
            d_hidden_ND = states_backward(hidden_ND, collected(parts), plan.impl)
        return (d_hidden_ND, *parameters, None)


def _alignment_forward(
    hidden_ND: Tensor,
    projection: Tensor | None,
    a: AlignmentArguments,
    saved: dict[str, Tensor],
) -> Tensor:
    states, valid_I = hidden_ND, a.select_N
    dtype = accumulation_dtype(hidden_ND.dtype)
    if a.cu_seqlens is not None:
        states, saved["alignment_where"], valid_I = pool_forward(
            hidden_ND, valid_I, a.cu_seqlens, a.pooling, a.impl
        )
    effective_I = a.weights_I
    if projection is not None:
        effective_I = states.new_ones(states.shape[0], dtype=dtype)
        if a.weights_I is not None:
            effective_I = a.weights_I.to(dtype)
        if valid_I is not None:
            effective_I = torch.where(valid_I, effective_I, 0)
        valid_I = None
        if a.cu_seqlens is None:
            saved["alignment_weights"] = effective_I
            loss, saved["factors"], saved["alignment_inverse"] = projected_distance_forward(
                states, projection, a.target_IE, effective_I, a.normalizer, a.metric, a.impl
            )
            return loss
        # A pooled NaN of an item that weighs nothing must not meet the projection.
        states = torch.where(effective_I[:, None] != 0, states, 0)
        saved["pooled"] = states
        with torch.autocast(hidden_ND.device.type, enabled=False):
            states = states @ projection.to(dtype).T
    if a.cu_seqlens is not None:
        saved["alignment_states"] = states
    loss, saved["factors"], saved["alignment_inverse"] = distance_forward(
        states, a.target_IE, effective_I, valid_I, a.normalizer, a.metric, a.impl
    )
    return loss


def _alignment_backward(
    grad: Tensor,
    hidden_ND: Tensor,
    projection: Tensor | None,
    a: AlignmentArguments,
    saved: dict[str, Tensor],
) -> tuple[Gathered | Distance, Tensor | None]:
    factors, inverse = saved["factors"], saved["alignment_inverse"]
    if a.cu_seqlens is None:
        if projection is None:
            return Distance(grad, inverse, a.target_IE, factors, a.metric), None
        d_states, d_projection = projected_distance_backward(
            grad, hidden_ND, projection, a.target_IE, saved["alignment_weights"], factors,
            inverse, a.metric, a.impl,
        )  # fmt: skip
        return Gathered(d_states, None, None), d_projection
    d_states = distance_backward(
        grad, saved["alignment_states"], a.target_IE, factors, inverse, a.metric, a.impl
    )
    d_projection = None
    if projection is not None:
        with torch.autocast(hidden_ND.device.type, enabled=False):
            d_projection = (d_states.T @ saved["pooled"]).to(projection.dtype)
            d_states = d_states @ projection.to(d_states.dtype)
    where_S = saved["alignment_where"]
    part = _spread(d_states, where_S, a.pooling, a.select_N, a.cu_seqlens, hidden_ND.shape[0])
    return part, d_projection


def _domain_backward(
    grad: Tensor,
    hidden_ND: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    d: DomainArguments,
    saved: dict[str, Tensor],
) -> tuple[Gathered | Logits, Tensor, Tensor | None]:
    gradient, row_weight, inverse = saved["gradient"], saved["row_weight"], saved["domain_inverse"]
    if d.pooling != "token":
        assert d.cu_seqlens is not None
        d_states, d_weight, d_bias = domain_backward(
            grad, saved["domain_states"], weight, bias, gradient, row_weight, inverse, d.strength,
            d.impl,
        )  # fmt: skip
        where_S = saved["domain_where"]
        part = _spread(d_states, where_S, d.pooling, d.select_N, d.cu_seqlens, hidden_ND.shape[0])
        return part, d_weight, None if bias is None else d_bias
    _, d_weight, d_bias = domain_backward(
        grad, hidden_ND, weight, bias, gradient, row_weight, inverse, d.strength, d.impl, False
    )
    logits = Logits(grad, inverse, d.strength, weight, gradient, row_weight)
    return logits, d_weight, None if bias is None else d_bias
