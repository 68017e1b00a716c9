"""What `limbeck.prepare` writes, counts and refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.config import Prepare, TemplateSpec, Train, check
from limbeck.errors import InputError
from limbeck.prepare import Manifest, Steps, expand, few_steps, prepare, summary
from limbeck.sources import Source

GOOD = {"id": "g", "question": "How many?", "rationale": "So many.", "answer": "1"}

# What the teacher of the shared data concluded rightly, counted apart from limbeck.
VERIFIED = {
    "addsub": (395, 282),
    "coin_flip": (500, 457),
    "commonsense_qa": (1221, 789),
    "date_understanding": (369, 249),
    "gsm8k": (1319, 542),
    "last_letters": (500, 288),
    "singleeq": (508, 404),
    "strategy_qa": (2290, 1254),
    "svamp": (1000, 621),
}


def test_real_teachers_are_believed_where_they_are_right(shared: Path, tmp_path: Path) -> None:
    paths = [str(shared / "data/cot/*.jsonl"), str(shared / "data/gsm8k/train.jsonl")]
    manifest = prepare(
        paths, tokenizer=shared / "tokenizers/qwen.json", output_dir=tmp_path / "out", recipe="pst"
    )
    counts = {Path(source.path).stem: source.records for source in manifest.sources}
    unwanted = ("malformed", "empty", "answer_mismatch")
    for name, (read, verified) in VERIFIED.items():
        rejected = sum(counts[name].rejected.get(reason, 0) for reason in unwanted)
        assert (counts[name].read, counts[name].read - rejected) == (read, verified), name
    # People wrote these, mostly without a sentence that states the answer.
    human = counts["train"]
    assert human.read == 7473
    assert human.kept >= 7460
    assert manifest.records.kept == manifest.examples == manifest.steps.unpacked
    assert manifest.fill > 0.99


def test_directory_is_a_data_set(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path, opened: Callable[[Path], Any]
) -> None:
    import datasets

    lines = [GOOD | {"question": f"How many {n}?", "domain": f"d{n % 2}"} for n in range(40)]
    manifest = prepare(
        write(lines),
        tokenizer=tokenizer,
        output_dir=tmp_path / "out",
        recipe=Prepare(max_length=128),
        keep_rationale=True,
    )
    data = datasets.load_from_disk(str(tmp_path / "out"))
    types = {name: feature.feature.dtype for name, feature in data.features.items()}
    assert types == {
        "input_ids": "int32",
        "span_kinds": "uint8",
        "example_lengths": "int32",
        "example_ids": "int64",
        "domains": "int32",
        "example_templates": "int32",
    }
    assert len(data) == manifest.rows
    state = json.loads((tmp_path / "out/state.json").read_text("utf-8"))
    assert len(state) == 7
    assert state["_fingerprint"] == manifest.fingerprint
    directory = opened(tmp_path / "out")
    assert Manifest.load(tmp_path / "out") == manifest
    assert manifest.domains == ("d0", "d1")
    assert [entry["example_id"] for entry in directory.entries] == list(range(40))
    assert {entry["rationale"] for entry in directory.entries} == {"So many."}
    assert directory.examples[3].domain == directory.entries[3]["domain"] == 1
    assert manifest.path == tmp_path / "out"


def test_tokenizer_beside_the_rows_reads_them(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path, opened: Callable[[Path], Any]
) -> None:
    from transformers import AutoTokenizer

    prepare(write([GOOD]), tokenizer=tokenizer, output_dir=tmp_path / "out")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "out/tokenizer")
    example = opened(tmp_path / "out").examples[0]
    text = "Question: How many?\nAnswer: 1<|sem|>\nSo many.<|endoftext|>"
    assert loaded.decode(example.ids) == text
    assert loaded.convert_tokens_to_ids("<|sem|>") in example.ids


BROKEN = [
    ("{", "malformed", "line: not JSON"),
    ("[]", "malformed", "line: not JSON"),
    ('{"question": "\\ud83d", "answer": 1, "rationale": "r"}', "malformed", "question: a lone"),
    ('{"question": "q", "question": "q"}', "malformed", "question: given twice"),
    ({"question": 1, "answer": "1", "rationale": "r"}, "malformed", "question: a number"),
    ({"question": "q", "rationale": "r"}, "malformed", "answer: missing"),
    ({"question": "q", "answer": True, "rationale": "r"}, "malformed", "answer: true"),
    ({"question": "q", "answer": "1"}, "malformed", "rationale: missing"),
    ({"question": "q", "answer": "1", "rationale": None}, "malformed", "rationale: missing"),
    ({"question": "q", "answer": "1", "rationale": {}}, "malformed", "rationale: an object"),
    ({"question": " \n", "answer": "1", "rationale": "r"}, "empty", "question: blank"),
    ({"question": "q", "answer": "", "rationale": "r"}, "empty", "answer: blank"),
    ({"question": "q", "answer": "1", "rationale": "\u3000"}, "empty", "rationale: blank"),
    ({"question": "q", "answer": "1", "rationale": []}, "empty", "rationale: blank"),
    (GOOD | {"teacher_answer": "2"}, "answer_mismatch", 'teacher_answer: "2" is not'),
    (GOOD | {"teacher_answer": ""}, "answer_mismatch", "teacher_answer: no conclusion"),
    (GOOD | {"rationale": "The answer is 3."}, "answer_mismatch", 'rationale: "3" is not'),
    (GOOD | {"question": " How many?"}, "exact_duplicate", "line: an earlier"),
    (GOOD | {"rationale": "so " * 300}, "too_long", "tokens: "),
]


@pytest.mark.parametrize(("line", "reason", "detail"), BROKEN)
def test_reasons(
    tokenizer: Path,
    write: Callable[..., Path],
    tmp_path: Path,
    opened: Callable[[Path], Any],
    line: Any,
    reason: str,
    detail: str,
) -> None:
    manifest = prepare(
        write([GOOD, line]),
        tokenizer=tokenizer,
        output_dir=tmp_path / "out",
        recipe=Prepare(max_length=200),
    )
    assert manifest.records.rejected == {reason: 1}
    (rejected,) = opened(tmp_path / "out").rejected
    assert (rejected["example_id"], rejected["line"], rejected["reason"]) == (1, 2, reason)
    assert rejected["detail"].startswith(detail)


def test_filters_can_be_switched_off(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    lines = [GOOD, GOOD, GOOD | {"teacher_answer": "2"}]
    manifest = prepare(
        write(lines),
        tokenizer=tokenizer,
        output_dir=tmp_path / "out",
        recipe=Prepare(filters=()),
    )
    assert (manifest.records.kept, manifest.records.unverified) == (3, 3)


def test_filters_are_checked() -> None:
    section = check(Prepare, {"filters": ["exact_duplicate", {"name": "answer_mismatch"}]})
    assert [entry.name for entry in section.filters] == ["exact_duplicate", "answer_mismatch"]
    assert check(Prepare, section.model_dump(mode="json")) == section
    for entries, fault in [
        (["exact_duplicates"], "filters.0: there is no 'exact_duplicates'; did you mean"),
        ([{"nmae": "x"}], "filters.0: has no `name`; add one of answer_leak,"),
        (["exact_duplicate"] * 2, "filters: exact_duplicate is given twice; keep one"),
        ([{"name": "exact_duplicate", "nmae": 1}], "filters.0.nmae: unknown key; did you mean"),
    ]:
        with pytest.raises(InputError, match=re.escape(fault)):
            check(Prepare, {"filters": entries})


def test_short_examples_are_rejected_and_long_ones_never_cut(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path, opened: Callable[[Path], Any]
) -> None:
    lines = [GOOD | {"rationale": "so " * count} for count in (1, 20, 400)]
    section = Prepare(min_length=30, max_length=150)
    manifest = prepare(
        write(lines), tokenizer=tokenizer, output_dir=tmp_path / "out", recipe=section
    )
    assert manifest.records.rejected == {"too_short": 1, "too_long": 1}
    ((_, example),) = opened(tmp_path / "out").examples.items()
    assert len(example.ids) <= 150


def test_numbers_stay_as_written(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path, opened: Callable[[Path], Any]
) -> None:
    from tokenizers import Tokenizer

    line = '{"id": 7, "question": "q", "answer": 40000.0, "teacher_answer": 4e4, "rationale": "r"}'
    prepare(write([line]), tokenizer=tokenizer, output_dir=tmp_path / "out")
    directory = opened(tmp_path / "out")
    example = directory.examples[0]
    answer = [token for token, kind in zip(example.ids, example.kinds, strict=True) if kind == 2]
    assert Tokenizer.from_file(str(tokenizer)).decode(answer) == " 40000.0"
    assert directory.entries[0]["record_id"] == "7"


def test_other_splits_are_no_candidates(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    path = write([GOOD, GOOD | {"split": "test", "question": "Another?"}])
    train = prepare(path, tokenizer=tokenizer, output_dir=tmp_path / "train")
    assert (train.records.read, train.records.other_split) == (1, 1)
    section = Prepare(split="test")
    with pytest.raises(InputError, match="no record of split"):
        prepare(
            write([GOOD | {"split": "x"}], "x.jsonl"),
            tokenizer=tokenizer,
            output_dir=tmp_path / "none",
            recipe=section,
        )
    test = prepare(path, tokenizer=tokenizer, output_dir=tmp_path / "test", recipe=section)
    assert test.records.read == 2  # a record without a split belongs to every one


def test_parquet_is_the_same_as_lines(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path, opened: Callable[[Path], Any]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = [
        {"question": f"q{n}", "answer": n, "rationale": [f"r{n}", "s"], "domain": "d", "extra": n}
        for n in range(1200)
    ]
    pq.write_table(pa.Table.from_pylist(lines), tmp_path / "records.parquet")
    for name, path in [("lines", write(lines)), ("table", tmp_path / "records.parquet")]:
        prepare(path, tokenizer=tokenizer, output_dir=tmp_path / name)
    left, right = opened(tmp_path / "lines"), opened(tmp_path / "table")
    assert len(left.examples) == 2400
    assert left.examples == right.examples
    assert right.entries[-1]["line"] == 1200
    assert right.entries[-1]["byte_offset"] is None


def test_standard_input(tokenizer: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from limbeck.prepare import prepare;"
        "print(prepare('-', tokenizer=sys.argv[1], output_dir=sys.argv[2]).records.kept)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tokenizer), str(tmp_path / "out")],
        input=f"{json.dumps(GOOD)}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1\n"
    assert json.loads((tmp_path / "out/manifest.json").read_text())["sources"][0]["path"] == "-"


def refusal(*paths: Any, **arguments: Any) -> str:
    with pytest.raises(InputError) as caught:
        prepare([str(path) for path in paths], **arguments)
    return str(caught.value)


def test_what_cannot_be_read_is_said(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    output = {"tokenizer": tokenizer, "output_dir": tmp_path / "a/b/out"}
    good, empty = write([GOOD]), tmp_path / "empty.jsonl"
    empty.touch()
    assert "no file matches" in refusal(tmp_path / "*.none", **output)
    assert "there are none" in refusal(**output)
    assert "cannot be read" in refusal(good, tmp_path / "absent.jsonl", **output)
    assert "a directory" in refusal(tmp_path, **output)
    assert "holds no record" in refusal(empty, **output)
    assert "holds no record" in refusal(good, write(["", " "], "blank.jsonl"), **output)
    assert "no tokenizer.json" in refusal(good, **output | {"tokenizer": tmp_path})
    assert "no such tokenizer" in refusal(good, **output | {"tokenizer": "./absent.json"})
    (tmp_path / "text.parquet").write_bytes(b"PAR1 is how it begins")
    assert "no readable Parquet" in refusal(tmp_path / "text.parquet", **output)
    assert not (tmp_path / "a").exists()


def test_nothing_kept_is_an_error_with_the_reasons(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    path = write(["{", GOOD | {"teacher_answer": "2"}, GOOD | {"answer": ""}])
    text = refusal(path, tokenizer=tokenizer, output_dir=tmp_path / "out")
    assert "malformed 1, empty 1, answer_mismatch 1" in text
    assert f"{path}:1" in text
    assert not (tmp_path / "out").exists()


def test_strict_names_line_and_field(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    path = write([GOOD, "", {"question": "q", "answer": [1]}])
    text = refusal(path, tokenizer=tokenizer, output_dir=tmp_path / "out", strict=True)
    assert text.startswith(f"{path}:3: answer: ")
    assert not (tmp_path / "out").exists()


def test_a_hub_name_without_a_network_is_explained(
    monkeypatch: pytest.MonkeyPatch, write: Callable[..., Path], tmp_path: Path
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    text = refusal(write([GOOD]), tokenizer="nobody/nothing", output_dir=tmp_path / "out")
    assert text.startswith("nobody/nothing: neither a local tokenizer nor")


def test_recipes_decide_template_and_rationales(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path, opened: Callable[[Path], Any]
) -> None:
    path = write([GOOD])
    by_method = {}
    for method in ("answer_only", "think_first", "pst"):
        directory = tmp_path / method
        by_method[method] = prepare(path, tokenizer=tokenizer, output_dir=directory, recipe=method)
    assert [manifest.template for manifest in by_method.values()] == [
        "answer-only",
        "think-first",
        "answer-first",
    ]
    assert opened(tmp_path / "pst").entries[0]["rationale"] == "So many."
    assert opened(tmp_path / "think_first").entries[0]["rationale"] is None
    assert by_method["answer_only"].tokens["rationale"] == 0
    hashes = {manifest.recipe_sha256 for manifest in by_method.values()}
    assert len(hashes) == 3
    assert "did you mean `pst`" in refusal(path, tokenizer=tokenizer, output_dir="x", recipe="pts")


def test_chat_style_follows_the_tokenizer(
    chat_tokenizer: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    path = write([GOOD])
    chat = prepare(path, tokenizer=chat_tokenizer, output_dir=tmp_path / "chat")
    assert chat.render["style"] == "chat"
    assert chat.render["end_token"] == "<|im_end|>"
    plain = prepare(
        path,
        tokenizer=chat_tokenizer,
        output_dir=tmp_path / "plain",
        recipe=Prepare(
            style="plain",
            template=TemplateSpec(prompt="{question}", completion=" {answer}{end}"),
        ),
    )
    assert plain.template == "custom"
    assert plain.tokens["total"] < chat.tokens["total"]


def test_progress_counts_bytes_and_may_stop_the_work(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    path = write([GOOD | {"question": f"How many {n}?"} for n in range(20_000)])
    seen: list[tuple[int, int, str]] = []
    prepare(
        path,
        tokenizer=tokenizer,
        output_dir=tmp_path / "out",
        progress=lambda *state: seen.append(state),
    )
    size = path.stat().st_size
    # At the start, when all is read, before it is published, and perhaps between.
    assert len(seen) >= 3
    assert seen[0][0] == 0
    assert seen[-1] == (size, size, "20,000 kept, 0 rejected")
    assert [state[0] for state in seen] == sorted(state[0] for state in seen)

    def stop(done: int, total: int, text: str) -> None:
        raise KeyboardInterrupt

    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        prepare(path, tokenizer=tokenizer, output_dir=tmp_path / "stopped", progress=stop)
    assert sorted(tmp_path.iterdir()) == before


def test_expand_sorts_globs_and_leaves_names_alone(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "[x].jsonl"):
        (tmp_path / name).touch()
    paths = [str(tmp_path / "?.jsonl"), "-", str(tmp_path / "[x].jsonl")]
    found = expand([Source(path=path, domain="d") for path in paths])
    names = [Path(source.path).name for source in found]
    assert names == ["a.jsonl", "b.jsonl", "-", "[x].jsonl"]
    assert {source.domain for source in found} == {"d"}


def test_a_source_labels_the_records_that_name_no_domain(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path, opened: Callable[[Path], Any]
) -> None:
    own = [GOOD | {"question": f"How many {domain}?", "domain": domain} for domain in ("d", " ", 7)]
    sources = [
        Source(path=str(write([GOOD, *own], "a.jsonl")), domain=" sums "),
        Source(path=str(write([GOOD | {"question": "Who?"}], "b.jsonl"))),
    ]
    manifest = prepare(sources, tokenizer=tokenizer, output_dir=tmp_path / "out")
    names = [
        manifest.domains[entry["domain"]] if entry["domain"] >= 0 else None
        for entry in opened(tmp_path / "out").entries
    ]
    assert names == ["sums", "d", "sums", "7", None]


def test_summary_tells_what_matters(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    path = write([GOOD, GOOD, GOOD | {"split": "test"}])
    manifest = prepare(path, tokenizer=tokenizer, output_dir=tmp_path / "out", dry_run=True)
    text = summary(manifest)
    assert not (tmp_path / "out").exists()
    assert "kept 1 of 2 candidates; rejected: exact_duplicate 1" in text
    assert "1 packed, 1 unpacked" in text
    assert "1 records of other splits" in text
    assert text.endswith("dry run: nothing written")


def test_few_steps_are_warned_of_where_packing_made_them_few() -> None:
    small = Steps(packed=99 * 8, unpacked=99 * 16)
    text = few_steps(small, Train())
    assert text
    assert "99 optimizer steps an epoch instead of 198" in text
    assert few_steps(Steps(packed=100 * 8, unpacked=10_000), Train()) is None  # enough are left
    assert few_steps(Steps(packed=40, unpacked=72), Train()) is None  # so few without packing too
    batch = Train(per_device_train_batch_size=1, gradient_accumulation_steps=4)
    text = few_steps(Steps(packed=201, unpacked=2001), batch)
    assert text
    assert "51 optimizer steps an epoch instead of 501" in text
    assert (
        few_steps(
            Steps(packed=201, unpacked=2001),
            batch.model_copy(
                update={"per_device_train_batch_size": 1, "gradient_accumulation_steps": 1}
            ),
        )
        is None
    )


def test_balanced_rows_hold_all_and_mix_domains(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path, opened: Callable[[Path], Any]
) -> None:
    lines = [GOOD | {"question": f"How many {n}?", "domain": f"d{n // 100}"} for n in range(300)]
    mixed = {}
    for packing in ("bfd", "domain_balanced"):
        section = Prepare(max_length=512, packing=packing)
        output = tmp_path / packing
        prepare(write(lines), tokenizer=tokenizer, output_dir=output, recipe=section)
        directory = opened(output)
        examples = directory.examples
        assert sorted(examples) == list(range(300))
        domains = [[examples[example].domain for example in row] for row in directory.rows]
        mixed[packing] = sum(len(set(row)) == 3 for row in domains) / len(domains)
    assert mixed["domain_balanced"] > 0.95 > mixed["bfd"]


def test_import_is_light() -> None:
    code = (
        "import sys, limbeck.prepare;"
        "print([m for m in ('torch', 'transformers', 'datasets', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
