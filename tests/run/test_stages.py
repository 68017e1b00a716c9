"""A stage runs when what it reads changed, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.stages import Progress, Stage, digest


def copy(tmp_path: Path, **settings: object) -> Stage:
    def action(progress: Progress) -> None:
        output = tmp_path / "output"
        output.mkdir(exist_ok=True)
        (output / "file").write_bytes((tmp_path / "input").read_bytes())
        progress(1, 1, "")

    return Stage("copy", tmp_path / "output", (tmp_path / "input",), settings, action)


def quiet(done: int, total: int, text: str) -> None: ...


def test_done_until_an_input_a_setting_or_the_output_changes(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("a")
    assert not copy(tmp_path).is_done()
    copy(tmp_path).walk(quiet)
    assert copy(tmp_path).is_done()
    assert not copy(tmp_path, seed=1).is_done()
    (tmp_path / "input").write_text("b!")
    assert not copy(tmp_path).is_done()
    (tmp_path / "input").write_text("a")
    assert copy(tmp_path).is_done()
    (tmp_path / "output/file").unlink()
    (tmp_path / "output").rmdir()
    assert not copy(tmp_path).is_done()


def test_a_stage_cut_off_is_not_done(tmp_path: Path) -> None:
    (tmp_path / "input").write_text("a")
    copy(tmp_path).walk(quiet)
    (tmp_path / "input").write_text("b!")

    def interrupt(done: int, total: int, text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(tmp_path).walk(interrupt)
    (tmp_path / "input").write_text("a")
    assert not copy(tmp_path).is_done(), "the old stamp outlived the output it was for"


def test_digest_sees_names_and_contents_but_no_caches(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = digest(tmp_path)
    (tmp_path / "cache-0123.arrow").write_text("left by datasets")
    (tmp_path / ".hidden").write_text("a stamp")
    assert digest(tmp_path) == first
    (tmp_path / "a").rename(tmp_path / "b")
    assert digest(tmp_path) != first
