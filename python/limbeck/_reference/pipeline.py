"""The whole way, one candidate after the other; twin of `candidate.rs` and `collect.rs`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck._reference import answers, choice, filters, packing, rationale_control, records, trie
from limbeck._reference.records import FaultError, Line, Record
from limbeck._reference.render import KINDS, SOFT_PROMPT, Piece, Template, chat, chat_prompt, fill
from limbeck._reference.tokens import Encoder


@dataclass(frozen=True)
class Example:
    """A kept candidate; of a pair `chosen` is the number of the first one's tokens, else 0."""

    example_id: int
    record_id: str | None
    template: str
    source: str
    line: int
    byte_offset: int
    domain: str | None
    rationale: str | None
    verified: bool
    ids: list[int]
    kinds: list[int]
    chosen: int


@dataclass(frozen=True)
class Rejected:
    """A candidate that was not kept, and the field at fault."""

    example_id: int
    record_id: str | None
    template: str | None
    source: str
    line: int
    byte_offset: int
    reason: str
    field: str


@dataclass(frozen=True)
class Prepared:
    """Rows of example ids, and every candidate's fate; `parents` where prompts are shared."""

    rows: list[list[int]]
    parents: list[list[int]] | None
    examples: list[Example]
    rejected: list[Rejected]


class RejectionError(Exception):
    """The first reason that holds against a candidate."""

    def __init__(self, reason: str, field: str) -> None:
        super().__init__(f"{reason}: {field}")
        self.reason = reason
        self.field = field


def prepare(
    config: Mapping[str, Any], *, end_token: str, chat_template: str | None = None
) -> Prepared:
    """Prepare JSONL files in memory.

    Args:
        config: The configuration of the Rust core, as `limbeck.prepare.native_config` makes it.
        end_token: The token that ends a text, which the core finds out by itself.
        chat_template: The tokenizer's, for chat style.
    """
    pipeline = Pipeline(config, end_token, chat_template)
    examples: list[Example] = []
    rejected: list[Rejected] = []
    numbers: list[int] = []
    for number, source in enumerate(config["inputs"]):
        for line in records.lines(Path(source["path"]).read_bytes()):
            for record, rationale, template in pipeline.candidates(line, source["labelled"]):
                fate = {
                    "example_id": len(examples) + len(rejected),
                    "record_id": record.id if isinstance(record, Record) else record.record_id,
                    "template": None if template is None else pipeline.names[template],
                    "source": source["path"],
                    "line": line.number,
                    "byte_offset": line.byte_offset,
                }
                try:
                    example = pipeline.keep(record, rationale, template)
                    example["domain"] = example["domain"] or source["domain"]
                    examples.append(Example(**fate, **example))
                    numbers.append(number)
                except RejectionError as rejection:
                    rejected.append(
                        Rejected(**fate, reason=rejection.reason, field=rejection.field)
                    )
    examples, late = choose(config, pipeline, examples, numbers)
    rejected += late
    rows, parents = pack(config, examples)
    ids = [[examples[index].example_id for index in row] for row in rows]
    return Prepared(ids, parents, examples, rejected)


def pack(
    config: Mapping[str, Any], examples: list[Example]
) -> tuple[list[list[int]], list[list[int]] | None]:
    """The examples of each row by their index, and where prompts are shared, which before each.

    Args:
        config: The configuration.
        examples: All that are kept.
    """
    capacity, window = config["max_length"], config["packing_window"]
    if config["packing"] == "trie":
        candidates = [trie.sides(each.ids, each.kinds, each.chosen) for each in examples]
        tries = trie.windows(candidates, capacity=capacity, window=window)
        rows = [[index for each in row for index in each] for row in tries]
        return rows, [trie.parents(candidates, row) for row in tries]
    rows = packing.windows(
        [len(example.ids) for example in examples],
        [example.domain for example in examples],
        capacity=capacity,
        window=window,
        packing=config["packing"],
    )
    return rows, None


def choose(
    config: Mapping[str, Any], pipeline: Pipeline, examples: list[Example], numbers: list[int]
) -> tuple[list[Example], list[Rejected]]:
    """Leaves out what is over the cap of its question, then what the weights do not draw.

    Args:
        config: The configuration.
        pipeline: What has made the examples.
        examples: All that could be kept.
        numbers: The number of each one's source.
    """
    reasons: dict[int, tuple[str, str]] = {}
    cap = pipeline.filters.get("over_cap")
    if cap is not None:
        dropped = choice.over_cap(pipeline.texts, cap["max_per_question"], cap["shingle"])
        reasons |= dict.fromkeys(dropped, ("over_cap", "rationale"))
    weights = [source["weight"] for source in config["inputs"]]
    if any(weight is not None for weight in weights):
        left = [index for index in range(len(examples)) if index not in reasons]
        lots = [(numbers[index], examples[index].example_id) for index in left]
        for at in choice.not_sampled(lots, weights, config["seed"]):
            reasons[left[at]] = ("not_sampled", "line")
    late = []
    for index, (reason, field) in sorted(reasons.items()):
        each = examples[index]
        place = (each.record_id, each.template, each.source, each.line, each.byte_offset)
        late.append(Rejected(each.example_id, *place, reason=reason, field=field))
    return [each for index, each in enumerate(examples) if index not in reasons], late


