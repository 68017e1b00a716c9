"""What a recipe says: one frozen section per stage, checked before anything runs.

A recipe is data. Methods (`limbeck.recipes`) fill these sections in, a YAML file overrides them,
and the stages read them; nothing else decides what a run does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from limbeck.errors import InputError
from limbeck.filters import NAMES, SECTIONS, AnswerMismatch, ExactDuplicate, Filter
from limbeck.inference import Inference, InferenceChange
from limbeck.phases import Phase
from limbeck.rules import Rules
from limbeck.section import Section
from limbeck.sources import Data, spell
from limbeck.teachers import Endpoint, LocalModel

SectionT = TypeVar("SectionT", bound="Section")


class TemplateSpec(Section):
    """How a record becomes text: two format strings over record fields and control tokens.

    Fields are `{question}`, `{answer}` and `{rationale}`; controls are `{semantic}` (the special
    token whose state is aligned, `<|sem|>`), `{answer_first}` and `{think_first}` (the gates of
    adaptive thinking, `<|answer_first|>` and `<|think_first|>`) and `{end}` (the end of text, plain
    style only).
    """

    name: str = "custom"
    prompt: str
    completion: str


class Teacher(Section):
    """Who wrote the rationales of generated tasks."""

    name: Literal["oracle"] = "oracle"
    hallucination: float = Field(0.0, ge=0.0, le=1.0, description="share of wrong rationales")
    mistakes: Literal["random", "systematic"] = Field(
        "random", description="a step at random, or every step that a table of wrong facts decides"
    )
    conclusion: Literal["right", "wrong"] = Field(
        "right", description="what a wrong rationale concludes; `wrong` meets the answer filter"
    )
    phrasings: int = Field(2, ge=1, description="ways of wording the same rationale")


def _by_default_oracle(teacher: Any) -> Any:
    is_unnamed = isinstance(teacher, Mapping) and "name" not in teacher
    return {"name": "oracle", **teacher} if is_unnamed else teacher


AnyTeacher = Annotated[
    Teacher | Endpoint | LocalModel,
    Field(discriminator="name"),
    BeforeValidator(_by_default_oracle),
]
"""A recipe's `teacher`: the oracle, or a model."""

TEACHERS: dict[str, type[Teacher | Endpoint | LocalModel]] = {
    section.model_fields["name"].default: section for section in (Teacher, Endpoint, LocalModel)
}
"""The section of each kind of teacher by its name."""


class TokenizerSpec(Section):
    """The tokenizer trained on the spot for a student made from a config."""

    vocab_size: int = Field(512, ge=16)


class StudentSpec(Section):
    """A student that starts from nothing: a transformers config and a tokenizer of its own."""

    config: dict[str, Any]
    tokenizer: TokenizerSpec = TokenizerSpec()


class Prepare(Section):
    """How records become packed, span-labelled token rows."""

    template: str | TemplateSpec | tuple[str | TemplateSpec, ...] = Field(
        "answer-first", description="of several each makes examples; the first answers at inference"
    )
    rationale_control: Literal["none", "shuffled", "key_words"] = Field(
        "none", description="words of the rationale in another order, or only the key ones"
    )
    style: Literal["auto", "plain", "chat"] = "auto"
    chat_variables: dict[str, Any] = Field({})
    eos_token: str | None = None
    pairs: bool = Field(
        False, description="each record makes a chosen and a rejected example, in one row"
    )
    soft_prompt: int = Field(
        0, ge=0, le=1024, description="added tokens at the start of every example; 0 for none"
    )
    max_length: int = Field(2048, ge=1, description="tokens of a row, and of an example at most")
    min_length: int = Field(0, ge=0, description="tokens of an example at least")
    packing: Literal["bfd", "domain_balanced", "trie", "none"] = Field(
        "bfd",
        description="how examples share rows; `trie`: those of one prompt have it once",
    )
    packing_window: int = Field(
        16384, ge=1, description="examples packed together; fewer where they have 16 M tokens"
    )
    filters: tuple[Filter, ...] = (AnswerMismatch(), ExactDuplicate())
    split: str = "train"
    seed: int | None = Field(
        None,
        ge=0,
        description="of the draw among weighted sources and of shuffled words; "
        "default: the recipe's",
    )

    @field_validator("template")
    @classmethod
    def _some(cls, template: Any) -> Any:
        if template == ():
            raise ValueError("an empty list; name a template")
        return template

    @property
    def templates(self) -> tuple[str | TemplateSpec, ...]:
        """The templates, one or several."""
        return self.template if isinstance(self.template, tuple) else (self.template,)

    @field_validator("filters")
    @classmethod
    def _once_each(cls, entries: tuple[Filter, ...]) -> tuple[Filter, ...]:
        names = [entry.name for entry in entries]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name} is given twice; keep one")
        return entries


