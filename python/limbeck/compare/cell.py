"""A cell is walked as any run is; here is what a comparison adds: shared inputs and a budget."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck.compare.plan import Cell, Shared
from limbeck.config import Recipe
from limbeck.errors import InputError
from limbeck.prepare import expand
from limbeck.recipes.load import dump
from limbeck.report import report
from limbeck.rule_stages import needed_rules
from limbeck.run import plan, plan_shared, shared_sources, walk
from limbeck.sources import Source
from limbeck.stages import Stage, Watch

__all__ = ["Spent", "is_finished", "own_recipe", "read_spent", "walk_cell", "walk_shared"]


@dataclass(frozen=True)
class Spent:
    """Tokens of forward passes that a run's student has cost.

    Attributes:
        trained: In its own training, in all phases of it.
        encoded: By the frozen encoder of its targets.
        routed: By the judges that found its ways, in training and in answering.
    """

    trained: int
    encoded: int
    routed: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.trained + self.encoded + self.routed


def read_spent(root: Path) -> Spent:
    """Return what the student of a run has cost so far; nothing for stages that left nothing."""
    routed = _json(root / "route" / "records" / "route.json")
    phases = [root / "student", *root.glob("phases/*/student")]
    parts = ("tokens_processed", "prompt_tokens", "tokens_generated")
    return Spent(
        trained=sum(
            _json(student / "training.json").get("tokens_processed", 0) for student in phases
        ),
        encoded=_json(root / "targets" / "targets.json").get("tokens_encoded", 0),
        routed=sum(routed.get(part, 0) for part in parts),
    )


def own_recipe(cell: Cell) -> Recipe:
    """Return the recipe of a cell's run, which reads the shared records and student."""
    recipe, shared = cell.recipe, cell.shared
    if shared is None:
        return recipe
    data = recipe.data
    # Rules are made of the tasks themselves, in every cell; the shared records are no help there.
    if (data.tasks or data.unlabelled_tasks) and not needed_rules(recipe):
        paths = (*data.paths, *shared_sources(shared.recipe, shared.output_dir, []))
        data = data.model_copy(update={"paths": paths, "tasks": (), "unlabelled_tasks": ()})
    return recipe.model_copy(update={"data": data, "student": shared.student})


def shared_stages(shared: Shared) -> list[Stage]:
    """Return the stages of what cells share."""
    sources = shared.recipe.data.sources
    records: list[Source] = expand(sources) if sources else []
    return plan_shared(shared.recipe, shared.output_dir, records)


def walk_shared(shared: Shared, watch: Watch | None = None) -> None:
    """Write the records and make the student that cells share."""
    walk(shared_stages(shared), watch)


def walk_cell(cell: Cell, watch: Watch | None = None) -> None:
    """Walk all stages of a cell and write its report.

    Raises:
        InputError: An input is at fault, or the budget leaves nothing to train.
    """
    root = cell.recipe.output_dir
    root.mkdir(parents=True, exist_ok=True)
    walk(_stages(cell), watch)
    (root / "recipe.yaml").write_text(dump([_budgeted(cell)]), "utf-8")
    report(root)


def is_finished(cell: Cell) -> bool:
    """Whether nothing is left to do, which takes no more than hashing what stands."""
    shared = cell.shared
    if shared is not None and not all(stage.is_done() for stage in shared_stages(shared)):
        return False
    page = cell.recipe.output_dir / "report.html"
    try:
        return page.exists() and all(stage.is_done() for stage in _stages(cell))
    except InputError:  # walking it will say so, without a loss to the other cells
        return False


def _stages(cell: Cell) -> Iterator[Stage]:
    """Yield a cell's stages; of one with a budget, training comes when all before it is paid."""
    stages = plan([own_recipe(cell)])
    if cell.budget_of is None:
        yield from stages
        return
    root = cell.recipe.output_dir
    last = (root / "student", root / "evaluate")
    yield from (stage for stage in stages if stage.output not in last)
    yield from (stage for stage in plan([_budgeted(cell)]) if stage.output in last)


def _budgeted(cell: Cell) -> Recipe:
    """Return the recipe with as many steps as the tokens of the budget allow."""
    recipe = own_recipe(cell)
    if cell.budget_of is None:
        return recipe
    budget = read_spent(cell.budget_of).total
    before = read_spent(cell.recipe.output_dir)
    left = budget - before.encoded - before.routed
    per_step = tokens_per_step(recipe, cell.recipe.output_dir / "prepared")
    steps = round(left / per_step)
    if steps < 1:
        raise InputError(
            f"{cell.name}: the baseline spent {budget:,} tokens; encoder and judges leave "
            f"{left:,} of them, less than a step of {per_step:,.0f}; train the baseline longer, or "
            "use `budget: examples`"
        )
    train = recipe.train.model_copy(update={"max_steps": steps})
    return recipe.model_copy(update={"train": train})


def tokens_per_step(recipe: Recipe, prepared: Path) -> float:
    """Return how many tokens an optimizer step takes in on average, padding not counted.

    Args:
        recipe: Its `train` section says how many rows make a step.
        prepared: The rows.
    """
    from limbeck.arguments import arguments

    manifest = _json(prepared / "manifest.json")
    args = arguments(recipe.train, Path("checkpoints"), recipe.seed)
    batches = -(-manifest["rows"] // args.train_batch_size)
    steps = -(-batches // args.gradient_accumulation_steps)
    return float(manifest["tokens"]["total"] / steps)


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    return found
