"""Recipe files: what is read, what is refused and where the fault is said to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.errors import InputError
from limbeck.recipes import METHODS
from limbeck.recipes.load import DEMO, dump, load, load_stage, override

TEXT = """\
method: [answer_only, pst]
student: gpt2
data: {paths: [records.jsonl]}
train:
  max_steps: 20
prepare:
  max_length: 512
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(TEXT, "utf-8")
    return path


def test_methods_share_all_but_what_makes_them(file: Path) -> None:
    answer_only, pst = load(file)
    assert (answer_only.method, pst.method) == ("answer_only", "pst")
    assert answer_only.prepare.template == "answer-only"
    assert pst.prepare.template == "answer-first"
    assert answer_only.prepare.max_length == pst.prepare.max_length == 512
    assert (answer_only.needs_targets, pst.needs_targets) == (False, True)


def test_overrides_win_and_reach_into_lists(file: Path) -> None:
    pst = load(file, ["method=pst", "train.max_steps=5", "train.objectives.1.weight=0.25"])[0]
    assert pst.train.arguments == {"max_steps": 5}
    assert pst.train.objectives[1]["weight"] == 0.25


@pytest.mark.parametrize("name", METHODS)
def test_what_is_dumped_loads_the_same(name: str, tmp_path: Path) -> None:
    recipe = METHODS[name](student="s", data={"paths": ["r.jsonl"]}, train={"max_steps": 3})
    path = tmp_path / "resolved.yaml"
    for recipes in ((recipe,), (recipe, recipe)):
        path.write_text(dump(recipes), "utf-8")
        assert load(path) == recipes


def test_sources_are_paths_or_mappings(file: Path) -> None:
    both = "[a.jsonl, {path: b.jsonl, domain: sums, weight: 0.5}]"
    file.write_text(TEXT.replace("[records.jsonl]", both), "utf-8")
    (first, second) = load(file, ["method=pst"])[0].data.sources
    assert (first.path, first.domain, first.weight) == ("a.jsonl", None, None)
    assert (second.path, second.domain, second.weight) == ("b.jsonl", "sums", 0.5)
    file.write_text(dump(load(file)), "utf-8")
    assert load(file)[0].data.sources == (first, second)


def test_the_embedded_default_is_a_recipe() -> None:
    assert {recipe.method for recipe in load(DEMO)} == {"answer_only", "think_first", "pst"}


@pytest.mark.parametrize(
    ("change", "overrides", "line", "words"),
    [
        (("max_length", "max_lenght"), [], 7, ["prepare.max_lenght", "`max_length`"]),
        (("512", "-1"), [], 7, ["prepare.max_length", "greater than or equal to 1", "-1"]),
        (("pst", "psst"), [], 1, ["method", "'psst'", "`pst`"]),
        (("student: gpt2", "student: {config: {}, tokens: 1}"), [], 2, ["student.tokens"]),
        (("[records.jsonl]", "[{path: a, domian: b}]"), [], 3, ["paths.0.domian", "`domain`"]),
        (("[records.jsonl]", "[{path: a, weight: 0}]"), [], 3, ["paths.0.weight", "than 0"]),
        (("[records.jsonl]", "[{path: a, domain: ' '}]"), [], 3, ["paths.0.domain", "blank"]),
        (("{paths: [records.jsonl]}", "{}"), [], 3, ["data", "either `paths`"]),
        (("prepare:", "train: {}\nprepare:"), [], 6, ["train", "given twice"]),
        (("prepare:", "prepare: ["), [], None, ["not YAML"]),
        (("student: gpt2", "seed: 1"), [], None, ["student", "missing"]),
        (("gpt2", "gpt2"), ["prepare.nope=1"], None, ["prepare.nope", "unknown key"]),
        (("gpt2", "gpt2"), ["train.objectives.7.weight=1"], None, ["no such element"]),
        (("gpt2", "gpt2"), ["nonsense"], None, ["key.sub=value"]),
        (("gpt2", "gpt2"), ["seed={"], None, ["no YAML"]),
    ],
)
def test_faults_name_file_line_and_key(
    file: Path, change: tuple[str, str], overrides: list[str], line: int | None, words: list[str]
) -> None:
    file.write_text(TEXT.replace(*change), "utf-8")
    with pytest.raises(InputError) as caught:
        load(file, overrides)
    message = str(caught.value)
    assert all(word in message for word in words), message
    if line is not None:
        assert message.startswith(f"{file}:{line}: "), message


def test_yaml_cannot_make_objects(file: Path) -> None:
    file.write_text(TEXT.replace("gpt2", "!!python/object/apply:os.system ['true']"), "utf-8")
    with pytest.raises(InputError, match="not YAML"):
        load(file)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            load(path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        load(tmp_path / "binary.yaml")


def test_a_stage_alone_needs_one_method_and_no_student(tmp_path: Path, file: Path) -> None:
    alone = tmp_path / "alone.yaml"
    alone.write_text("method: pst\nprepare: {max_length: 64}\n", "utf-8")
    assert load_stage(alone).prepare.max_length == 64
    with pytest.raises(InputError, match="one method"):
        load_stage(file)


def test_override_checks_a_section(file: Path) -> None:
    section = load(file)[0].evaluate
    assert override(section, ["temperature=0.7", "n_samples=4"]).n_samples == 4
    with pytest.raises(InputError, match="temperature"):
        override(section, ["n_samples=4"])
