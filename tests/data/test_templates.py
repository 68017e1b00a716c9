"""Several templates of one record, the way that a record names, and rationales under a control."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.data.test_reference import compare

from limbeck.config import Prepare, check
from limbeck.errors import InputError
from limbeck.prepare import Manifest, prepare

LINES = [
    {
        "id": "two",
        "question": "A ferry takes 24 cars, how many in 3 trips?",
        "rationale": ["3 * 24 = 71. So the answer is 71.", "3 trips take 3 * 24 = 72 cars."],
        "answer": "72",
    },
    {"id": "one", "question": "Who is it?", "rationale": "It was he.", "answer": "he"},
    {"id": "none", "question": "How many days?", "answer": "7"},
    {"id": "bad", "question": "How many?", "rationale": [1, "The answer is 4."], "answer": "4"},
    {"id": "worse", "question": "How few?", "rationale": [1, 2], "answer": "4"},
    "no record",
]
BOTH = ["answer-only", "think-first"]


@pytest.fixture
def prepared(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path
) -> Callable[..., tuple[Manifest, Path]]:
    def prepared(lines: list[Any], **section: Any) -> tuple[Manifest, Path]:
        output = tmp_path / "out"
        manifest = prepare(
            write(lines),
            tokenizer=tokenizer,
            output_dir=output,
            recipe=check(Prepare, {"max_length": 512, **section}),
            overwrite=True,
        )
        return manifest, output

    return prepared


def texts(directory: Any, tokenizer: Path) -> dict[tuple[str, str], list[str]]:
    """The completions by record and template."""
    from tokenizers import Tokenizer

    decoder = Tokenizer.from_file(str(directory.path / "tokenizer" / "tokenizer.json"))
    found: dict[tuple[str, str], list[str]] = {}
    for entry in directory.entries:
        example = directory.examples[entry["example_id"]]
        start = min(n for n, kind in enumerate(example.kinds) if kind not in (0, 1))
        text = decoder.decode(example.ids[start:], skip_special_tokens=False)
        found.setdefault((entry["record_id"], entry["template"]), []).append(text)
    return found


def test_each_template_makes_its_examples(
    prepared: Callable[..., tuple[Manifest, Path]], opened: Any, tokenizer: Path
) -> None:
    manifest, output = prepared(LINES, template=BOTH)
    directory = opened(output)
    found = texts(directory, tokenizer)
    # One candidate a record where the template does without the rationale, though the first
    # rationale is wrong; one a rationale where it does not.
    assert found == {
        ("two", "answer-only"): [" 72<|endoftext|>"],
        ("two", "think-first"): [" 3 trips take 3 * 24 = 72 cars.\nThe answer is 72.<|endoftext|>"],
        ("one", "answer-only"): [" he<|endoftext|>"],
        ("one", "think-first"): [" It was he.\nThe answer is he.<|endoftext|>"],
        ("none", "answer-only"): [" 7<|endoftext|>"],
        ("bad", "answer-only"): [" 4<|endoftext|>"],
        ("bad", "think-first"): [" The answer is 4.\nThe answer is 4.<|endoftext|>"],
    }
    assert (manifest.template, manifest.templates) == (
        "answer-only",
        ("answer-only", "think-first"),
    )
    fates = [
        (line["record_id"], line.get("template"), line["reason"]) for line in directory.rejected
    ]
    assert fates == [
        ("two", "think-first", "answer_mismatch"),
        ("none", "think-first", "malformed"),
        ("bad", None, "malformed"),
        ("worse", None, "malformed"),
        ("worse", None, "malformed"),
        ("worse", None, "malformed"),
        (None, None, "malformed"),
    ]
    assert manifest.records.read == 7 + len(fates)


def test_a_record_names_the_way_that_it_takes(
    prepared: Callable[..., tuple[Manifest, Path]], opened: Any, tokenizer: Path
) -> None:
    ways = ["think-first", "answer-only", None, "other"]
    lines = [
        LINES[1] | {"id": str(n), "way": way, "question": f"Who {n}?"} for n, way in enumerate(ways)
    ]
    manifest, output = prepared(lines, template=BOTH)
    directory = opened(output)
    assert list(texts(directory, tokenizer)) == [
        ("0", "think-first"), ("1", "answer-only"), ("2", "answer-only"), ("2", "think-first"),
    ]  # fmt: skip
    (rejected,) = directory.rejected
    assert rejected["reason"] == "malformed"
    assert rejected["detail"] == 'way: there is no template "other" to take it'
    # With one template there is nothing to choose from.
    manifest, _ = prepared(lines, template="answer-only")
    assert manifest.records.kept == 4


def test_filters_compare_within_a_template(
    prepared: Callable[..., tuple[Manifest, Path]],
) -> None:
    rationale = " ".join(f"word{n}" for n in range(40))
    lines = [{"question": "How many?", "rationale": rationale, "answer": "4"}] * 2
    for filters in (
        ["exact_duplicate"],
        ["near_duplicate"],
        [{"name": "over_cap", "max_per_question": 1}],
    ):
        for dry_run in (False, True):
            manifest = prepared(lines, template=BOTH, filters=filters)[0]
            assert (manifest.records.kept, manifest.records.read, dry_run) == (2, 4, dry_run)


def test_templates_need_names_of_their_own(
    prepared: Callable[..., tuple[Manifest, Path]],
) -> None:
    spec = {"prompt": "{question}", "completion": "{answer}{end}"}
    with pytest.raises(InputError, match=r"prepare.template.1.name: \"custom\" is the name of"):
        prepared(LINES, template=[spec, spec])
    broken = {"name": "broken", "prompt": "{question}", "completion": "{answer"}
    with pytest.raises(InputError, match=r"prepare.template.1.completion: the brace at byte 0"):
        prepared(LINES, template=[spec, broken])
    with pytest.raises(InputError, match="template: an empty list; name a template"):
        check(Prepare, {"template": []})


def test_gates_are_tokens_of_their_own_kind(
    prepared: Callable[..., tuple[Manifest, Path]], opened: Any, tokenizer: Path
) -> None:
    manifest, output = prepared(LINES[:2], template=["gate-answer-first", "gate-think-first"])
    found = texts(opened(output), tokenizer)
    assert found["one", "gate-answer-first"] == [
        "<|answer_first|> he<|sem|>\nIt was he.<|endoftext|>"
    ]
    assert found["one", "gate-think-first"] == [
        "<|think_first|> It was he.\nThe answer is he.<|endoftext|>"
    ]
    assert manifest.tokens["gate"] == manifest.examples == 4
    added = ["<|sem|>", "<|answer_first|>", "<|think_first|>"]
    assert manifest.render["added_tokens"] == added


@pytest.mark.parametrize("control", ["shuffled", "key_words"])
def test_filters_see_the_rationale_without_its_control(
    prepared: Callable[..., tuple[Manifest, Path]], opened: Any, tokenizer: Path, control: str
) -> None:
    words = [f"step{n} is" for n in range(30)]
    lines = [
        {
            "id": "right",
            "question": "How many?",
            "rationale": " ".join([*words, "The answer is 4."]),
        },
        {
            "id": "wrong",
            "question": "How few?",
            "rationale": " ".join([*words, "The answer is 5."]),
        },
    ]
    lines = [line | {"answer": "4"} for line in lines]
    plain = prepared(lines, template="think-first")[0]
    manifest, output = prepared(lines, template="think-first", rationale_control=control)
    # The conclusion is read, and found right or wrong, though the student will not see it.
    assert manifest.records == plain.records
    (text,) = texts(opened(output), tokenizer)["right", "think-first"]
    shown = text.removesuffix("\nThe answer is 4.<|endoftext|>").strip()
    if control == "shuffled":
        assert shown != lines[0]["rationale"]
        assert sorted(shown.split()) == sorted(str(lines[0]["rationale"]).split())
    else:
        assert shown == " ".join([f"step{n}" for n in range(30)] + ["4."])


def test_what_a_control_leaves_nothing_of_is_empty(
    prepared: Callable[..., tuple[Manifest, Path]], opened: Any
) -> None:
    lines = [LINES[0], {"question": "Who?", "rationale": "so it is", "answer": "he"}]
    _, output = prepared(lines, rationale_control="key_words")
    assert [line["reason"] for line in opened(output).rejected] == ["answer_mismatch", "empty"]


@pytest.mark.parametrize("control", ["none", "shuffled", "key_words"])
def test_the_twin_does_the_same(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path, opened: Any, control: str
) -> None:
    ways = [None, "think-first", "answer-first", "nobody's"]
    lines = [
        {**line, "question": f"{line['question']} {n}", "way": way}
        for n, way in enumerate(ways)
        for line in LINES
        if isinstance(line, dict)
    ]
    lines += [line | {"question": line["question"].upper()} for line in lines]
    lines += [*LINES, LINES[0] | {"rationale": ["no  \n\t×²  x² ", "the FERRY,\x1c=  cars(3)"]}]
    filters = ["exact_duplicate", "answer_mismatch", "near_duplicate"]
    filters += [{"name": "over_cap", "max_per_question": 1}, "repetition"]
    rejected = compare(
        [write(lines)],
        tokenizer=tokenizer,
        output=tmp_path / "out",
        opened=opened,
        section=check(
            Prepare,
            {
                "template": ["answer-first", "answer-only", "think-first"],
                "rationale_control": control,
                "filters": filters,
                "max_length": 512,
                "seed": 3,
            },
        ),
    )
    assert {"malformed", "answer_mismatch", "exact_duplicate", "over_cap"} <= set(rejected)


def test_a_saved_section_reads_back() -> None:
    section = check(Prepare, {"template": BOTH})
    assert check(Prepare, json.loads(section.model_dump_json())) == section
    assert section.templates == ("answer-only", "think-first")
