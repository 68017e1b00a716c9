"""Distil a large model's chain-of-thought reasoning into a small language model."""

from importlib.metadata import version as _version

__version__ = _version("limbeck")
