"""
The Rust core of limbeck.
"""

from _typeshed import SupportsGetItem
from os import PathLike
from typing import Any, Final, final

__all__ = ["__version__", "Renderer", "answers_equal", "conclusion", "prepare", "render_chat"]

__version__: Final[str]
"""
The version of the package.
"""

@final
class Renderer:
    """
    Turns records into token ids, as `prepare` does.

    Args:
        tokenizer: A directory with a tokenizer.json, or such a file.
        render_json: The `render` object of a recipe, of a manifest or of limbeck.json.

    Raises:
        InputError: The tokenizer, the template or the chat template does not serve.
    """
    def __new__(cls, /, tokenizer: str | PathLike[str], render_json: str) -> Renderer: ...
    def example(self, /, question: str, answer: str, rationale: str | None = None) -> tuple[list[int], bytes]:
        """
        A record's ids and the span kind code of each.
        """
    def prompt_ids(self, /, questions: SupportsGetItem[int, str]) -> list[list[int]]:
        """
        The ids of each question's prompt, which the student continues.
        """
    @property
    def render_json(self, /) -> str:
        """
        The resolved `render` object, as a manifest holds it.
        """
    def save_tokenizer(self, /, directory: str | PathLike[str]) -> None:
        """
        Writes the tokenizer with its added tokens for `AutoTokenizer.from_pretrained`.
        """
    @property
    def vocab_size(self, /) -> int:
        """
        The rows an embedding needs.
        """

def answers_equal(a: str, b: str) -> bool:
    """
    Whether two answers say the same: numbers, options, yes and no, else text.
    """

def conclusion(text: str) -> str | None:
    """
    The last explicit conclusion of a text, `None` where it has none.
    """

def prepare(config_json: str, progress: Any | None = None) -> str:
    """
    Prepare records for training and return the manifest, both as JSON.

    The interpreter is free meanwhile. `progress` gets a small JSON object some times a second;
    an exception in it, or a signal such as Ctrl-C, stops the work and leaves nothing behind.
    """

def render_chat(template: str, messages_json: str, variables_json: str, add_generation_prompt: bool) -> str:
    """
    Renders a chat as transformers' `apply_chat_template(tokenize=False)` does, or refuses.

    Args:
        template: The Jinja source.
        messages_json: A JSON list of messages.
        variables_json: A JSON object: the template's keywords and special tokens. `strftime_now`
            (`YYYY-MM-DD`) is the day that the function of this name tells.
        add_generation_prompt: Whether the prompt for the assistant comes last.

    Raises:
        InputError: The template fails, or Python would render it differently.
    """
