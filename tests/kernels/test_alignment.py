"""`semantic_alignment_loss` against plain Python arithmetic, gradcheck and its edge cases."""

import itertools
import math

import pytest
import torch

from limbeck_kernels import semantic_alignment_loss

DOUBLE = torch.float64
CU_SEQLENS = torch.tensor([0, 4, 4, 9, 15])  # the second segment is empty, two tokens are tail
N, D, E = 17, 5, 3


def make(items, *, projected=True, seed=0):
    g = torch.Generator().manual_seed(seed)
    student = torch.randn(N, D, generator=g, dtype=DOUBLE).requires_grad_()
    projection = torch.randn(E, D, generator=g, dtype=DOUBLE).requires_grad_()
    target = torch.randn(items, E if projected else D, generator=g, dtype=DOUBLE)
    weights = torch.rand(items, generator=g)
    select = torch.rand(N, generator=g) < 0.7
    return student, projection if projected else None, target, weights, select


def measure(a, b, metric):
    if metric == "mse":
        return sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / len(a)
    if metric == "smooth_l1":
        gaps = [abs(x - y) for x, y in zip(a, b, strict=True)]
        return sum(0.5 * g * g if g < 1 else g - 0.5 for g in gaps) / len(a)
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return 1 - dot / (math.hypot(*a) * math.hypot(*b))


def by_hand(student, projection, target, weights, select, metric, pooling):
    """The definition with lists: pool each item, project it, measure it, weigh it."""
    states = student.tolist()
    if pooling == "token":
        groups = [[i] if select[i] else [] for i in range(N)]
    else:
        starts = CU_SEQLENS.tolist()
        groups = [[i for i in range(a, b) if select[i]] for a, b in itertools.pairwise(starts)]
    total = mass = 0.0
    for group, goal, weight in zip(groups, target.tolist(), weights.tolist(), strict=True):
        if not group:
            continue
        kept = [states[i] for i in (group if pooling != "last" else group[-1:])]
        state = [sum(column) / len(kept) for column in zip(*kept, strict=True)]
        if projection is not None:
            state = [
                sum(p * s for p, s in zip(row, state, strict=True)) for row in projection.tolist()
            ]
        total += weight * measure(state, goal, metric)
        mass += weight
    return total, mass


@pytest.mark.parametrize("metric", ["cosine", "mse", "smooth_l1"])
@pytest.mark.parametrize("pooling", ["token", "mean", "last"])
@pytest.mark.parametrize("projected", [True, False])
def test_value_and_gradients(metric, pooling, projected):
    items = N if pooling == "token" else len(CU_SEQLENS) - 1
    student, projection, target, weights, select = make(items, projected=projected)
    options = {
        "metric": metric, "weights": weights, "select": select, "pooling": pooling,
        "cu_seqlens": None if pooling == "token" else CU_SEQLENS,
    }  # fmt: skip
    total, mass = by_hand(student, projection, target, weights, select, metric, pooling)
    loss = semantic_alignment_loss(student, target, projection=projection, **options)
    assert loss.dtype == DOUBLE
    assert loss.item() == pytest.approx(total / mass, rel=1e-12)
    given = semantic_alignment_loss(
        student, target, projection=projection, normalizer=torch.tensor(9.0), **options
    )
    assert given.item() == pytest.approx(total / 9, rel=1e-12)

    inputs = (student,) if projection is None else (student, projection)
    assert torch.autograd.gradcheck(
        lambda s, p=None: semantic_alignment_loss(s, target, projection=p, **options), inputs
    )


def test_defaults_are_every_token_with_weight_one():
    student, _, target, _, _ = make(N, projected=False)
    ones, true = torch.ones(N), torch.ones(N, dtype=torch.bool)
    want = by_hand(student, None, target, ones, true, "cosine", "token")
    got = semantic_alignment_loss(student, target)
    assert got.item() == pytest.approx(want[0] / want[1], rel=1e-12)


@pytest.mark.parametrize("who", ["student", "target"])
def test_a_zero_vector_has_distance_one_and_no_gradient(who):
    student, _, target, _, _ = make(N, projected=False)
    with torch.no_grad():
        (student if who == "student" else target)[2] = 0.0
    weights = torch.zeros(N)
    weights[2] = 1.0
    loss = semantic_alignment_loss(student, target, weights=weights)
    loss.backward()
    assert loss.item() == 1.0
    assert not student.grad.any()


