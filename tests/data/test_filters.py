"""The filters beside their slow twins and on real records."""

from __future__ import annotations

import itertools
import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck._reference import filters as twin
from limbeck.config import Prepare, check
from limbeck.errors import InputError
from limbeck.filters import SECTIONS
from limbeck.prepare import Manifest, prepare
from limbeck.sources import Source

GOOD = {"question": "How many?", "rationale": "So many.", "answer": "1"}


def options(name: str) -> dict[str, Any]:
    return SECTIONS[name]().model_dump()


@pytest.fixture(scope="module")
def records(shared: Path) -> list[dict[str, Any]]:
    """Real rationales of a model and of people."""
    found = []
    for path in [*sorted((shared / "data/cot").glob("*.jsonl")), shared / "data/gsm8k/train.jsonl"]:
        with path.open(encoding="utf-8") as lines:
            found += [json.loads(line) for line in itertools.islice(lines, 1500)]
    return found


@pytest.fixture
def run(
    tokenizer: Path, tmp_path: Path, opened: Callable[[Path], Any]
) -> Callable[..., tuple[Manifest, dict[int, dict[str, Any]]]]:
    """Prepares records with some filters only; the manifest, and the rejected by their number."""

    def run(records: list[dict[str, Any]], *filters: Any, **settings: Any) -> Any:
        path = tmp_path / "records.jsonl"
        path.write_text("".join(f"{json.dumps(each)}\n" for each in records), "utf-8")
        section = check(Prepare, {"filters": filters, "max_length": 1 << 20, **settings})
        manifest = prepare(
            path, tokenizer=tokenizer, output_dir=tmp_path / "out", recipe=section, overwrite=True
        )
        rejected = opened(tmp_path / "out").rejected
        return manifest, {line["example_id"]: line for line in rejected}

    return run


LOOPS = [
    "How many are left? " * 30,
    "3.3333333333" * 40,
    " ".join(f"w{n}" for n in range(50)) * 5,
    "Ann has 5. Bob has 6. " * 20 + "So it is 11.",
    " ".join(f"{n} times 7 is {7 * n}." for n in range(60)),
    "東京は日本の首都です。" * 30,
]


REAL_LOOPS = [
    "commonsense_qa-00704",
    "last_letters-00082",
    "singleeq-00129",
    "singleeq-00144",
    "singleeq-00328",
    "strategy_qa-00394",
    "svamp-00329",
    "svamp-00452",
    "svamp-00615",
]


def test_repetition_is_judged_as_defined(run: Any, records: list[dict[str, Any]]) -> None:
    records = [*records, *(GOOD | {"rationale": text} for text in LOOPS)]
    _, rejected = run(records, "repetition")
    expected = {
        n
        for n, record in enumerate(records)
        if not record["rationale"].strip()
        or twin.repeats(record["rationale"], options("repetition"))
    }
    assert set(rejected) == expected
    found = [n for n, line in rejected.items() if line["reason"] == "repetition"]
    # Of 8,800 texts that a model or a person wrote these go in circles: a question or its givens
    # are told three times and more, a name over and over, a decimal fraction without end.
    real = [records[n]["id"] for n in found if n < len(records) - len(LOOPS)]
    assert real == REAL_LOOPS
    # The last of the loops is a table.
    assert len(found) == len(REAL_LOOPS) + 5


def test_leaks_are_found_as_defined_and_real_questions_have_none(
    run: Any, records: list[dict[str, Any]]
) -> None:
    told = [
        each | {"question": f"{each['question']} The answer is {each['answer']}."}
        for each in records[:400]
    ]
    _, rejected = run([*records, *told], "answer_leak")
    leaks = {n for n, line in rejected.items() if line["reason"] == "answer_leak"}
    expected = {
        n
        for n, each in enumerate([*records, *told])
        if each["rationale"].strip()
        and twin.leaks(each["question"], each["answer"], each["rationale"])
    }
    assert leaks == expected
    assert not {n for n in leaks if n < len(records)}
    assert len(leaks) > 0.99 * sum(bool(each["rationale"].strip()) for each in told)


