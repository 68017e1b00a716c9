"""What is said of the machine, also where half of it is missing, and what is kept to oneself."""

import builtins
import io
import json
import os
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from limbeck import env as module
from limbeck.env import env, render


def printed(facts: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(render(facts))
    return console.file.getvalue()


def test_the_machine_is_described() -> None:
    facts = env()
    assert facts == json.loads(json.dumps(facts)), "JSON values only"
    assert facts["python"].endswith(sys.version.split()[0])
    assert 1 <= facts["cpu"]["usable"] <= facts["cpu"]["present"]
    assert facts["memory"]["total"] > 2**28
    assert facts["torch"]["threads"] >= 1
    text = printed(facts)
    for name in ("limbeck", "transformers", "datasets", "accelerate", "peft", "triton"):
        assert name in text
    assert facts["packages"]["torch"] in text


def test_nothing_personal_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret_of_mine")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-my-own")
    text = json.dumps(env()) + printed(env())
    assert "hf_secret_of_mine" not in text
    assert "GPU-my-own" not in text
    assert str(Path.home()) not in text or str(Path.home()) == "/"
    assert os.getcwd() not in text


def test_missing_packages_are_named_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import, real_version = builtins.__import__, module.version

    def no_torch(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "torch":
            raise ImportError("No module named 'torch'")
        return real_import(name, *args, **kwargs)

    def no_package(name: str) -> str:
        if name in ("torch", "peft", "triton"):
            raise PackageNotFoundError(name)
        return real_version(name)

    monkeypatch.setattr(builtins, "__import__", no_torch)
    monkeypatch.setattr(module, "version", no_package)
    facts = env()
    assert facts["torch"] is None
    assert facts["packages"]["peft"] is None
    assert facts["problems"] == [], "what is not installed is no fault"
    monkeypatch.undo()
    assert printed(facts).count("not installed") == 3


def test_a_broken_torch_is_a_problem_without_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def broken(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "torch":
            raise OSError("/home/someone/lib/libtorch.so: cannot open shared object file")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", broken)
    facts = env()
    monkeypatch.undo()
    (problem,) = facts["problems"]
    assert problem == "torch cannot be imported: libtorch.so: cannot open shared object file"
    assert problem in printed(facts)


def test_accelerators_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    properties = SimpleNamespace(name="GPU One", major=9, minor=0, total_memory=80 * 2**30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    text = printed(env())
    assert text.count("GPU One, capability 9.0, 80.0 GiB, bf16") == 2


def test_a_driver_that_fails_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def fail(_: int) -> None:
        raise RuntimeError("CUDA error: no kernel image\nmore")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", fail)
    facts = env()
    assert facts["problems"] == ["CUDA: CUDA error: no kernel image"]
    assert facts["torch"]["gpus"] == []
