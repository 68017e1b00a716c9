"""Wheel, sdist and tree hold the same files, and a clean environment can use them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from itertools import product
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUFFIXES = {".py", ".pyi", ".typed", ".yaml", ".html", ".css"}
LOCK = ROOT / "requirements-dev.lock"
PYPROJECT = ROOT / "pyproject.toml"

pytestmark = pytest.mark.skipif(
    not PYPROJECT.exists() or shutil.which("cargo") is None,
    reason="needs the source tree and a Rust toolchain",
)


def call(*command: str | Path, cwd: Path = ROOT) -> str:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel and the sdist of this tree."""
    dist = tmp_path_factory.mktemp("dist")
    maturin = Path(sys.executable).with_name("maturin")
    call(maturin, "build", "--release", "--quiet", "--out", dist)
    call(maturin, "sdist", "--out", dist)
    return dist


def tree() -> set[str]:
    """Every file of the two packages, as a wheel names it."""
    return {
        f"{package}/{file.relative_to(source).as_posix()}"
        for package, source in (
            ("limbeck", ROOT / "python/limbeck"),
            ("limbeck_kernels", ROOT / "kernels/limbeck_kernels"),
        )
        for file in source.rglob("*")
        if file.suffix in SUFFIXES
    }


def test_wheel_holds_the_tree_and_fits_every_python_from_3_10(built: Path) -> None:
    wheel = next(built.glob("*.whl"))
    names = set(zipfile.ZipFile(wheel).namelist())
    packaged = {name for name in names if Path(name).suffix in SUFFIXES}
    assert packaged == tree()
    assert "-cp310-abi3-" in wheel.name
    assert any(name.startswith("limbeck/_native") and name.endswith(".so") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_sdist_holds_all_that_a_build_needs(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames() if "/" in name}
    python = {name.removeprefix("python/") for name in names if name.startswith("python/")}
    assert {name for name in python if Path(name).suffix in SUFFIXES} == tree()
    rust = {file.relative_to(ROOT).as_posix() for file in (ROOT / "rust/core/src").rglob("*.rs")}
    assert rust <= names
    assert {"Cargo.lock", "LICENSE", "README.md", "pyproject.toml"} <= names


def test_kernels_are_no_package_called_kernels() -> None:
    # transformers imports any package of that name.
    assert not (ROOT / "kernels/__init__.py").exists()
    assert (ROOT / "python/limbeck_kernels").is_symlink()


@pytest.fixture(scope="session")
def clean(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment that has the wheel and its dependencies alone."""
    home = tmp_path_factory.mktemp("clean") / "venv"
    call(sys.executable, "-m", "venv", home)
    python = home / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    wheel = next(built.glob("*.whl"))
    call(uv, "pip", "install", "--quiet", "--python", python, "--constraint", LOCK, wheel)
    return python


def use(python: Path, tmp_path: Path) -> None:
    """Prepare two records with the installed command, and import what was installed."""
    import tokenizers

    words = {"[UNK]": 0, "<eos>": 1, "1": 2, "+": 3, "=": 4, "2": 5}
    model = tokenizers.models.WordLevel(words, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<eos>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    record = {"question": "1 + 1 =", "rationale": "1 + 1 = 2", "answer": "2"}
    (tmp_path / "records.jsonl").write_text(json.dumps(record) + "\n", "utf-8")
    command = ("prepare", "records.jsonl", "--tokenizer", "tokenizer.json", "--output-dir", "out")
    call(python.with_name("limbeck"), *command, "--overwrite", cwd=tmp_path)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text("utf-8"))
    assert manifest["records"]["kept"] == 1
    where = call(
        python,
        "-c",
        "import limbeck, limbeck_kernels as k; print(limbeck.__file__, k.selected_cross_entropy)",
        cwd=tmp_path,
    )
    assert str(python.parents[1]) in where


def test_wheel_works_in_a_clean_environment(clean: Path, tmp_path: Path) -> None:
    use(clean, tmp_path)


def test_pip_install_of_the_source_works(clean: Path, tmp_path: Path) -> None:
    call(clean, "-m", "pip", "uninstall", "--quiet", "--yes", "limbeck")
    call(clean, "-m", "pip", "install", "--quiet", "--no-deps", ROOT)
    use(clean, tmp_path)


def test_stub_is_what_the_binary_says(built: Path, tmp_path: Path) -> None:
    maturin = Path(sys.executable).with_name("maturin")
    call(maturin, "generate-stubs", "--profile", "release", "--quiet", "--out", tmp_path)
    generated = (tmp_path / "limbeck/_native.pyi").read_text("utf-8")
    assert generated == (ROOT / "python/limbeck/_native.pyi").read_text("utf-8")


def test_a_release_is_compiled_by_what_the_core_does_in_every_way() -> None:
    """The command of the instrumented build keeps fewer records by more filters."""
    [command] = re.findall(r'^pgo-command = "python (.+)"$', PYPROJECT.read_text("utf-8"), re.M)
    told = call(sys.executable, *command.split(), "0.02")
    kept = re.findall(r"^(\w+), ([12]) threads: ([\d,]+) of [\d,]+ records kept$", told, re.M)
    assert [way[:2] for way in kept] == list(product(("none", "default", "every"), "12"))
    none, _, default, _, every, _ = (int(way[2].replace(",", "")) for way in kept)
    assert every < default < none
    assert [way[2] for way in kept[::2]] == [way[2] for way in kept[1::2]]
