"""Distil a large model's chain-of-thought reasoning into a small language model.

The stages of a run are functions of this module and commands of the same name; PyTorch and
transformers are imported when a stage needs them.
"""

from importlib.metadata import version as _version

__version__ = _version("limbeck")

from limbeck import recipes
from limbeck.errors import InputError
from limbeck.evaluate import evaluate
from limbeck.generate import generate
from limbeck.inspect import inspect
from limbeck.prepare import Manifest, prepare
from limbeck.report import report
from limbeck.run import run
from limbeck.targets import targets
from limbeck.train import train

__all__ = [
    "DistillConfig",
    "DistillTrainer",
    "InputError",
    "Manifest",
    "evaluate",
    "generate",
    "inspect",
    "prepare",
    "recipes",
    "report",
    "run",
    "targets",
    "train",
]


def __getattr__(name: str) -> object:
    if name in ("DistillConfig", "DistillTrainer"):
        from limbeck import trainer

        return getattr(trainer, name)
    raise AttributeError(f"module 'limbeck' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
