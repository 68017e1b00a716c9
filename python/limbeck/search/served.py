"""A student behind an endpoint: asked through its template, and read as its card says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from limbeck.errors import InputError
from limbeck.reading import read_text
from limbeck.search.backend import Written
from limbeck.search.teacher import ModelBackend
from limbeck.teachers import Endpoint

__all__ = ["ServedBackend"]


class ServedBackend:
    """A student that a server runs, whose chat template the server applies.

    Args:
        card: The student's `limbeck.json`.
        server: The endpoint.
        directory: Where its answers stand until all are there.
        max_new_tokens: Where a text that does not end is cut off.
        progress: Told prompts done, prompts in all, and a text.

    Raises:
        InputError: The student was taught in plain text, which a chat cannot give it.
    """

    def __init__(
        self,
        card: Mapping[str, Any],
        server: Endpoint,
        directory: Path,
        *,
        max_new_tokens: int,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> None:
        render = card["render"]
        if render["style"] != "chat" or card["inference"].get("gates"):
            raise InputError(
                "evaluate.server: the student was not taught in a chat of one template, "
                "and an endpoint renders chats alone; leave the server out, or train a student "
                "whose tokenizer has a chat template"
            )
        body = dict(server.extra_body)
        variables = {k: v for k, v in render["chat_variables"].items() if k != "strftime_now"}
        if variables:
            body["chat_template_kwargs"] = {**variables, **body.get("chat_template_kwargs", {})}
        teacher = server.model_copy(
            update={"max_new_tokens": max_new_tokens, "extra_body": body, "system": None}
        )
        self._card = card
        self._model = ModelBackend(teacher, directory, progress=progress)

    def write(self, prompts: Sequence[str], *, samples: int, temperature: float) -> list[Written]:
        """Write to prompts; see `Backend`."""
        prompt = self._card["render"]["template"]["prompt"]
        asked = [prompt.replace("{question}", each) for each in prompts]
        found = self._model.write(asked, samples=samples, temperature=temperature)
        return [
            each._replace(
                texts=tuple(
                    None if text is None else read_text(self._card, text) for text in each.texts
                )
            )
            for each in found
        ]
