"""The alignment kernels against the definition in float64, over shapes that break tiles."""

import math

import pytest
import torch

from limbeck_kernels import semantic_alignment_loss
from limbeck_kernels.alignment import semantic_alignment_naive

METRICS = ["cosine", "mse", "smooth_l1"]
POOLINGS = ["token", "mean", "last"]


def make(n, d, pooling, dtype, device, e=None):
    """Inputs of one call: masked rows, an empty segment, a tail, a zero weight."""
    g = torch.Generator().manual_seed(n + d)
    student = torch.randn(n, d, generator=g).to(device, dtype).requires_grad_()
    projection = None
    if e is not None:
        projection = (torch.randn(e, d, generator=g) / d**0.5).to(device, dtype).requires_grad_()
    starts = None
    items = n
    if pooling != "token":
        starts = torch.tensor([0, n // 5, n // 5, n // 2, n - n // 10], device=device)
        items = 4
    target = torch.randn(items, e or d, generator=g).to(device, dtype)
    options = {
        "weights": torch.rand(items, generator=g).to(device),
        "select": (torch.rand(n, generator=g) < 0.7).to(device),
        "cu_seqlens": starts,
        "pooling": pooling,
    }
    if items > 2:
        options["weights"][0] = 0.0
    return student, projection, target, options


def gradients(loss, *inputs):
    return [loss.detach(), *torch.autograd.grad(loss, [t for t in inputs if t is not None])]


def naive(student, projection, target, metric, options):
    return semantic_alignment_naive(
        student, projection, target, metric=metric, weights_I=options["weights"],
        select_N=options["select"], cu_seqlens=options["cu_seqlens"], pooling=options["pooling"],
        normalizer=None,
    )  # fmt: skip


@pytest.mark.parametrize("impl", ["triton", "torch"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("n", "d", "pooling", "e"),
    [(1, 896, "token", None), (63, 896, "token", None), (63, 300, "token", 40)]
    + [(63, 896, p, None) for p in POOLINGS[1:]]
    + [(63, 300, p, 40) for p in POOLINGS[1:]],
)
def test_value_and_every_gradient(n, d, pooling, e, metric, dtype, impl, device, close):
    student, projection, target, options = make(n, d, pooling, dtype, device, e)
    if n == 1:
        options["select"][:] = True
    loss = semantic_alignment_loss(
        student, target, projection=projection, metric=metric, impl=impl, **options
    )
    assert loss.dtype == torch.float32
    got = gradients(loss, student, projection)
    assert all(t.dtype == dtype for t in got[1:])
    exact = [
        t if t is None else t.detach().double().requires_grad_() for t in (student, projection)
    ]
    want = gradients(naive(*exact, target.double(), metric, options), *exact)
    rival = gradients(naive(student, projection, target, metric, options), student, projection)
    close(got, want, rival, 1e-6)


def test_many_rows(device, close):
    pytest.importorskip("triton", reason="triton is not installed")
    student, _, target, options = make(2000, 130, "token", torch.float16, device)
    loss = semantic_alignment_loss(student, target, metric="cosine", impl="triton", **options)
    exact = student.detach().double().requires_grad_()
    want = gradients(naive(exact, None, target.double(), "cosine", options), exact)
    rival = gradients(naive(student, None, target, "cosine", options), student)
    close(gradients(loss, student), want, rival, 1e-6)


@pytest.mark.parametrize("impl", ["triton", "torch"])
@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("metric", METRICS)
def test_what_does_not_count_does_not_matter(metric, pooling, projected, impl, device):
    e = 24 if projected else None
    student, projection, target, options = make(63, 40, pooling, torch.float32, device, e)
    dead = ~options["select"]
    if pooling == "token":
        dead[0] = True  # its weight is 0
    else:
        dead[:12] = True  # the segment of weight 0
        dead[57:] = True  # the tail

    def run(states, goal):
        loss = semantic_alignment_loss(
            states, goal, projection=projection, metric=metric, impl=impl, **options
        )
        return gradients(loss, states, projection)

    clean = run(student, target)
    for poison in (math.nan, math.inf):
        states = torch.where(dead[:, None], poison, student.detach()).requires_grad_()
        goal = target.clone()
        goal[0] = poison
        for got, want in zip(run(states, goal), clean, strict=True):
            torch.testing.assert_close(got, want, rtol=0, atol=0)


@pytest.mark.parametrize("impl", ["triton", "torch"])
@pytest.mark.parametrize("who", ["student", "target"])
@pytest.mark.parametrize("size", [0.0, 1e-10])
def test_a_vector_without_length_has_distance_one_and_no_gradient(size, who, impl, device):
    student, _, target, _ = make(20, 40, "token", torch.float32, device)
    with torch.no_grad():
        (student if who == "student" else target)[2] = size
    weights = torch.zeros(20, device=device)
    weights[2] = 1.0
    loss = semantic_alignment_loss(student, target, weights=weights, impl=impl)
    loss.backward()
    assert loss.item() == 1.0
    assert not student.grad.any()


@pytest.mark.parametrize("impl", ["triton", "torch"])
@pytest.mark.parametrize("metric", METRICS)
def test_nothing_counts(metric, impl, device):
    for n in (0, 20):
        student, projection, target, _ = make(n, 40, "token", torch.float32, device, 24)
        for extra in (
            {"weights": torch.zeros(n, device=device)},
            {"select": torch.zeros(n, dtype=torch.bool, device=device)},
            {"normalizer": 0.0},
        ):
            loss = semantic_alignment_loss(
                student, target, projection=projection, metric=metric, impl=impl, **extra
            )
            assert not any(t.any() for t in gradients(loss, student, projection))


@pytest.mark.parametrize("metric", METRICS)
def test_rows_apart_and_an_upstream_gradient(metric, device):
    pytest.importorskip("triton", reason="triton is not installed")
    student, _, target, options = make(60, 40, "token", torch.float32, device)
    want = semantic_alignment_loss(student, target, metric=metric, impl="triton", **options)
    (want_grad,) = torch.autograd.grad(4 * want, student)
    wide = torch.full((60, 3, 40), math.nan, device=device)
    wide[:, 1] = student.detach()
    view = wide[:, 1].requires_grad_()
    goal = torch.full((60, 2, 40), math.nan, device=device)
    goal[:, 0] = target
    loss = semantic_alignment_loss(view, goal[:, 0], metric=metric, impl="triton", **options)
    (once,) = torch.autograd.grad(loss, view, retain_graph=True)
    (again,) = torch.autograd.grad(loss, view)
    assert torch.equal(loss, want)
    assert torch.equal(once, again)
    torch.testing.assert_close(4 * once, want_grad, rtol=1e-6, atol=1e-9)
