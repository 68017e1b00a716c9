"""The whole way, one candidate after the other; twin of `candidate.rs` and `collect.rs`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck._reference import answers, packing, records
from limbeck._reference.records import FaultError, Line, Record
from limbeck._reference.render import Template, chat, fill
from limbeck._reference.tokens import Encoder


@dataclass(frozen=True)
class Example:
    """A kept candidate."""

    example_id: int
    record_id: str | None
    source: str
    line: int
    byte_offset: int
    domain: str | None
    rationale: str | None
    verified: bool
    ids: list[int]
    kinds: list[int]


@dataclass(frozen=True)
class Rejected:
    """A candidate that was not kept, and the field at fault."""

    example_id: int
    record_id: str | None
    source: str
    line: int
    byte_offset: int
    reason: str
    field: str


@dataclass(frozen=True)
class Prepared:
    """Rows of example ids, and every candidate's fate."""

    rows: list[list[int]]
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
    for source in config["inputs"]:
        for line in records.lines(Path(source["path"]).read_bytes()):
            for record, rationale in pipeline.candidates(line):
                fate = {
                    "example_id": len(examples) + len(rejected),
                    "record_id": record.id if isinstance(record, Record) else record.record_id,
                    "source": source["path"],
                    "line": line.number,
                    "byte_offset": line.byte_offset,
                }
                try:
                    example = pipeline.keep(record, rationale)
                    example["domain"] = example["domain"] or source["domain"]
                    examples.append(Example(**fate, **example))
                except RejectionError as rejection:
                    rejected.append(
                        Rejected(**fate, reason=rejection.reason, field=rejection.field)
                    )
    rows = packing.windows(
        [len(example.ids) for example in examples],
        [example.domain for example in examples],
        capacity=config["max_length"],
        window=config["packing_window"],
        packing=config["packing"],
    )
    ids = [[examples[index].example_id for index in row] for row in rows]
    return Prepared(ids, examples, rejected)


class Pipeline:
    """What happens to each candidate."""

    def __init__(
        self, config: Mapping[str, Any], end_token: str, chat_template: str | None
    ) -> None:
        self.config = config
        self.render = config["render"]
        self.end_token = end_token
        self.chat_template = chat_template
        self.template = Template.parse(self.render["template"])
        tokenizer = Path(config["tokenizer"])
        self.encoder = Encoder(tokenizer, self.render["added_tokens"], end_token)
        self.filters = {entry["name"]: entry for entry in config["filters"]}
        self.seen: set[tuple[str, ...]] = set()

    def candidates(
        self, line: Line
    ) -> Iterator[tuple[Record | FaultError, str | FaultError | None]]:
        """The candidates on a line: its record with each of its rationales, or a fault."""
        try:
            record = records.record(line.content, self.config["split"])
        except FaultError as fault:
            yield fault, None
            return
        for rationale in record.rationales if record else ():
            yield record, rationale  # type: ignore[misc]

    def keep(
        self, record: Record | FaultError, rationale: str | FaultError | None
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
        fields = self._fields(record, rationale)
        verdict = answers.verify(record.answer, record.teacher_answer, rationale)
        if verdict is False and "answer_mismatch" in self.filters:
            field = "rationale" if record.teacher_answer is None else "teacher_answer"
            raise RejectionError("answer_mismatch", field)
        ids, kinds = self._encode(fields)
        key = tuple(text.strip() for text in fields.values())
        if "exact_duplicate" in self.filters:
            if key in self.seen:
                raise RejectionError("exact_duplicate", "line")
            self.seen.add(key)
        if len(ids) < self.config["min_length"]:
            raise RejectionError("too_short", "tokens")
        if len(ids) > self.config["max_length"]:
            raise RejectionError("too_long", "tokens")
        kept = fields["rationale"].strip() if self.config["keep_rationale"] else None
        domain = (record.domain or "").strip() or None
        return {
            "domain": domain,
            "rationale": kept,
            "verified": verdict is True,
            "ids": ids,
            "kinds": kinds,
        }

    def _fields(self, record: Record, rationale: str | None) -> dict[str, str]:
        """The fields that the template uses, none of them blank."""
        fields = {"question": record.question, "answer": record.answer}
        if self.template.needs_rationale or self.config["keep_rationale"]:
            if rationale is None:
                raise RejectionError("malformed", "rationale")
            fields["rationale"] = rationale
        for name, text in fields.items():
            if not text.strip():
                raise RejectionError("empty", name)
        return fields

    def _encode(self, fields: dict[str, str]) -> tuple[list[int], list[int]]:
        prompt = fill(self.template.prompt, fields, self.end_token)
        completion = fill(self.template.completion, fields, self.end_token)
        if self.render["style"] == "chat":
            assert self.chat_template is not None
            variables = self.render["chat_variables"]
            try:
                prompt, completion = chat(
                    self.chat_template, variables, prompt, completion, self.end_token
                )
            except ValueError:
                raise RejectionError("malformed", "answer") from None
            ids, kinds = [], []
        else:
            ids, kinds = list(self.encoder.prefix), [0] * len(self.encoder.prefix)
        for pieces in (prompt, completion):
            more_ids, more_kinds = self.encoder.encode(pieces)
            ids += more_ids
            kinds += more_kinds
        return ids, kinds