def test_contamination_is_found_as_defined(run: Any, shared: Path, tmp_path: Path) -> None:
    def read(name: str, count: int) -> list[dict[str, Any]]:
        with (shared / "data" / name).open(encoding="utf-8") as lines:
            return [json.loads(line) for line in itertools.islice(lines, count)]

    test, train = read("gsm8k/test.jsonl", 150), read("gsm8k/train.jsonl", 150)
    against = tmp_path / "test.jsonl"
    coins = [
        f"A coin is heads up. {name} flips it. Is the coin still heads up? Say yes or no at once."
        for name in (
            "Ann",
            "Bob",
            "Cid",
            "Dan",
            "Eve",
            "Flo",
            "Gus",
            "Hal",
            "Ida",
            "Jon",
            "Kim",
            "Leo",
        )
    ]
    short = [{"question": "What is 2 + 2?", "answer": "4"}]
    evaluated = [*test, *short, *({"question": each, "answer": "yes"} for each in coins)]
    against.write_text("".join(f"{json.dumps(each)}\n" for each in evaluated), "utf-8")
    chance = random.Random(0)

    def worn(text: str) -> str:
        parts = text.split()
        for _ in range(chance.randrange(6)):
            parts[chance.randrange(len(parts))] = "something"
        return " ".join(parts[chance.randrange(12) :])

    mine = [
        *train,
        *(each | {"question": worn(each["question"])} for each in test),
        *(GOOD | {"rationale": f"They ask: {worn(each['question'])}"} for each in test),
        *(GOOD | {"question": text} for text in ("what is 2+2", "What is 2 + 3?", coins[3])),
        GOOD | {"question": coins[3].replace("Dan", "Zoe")},
    ]
    _, rejected = run(mine, {"name": "contaminated", "against": [str(against)]})
    settings = SECTIONS["contaminated"](against=["x"]).model_dump()
    questions = [each["question"] for each in evaluated]
    expected = {
        n
        for n, each in enumerate(mine)
        if twin.contaminated((each["question"], each["rationale"]), questions, settings)
    }
    assert {n for n, line in rejected.items() if line["reason"] == "contaminated"} == expected
    assert expected.isdisjoint(range(150))
    assert 200 < len(expected) < 303
    last = rejected[len(mine) - 2]["detail"]
    assert last == f"question: is the question of {against}:{150 + 1 + 4}"
    assert len(mine) - 1 not in rejected
    for line in rejected.values():
        assert re.search(rf"{re.escape(str(against))}:\d+", line["detail"]), line


def test_charset(run: Any, records: list[dict[str, Any]]) -> None:
    manifest, rejected = run(records, "charset")
    assert manifest.records.rejected.keys() <= {"empty"}
    cyrillic = GOOD | {"rationale": "это совсем другой язык"}
    broken = GOOD | {"rationale": "some \ufffd text"}
    _, rejected = run([GOOD, cyrillic, broken], "charset")
    assert [line["detail"] for line in rejected.values()] == [
        "rationale: 0.27 of the letters are Latin, Greek; first other 'э'",
        "rationale: 1 broken characters, first U+FFFD",
    ]
    for each, field in ((cyrillic, "rationale"), (broken, "rationale"), (GOOD, None)):
        assert twin.charset(each, options("charset")) == field
    for each in records:
        texts = {name: each[name] for name in GOOD}
        assert twin.charset(texts, options("charset")) is None
    with pytest.raises(InputError, match=r"filters.0.scripts: there is no script .Latn1."):
        run([GOOD], {"name": "charset", "scripts": ["Latn1"]})


def test_near_duplicates_by_exact_similarity(run: Any, records: list[dict[str, Any]]) -> None:
    chance = random.Random(1)
    originals = [each for each in records if len(each["rationale"].split()) > 30][:1200]

    def variant(record: dict[str, Any], changes: int) -> dict[str, Any]:
        parts = record["rationale"].split(" ")
        for n in range(changes):
            parts[chance.randrange(len(parts))] = f"other{n}"
        return record | {"rationale": " ".join(parts)}

    variants = [variant(each, 1 + n % 6) for n, each in enumerate(originals)]
    _, rejected = run([*originals, *variants], "near_duplicate")

    def similarity(a: dict[str, Any], b: dict[str, Any]) -> float:
        return twin.jaccard((a["question"], a["rationale"]), (b["question"], b["rationale"]))

    pairs = [
        (similarity(a, b), len(originals) + n in rejected)
        for n, (a, b) in enumerate(zip(originals, variants, strict=True))
    ]

    def share(low: float, high: float) -> float:
        found = [was_found for exact, was_found in pairs if low <= exact < high]
        assert len(found) > 50
        return sum(found) / len(found)

    assert share(0.9, 1.01) > 0.98
    assert share(0.85, 0.9) > 0.8
    assert share(0.0, 0.7) < 0.05
    # Whatever was dropped is near the one that it names.
    everything = [*originals, *variants]
    named = re.compile(r"line: nearly example (\d+), estimated similarity (0\.\d\d|1\.00)$")
    exact = []
    for n, line in rejected.items():
        earlier, estimate = named.match(line["detail"]).groups()  # type: ignore[union-attr]
        exact.append(similarity(everything[n], everything[int(earlier)]))
        assert int(earlier) < n
        assert abs(float(estimate) - exact[-1]) < 0.2
    assert sum(each >= 0.75 for each in exact) / len(exact) > 0.95


