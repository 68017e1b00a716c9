import io

import pytest

from limbeck.errors import InputError
from limbeck.questions import Asked, read_questions


def test_each_source_gives_its_questions(tmp_path):
    lines = tmp_path / "q.txt"
    lines.write_text("\ufeff1 + 1?\n\n  2 + 2?  \n", "utf-8")
    records = tmp_path / "q.jsonl"
    records.write_text('{"question": "1 + 1?", "id": 7, "answer": 2}\n{"question": "2 + 2?"}\n')
    two = [Asked("1 + 1?"), Asked("2 + 2?")]
    assert list(read_questions([], lines, None)) == two
    assert list(read_questions([], records, None)) == [Asked("1 + 1?", "7"), two[1]]
    assert list(read_questions(["1 + 1?", "2 + 2?"], None, io.StringIO("unread"))) == two
    for arguments in ([], ["-"]):
        assert list(read_questions(arguments, None, io.StringIO("1 + 1?\n\n2 + 2?"))) == two


def test_standard_input_is_read_as_it_comes():
    def lines():
        yield "one\n"
        raise AssertionError("read ahead")

    assert next(read_questions([], None, lines())) == Asked("one")


@pytest.mark.parametrize(
    ("arguments", "file", "message"),
    [
        (["one"], "q.txt", "both as arguments and as --file"),
        ([], None, "there are none"),
        ([], "absent.txt", "no such file"),
        ([], "bad.jsonl", r"bad\.jsonl:2: question: missing"),
        ([], "bad.txt", "not UTF-8"),
    ],
)
def test_bad_sources_are_refused(tmp_path, arguments, file, message):
    (tmp_path / "q.txt").write_text("one")
    (tmp_path / "bad.jsonl").write_text('{"question": "one"}\n{"answer": "one"}\n')
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    with pytest.raises(InputError, match=message):
        list(read_questions(arguments, tmp_path / file if file else None, None))
