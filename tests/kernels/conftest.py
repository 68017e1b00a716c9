"""What the kernel tests share."""

import pytest
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(scope="session")
def device():
    """Where the tensors of the kernel tests live."""
    return DEVICE


@pytest.fixture(autouse=True)
def triton_where_it_is_asked_for(request):
    """Skip the Triton half of a test where Triton does not exist; the other half runs."""
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    if parameters.get("impl") == "triton":
        pytest.importorskip("triton", reason="triton is not installed")


@pytest.fixture(autouse=True)
def uninitialised_memory_is_nan():
    """Fill what `torch.empty` returns with NaN: a kernel that forgets to write is found out."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def close():
    """Compare with float64: within twice the error of a rival in the working dtype, and a floor."""

    def check(got, exact, rival, floor):
        for name, a, b, c in zip(("loss", *"abc"), got, exact, rival, strict=False):
            assert a.isfinite().all(), name
            error = (a.double() - b).norm().item()
            allowed = 2 * (c.double() - b).norm().item() + floor * b.norm().item()
            assert error <= allowed, f"{name}: error {error:.2e}, allowed {allowed:.2e}"

    return check
