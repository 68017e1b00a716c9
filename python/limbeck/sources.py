"""Where records come from, as sections of a recipe: files, or tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from limbeck.section import Section

__all__ = ["Data", "Source", "spell"]


class Source(Section):
    """Files of records, and what is said of all of them.

    Attributes:
        path: A file, a glob, or `-` for standard input.
        domain: The domain of those records that name none.
        weight: The source's share of the choice among sources; None takes all of it.
        labelled: False for questions of a target domain, whose answers are not read if there.
        format: The shape of the records (docs/records.md); `auto` asks the first of them.
    """

    path: str = Field(min_length=1)
    domain: str | None = None
    weight: float | None = Field(None, gt=0.0, allow_inf_nan=False)
    labelled: bool = True
    format: Literal[
        "auto",
        "records",
        "messages",
        "prompt_completion",
        "preference",
        "alpaca",
        "sharegpt",
        "r1",
    ] = "auto"

    @field_validator("domain")
    @classmethod
    def _named(cls, domain: str | None) -> str | None:
        if domain is not None and not domain.strip():
            raise ValueError("blank; name the domain or leave the key out")
        return domain and domain.strip()

    @field_validator("format")
    @classmethod
    def _questions_are_records(cls, format: str, info: ValidationInfo) -> str:
        if not info.data.get("labelled", True) and format not in ("auto", "records"):
            raise ValueError(
                f"{format} is read for its responses, and an unlabelled source has none; give "
                "records that have a `question`"
            )
        return format


def spell(tasks: Any) -> Any:
    """Put each task of a list in one piece: `{name: arithmetic, steps: 4}` is `arithmetic:steps=4`.

    What is no such mapping is left for the field's own check.
    """

    def spelled(task: Any) -> Any:
        if not isinstance(task, Mapping) or "name" not in task:
            return task
        settings = [f"{key}={value}" for key, value in task.items() if key != "name"]
        return ":".join([str(task["name"]), *settings])

    return [spelled(task) for task in tasks] if isinstance(tasks, list | tuple) else tasks


class Data(Section):
    """Where the records come from: files, or tasks.

    Attributes:
        paths: Record files; a `Source` where there is more to say of one.
        tasks: Generated tasks and public sets, by name or as a mapping of name and settings
            (`{name: arithmetic, steps: 4}`, `{name: svamp, path: svamp.jsonl}`).
        unlabelled_tasks: Target domains: tasks whose training questions are read without answers.
        rules: Of induction tasks: train not on their answers, but on what `rules` makes of them,
            examples of generating a rule, of applying one, or pairs of a better and a worse one.
        examples: Records made per generated task.
        validation: Share of the questions that is held out: never trained on, and what selects the
            checkpoint. Records of the split `validation` are held out whatever it is.
    """

    paths: tuple[str | Source, ...] = ()
    tasks: tuple[str, ...] = ()
    unlabelled_tasks: tuple[str, ...] = ()
    rules: tuple[Literal["generation", "application", "pairs"], ...] = ()
    examples: int = Field(6000, ge=1, description="records made per generated task")
    validation: float = Field(0.0, ge=0.0, lt=1.0)

    _spelled = field_validator("tasks", "unlabelled_tasks", mode="before")(spell)

    @model_validator(mode="after")
    def _one_source(self) -> Data:
        if bool(self.paths) == bool(self.tasks):
            raise ValueError("give either `paths` (record files) or `tasks`")
        if self.paths and not any(source.labelled for source in self.sources):
            raise ValueError("every path is unlabelled, so nothing teaches answers; add records")
        both = set(self.tasks) & set(self.unlabelled_tasks)
        if both:
            raise ValueError(
                f"unlabelled_tasks: {min(both)} is one of `tasks`, whose answers are trained on; "
                "name it once"
            )
        return self

    @property
    def sources(self) -> tuple[Source, ...]:
        """The `paths`, those that are a bare path made sources too."""
        return tuple(path if isinstance(path, Source) else Source(path=path) for path in self.paths)
