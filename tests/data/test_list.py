"""A JSON list of records is read as its records on lines are, and its records keep their places."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck._reference.records import lines as twin_lines
from limbeck.errors import InputError
from limbeck.prepare import prepare

RECORDS: list[dict[str, Any]] = [
    {"question": "1 + 2?", "rationale": 'Add "1" and [2],\nso {3}.', "answer": "3"},
    {"question": "2 + 2?", "rationale": ["Two and two.", "Count \\ on."], "answer": 4},
    {"question": "no answer"},
    {"question": "3 + 2?", "rationale": "Five, é.", "answer": "5", "meta": {"a": [1, {}]}},
]


def prepared(path: Path, tokenizer: Path, output: Path, opened: Callable[[Path], Any]) -> Any:
    prepare([path], tokenizer=tokenizer, output_dir=output, recipe="think_first")
    return opened(output)


@pytest.mark.parametrize("indent", [None, 2])
def test_a_list_is_its_records(
    tmp_path: Path, tokenizer: Path, opened: Callable[[Path], Any], indent: int | None
) -> None:
    listed, lined = tmp_path / "list.json", tmp_path / "lines.jsonl"
    text = json.dumps(RECORDS, indent=indent, ensure_ascii=False)
    listed.write_text(text, "utf-8")
    lined.write_text("\n".join(map(json.dumps, RECORDS)), "utf-8")
    a = prepared(listed, tokenizer, tmp_path / "a", opened)
    b = prepared(lined, tokenizer, tmp_path / "b", opened)
    assert a.rows == b.rows
    assert [each["line"] for each in a.rejected] == [3]
    places = [(each["line"], each["byte_offset"]) for each in a.entries]
    assert [line for line, _ in places] == [1, 2, 2, 4]
    twin = {each.number: each.byte_offset for each in twin_lines(text.encode())}
    assert all(twin[line] == offset for line, offset in places)
    decoder = json.JSONDecoder()
    for line, offset in places:
        rest = text.encode()[offset:].decode().lstrip(" \n[")
        assert decoder.raw_decode(rest)[0] == RECORDS[line - 1]


def test_what_stands_in_a_list_may_be_no_record(
    tmp_path: Path, tokenizer: Path, opened: Callable[[Path], Any]
) -> None:
    path = tmp_path / "list.json"
    path.write_text(f"[1, {json.dumps(RECORDS[0])}, [2]] rest", "utf-8")
    found = prepared(path, tokenizer, tmp_path / "out", opened)
    assert [(each["line"], each["reason"]) for each in found.rejected] == [
        (1, "malformed"),
        (3, "malformed"),
    ]


def test_a_list_that_is_cut_off_is_refused(tmp_path: Path, tokenizer: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps(RECORDS)[:-1], "utf-8")
    with pytest.raises(InputError, match=r"list\.json: a list of records that does not end"):
        prepare([path], tokenizer=tokenizer, output_dir=tmp_path / "out", recipe="think_first")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="does not end"):
        list(twin_lines(path.read_bytes()))
