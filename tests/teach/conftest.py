"""An OpenAI-compatible server on loopback that fails as it is told and counts what it delivers."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tests.serving import serving

KEY = "sk-hush-0123456789abcdef"
Answer = Callable[[str, int], dict[str, Any]]
"""The message for a prompt and the number of its answers so far."""


class Server(ThreadingHTTPServer):
    """Answers chat completions, after the faults that stand in its way.

    Attributes:
        faults: Of each prompt, in order; one a request, until none is left.
        answer: The message of an answer.
        delivered: Answers that went out whole, by prompt: what a provider would charge for.
        received: Requests, by prompt.
        times: When each request came.
        bodies: The requests.
        most_at_once: Requests that were under way together, at most.
    """

    key = KEY
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.answer: Answer = lambda prompt, count: self.say(f"The answer is {count}.")
        self.finish_reason: str | None = "stop"
        self.usage: dict[str, int] | None = {"prompt_tokens": 10, "completion_tokens": 20}
        self.seconds = 0.0
        self.delivered: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.times: list[float] = []
        self.bodies: list[dict[str, Any]] = []
        self.most_at_once = self.at_once = 0
        self.lock = threading.Lock()

    @staticmethod
    def say(text: str, **more: Any) -> dict[str, Any]:
        return {"role": "assistant", "content": text, **more}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *args: Any) -> None: ...

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        prompt = body["messages"][-1]["content"]
        server = self.server
        with server.lock:
            server.received[prompt] += 1
            server.times.append(time.monotonic())
            server.bodies.append(body)
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
            fault = server.faults[prompt].pop(0) if server.faults[prompt] else ""
        try:
            time.sleep(server.seconds)
            self.fail(fault) if fault else self.succeed(prompt)
        finally:
            with server.lock:
                server.at_once -= 1

    def fail(self, fault: str) -> None:
        name, _, detail = fault.partition(" ")
        if name.isdecimal():
            headers = {"retry-after": detail} if detail else {}
            authorization = self.headers["authorization"]
            self.reply(int(name), {"error": {"message": f"no: {authorization}"}}, headers)
        elif name == "quota":
            self.reply(429, {"error": {"message": "out", "code": "insufficient_quota"}}, {})
        elif name == "hang":
            time.sleep(float(detail))
        elif name == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif name == "cut-json":
            self.send(200, b'{"choices": [{"message": {"content": "The ans', {})
        elif name == "no-choices":
            self.reply(200, {"choices": []}, {})
        else:
            whole = json.dumps(
                self.completion(self.server.say("The answer is 0."), "stop")
            ).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(whole)))
            self.end_headers()
            if name == "cut-body":
                self.wfile.write(whole[: len(whole) // 2])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            assert name == "drip"
            for byte in whole:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(float(detail))

    def succeed(self, prompt: str) -> None:
        server = self.server
        with server.lock:
            message = server.answer(prompt, server.delivered[prompt])
            server.delivered[prompt] += 1
        self.reply(200, self.completion(message, server.finish_reason), {})

    def completion(self, message: Any, finish_reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, "message": message, "finish_reason": finish_reason}
        usage = {} if self.server.usage is None else {"usage": self.server.usage}
        return {"id": "1", "object": "chat.completion", "model": "m", "choices": [choice], **usage}

    def reply(self, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
        self.send(status, json.dumps(body).encode(), headers)

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # The waits double all the same, from less.
    monkeypatch.setattr(import_module("limbeck.teach.retry"), "FIRST_S", 0.01)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random chat model that transformers opens, as a teacher's directory."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        GenerationConfig,
        PreTrainedTokenizerFast,
        Qwen2Config,
        Qwen2ForCausalLM,
    )

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        ["What is the rule? The answer is"],
        trainers.BpeTrainer(
            special_tokens=["<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>")
    fast.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    torch.manual_seed(0)
    network = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(fast),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            initializer_range=0.3,
        )
    )
    network.generation_config = GenerationConfig(
        do_sample=True, eos_token_id=fast.eos_token_id, pad_token_id=fast.eos_token_id
    )
    home = tmp_path_factory.mktemp("teacher") / "model"
    network.save_pretrained(home)
    fast.save_pretrained(home)
    return home


@pytest.fixture(scope="session")
def served(model: Path) -> Iterator[str]:
    """The same model behind `transformers serve`; the address of its API."""
    with serving(model) as url:
        yield url
