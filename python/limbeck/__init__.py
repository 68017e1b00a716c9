"""Distil a large model's chain-of-thought reasoning into a small language model.

The stages of a run are functions of this module and commands of the same name. Each is imported
when it is first asked for: `import limbeck` takes a few milliseconds, and PyTorch and transformers
wait for a stage that needs them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limbeck import recipes
    from limbeck.compare import compare
    from limbeck.errors import InputError
    from limbeck.evaluate import evaluate
    from limbeck.generate import generate
    from limbeck.inspect import inspect
    from limbeck.prepare import Manifest, prepare
    from limbeck.report import report
    from limbeck.run import run
    from limbeck.targets import targets
    from limbeck.teach import teach
    from limbeck.train import train
    from limbeck.trainer import DistillConfig, DistillTrainer

    __version__: str

__all__ = [
    "DistillConfig",
    "DistillTrainer",
    "InputError",
    "Manifest",
    "compare",
    "evaluate",
    "generate",
    "inspect",
    "prepare",
    "recipes",
    "report",
    "run",
    "targets",
    "teach",
    "train",
]

_MODULES = {
    "DistillConfig": "limbeck.trainer",
    "DistillTrainer": "limbeck.trainer",
    "InputError": "limbeck.errors",
    "Manifest": "limbeck.prepare",
    **{
        stage: f"limbeck.{stage}"
        for stage in (
            "compare",
            "evaluate",
            "generate",
            "inspect",
            "prepare",
            "report",
            "run",
            "targets",
            "teach",
            "train",
        )
    },
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from limbeck._native import __version__

        return __version__
    if name == "recipes":
        return import_module("limbeck.recipes")
    raise AttributeError(f"module 'limbeck' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def _lazy(name: str) -> property:
    def get(package: ModuleType) -> object:
        if name not in vars(package):
            vars(package)[name] = getattr(import_module(_MODULES[name]), name)
        return vars(package)[name]

    def put(package: ModuleType, value: Any) -> None:
        # Importing the module `limbeck.run` binds it to the name of the function `limbeck.run`.
        if not isinstance(value, ModuleType):
            vars(package)[name] = value

    return property(get, put)


class _Package(ModuleType):
    """The type of this module, whose stages are functions although modules have their names."""


for _name in _MODULES:
    setattr(_Package, _name, _lazy(_name))
sys.modules[__name__].__class__ = _Package