def test_the_cap_keeps_the_rationales_that_differ(run: Any) -> None:
    thoughts = [
        "First add two and two, which is four, then take one away, so three are left.",
        "First add two and two, which is four, then take one away, so 3 are left.",
        "Imagine a row of apples; strike one, count what stays in it, and there you are.",
        "First add two and two, which is four, then take one away, so three remain.",
    ]
    lines = [GOOD | {"rationale": text} for text in thoughts] + [GOOD | {"question": "Another?"}]
    manifest, rejected = run(lines, {"name": "over_cap", "max_per_question": 2})
    assert manifest.records.rejected == {"over_cap": 2}
    assert sorted(rejected) == [1, 3]
    assert "nearest is example 0" in rejected[1]["detail"]


def test_sources_give_in_proportion_to_their_weights(
    tokenizer: Path, write: Callable[..., Path], tmp_path: Path, opened: Callable[[Path], Any]
) -> None:
    def lines(name: str, count: int) -> list[dict[str, Any]]:
        return [GOOD | {"question": f"{name} {n}?"} for n in range(count)]

    sources = [
        Source(path=str(write(lines("a", 300), "a.jsonl")), weight=0.75),
        Source(path=str(write(lines("b", 60), "b.jsonl")), weight=0.25),
        Source(path=str(write(lines("c", 10), "c.jsonl"))),
    ]
    kept = []
    for seed in (0, 0, 1):
        manifest = prepare(
            sources,
            tokenizer=tokenizer,
            output_dir=tmp_path / "out",
            recipe=Prepare(seed=seed),
            overwrite=True,
        )
        assert [source.records.kept for source in manifest.sources] == [180, 60, 10]
        kept.append([entry["example_id"] for entry in opened(tmp_path / "out").entries])
        assert not (tmp_path / "out/choice.spill").exists()
    assert kept[0] == kept[1] != kept[2]
    reasons = Counter(line["reason"] for line in opened(tmp_path / "out").rejected)
    assert reasons == {"not_sampled": 120}


def test_a_dry_run_says_what_each_filter_drops(run: Any, tokenizer: Path, tmp_path: Path) -> None:
    from limbeck.dropped import dropped_table

    wrong = GOOD | {"teacher_answer": "2"}
    lines = [GOOD, GOOD, wrong, wrong, GOOD | {"rationale": LOOPS[0]}]
    names = ["repetition", "exact_duplicate", "answer_mismatch"]
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(f"{json.dumps(each)}\n" for each in lines), "utf-8")
    manifest = prepare(
        path,
        tokenizer=tokenizer,
        output_dir=tmp_path / "dry",
        recipe=check(Prepare, {"filters": names, "max_length": 4096}),
        dry_run=True,
    )
    assert manifest.dropped is not None
    assert [(each.reason, each.first, each.alone, each.example) for each in manifest.dropped] == [
        ("answer_mismatch", 2, 2, f"{path}:3"),
        # On its own it would drop the wrong ones too, for `teacher_answer` is no field of a text.
        ("exact_duplicate", 1, 3, f"{path}:2"),
        ("repetition", 1, 1, f"{path}:5"),
        ("too_long", 0, 0, None),
    ]
    assert dropped_table(manifest.dropped).row_count == 4
    assert not (tmp_path / "dry").exists()


def test_a_dry_run_of_which_nothing_is_left_shows_its_table_first(
    write: Callable[..., Path], tokenizer: Path, tmp_path: Path
) -> None:
    write([GOOD | {"teacher_answer": "2"}, GOOD | {"rationale": ""}])
    command = ["prepare", "records.jsonl", "--tokenizer", str(tokenizer), "--output-dir", "out"]
    result = subprocess.run(
        [Path(sys.executable).parent / "limbeck", *command, "--dry-run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert re.search(r"answer_mismatch +1 +1 +records.jsonl:1", result.stdout)
    fault = "records.jsonl: every one of 2 candidates would be rejected; mend the records"
    assert fault in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        (
            {"name": "near_duplicate", "treshold": 1},
            "filters.0.treshold: unknown key; did you mean",
        ),
        ({"name": "near_duplicate", "threshold": 2}, "filters.0.threshold: input should be less"),
        ({"name": "near_duplicate", "bands": 33}, "filters.0: 33 bands of 4 rows are more than"),
        ({"name": "contaminated"}, "filters.0.against: missing; add `against`"),
        ("near_duplicates", "filters.0: there is no 'near_duplicates'; did you mean"),
    ],
)
def test_options_are_checked(entry: Any, fault: str) -> None:
    with pytest.raises(InputError, match=re.escape(fault)):
        check(Prepare, {"filters": [entry]})
