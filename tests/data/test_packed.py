"""Packed files: the same set as unpacked, places in the text, and what is cut off is refused."""

from __future__ import annotations

import gzip
import json
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.errors import InputError
from limbeck.prepare import prepare

LINES = [
    json.dumps(
        {"question": f"How many are {n}?", "answer": str(n), "rationale": "count " * (n % 9)}
    )
    for n in range(1, 30_000)
]
LINES[7_000] = "{"


def zstd(content: bytes) -> bytes:
    import pyarrow as pa

    return bytes(pa.compress(content, codec="zstd", asbytes=True))


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": zstd,
    "xz": lzma.compress,
}


@pytest.fixture(scope="module")
def text() -> bytes:
    return "\n".join(LINES).encode()


@pytest.fixture(scope="module")
def expected(text: bytes, tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("plain")
    path = directory / "records.jsonl"
    path.write_bytes(text)
    prepare(path, tokenizer=tokenizer, output_dir=directory / "out")
    return directory / "out"


@pytest.mark.parametrize("kind", PACKERS)
def test_packed_files_are_the_same_set(
    kind: str,
    text: bytes,
    expected: Path,
    tokenizer: Path,
    tmp_path: Path,
    opened: Callable[[Path], Any],
) -> None:
    pack = PACKERS[kind]
    cut = len(text) // 2
    # The content tells, not the name; several members are one text.
    path = tmp_path / "records.jsonl"
    path.write_bytes(pack(text[:cut]) + pack(text[cut:]))
    seen: list[tuple[int, int, str]] = []
    for threads in (1, 2):
        prepare(
            path,
            tokenizer=tokenizer,
            output_dir=tmp_path / f"out{threads}",
            threads=threads,
            progress=lambda *state: seen.append(state),
        )
    plain, found = opened(expected), opened(tmp_path / "out1")
    assert found.files() == opened(tmp_path / "out2").files()
    name = "data-00000-of-00001.arrow"
    assert found.files()[name] == plain.files()[name]
    for left, right in zip(found.entries, plain.entries, strict=True):
        assert left | {"source": None} == right | {"source": None}
    (rejected,) = (line for line in found.rejected if line["reason"] == "malformed")
    assert rejected["line"] == 7_001
    offset = sum(len(line) + 1 for line in LINES[:7_000])
    assert rejected["byte_offset"] == offset
    size = path.stat().st_size
    assert {total for _, total, _ in seen} == {size}
    assert seen[-1][0] == size


@pytest.mark.parametrize("kind", PACKERS)
def test_what_is_cut_off_is_refused_with_its_place(
    kind: str, text: bytes, tokenizer: Path, tmp_path: Path
) -> None:
    whole = PACKERS[kind](text)
    path = tmp_path / "records.jsonl.packed"
    for cut in (9, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError) as caught:
            prepare(path, tokenizer=tokenizer, output_dir=tmp_path / "out")
        assert str(caught.value).startswith(f"{path}: byte "), str(caught.value)
        assert "broken" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_packed_standard_input(text: bytes, tokenizer: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from limbeck.prepare import prepare;"
        "print(prepare('-', tokenizer=sys.argv[1], output_dir=sys.argv[2]).records.read)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tokenizer), str(tmp_path / "out")],
        input=gzip.compress(text),
        capture_output=True,
        check=True,
    )
    assert done.stdout == f"{len(LINES)}\n".encode()


def test_other_archives_are_named(tokenizer: Path, tmp_path: Path) -> None:
    path = tmp_path / "records"
    for head, words in [
        (b"PK\x03\x04 and so on", "a zip archive; unpack it"),
        (b"BZh91AY&SY and so on", "packed with bzip2; unpack it"),
        (gzip.compress(b"PAR1 and so on"), "packed, but does not hold lines"),
        (gzip.compress(gzip.compress(b"twice")), "packed, but does not hold lines"),
        ('{"question"'.encode("utf-16"), "UTF-16; convert it"),
    ]:
        path.write_bytes(head)
        with pytest.raises(InputError, match=words):
            prepare(path, tokenizer=tokenizer, output_dir=tmp_path / "out")
