"""The rules behind the tables: what is best, what is shown, what is uneven."""

import doctest
import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from limbeck.cli import app
from limbeck.report import plots, results_table, tables
from limbeck.report.collect import Run, collect


@pytest.fixture(scope="module")
def demo(demo_run: Path) -> Run:
    return collect(demo_run)


def test_methods_and_tasks_keep_the_order_of_the_recipe(demo: Run) -> None:
    assert [each.name for each in demo.methods] == ["answer_only", "think_first", "pst"]
    assert demo.tasks == ("arithmetic", "coin_flip", "last_letters", "shuffled_objects")
    assert demo.records == 400


def test_a_run_without_a_recipe_is_found_by_its_directories(fake: Any, tmp_path: Path) -> None:
    fake.methods = ("think_first", "pst")
    run_dir = fake.write(tmp_path / "run")
    (run_dir / "recipe.yaml").unlink()
    assert [each.name for each in collect(run_dir).methods] == ["pst", "think_first"]
    alone = collect(run_dir / "pst")
    assert [(each.name, each.place) for each in alone.methods] == [("pst", "")]


def test_best_is_the_most_accurate_and_ties_share_it(demo: Run) -> None:
    found = tables.results(demo)
    assert [row.best for row in found["arithmetic"]] == [False, True, False]
    assert [row.best for row in found["last_letters"]] == [True, True, True]
    alone = replace(demo, methods=demo.methods[:1])
    assert not any(row.best for rows in tables.results(alone).values() for row in rows)


def test_above_chance_means_the_whole_interval(demo: Run) -> None:
    above = [row.above_chance for row in tables.results(demo)["shuffled_objects"]]
    assert above == [False, True, False]


def test_budgets_are_compared(demo: Run) -> None:
    assert tables.unequal_budgets(demo) == [
        "examples seen 1.8-fold",
        "tokens trained 7.7-fold",
        "seconds 1.2-fold",
    ]
    assert tables.unequal_budgets(replace(demo, methods=demo.methods[:1])) == []


def test_terms_of_the_loss_come_from_the_recipes(demo: Run) -> None:
    losses, followed = tables.curve_keys(demo)
    assert losses == ["loss", "cross_entropy", "semantic_alignment"]
    assert followed == ["learning_rate", "grad_norm", "trained_share", "eval_accuracy", "cosine"]


def test_reasons_and_sources_add_up(demo: Run) -> None:
    assert set(tables.reasons(demo)) == {"answer_mismatch", "exact_duplicate"}
    ((names, (source,)),) = tables.sources(demo)
    assert names == ["answer_only", "think_first", "pst"]
    counts = source.records
    assert counts.read == counts.kept + sum(counts.rejected.values()) == 400
    rejected = tables.rejections(demo)
    assert [each.reason for each in rejected] == tables.reasons(demo)
    assert {each.line for each in rejected} == {25, 50}


def test_shown_answers_cover_the_patterns_of_right_and_wrong(demo: Run) -> None:
    shown = tables.samples(demo, "shuffled_objects")
    assert len(shown) == demo.generations
    patterns = [tuple(sample.correct for *_, sample in answers) for answers in shown]
    assert len(set(patterns)) == len(patterns), "each question shows another pattern"
    ids = [{sample.id for *_, sample in answers} for answers in shown]
    assert all(len(each) == 1 for each in ids), "all methods answer the same question"
    first = {method.name: sample for _, method, sample in shown[0]}
    assert list(first) == ["answer_only", "think_first", "pst"]


def test_as_many_answers_as_asked_for(fake: Any, tmp_path: Path) -> None:
    fake.generations, fake.questions, fake.samples = 7, 9, 3
    run = collect(fake.write(tmp_path / "run"))
    shown = tables.samples(run, "coin_flip")
    assert len(shown) == 7
    assert {sample.sample for answers in shown for *_, sample in answers} == {0}
    assert tables.samples(replace(run, generations=0), "coin_flip") == []


def test_differences_are_those_of_the_recipes(demo: Run) -> None:
    differ = dict(tables.differences(demo))
    assert differ["prepare.template"] == ["answer-only", "think-first", "answer-first"]
    assert differ["train.objectives.cross_entropy.span_weights.rationale"] == ["–", "1.0", "0.5"]
    assert differ["decoding.order"] == ["answer-only", "think-first", "answer-first"]
    facts = dict(tables.facts(demo))
    assert facts["Decoding"] == "temperature 0.0, top p 1.0, max new tokens 64"
    assert facts["Student"] == "llama made from a config, untrained, 312,480 parameters"
    assert "seed" not in differ
    assert "method" not in differ


def test_lengths_are_those_of_the_rows(demo: Run) -> None:
    for method in demo.methods:
        assert method.lengths.sum() == method.manifest.examples
        tokens = (method.lengths * np.arange(len(method.lengths))).sum()
        assert tokens == method.manifest.tokens["total"]


@pytest.mark.parametrize("count", [1, 299, 300, 301, 1000, 9001])
def test_thinned_curves_keep_their_mean_and_end(count: int) -> None:
    steps, values = list(range(10, 10 * count + 1, 10)), [float(n % 7) for n in range(count)]
    fewer, means = plots.thin(steps, values)
    assert len(fewer) == len(means) <= plots.POINTS
    assert fewer[-1] == steps[-1]
    size = -(-count // plots.POINTS)
    weights = [size] * (len(means) - 1) + [count - size * (len(means) - 1)]
    assert np.average(means, weights=weights) == pytest.approx(np.mean(values))


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95, 1.0])
def test_quantiles_of_counts_are_those_of_the_values(share: float) -> None:
    values = np.random.default_rng(0).integers(1, 60, 501)
    expected = np.quantile(values, share, method="inverted_cdf")
    assert plots.quantile(np.bincount(values), share) == expected


def test_the_terminal_shows_the_same_results(demo_run: Path) -> None:
    console = Console(record=True, width=80, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(results_table(demo_run))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["pst", "84.5", "%", "78.8–88.9", "11.5", "%", "200", "4.0"] in lines
    training = json.loads((demo_run / "pst/student/training.json").read_text("utf-8"))
    cost = [f"{training[key]:,}" for key in ("steps", "examples_seen", "tokens_processed")]
    assert ["pst", *cost] in [line[:4] for line in lines]
    assert ["unequal", "budgets:"] in [line[:2] for line in lines]


def test_a_narrow_terminal_cuts_nothing_off_what_a_run_found(
    demo_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    walk = importlib.import_module("limbeck.run")
    monkeypatch.setattr(walk, "run", lambda _recipes, **_: demo_run / "report.html")
    done = CliRunner().invoke(app, ["run", f"output_dir={demo_run}"])
    assert done.exit_code == 0, done.output
    for shown in ("shuffled_objects", "78.8–88.9", "tokens processed"):
        assert shown in done.output
    assert "…" not in done.output


@pytest.mark.parametrize("name", ["visible", "report.words", "report.plots", "env"])
def test_examples_in_docstrings_are_true(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(f"limbeck.{name}"))
    assert outcome.attempted
    assert not outcome.failed
