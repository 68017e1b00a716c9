"""The models that may teach, as sections of a recipe: one behind an endpoint, one on this machine.

The oracle of generated tasks, which is no model, is `limbeck.config.Teacher`.
"""

from __future__ import annotations

import re
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from limbeck.section import Section

__all__ = ["Endpoint", "LocalModel", "ModelTeacher"]

PROMPT = (
    "{question}\n\nThink step by step. On the last line write “The answer is” and then the answer "
    "alone."
)
DRAWS_PER_SAMPLE = 4

# What the client sets itself, and where the user says it instead.
_OWN = {
    "model": "give it as `model`",
    "messages": "give `system` and `prompt`",
    "temperature": "give it as `temperature`",
    "top_p": "give it as `top_p`",
    "max_tokens": "give it as `max_new_tokens`",
    "max_completion_tokens": "give it as `max_new_tokens`",
    "n": "give it as `n`, and `samples`, how many answers are wanted",
    "stream": "an answer is read when it is complete; leave it out",
    "seed": "one seed would make all samples of a question alike; leave it out",
}


class ModelTeacher(Section):
    """What is asked of a model, whatever serves it.

    Attributes:
        samples: Right rationales wanted of a question; of a ready prompt, answers.
        max_samples: Answers drawn of a question at most, until `samples` of them are right.
        rationale: What becomes the rationale of a model that thinks apart from its response: its
            thinking or the response. That of any other is the response.
    """

    model: str = Field(min_length=1)
    samples: int = Field(1, ge=1, description="right rationales wanted of a question")
    max_samples: int | None = Field(
        None, ge=1, description="answers drawn of a question at most; default: 4 × `samples`"
    )
    temperature: float | None = Field(
        0.7, ge=0.0, description="0 is greedy; null leaves it to the endpoint"
    )
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    max_new_tokens: int = Field(2048, ge=1, description="of an answer, its thinking included")
    system: str | None = None
    prompt: str = Field(PROMPT, description="with {question} where the question goes")
    rationale: Literal["thinking", "response"] = "thinking"

    @field_validator("prompt")
    @classmethod
    def _asks(cls, prompt: str) -> str:
        if "{question}" not in prompt:
            raise ValueError("has no {question}, so every question would be the same; add it")
        return prompt

    @model_validator(mode="after")
    def _enough_draws(self) -> ModelTeacher:
        if self.max_samples is not None and self.max_samples < self.samples:
            raise ValueError(
                f"max_samples: {self.max_samples} can never give {self.samples} right ones; "
                "give `samples` or more"
            )
        if self.temperature == 0 and max(self.samples, self.max_samples or 1) > 1:
            raise ValueError("several samples repeat one greedy answer; set `temperature`")
        return self

    @property
    def draws(self) -> int:
        """Answers drawn of a question at most."""
        if self.max_samples is not None:
            return self.max_samples
        return self.samples if self.temperature == 0 else DRAWS_PER_SAMPLE * self.samples


class Endpoint(ModelTeacher):
    """A model behind an OpenAI-compatible endpoint: a provider's, vLLM, `transformers serve`, ….

    Attributes:
        base_url: Of the API, up to `/v1`; None is what `OPENAI_BASE_URL` says, else OpenAI's own.
        api_key_env: The environment variable with the key. The key itself is never written.
        limit_field: The field of a request that carries `max_new_tokens`; OpenAI's reasoning models
            want the longer name, many other servers know only the shorter one.
        price_prompt: Of a million tokens, in the currency of `max_cost`.
        price_completion: The same of what the model writes.
        max_cost: What the job may cost, over all its calls.
        max_tokens: What it may take in tokens, prompts included.
        n: Answers that one request asks for at most, whose prompt is then computed and charged for
            once. Providers and vLLM can do that; a server that cannot wants 1.
        extra_body: Further fields of a request, such as `reasoning_effort`.
    """

    name: Literal["openai"] = "openai"
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    concurrency: int = Field(16, ge=1, description="requests at a time")
    requests_per_minute: float | None = Field(None, gt=0.0)
    tokens_per_minute: float | None = Field(None, gt=0.0)
    timeout_s: float = Field(600.0, gt=0.0, description="for one whole answer")
    max_retries: int = Field(6, ge=0, description="of one request")
    price_prompt: float | None = Field(None, ge=0.0, allow_inf_nan=False)
    price_completion: float | None = Field(None, ge=0.0, allow_inf_nan=False)
    max_cost: float | None = Field(None, gt=0.0, allow_inf_nan=False)
    max_tokens: int | None = Field(None, ge=1)
    n: int = Field(1, ge=1, description="answers that one request asks for at most")
    extra_body: dict[str, Any] = Field({})

    # Neither fault repeats the value: it may well be a key.
    @field_validator("api_key_env")
    @classmethod
    def _names_a_variable(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
            raise ValueError(
                "no name of an environment variable; put the key into one, such as OPENAI_API_KEY, "
                "and give its name"
            )
        return name

    @field_validator("base_url")
    @classmethod
    def _without_secrets(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("no address of an API; write https://HOST/v1")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("holds more than an address; put the key into `api_key_env`")
        return url

    @field_validator("extra_body")
    @classmethod
    def _only_further(cls, body: dict[str, Any]) -> dict[str, Any]:
        for key in body:
            if key in _OWN:
                raise ValueError(f"{key} is not set here; {_OWN[key]}")
        return body

    @model_validator(mode="after")
    def _priced(self) -> Endpoint:
        prices = (self.price_prompt, self.price_completion)
        if None in prices and prices != (None, None):
            raise ValueError("give both `price_prompt` and `price_completion`, or neither")
        if self.max_cost is not None and None in prices:
            raise ValueError(
                "max_cost: nothing says what a token costs; give `price_prompt` and "
                "`price_completion`, per million tokens"
            )
        return self


class LocalModel(ModelTeacher):
    """A model of transformers on this machine, by its path or hub name."""

    name: Literal["local"] = "local"
    batch_size: int = Field(16, ge=1, description="prompts generated together")
    device: str = Field("auto", description="a torch device; `auto` takes a GPU if there is one")

    @model_validator(mode="after")
    def _decided(self) -> LocalModel:
        if self.temperature is None:
            raise ValueError("temperature: only an endpoint has one of its own; give a number")
        return self
