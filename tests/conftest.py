"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]

# Without a GPU kernels run in Triton's interpreter, which is chosen when Triton is imported: here,
# before any test imports something that does.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The directory of real data and tokenizers, `LIMBECK_SHARED`."""
    path = Path(os.environ.get("LIMBECK_SHARED", ROOT.parent / "shared"))
    if not (path / "data").is_dir():
        pytest.skip("no real data: set LIMBECK_SHARED to a directory with data/ and tokenizers/")
    return path.resolve()
