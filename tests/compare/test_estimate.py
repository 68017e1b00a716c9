"""What a comparison will take is measured by trying it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from limbeck.compare.estimate import Estimate, Trial, walk_trial
from limbeck.compare.plan import plan_comparison


def test_a_trial_measures_time_by_steps_and_leaves_only_what_is_shared(
    comparison: Callable[..., Path],
) -> None:
    pst = {"method": "pst", "targets": {"encoder": "cot"}}
    cot = {"name": "cot", "method": "think_first"}
    file = comparison(methods=["answer_only", cot, pst])
    short, long = (
        walk_trial(Trial(plan_comparison(file, [f"train.max_steps={steps}"]).cells[2]))
        for steps in (10, 10_000)
    )
    assert short.error is None
    assert 0 < 100 * short.done < 4 * long.done, "a thousand times the steps take longer"
    assert long.done > short.done
    assert long.total > 50 * 2**20, "PyTorch alone takes more"
    root = file.parent / "out"
    assert [path.name for path in root.iterdir()] == ["shared"]


def test_an_estimate_says_what_it_does_not_count() -> None:
    told = str(Estimate({"pst": 90.0}, {"adaptive": "no data"}, 360.0, 2**30, 2))
    assert "about 6 min 00 s in all (pst 90.0 s a cell), 2 × 1.0 GiB of memory" in told
    assert told.endswith("\nnot counted: adaptive: no data")
