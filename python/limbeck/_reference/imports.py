"""Rows in other people's formats to records of the schema; twin of `import/`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from limbeck._reference.answers import conclusion
from limbeck._reference.records import FaultError

GENERATED = (
    "generations",
    "generation",
    "responses",
    "response",
    "generated_solution",
    "deepseek_solution",
    "attempt",
)
GOLD = ("answer", "final_answer", "expected_answer", "ground_truth")
ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
}

Row = Mapping[str, Any]
Response = tuple[str, Any, str | None]
"""Where it stands, what it says, and the thinking that stands apart."""


def detect(rows: Sequence[Row]) -> str | None:
    """The format of a file that begins with `rows`; None where that cannot be told."""
    found = {format for row in rows for format in _formats(row)}
    return found.pop() if len(found) == 1 else None


def read(row: Row, format: str) -> Iterator[dict[str, Any]]:
    """The records that a row makes, one for each response.

    Raises:
        FaultError: The row, or the response whose turn it is, is no record.
    """
    question, responses = _EXCHANGES[format](row)
    gold = _gold(row)
    other = _rejected(row, gold) if format == "preference" else {}
    for field, text, thinking in responses:
        yield {"question": question, **_solve(field, text, thinking, gold), **other}


def _formats(row: Row) -> set[str]:
    has = {key for key, value in row.items() if value is not None}
    generated = bool(has & set(GENERATED))
    if "question" in has:
        hashes = re.search(r"\n#### [^\n]*\s*\Z", str(row.get("answer")))
        solved = generated or "solution" in has or hashes
        if "rationale" in has or ("answer" in has and not solved):
            return {"records"}
    if has & {"question", "problem"} and (generated or has & {"solution", "answer"}):
        return {"r1"}
    if {"chosen", "rejected"} <= has:
        return {"preference"}
    found = set()
    messages = row.get("messages") or row.get("conversations")
    if isinstance(messages, list) and isinstance(messages[0], dict):
        found |= {
            name for key, name in (("role", "messages"), ("from", "sharegpt")) if key in messages[0]
        }
    if {"prompt", "completion"} <= has:
        found.add("prompt_completion")
    if {"instruction", "output"} <= has:
        found.add("alpaca")
    return found


def _messages(row: Row) -> tuple[str, list[Response]]:
    return _conversation(row, ("messages", "conversations"), "role", "content")


def _sharegpt(row: Row) -> tuple[str, list[Response]]:
    return _conversation(row, ("conversations", "messages"), "from", "value")


def _conversation(
    row: Row, keys: Sequence[str], role: str, content: str
) -> tuple[str, list[Response]]:
    field = next((key for key in keys if row.get(key) is not None), None)
    if field is None:
        raise FaultError(keys[0], "missing")
    beside = _text(row, "system")
    system, question, response = _turns(field, row[field], role, content)
    if question is None or response is None:
        raise FaultError(field, "no message of the user or of the assistant")
    return _after(system or beside, question), [response]


def _turns(
    field: str, messages: Any, role: str = "role", content: str = "content"
) -> tuple[str | None, str | None, Response | None]:
    if not isinstance(messages, list):
        raise FaultError(field, "no list of messages")
    system: str | None = None
    question: str | None = None
    response: Response | None = None
    for index, message in enumerate(messages):
        place = f"{field}[{index}]"
        if not isinstance(message, dict):
            raise FaultError(place, "no message")
        name = _string(f"{place}.{role}", message.get(role))
        said = _content(f"{place}.{content}", message.get(content))
        who = ROLES.get(name)
        if who is None:
            raise FaultError(f"{place}.{role}", "no role of a record")
        if who == "system" and index == 0:
            system = said
        elif who == "user" and question is None and response is None:
            question = said
        elif who == "assistant" and response is None:
            response = (f"{place}.{content}", said, _thinking(message, f"{place}."))
        else:
            raise FaultError(place, "a second turn, or a system message that is not the first")
    return system, question, response


def _content(field: str, value: Any) -> str:
    if not isinstance(value, list):
        return _string(field, value)
    for index, part in enumerate(value):
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            raise FaultError(f"{field}[{index}]", "a part that is no text")
    return "".join(part["text"] for part in value)


def _prompt(row: Row) -> str | None:
    prompt = row.get("prompt")
    if not isinstance(prompt, list):
        return _text(row, "prompt")
    system, question, response = _turns("prompt", prompt)
    if response is not None or question is None:
        raise FaultError(response[0] if response else "prompt", "no single question")
    return _after(system, question)


def _prompt_completion(row: Row) -> tuple[str, list[Response]]:
    question, completion = _prompt(row), row.get("completion")
    if question is None or completion is None:
        raise FaultError("prompt" if question is None else "completion", "missing")
    if not isinstance(completion, list):
        text = _string("completion", completion)
        return question, [("completion", text, _thinking(row, ""))]
    system, second, response = _turns("completion", completion)
    if system is not None or second is not None or response is None:
        raise FaultError("completion", "not just the assistant's message")
    return question, [response]


def _preference(row: Row) -> tuple[str, list[Response]]:
    prompt, system, chosen = _prompt(row), _text(row, "system"), row.get("chosen")
    if chosen is None:
        raise FaultError("chosen", "missing")
    question: str | None = None
    response: Response | None
    if isinstance(chosen, list):
        told, question, response = _turns("chosen", chosen)
        system = told or system
    else:
        response = ("chosen", _string("chosen", chosen), None)
    question = prompt if question is None else question
    if question is None or response is None:
        raise FaultError("prompt" if question is None else "chosen", "missing")
    return _after(system, question), [response]


def _rejected(row: Row, gold: str | None) -> dict[str, Any]:
    """The other side of a pair, or the fault that whoever asks for pairs hears of."""
    value = row.get("rejected")
    if value is None:
        return {}
    try:
        response: Response | None = ("rejected", value, None)
        if isinstance(value, list):
            *_, response = _turns("rejected", value)
        if response is None:
            raise FaultError("rejected", "no message of the assistant")
        solved = _solve(*response, gold)
    except FaultError as fault:
        return {"rejected_answer": fault}
    rationale, concluded = solved["rationale"], solved["teacher_answer"]
    if concluded is None and rationale is not None:
        concluded = conclusion(rationale)
    answer = solved["answer"] if concluded is None else concluded
    return {"rejected_answer": answer, "rejected_rationale": rationale}


def _alpaca(row: Row) -> tuple[str, list[Response]]:
    question = _string("instruction", row.get("instruction"))
    more = _text(row, "input")
    if more and more.strip():
        question = f"{question.rstrip()}\n\n{more}"
    if row.get("history"):
        raise FaultError("history", "earlier turns")
    output = _string("output", row.get("output"))
    return _after(_text(row, "system"), question), [("output", output, _thinking(row, ""))]


def _r1(row: Row) -> tuple[str, list[Response]]:
    asked = next((key for key in ("question", "problem") if row.get(key) is not None), "question")
    question = _string(asked, row.get(asked))
    keys = (*GENERATED, "solution", "answer")
    field = next((key for key in keys if row.get(key) is not None), None)
    if field is None:
        raise FaultError("generations", "no response of any kind")
    thoughts = row.get("thinking_trajectories") or row.get("deepseek_reasoning")
    if thoughts is None:
        thoughts = _thinking(row, "")
    listed: list[str | None] = thoughts if isinstance(thoughts, list) else [thoughts]
    value = row[field]
    if not isinstance(value, list):
        return question, [(field, _string(field, value), listed[0])]
    if not value:
        raise FaultError(field, "an empty list")
    listed = [*listed, *[None] * len(value)]
    return question, [
        (f"{field}[{index}]", each, listed[index]) for index, each in enumerate(value)
    ]


def _gold(row: Row) -> str | None:
    for key in GOLD:
        value = row.get(key)
        if value is not None:
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise FaultError(key, "neither text nor a number")
            return _marked(str(value)) or str(value)
    solution = row.get("solution")
    return _marked(solution) if isinstance(solution, str) else None


def _solve(field: str, text: Any, thinking: str | None, gold: str | None) -> dict[str, Any]:
    inside, said = _split(field, _string(field, text))
    if thinking is not None and inside is not None and thinking.strip() != inside.strip():
        raise FaultError(field, "it thinks twice")
    thinking = inside if thinking is None else thinking
    marked = _marked(said)
    if thinking is not None:
        rationale: str | None = thinking
        concluded = marked
        if concluded is None and gold is not None:
            concluded = conclusion(said) or (None if "\n" in said else said)
        elif concluded is None:
            concluded = said
    else:
        concluded = marked
        kept = re.sub(r"(\A|\n)[ \t]*#### [^\n]*\Z", r"\1", said)
        rationale = kept if marked is not None or gold is not None else None
    answer = gold if gold is not None else concluded
    return {
        "answer": said if answer is None else answer,
        "rationale": rationale,
        "teacher_answer": concluded,
    }


def _split(field: str, text: str) -> tuple[str | None, str]:
    for open, close in (
        ("<think>", "</think>"),
        ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ):
        if close not in text:
            if open in text:
                raise FaultError(field, "it was cut off")
            continue
        before, _, after = text.partition(close)
        ahead, opened, thinking = before.rpartition(open)
        if ahead.strip() or open in after:
            raise FaultError(field, "text before the thinking, or more of it behind")
        return (thinking if opened else before), _unwrap(field, after)
    return None, _unwrap(field, text)


def _unwrap(field: str, text: str) -> str:
    text = text.strip()
    for open, close in (
        ("<|begin_of_solution|>", "<|end_of_solution|>"),
        ("<answer>", "</answer>"),
    ):
        if text.startswith(open):
            if not text.endswith(close):
                raise FaultError(field, "it was cut off")
            return text[len(open) : -len(close)].strip()
    return text


def _marked(text: str) -> str | None:
    """The last box or `####` line; a conclusion in prose does not count."""
    from limbeck._reference.answers import _boxed, _hashes

    found = [each for each in (_boxed(text), _hashes(text)) if each]
    return max(found, key=lambda each: each[0])[1] if found else None


def _thinking(values: Mapping[str, Any], place: str) -> str | None:
    for key in ("reasoning_content", "reasoning", "thinking"):
        value = values.get(key)
        if value is not None and not (isinstance(value, str) and not value.strip()):
            return _string(f"{place}{key}", value)
    return None


def _after(system: str | None, question: str) -> str:
    return f"{system.rstrip()}\n\n{question}" if system and system.strip() else question


def _text(row: Row, key: str) -> str | None:
    return None if row.get(key) is None else _string(key, row[key])


def _string(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise FaultError(field, "no text")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise FaultError(field, "a lone surrogate")
    return value


_EXCHANGES = {
    "messages": _messages,
    "prompt_completion": _prompt_completion,
    "preference": _preference,
    "alpaca": _alpaca,
    "sharegpt": _sharegpt,
    "r1": _r1,
}