class Targets(Section):
    """The frozen encoder whose states of the gold rationale the student is aligned to.

    Attributes:
        pooling: `auto` is what a sentence encoder's own files say, else `mean`; `mean` and `last`
            are of the rationale's own tokens; `token` keeps each token's state, to which the
            student's state of the same token is aligned.
        control: What a target carries: the example's own rationale (`none`), that of another
            record (`permuted`), or the mean of all (`constant`). The last two are controls: what a
            student gains with them it does not owe to the meaning of its rationales.
    """

    encoder: str = Field(
        "student", description="`student`, a method of this run, a path or a hub name"
    )
    layer: int = -1
    pooling: Literal["auto", "mean", "last", "token"] = "auto"
    control: Literal["none", "permuted", "constant"] = "none"
    batch_size: int = Field(32, ge=1)
    max_length: int = Field(512, ge=1, description="tokens that the encoder reads at most")
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    @model_validator(mode="after")
    def _control_of_pooled(self) -> Targets:
        if self.pooling == "token" and self.control != "none":
            raise ValueError(
                f"control: {self.control} needs one target an example, and pooling: token has one "
                "a token; choose another pooling"
            )
        return self


class Train(Section):
    """The objectives, LoRA, and any field of `transformers.TrainingArguments`."""

    model_config = ConfigDict(frozen=True, extra="allow", validate_default=True)

    objectives: tuple[dict[str, Any], ...] = ({"name": "cross_entropy"},)
    use_peft: bool = False
    lora_r: int = Field(16, ge=1)
    lora_alpha: int = Field(32, ge=1)
    lora_dropout: float = Field(0.0, ge=0.0, lt=1.0)
    lora_target_modules: str | tuple[str, ...] = Field(
        "all-linear", description="an empty list trains the rows of added tokens and nothing else"
    )
    merge_adapter: bool = True
    soft_prompt_mlp: int = Field(
        0, ge=0, description="width of the network the soft prompt is trained through; 0 for none"
    )
    validation_questions: int = Field(
        200, ge=1, description="held-out questions that are answered to judge a checkpoint, at most"
    )

    @field_validator("objectives")
    @classmethod
    def _named(cls, objectives: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        if not objectives or any("name" not in term for term in objectives):
            raise ValueError("every objective needs a `name`, and there must be one")
        return objectives

    @property
    def arguments(self) -> dict[str, Any]:
        """The fields that belong to `TrainingArguments`."""
        return dict(self.model_extra or {})

    def has_objective(self, name: str) -> bool:
        """Whether a term of this name is trained."""
        return any(term["name"] == name for term in self.objectives)


class Evaluate(Section):
    """Which questions the student answers, and how it decodes."""

    tasks: tuple[str, ...] = Field((), description="tasks or record files; default: as `data`")
    split: Literal["test", "validation"] = Field(
        "test", description="`validation` asks what was held out of training, and leaves the tests"
    )
    questions: int | None = Field(None, ge=1, description="at most so many a task")
    n_samples: int = Field(1, ge=1, description="answers drawn of a question")
    vote: int | None = Field(
        None, ge=2, description="also the commonest of so many samples (maj@k); they are drawn"
    )
    temperature: float = Field(0.0, ge=0.0, description="0 is greedy")
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    max_new_tokens: int | None = Field(
        None, ge=1, description="default: what the training data of the student call for"
    )
    batch_size: int = Field(64, ge=1)
    inference: InferenceChange | None = Field(
        None, description="of how the student is asked what differs from what is stored with it"
    )
    server: Endpoint | None = Field(
        None, description="an endpoint that serves the student; default: it runs here"
    )
    seed: int | None = Field(
        None, ge=0, description="of the questions and samples; default: the recipe's"
    )

    _spelled = field_validator("tasks", mode="before")(spell)

    @model_validator(mode="after")
    def _samples_differ(self) -> Evaluate:
        if self.draws > 1 and self.temperature == 0:
            key = "n_samples > 1" if self.vote is None else "vote"
            raise ValueError(f"{key} repeats one greedy answer; set `temperature`")
        if self.vote is not None and self.n_samples > 1 and self.n_samples % self.vote:
            raise ValueError(
                f"vote: {self.n_samples} samples make no whole number of votes of {self.vote}; "
                "set `n_samples` to a multiple, or leave it out"
            )
        return self

    @property
    def draws(self) -> int:
        """Samples drawn of a question: `n_samples`, or what one vote needs."""
        return self.n_samples if self.n_samples > 1 or self.vote is None else self.vote


class Probe(Section):
    """What a fresh linear classifier reads of the domain in the student's states."""

    questions: int = Field(
        2000, ge=0, description="of all domains, at most; 0 probes nothing; one half trains it"
    )


class Report(Section):
    """What the report is called and how much it shows."""

    title: str = "limbeck"
    generations: int = Field(4, ge=0, description="sample answers shown per task and method")


class Route(Section):
    """How the way of each question is found, where templates begin with a gate.

    Attributes:
        labels: `cross_fitting`, or `records`: those that say their `way` have it, others take all.
        folds: Judges; each trains on all folds but its own.
        template: That of the judges.
    """

    labels: Literal["cross_fitting", "records"] = "cross_fitting"
    folds: int = Field(5, ge=2)
    template: str | TemplateSpec = "answer-first"


class Recipe(Section):
    """A complete run of one method: how a record becomes text, trains, and is answered.

    Attributes:
        phases: Trainings that follow each other, by name; of each what differs from the recipe's
            `data`, `prepare` and `train`. None takes a method's phase out. Without any there is one
            training, as these sections say.
    """

    method: str
    student: str | StudentSpec
    output_dir: Path = Path("out")
    seed: int = Field(0, ge=0)
    data: Data
    teacher: AnyTeacher = Teacher()
    rules: Rules = Rules()
    prepare: Prepare = Prepare()
    route: Route = Route()
    targets: Targets = Targets()
    train: Train = Train()
    phases: dict[str, Phase | None] = Field({})
    inference: Inference = Inference()
    evaluate: Evaluate = Evaluate()
    probe: Probe = Probe()
    report: Report = Report()

    @field_validator("phases")
    @classmethod
    def _places(cls, phases: dict[str, Phase | None]) -> dict[str, Phase | None]:
        for name in phases:
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
                raise ValueError(f"{name!r} makes no directory; use letters, digits, _ and -")
        if phases and not any(phases.values()):
            raise ValueError("every phase is taken out; leave one")
        return phases

    @property
    def needs_targets(self) -> bool:
        """Whether an objective reads cached rationale states."""
        return self.train.has_objective("semantic_alignment")

    @property
    def is_probed(self) -> bool:
        """Whether an objective tells domains apart, so that it is asked what it has changed."""
        return self.probe.questions > 0 and self.train.has_objective("domain_adversarial")

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks to evaluate on."""
        return self.evaluate.tasks or (*self.data.tasks, *self.data.unlabelled_tasks)


class RecipeError(InputError):
    """A key of a recipe is at fault; `path` says which, so that a reader of files can say where."""

    def __init__(self, path: tuple[str, ...], text: str) -> None:
        super().__init__(f"{'.'.join(path)}: {text}" if path else text)
        self.path = path


def check(section: type[SectionT], values: Mapping[str, Any]) -> SectionT:
    """Validate `values` as a `section`.

    Args:
        section: The class to make.
        values: Its fields.

    Raises:
        RecipeError: The first key at fault, what is wrong and what to do.

    Example:
        >>> check(Evaluate, {"n_samples": 4, "temperature": 0.7}).n_samples
        4
    """
    try:
        return section.model_validate(values)
    except ValidationError as error:
        # Of a union's branches the one that got furthest is the one that was meant.
        first = max(error.errors(), key=lambda fault: len(fault["loc"]))
        path = tuple(str(key) for key in first["loc"] if not _is_branch(key))
        if first["type"] == "extra_forbidden":
            fault = f"unknown key; {suggest(path[-1], _fields(section, first['loc'][:-1]))}"
        elif first["type"] == "union_tag_invalid":
            tag = str(first["ctx"]["tag"])
            known = re.findall(r"'(.*?)'", first["ctx"]["expected_tags"])
            fault = f"there is no {tag!r}; {suggest(tag, known)}"
        elif first["type"] == "union_tag_not_found":
            fault = f"has no `name`; add one of {', '.join(sorted(NAMES))}"
        elif first["type"] == "missing":
            fault = f"missing; add `{path[-1]}`"
        elif first["type"] == "value_error":
            fault = re.sub(r"^Value error, ", "", first["msg"])
        else:
            fault = f"{first['msg'][:1].lower()}{first['msg'][1:]}; got {first['input']!r}"
        raise RecipeError(path, fault) from None


def _is_branch(key: str | int) -> bool:
    """Whether a part of a place is pydantic's name for a branch of a union, or for a list."""
    return key in _BRANCHES or (isinstance(key, str) and key.startswith("tuple["))


_BRANCHES = {"str", "Phase", "Source", "StudentSpec", "TemplateSpec", *NAMES, *TEACHERS}


def _fields(section: type[Section], path: tuple[str | int, ...]) -> list[str]:
    for key in path:
        if key in (tagged := {**SECTIONS, **TEACHERS}):
            return list(tagged[key].model_fields)
        if isinstance(key, int) or _is_branch(key):
            continue  # an element of a list, or a branch of a union, whose sections were found
        field = section.model_fields.get(key)
        candidates = list(_sections(field.annotation)) if field else []
        if not candidates:
            return []
        section = candidates[0]
    return list(section.model_fields)


def _sections(annotation: Any) -> Iterator[type[Section]]:
    arguments = get_args(annotation)
    # What has arguments is no class, though Python 3.10 takes `tuple[…]` for one.
    if not arguments and isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for argument in arguments:
        yield from _sections(argument)


def suggest(key: str, known: Iterable[str]) -> str:
    """What to write instead of an unknown `key`.

    Example:
        >>> suggest("max_lenght", ["max_length", "style"])
        'did you mean `max_length`?'
    """
    from difflib import get_close_matches

    known = list(known)
    close = get_close_matches(key, known, n=1)
    return f"did you mean `{close[0]}`?" if close else f"use one of {', '.join(sorted(known))}"