class Pipeline:
    """What happens to each candidate."""

    def __init__(
        self, config: Mapping[str, Any], end_token: str, chat_template: str | None
    ) -> None:
        self.config = config
        self.render = config["render"]
        self.end_token = end_token
        self.chat_template = chat_template
        written = [self.render["template"], *self.render["more_templates"]]
        self.names = [template["name"] for template in written]
        self.templates = [Template.parse(template) for template in written]
        tokenizer = Path(config["tokenizer"])
        self.soft_prompt = [SOFT_PROMPT.format(n) for n in range(self.render["soft_prompt"])]
        added = [*self.render["added_tokens"], *self.soft_prompt]
        self.encoder = Encoder(tokenizer, added, end_token)
        self.filters = {entry["name"]: entry for entry in config["filters"]}
        self.seen: set[tuple[object, ...]] = set()
        #: By template, the fields of all candidates that are no near duplicates, as far as they
        #: are compared.
        self.near: list[list[list[str]]] = [[] for _ in written]
        #: Template, question and rationale of what could be kept.
        self.texts: list[tuple[int, str, str]] = []
        self.evaluation = [
            json.loads(line)["question"]
            for path in self.filters.get("contaminated", {"against": []})["against"]
            for line in Path(path).read_text("utf-8").splitlines()
        ]

    def candidates(
        self, line: Line, labelled: bool = True
    ) -> Iterator[tuple[Record | FaultError, str | FaultError | None, int | None]]:
        """The candidates on a line: its record with each rationale and template, or a fault."""
        try:
            record = records.record(
                line.content, self.config["split"], self.config["validation"], labelled=labelled
            )
            templates = self._templates(record) if record else []
        except FaultError as fault:
            yield fault, None, None
            return
        for template in templates:
            assert record is not None
            rationales = record.rationales
            if not self._uses_rationale(record, template):
                rationales = [self._first_that_stands(record, template)]
            for rationale in rationales:
                is_fault = isinstance(rationale, FaultError)
                yield record, rationale, None if is_fault else template

    def _templates(self, record: Record) -> list[int]:
        """The numbers of the templates that render a record.

        Raises:
            FaultError: The record names none of them.
        """
        asked = record.answer is None
        fitting = [n for n, each in enumerate(self.templates) if each.is_question_only == asked]
        if len(fitting) == 1 or record.way is None:
            return fitting
        named = [number for number in fitting if self.names[number] == record.way]
        if not named:
            raise FaultError("way", f"there is no template {record.way!r}", record.id)
        return named

    def _first_that_stands(self, record: Record, template: int) -> str | FaultError | None:
        """The rationale that speaks for all under a template that does without them."""
        sound = [each for each in record.rationales if not isinstance(each, FaultError)]
        for rationale in sound:
            try:
                self._check_alone(record, rationale, self._fields(record, rationale, template))
            except RejectionError:
                continue
            return rationale
        return sound[0] if sound else record.rationales[0]

    def keep(
        self, record: Record | FaultError, rationale: str | FaultError | None, template: int | None
    ) -> dict[str, Any]:
        """What an example says besides its place.

        Raises:
            RejectionError: A filter rejects the candidate.
        """
        for part in (record, rationale):
            if isinstance(part, FaultError):
                raise RejectionError("malformed", part.field)
        assert isinstance(record, Record)
        assert not isinstance(rationale, FaultError)
        assert template is not None
        fields = self._fields(record, rationale, template)
        is_pair = self.config["pairs"] and record.answer is not None
        rejected = self._rejected(record, fields) if is_pair else {}
        shown, other = self._shown(fields), self._shown(rejected)
        verdict = self._verdict(record, rationale)
        sides = (*fields.values(), *rejected.values())
        key = (template, *(text.strip() for text in sides))
        if "exact_duplicate" in self.filters:
            if key in self.seen:
                raise RejectionError("exact_duplicate", "line")
            self.seen.add(key)
        self._more_filters(record, rationale, "rationale" in fields, self.near[template])
        ids, kinds = self._encode(shown, self.templates[template])
        chosen = 0
        if other:
            chosen = len(ids)
            more_ids, more_kinds = self._encode(other, self.templates[template])
            ids, kinds = ids + more_ids, kinds + more_kinds
        if len(ids) < self.config["min_length"]:
            raise RejectionError("too_short", "tokens")
        if len(ids) > self.config["max_length"]:
            raise RejectionError("too_long", "tokens")
        self.texts.append((template, record.question, rationale or ""))
        is_kept = self.config["keep_rationale"] and "rationale" in shown
        kept = shown["rationale"].strip() if is_kept else None
        domain = (record.domain or "").strip() or None
        return {
            "domain": domain,
            "rationale": kept,
            "verified": verdict is True,
            "ids": ids,
            "kinds": kinds,
            "chosen": chosen,
        }

    def _rejected(self, record: Record, chosen: dict[str, str]) -> dict[str, str]:
        """The fields of the other side of a pair; twin of `pair.rs`."""
        fields = {"question": record.question}
        for name, side in zip(("answer", "rationale"), record.rejected, strict=True):
            if name in chosen:
                if not isinstance(side, str):
                    raise RejectionError("malformed", f"rejected_{name}")
                fields[name] = side
        for name, text in fields.items():
            if not text.strip():
                raise RejectionError("empty", f"rejected_{name}")
        if all(text.strip() == chosen[name].strip() for name, text in fields.items()):
            raise RejectionError("malformed", "rejected_answer")
        return fields

    def _shown(self, fields: dict[str, str]) -> dict[str, str]:
        """The fields as the student sees them.

        Raises:
            RejectionError: Nothing is left of the rationale.
        """
        if "rationale" not in fields:
            return fields
        control, seed = self.config["rationale_control"], self.config["seed"]
        shown = rationale_control.apply(control, seed, **fields)
        if not shown:
            raise RejectionError("empty", "rationale")
        return fields | {"rationale": shown}

    def _verdict(self, record: Record, rationale: str | None) -> bool | None:
        """Whether the conclusion is the answer; None where it cannot be read.

        Raises:
            RejectionError: It is not, and the filter is on.
        """
        if record.answer is None:
            return True  # there is nothing to verify
        verdict = answers.verify(record.answer, record.teacher_answer, rationale)
        if verdict is False and "answer_mismatch" in self.filters:
            field = "rationale" if record.teacher_answer is None else "teacher_answer"
            raise RejectionError("answer_mismatch", field)
        return verdict

    def _check_alone(self, record: Record, rationale: str | None, fields: dict[str, str]) -> None:
        """What the filters of one candidate say of it.

        Raises:
            RejectionError: One of them rejects it.
        """
        self._verdict(record, rationale)
        self._more_filters(record, rationale, "rationale" in fields, None)

    def _more_filters(
        self,
        record: Record,
        rationale: str | None,
        is_used: bool,
        near: list[list[str]] | None,
    ) -> None:
        """Those that the recipe orders; near duplicates, if any are given, by exact similarity."""
        texts = {"question": record.question, "rationale": rationale or ""}
        for name, options in self.filters.items():
            field = None
            if name == "near_duplicate":
                if near is None:
                    continue
                named = texts | {"answer": record.answer or ""}
                if not is_used:
                    del named["rationale"]
                mine = [named[each] for each in options["fields"] if each in named]
                shingle, threshold = options["shingle"], options["threshold"]
                if any(filters.jaccard(mine, other, shingle) >= threshold for other in near):
                    field = "line"
                else:
                    near.append(mine)
            elif name == "repetition" and filters.repeats(texts["rationale"], options):
                field = "rationale"
            elif name == "contaminated":
                pair = (texts["question"], texts["rationale"])
                field = filters.contaminated(pair, self.evaluation, options)
            elif name == "answer_leak" and record.answer is not None:
                leaks = filters.leaks(record.question, record.answer, rationale)
                field = "question" if leaks else None
            elif name == "charset":
                three = ("question", "answer", "rationale")
                named = texts | {"answer": record.answer or ""}
                field = filters.charset({each: named[each] for each in three}, options)
            if field:
                raise RejectionError(name, field)

    def _uses_rationale(self, record: Record, template: int) -> bool:
        is_kept = self.config["keep_rationale"] and record.answer is not None
        return bool(self.templates[template].needs_rationale or is_kept)

    def _fields(self, record: Record, rationale: str | None, template: int) -> dict[str, str]:
        """The fields that the template uses, none of them blank."""
        fields = {"question": record.question}
        if record.answer is not None:
            fields["answer"] = record.answer
        if self._uses_rationale(record, template):
            if rationale is None:
                raise RejectionError("malformed", "rationale")
            fields["rationale"] = rationale
        for name, text in fields.items():
            if not text.strip():
                raise RejectionError("empty", name)
        return fields

    def _encode(self, fields: dict[str, str], template: Template) -> tuple[list[int], list[int]]:
        opening = [Piece("".join(self.soft_prompt), "soft_prompt", is_literal=True)]
        prompt = fill(template.prompt, fields, self.end_token)
        completion = fill(template.completion, fields, self.end_token)
        if self.render["style"] == "chat":
            assert self.chat_template is not None
            variables = self.render["chat_variables"]
            if template.is_question_only:
                prompt = chat_prompt(self.chat_template, variables, prompt)
            else:
                try:
                    prompt, completion = chat(
                        self.chat_template, variables, prompt, completion, self.end_token
                    )
                except ValueError:
                    raise RejectionError("malformed", "answer") from None
            prompt = [*opening, *prompt] if self.soft_prompt else prompt
            ids, kinds = [], []
        else:
            soft_ids, soft_kinds = self.encoder.encode(opening) if self.soft_prompt else ([], [])
            ids = [*self.encoder.prefix, *soft_ids]
            kinds = [KINDS.index("prompt")] * len(self.encoder.prefix) + soft_kinds
        for pieces in (prompt, completion) if completion else (prompt,):
            more_ids, more_kinds = self.encoder.encode(pieces)
            ids += more_ids
            kinds += more_kinds
        return ids, kinds
