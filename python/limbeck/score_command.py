"""The command `limbeck score`: rules of induction, run or applied by a model, and their counts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from limbeck.console import bar, out
from limbeck.errors import InputError

__all__ = ["RecipeFile", "score"]

RecipeFile = Annotated[Path | None, typer.Option("--recipe", help="Recipe whose section applies.")]


def score(
    hypotheses: Annotated[Path, typer.Argument(help="Rules that a teacher proposed, JSON lines.")],
    tasks: Annotated[Path, typer.Option(help="Directory of their task files.")],
    output: Annotated[Path | None, typer.Option(help="Each rule with its score.")] = None,
    training_dir: Annotated[
        Path | None, typer.Option(help="Examples and preference pairs of ReDis.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A model that applies rules; as for `teach`.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Of an OpenAI-compatible API, up to /v1.")
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="Run the model here.")] = False,
    scoring: Annotated[
        str | None, typer.Option(help="What it applies: all rules (model), or unreadable (auto).")
    ] = None,
    output_dir: Annotated[
        Path | None, typer.Option(help="Where the model's answers stand, to go on from.")
    ] = None,
    recipe: RecipeFile = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of the teacher section.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of a local model's answers.")] = 0,
    dry_run: Annotated[bool, typer.Option(help="Show what the model would take.")] = False,
) -> None:
    """Say of rules of induction how many demonstrations they satisfy.

    They are run; with --model a language model says what they give, as it must of English ones.
    """
    from limbeck.induction import read_hypotheses, summarize, training_data, write_training_data
    from limbeck.induction import score as score_rules
    from limbeck.induction.console import score_table, training_table
    from limbeck.induction.score import write_scored
    from limbeck.teach.choose import choose_applier

    chosen = {"model": model, "base_url": base_url}
    applier = choose_applier(
        recipe, overrides or [], local=local, chosen=chosen, scoring=scoring, output_dir=output_dir
    )
    if applier is None:
        if dry_run:
            raise InputError("score: rules that are run take nothing; give --model")
        scored = score_rules(hypotheses, tasks=tasks, output=output)
    else:
        from limbeck.search.scoring import estimate_scoring, score_by_model

        proposed = list(read_hypotheses(hypotheses, tasks))
        if dry_run:
            out().print(str(estimate_scoring(proposed, seed=seed, **applier)), markup=False)
            return
        with bar("score") as progress:
            scored = score_by_model(proposed, seed=seed, progress=progress, **applier)
        if output is not None:
            write_scored(scored, output)
    out().print(score_table(summarize(scored)), width=max(out().width, 100))
    if training_dir is not None:
        data = training_data(scored)
        write_training_data(data, training_dir)
        out().print(training_table(data.counts), width=max(out().width, 100))
