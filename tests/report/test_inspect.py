"""A prepared row, token by token: from its tokens the text of the record can be read again."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tokenizers import Tokenizer, decoders, models

from limbeck.errors import InputError
from limbeck.inspect import Token, inspect, render
from limbeck.inspect.token_bytes import TokenBytes
from limbeck.inspect.view import pieces
from limbeck.inspect.weights import recipe_weights
from limbeck.recipes import step_by_step


@pytest.fixture
def run_dir(fake: Any, tmp_path: Path) -> Path:
    return fake.write(tmp_path / "run")


def printed(renderable: Any, *, colour: bool = False, width: int = 100) -> str:
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        color_system="truecolor" if colour else None,
    )
    console.print(renderable)
    return console.file.getvalue()


def test_a_row_reads_as_its_records(fake: Any, run_dir: Path) -> None:
    shown = inspect(run_dir / "prepared", index=1)
    assert shown.row == 1
    assert len(shown.examples) > 1
    assert shown.length == sum(len(each.tokens) for each in shown.examples) <= shown.max_length
    for example in shown.examples:
        record = fake.records[example.id]
        text = b"".join(token.raw for token in example.tokens).decode()
        assert text == (
            f"Question: {record.question}\nAnswer: {record.answer}<|sem|>"
            f"\n{record.rationale}<|endoftext|>"
        )
        assert (example.record, example.source) == (record.id, "records.jsonl")
        assert example.line == record.line
        assert example.domain == ("orchard", "market")[record.domain]
        assert [token.position for token in example.tokens] == list(range(len(example.tokens)))
        answer = b"".join(token.raw for token in example.tokens if token.kind == "answer")
        assert answer.decode() == f" {record.answer}"


def test_weights_are_those_of_the_run(run_dir: Path) -> None:
    shown = inspect(run_dir / "prepared")
    assert shown.weights_from == "pst in recipe.yaml"
    found = {token.kind: token.weight for each in shown.examples for token in each.tokens}
    assert found == {
        "prompt": 0.0,
        "question": 0.0,
        "answer": 1.0,
        "semantic": 1.0,
        "rationale": 0.5,
        "end": 1.0,
    }


def test_each_method_of_a_run_has_its_own_weights(demo_run: Path) -> None:
    shown = inspect(demo_run / "think_first" / "prepared")
    assert shown.span_weights == {"rationale": 1.0, "answer": 1.0, "end": 1.0}


def test_weights_can_be_given_and_the_first_token_has_none(run_dir: Path) -> None:
    tokens = inspect(run_dir / "prepared", span_weights={"prompt": 2}).examples[0].tokens
    assert tokens[0].kind == tokens[1].kind == "prompt"
    assert [token.weight for token in tokens[:2]] == [0.0, 2.0]
    assert {token.weight for token in tokens if token.kind != "prompt"} == {0.0}


def test_without_a_recipe_the_weights_are_the_objectives_defaults(run_dir: Path) -> None:
    from limbeck.spans import DEFAULT_SPAN_WEIGHTS

    (run_dir / "recipe.yaml").unlink()
    assert inspect(run_dir / "prepared").span_weights == DEFAULT_SPAN_WEIGHTS


def test_an_example_is_found_wherever_it_is_packed(run_dir: Path) -> None:
    rows = json.loads((run_dir / "prepared" / "manifest.json").read_text("utf-8"))["rows"]
    of_row = [
        [each.id for each in inspect(run_dir / "prepared", index=row).examples]
        for row in range(rows)
    ]
    for row, numbers in enumerate(of_row):
        for number in numbers:
            shown = inspect(run_dir / "prepared", example=number)
            assert shown.row == row
            assert [each.id for each in shown.examples] == [number]
    last = inspect(run_dir / "prepared", index=-1)
    assert (last.row, [each.id for each in last.examples]) == (rows - 1, of_row[-1])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"index": 10_000}, r"row 10000: there are \d+; give 0 to"),
        ({"example": 24}, "example 24: not among the kept ones"),
        ({"span_weights": {"anser": 1}}, "no span kind 'anser'; use prompt, question"),
    ],
)
def test_what_is_not_there_is_said(run_dir: Path, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        inspect(run_dir / "prepared", **arguments)


def test_other_directories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no prepared data"):
        inspect(tmp_path)


def test_damaged_arrow_is_named(run_dir: Path) -> None:
    (run_dir / "prepared" / "examples.arrow").write_bytes(b"nothing like Arrow")
    with pytest.raises(InputError, match=r"examples.arrow: not an Arrow stream"):
        inspect(run_dir / "prepared")


def test_kinds_and_weights_show_without_colour(run_dir: Path) -> None:
    text = printed(render(inspect(run_dir / "prepared", example=0)))
    assert "\x1b" not in text
    lines = [line.split() for line in text.splitlines()]
    assert ["end", "1", "<|endoftext|>"] in lines
    assert ["semantic", "1", "<|sem|>"] in lines
    assert any(line[:2] == ["rationale", "0.5"] for line in lines)
    assert any(line[:2] == ["question", "0"] for line in lines)
    assert "records.jsonl:1" in text
    assert "domain orchard" in text


def test_kinds_have_colours_on_a_terminal(run_dir: Path) -> None:
    text = printed(render(inspect(run_dir / "prepared", example=0)), colour=True)
    assert "\x1b[1;35m<|sem|>" in text
    assert "\x1b[1;31m<|endoftext|>" in text


def test_the_table_has_a_line_for_each_token(run_dir: Path) -> None:
    shown = inspect(run_dir / "prepared", example=0)
    tokens = shown.examples[0].tokens
    lines = [line.split() for line in printed(render(shown, table=True)).splitlines()]
    rows = [line for line in lines if line and line[0].isdecimal()]
    assert [line[:2] for line in rows] == [[str(token.position), str(token.id)] for token in tokens]
    assert [line[-2:] for line in rows] == [[token.kind, f"{token.weight:g}"] for token in tokens]


@pytest.mark.parametrize("table", [False, True])
def test_text_cannot_steer_the_terminal(fake: Any, tmp_path: Path, table: bool) -> None:
    evil = "[red]\x1b]0;owned\x07\x1b[2J\r\u202e\x9b31m[/nope] :smile:"
    for record in fake.records:
        record.question = record.id = evil
    prepared = fake.write(tmp_path / "run") / "prepared"
    text = printed(render(inspect(prepared, example=0), table=table), width=200)
    assert not {"\x1b", "\x07", "\r", "\u202e", "\x9b"} & set(text)
    joined = text.replace("·", "")
    if not table:
        assert r"[red]\x1b]0;owned\x07\x1b[2J\r\u202e\x9b31m[/nope] :smile:" in joined


def token(raw: bytes) -> Token:
    return Token(id=0, raw=raw, kind="answer", weight=1.0, position=0)


def test_cut_characters_are_shown_whole_and_bytes_that_are_none_as_escapes() -> None:
    euro = "€".encode()
    cut = [token(b" 5 "), token(euro[:2]), token(euro[2:]), token(b"!"), token(b"\xff")]
    assert list(pieces(cut)) == [" 5 ", "€", "‥", "!", r"\xff"]
    assert cut[1].text == r"\xe2\x82"


def test_byte_level_vocabularies_give_back_their_bytes(run_dir: Path) -> None:
    path = run_dir / "prepared" / "tokenizer" / "tokenizer.json"
    vocabulary, tokenizer = TokenBytes.load(path), Tokenizer.from_file(str(path))
    for text in ("naïve €5 \t👩‍👩‍👧 \x00\x7f\xad\xa0", "<|sem|> Ġ Ċ", "ﷺ\n\n  x"):
        ids = tokenizer.encode(text).ids
        assert b"".join(vocabulary[number] for number in ids) == text.encode()
    assert vocabulary[10**6] == b"<1000000: not in the vocabulary>"


def test_sentencepiece_and_wordpiece_spellings() -> None:
    words = {"▁Hi": 0, "<0xE2>": 1, "<0x82>": 2, "a▁b": 3}
    fallback = Tokenizer(models.BPE(vocab=words, merges=[]))
    fallback.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    assert [TokenBytes(fallback)[n] for n in range(4)] == [b" Hi", b"\xe2", b"\x82", b"a b"]

    metaspace = Tokenizer(models.WordLevel(vocab={"_Hi": 0, "a▁b": 1}, unk_token="a▁b"))
    metaspace.decoder = decoders.Metaspace(replacement="_")
    assert [TokenBytes(metaspace)[n] for n in range(2)] == [b" Hi", "a▁b".encode()]

    wordpiece = Tokenizer(models.WordPiece(vocab={"play": 0, "##ing": 1, "<0xE2>": 2}))
    wordpiece.decoder = decoders.WordPiece()
    assert [TokenBytes(wordpiece)[n] for n in range(3)] == [b"play", b"ing", b"<0xE2>"]


def test_looking_needs_no_torch(run_dir: Path) -> None:
    code = (
        "import sys\n"
        "from limbeck.inspect import inspect, render\n"
        "from rich.console import Console\n"
        "Console().print(render(inspect(sys.argv[1])))\n"
        "assert not {'torch', 'datasets', 'transformers', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code, run_dir / "prepared"], check=True, capture_output=True
    )


def test_a_long_source_is_not_cut(fake: Any, tmp_path: Path) -> None:
    fake.source = "/data/" + "long/" * 30 + "records.jsonl"
    prepared = fake.write(tmp_path / "run") / "prepared"
    console = Console(file=io.StringIO(), width=80, soft_wrap=True)
    console.print(render(inspect(prepared, example=0)))
    assert f"{fake.source}:1  domain orchard" in console.file.getvalue()


def test_an_objective_of_one_template_weighs_its_examples_alone() -> None:
    recipe = step_by_step(student="s", data={"paths": ["records.jsonl"]})
    assert recipe_weights(recipe) == [
        {"answer": 0.5, "end": 0.5},
        {"rationale": 0.5, "end": 0.5},
    ]