@pytest.mark.parametrize("metric", ["cosine", "mse", "smooth_l1"])
@pytest.mark.parametrize("pooling", ["token", "mean", "last"])
def test_nan_that_does_not_count_stays_there(metric, pooling):
    items = N if pooling == "token" else len(CU_SEQLENS) - 1
    student, projection, target, weights, select = make(items)
    weights[0] = 0.0
    dead = ~select
    dead[15:] = True  # the tail belongs to no segment
    if pooling == "token":
        dead[0] = True
        select[15:] = False
    else:
        dead[:4] = True  # the first segment weighs nothing
    options = {
        "metric": metric, "weights": weights, "select": select, "pooling": pooling,
        "cu_seqlens": None if pooling == "token" else CU_SEQLENS, "projection": projection,
    }  # fmt: skip
    clean = semantic_alignment_loss(student, target, **options)
    want = torch.autograd.grad(clean, (student, projection))
    for poison in (float("nan"), float("inf")):
        states = torch.where(dead[:, None], poison, student.detach()).requires_grad_()
        bad_target = target.clone()
        bad_target[0] = poison
        loss = semantic_alignment_loss(states, bad_target, **options)
        assert torch.equal(loss, clean)
        got = torch.autograd.grad(loss, (states, projection))
        for a, b in zip(got, want, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_nothing_counts():
    for count in (0, 3):
        student = torch.randn(count, D, requires_grad=True)
        projection = torch.randn(E, D, requires_grad=True)
        for extra in (
            {"weights": torch.zeros(count)},
            {"select": torch.zeros(count, dtype=torch.bool)},
            {"normalizer": 0.0},
        ):
            loss = semantic_alignment_loss(
                student, torch.randn(count, E), projection=projection, **extra
            )
            gradients = torch.autograd.grad(loss, (student, projection))
            assert loss.item() == 0.0
            assert loss.dtype == torch.float32
            assert not any(g.any() for g in gradients)
    for pooling in ("mean", "last"):
        loss = semantic_alignment_loss(
            torch.empty(0, D), torch.randn(2, D), cu_seqlens=torch.zeros(3, dtype=torch.int64),
            pooling=pooling,
        )  # fmt: skip
        assert loss.item() == 0.0


def test_micro_batches_with_the_common_normalizer_equal_the_whole():
    g = torch.Generator().manual_seed(1)
    student = torch.randn(64, D, generator=g, dtype=DOUBLE).requires_grad_()
    projection = torch.randn(E, D, generator=g, dtype=DOUBLE).requires_grad_()
    target = torch.randn(64, E, generator=g, dtype=DOUBLE)
    weights = torch.rand(64, generator=g, dtype=DOUBLE)
    whole = semantic_alignment_loss(student, target, projection=projection, weights=weights)
    parts = sum(
        semantic_alignment_loss(
            student[i : i + 8], target[i : i + 8], projection=projection,
            weights=weights[i : i + 8], normalizer=weights.sum(),
        )
        for i in range(0, 64, 8)
    )  # fmt: skip
    assert abs(parts.item() - whole.item()) <= 1e-12
    for a, b in zip(
        torch.autograd.grad(parts, (student, projection)),
        torch.autograd.grad(whole, (student, projection)),
        strict=True,
    ):
        assert (a - b).abs().max() <= 1e-12


def test_backward_twice_a_scaled_gradient_and_no_third_kind():
    student, projection, target, weights, _ = make(N)
    loss = semantic_alignment_loss(student, target, projection=projection, weights=weights)
    once = torch.autograd.grad(loss, (student, projection), retain_graph=True)
    again = torch.autograd.grad(3 * loss, (student, projection), retain_graph=True)
    for a, b in zip(once, again, strict=True):
        torch.testing.assert_close(3 * a, b, rtol=1e-13, atol=1e-15)
    with pytest.raises(RuntimeError, match="double backward"):
        torch.autograd.grad(loss, student, create_graph=True)


def test_half_precision_states_are_measured_in_fp32():
    student, projection, target, weights, _ = make(N)
    low = [t.detach().bfloat16().requires_grad_() for t in (student, projection)]
    loss = semantic_alignment_loss(low[0], target.bfloat16(), projection=low[1], weights=weights)
    exact = semantic_alignment_loss(
        low[0].double(), target.bfloat16().double(), projection=low[1].double(), weights=weights
    )
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), abs=1e-6)
    for got, want in zip(
        torch.autograd.grad(loss, low), torch.autograd.grad(exact, low), strict=True
    ):
        assert got.dtype == torch.bfloat16
        torch.testing.assert_close(got, want, rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"impl": "triton"}, "float64 states"),
        ({"metric": "dot"}, "metric is 'dot'"),
        ({"pooling": "max"}, "pooling is 'max'"),
        ({"pooling": "mean"}, "needs cu_seqlens"),
        ({"cu_seqlens": CU_SEQLENS}, "takes no cu_seqlens"),
        ({"target": torch.ones(4, E)}, "there are 17 items"),
        ({"target": torch.ones(N, E, requires_grad=True)}, "target gets no gradient"),
        ({"projection": None}, "give a projection"),
        ({"projection": torch.ones(D, E)}, "projection has shape"),
        ({"select": torch.ones(3, dtype=torch.bool)}, "select has shape"),
    ],
)
def test_bad_arguments_are_named(change, message):
    student, projection, target, _, _ = make(N)
    arguments = {"student": student, "target": target, "projection": projection}
    with pytest.raises(ValueError, match=message):
        semantic_alignment_loss(**(arguments | change))
