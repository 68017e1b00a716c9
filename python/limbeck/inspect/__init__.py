"""A prepared row as the trainer sees it: every token with its span kind and training weight.

    limbeck inspect out/prepared
    limbeck inspect out/prepared --example 17 --table

Wrong or empty masks are the commonest silent fault of fine-tuning; here they can be seen.
"""

from limbeck.inspect.read import Example, Inspection, Token, inspect
from limbeck.inspect.view import render

__all__ = ["Example", "Inspection", "Token", "inspect", "render"]
