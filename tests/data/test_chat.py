"""Chat templates are rendered as transformers renders them, or refused."""

import datetime
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck import _native
from limbeck.errors import InputError

HERE = Path(__file__).parent / "chat_templates"
# In the manner of the usual families, in our own words.
FAMILIES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(HERE.glob("*.jinja"))}
EXPRESSIONS = [
    json.loads(line)
    for line in (HERE / "expressions.jsonl").read_text(encoding="utf-8").split("\n")
    if line
]
TOKENS = ["<|im_start|>", "<|im_end|>", "</think>", "<think>", "[INST]", "</s>", "{{ x }}", "{%"]
TODAY = datetime.datetime.now().date()

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
spaces = st.text("\n\r\t \x0b\x0c\x1c\x1f\x85\xa0\u2028\u3000", max_size=4)
contents = st.lists(texts | spaces | st.sampled_from(TOKENS), max_size=6).map("".join)


@pytest.fixture(scope="module")
def tokenizer():
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<s>": 0, "</s>": 1}, "<s>"))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>"
    )


def _both(tokenizer, template, messages, variables, add_generation_prompt):
    """Both renderings; None where one raises."""
    import jinja2

    try:
        theirs = tokenizer.apply_chat_template(
            messages,
            chat_template=template,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            **variables,
        )
    except (jinja2.TemplateError, TypeError):
        theirs = None
    ours_variables = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "strftime_now": TODAY.isoformat(),
        **variables,
    }
    try:
        ours = _native.render_chat(
            template, json.dumps(messages), json.dumps(ours_variables), add_generation_prompt
        )
    except InputError:
        ours = None
    return ours, theirs


@pytest.mark.parametrize("family", FAMILIES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_renders_as_transformers(tokenizer, family, data):
    roles = st.sampled_from(["system", "user", "assistant"])
    message = st.fixed_dictionaries(
        {"role": roles, "content": contents}, optional={"reasoning_content": contents | st.none()}
    )
    turns = st.lists(contents, min_size=1, max_size=4).map(
        lambda texts: [
            {"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)
        ]
    )
    messages = data.draw(turns | st.lists(message, min_size=1, max_size=4))
    variables = data.draw(
        st.sampled_from([{}, {"enable_thinking": False}, {"date_string": "3 März 2021"}])
    )
    prompt = data.draw(st.booleans())
    ours, theirs = _both(tokenizer, FAMILIES[family], messages, variables, prompt)
    assert ours == theirs


REFUSED = [
    "{{ 'é'.title() }}",
    "{{ 'é'.isdigit() }}",
    "{{ '%s' % 'a' }}",
    "{{ messages }}",
    "{{ [1] | string }}",
    "{{ '<' | escape }}",
    "{{ 'a'.zfill(3) }}",
    "{{ 'x' | wordcount }}",
    "{{ cycler('a') }}",
    "{{ 'a\\/b' }}",
    "\xa0{% if true %}x{% endif %}",
    "{% include 'x' %}",
    "{% trans %}x{% endtrans %}",
]


@pytest.mark.parametrize("template", EXPRESSIONS)
def test_expressions_are_those_of_jinja(tokenizer, template):
    messages = [{"role": "user", "content": "hi\r\n"}, {"role": "assistant", "content": "é"}]
    ours, theirs = _both(tokenizer, template, messages, {}, True)
    assert ours == theirs


@pytest.mark.parametrize("template", REFUSED)
def test_what_differs_is_refused(template):
    with pytest.raises(InputError, match="chat_template"):
        _native.render_chat(template, '[{"role": "user", "content": "hi"}]', "{}", False)


def test_the_date_is_a_variable_and_never_the_clock():
    template = "{{ strftime_now('%d %b %Y') }}"
    assert _native.render_chat(template, "[]", "{}", False) == "26 Jul 2024"
    variables = json.dumps({"strftime_now": "2031-05-04"})
    assert _native.render_chat(template, "[]", variables, False) == "04 May 2031"
    with pytest.raises(InputError, match="YYYY-MM-DD"):
        _native.render_chat(template, "[]", json.dumps({"strftime_now": "May"}), False)


def test_what_the_template_raises_reaches_the_user():
    messages = json.dumps([{"role": "assistant", "content": "x"}])
    with pytest.raises(InputError, match="must take turns"):
        _native.render_chat(FAMILIES["brackets"], messages, '{"bos_token": "<s>"}', False)


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for a in range(99999) %}{{ 'x' * 99999 }}{% endfor %}",
    ],
)
def test_a_template_cannot_run_without_end(template):
    with pytest.raises(InputError):
        _native.render_chat(template, "[]", "{}", False)


def test_broken_arguments_name_themselves():
    with pytest.raises(InputError, match="messages"):
        _native.render_chat("", "{}", "{}", False)
    with pytest.raises(InputError, match="variables"):
        _native.render_chat("", "[]", "[]", False)
    with pytest.raises(InputError, match="chat_template"):
        _native.render_chat("{% if %}", "[]", "{}", False)
