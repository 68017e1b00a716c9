"""The page of a comparison says what was found, escaped, and draws it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from limbeck.compare.console import comparison_table
from limbeck.compare.summary import ArmSummary, ComparisonSummary, Contrast, Told
from limbeck.console import print_whole
from limbeck.crossed import Difference, Mean
from limbeck.report.comparison import comparison_report, drawings

ARM = ArmSummary(
    name="answer_only",
    method="answer_only",
    seeds=(0, 1),
    accuracy=Mean(0.4, 0.3, 0.5, 2, 100, 100),
    tasks={},
    vote=None,
    tokens_per_answer=2.5,
    tokens_read_per_answer=30.0,
    calls_per_answer=1.0,
    tokens_per_vote=None,
    tokens_trained_on=1000.0,
    tokens_encoded=0.0,
    tokens_routed=0.0,
    tokens_of_encoder_arm=0.0,
    steps=10.0,
    examples=80.0,
    seconds=3.0,
    hallucination=0.0,
    mistakes="random",
    conclusion="right",
)
VOTED = replace(
    ARM,
    name="<b>cot</b>",
    method="think_first",
    accuracy=Mean(0.6, 0.55, 0.65, 2, 100, 100),
    vote=Mean(0.7, 0.6, 0.8, 2, 100, 100),
    tokens_per_vote=50.0,
    tokens_encoded=500.0,
    tokens_of_encoder_arm=7654.0,
    hallucination=0.5,
)
BETTER = Contrast("<b>cot</b>", "answer_only", Difference(0.2, 0.1, 0.3, 0.01, 2, 100, 100), 0.02)
SUMMARY = ComparisonSummary(
    "answer_only", "tokens", "test", (ARM, VOTED), (BETTER,), {}, {"pst/seed-0": "<i>no memory</i>"}
)


def test_verdicts_are_those_of_the_interval_and_of_the_correction() -> None:
    assert BETTER.sentence == (
        "<b>cot</b> is better than answer_only: +20.0 points (+10.0 to +30.0, p 0.020 after Holm)"
    )
    assert "not distinguishable" in replace(BETTER, p_holm=0.06).sentence, "lost by the correction"
    worse = replace(BETTER, difference=Difference(-0.2, -0.3, -0.1, 0.01, 2, 100, 100))
    assert "is worse than answer_only: -20.0" in worse.sentence


def test_the_page_shows_arms_votes_contrasts_and_failures(tmp_path: Path) -> None:
    path = comparison_report(SUMMARY, tmp_path, title="<script>")
    page = path.read_text("utf-8")
    for raw in ("<script>", "<b>cot", "<i>no"):
        assert raw not in page
    for shown in (
        "70.0 %",
        "50.0",
        "0.020",
        "+20.0",
        '1,500 <span class="share">+ 7,654</span>',
        "no memory",
        "is better than",
    ):
        assert shown in page, shown
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_tasks_and_domains_stand_beside_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = {
        "coin_flip": Mean(0.9, 0.8, 0.95, 2, 50, 50),
        "last_letters": Mean(0.1, 0.05, 0.2, 2, 50, 50),
    }
    probes = {"question": Told(0.625, 0.5, 0.75)}
    probed = replace(ARM, name="prada", tasks=tasks, probes=probes, majority=0.4321)
    plain = replace(ARM, tasks=tasks)
    on = replace(BETTER, arm="prada", tasks=("last_letters",))
    summary = replace(SUMMARY, arms=(plain, probed), contrasts=(on,))
    page = comparison_report(summary, tmp_path, title="domains").read_text("utf-8")
    print_whole(comparison_table(summary))
    text = capsys.readouterr().out
    for shown in ("90.0 %", "10.0 %", "62.5 %", "prada is better than answer_only on last_letters"):
        assert shown in page, shown
        assert shown in text, shown
    assert "difference: on last_letters alone" in text
    assert "on last_letters alone, while the accuracies beside them are of all tasks" in page
    assert "50.0 to 75.0" in page
    assert "43.2 %" in page
    alone = comparison_report(SUMMARY, tmp_path, title="one task").read_text("utf-8")
    assert "on each task" not in alone


def test_wrong_rationales_are_drawn_where_arms_differ_in_them() -> None:
    names = [plot.name for plot in drawings(SUMMARY)]
    assert names == ["arms", "against-tokens", "generated", "against-errors"]
    assert "50% wrong (random) with right conclusions, 60.0 %" in drawings(SUMMARY)[3].description
    same = replace(SUMMARY, arms=(ARM, replace(VOTED, hallucination=0.0)))
    assert [plot.name for plot in drawings(same)] == names[:3]
    assert drawings(replace(SUMMARY, arms=())) == []


def test_a_narrow_terminal_shows_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    print_whole(comparison_table(SUMMARY))
    text = capsys.readouterr().out
    assert "…" not in text.replace("(+ …)", ""), "cut off"
    shown_tokens = ("1,500 (+ 7,654)", "(+ …): what the arm cost whose student encodes")
    for shown in ("vote", "60.0 %", "+10.0 – +30.0", "0.020", *shown_tokens, "failed: pst/seed-0"):
        assert shown in text, shown
