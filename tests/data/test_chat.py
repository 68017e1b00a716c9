"""Chat templates are rendered as transformers renders them, or refused."""

import datetime
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck import _native
from limbeck.errors import InputError


# In the manner of the usual families, in our own words.
HEADERS = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "1 Jan 2000" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set opening = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set opening = "" %}
{%- endif %}
{{- "<|header|>system<|/header|>\n\n" }}
{{- "Day: " + date_string + "\n\n" }}
{{- opening + "<|eot|>" }}
{%- for message in messages %}
    {{- '<|header|>' + message['role'] + '<|/header|>\n\n'+ message['content'] | trim + '<|eot|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|header|>assistant<|/header|>\n\n' }}
{%- endif %}
"""
CHATML = """{%- if messages[0].role == 'system' -%}
    {{ '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- else -%}
    {{ '<|im_start|>system\nBe of use.<|im_end|>\n' }}
{%- endif -%}
{%- for message in messages %}
{%- if message.role != 'system' or not loop.first %}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif -%}
{%- endfor %}
{%- if add_generation_prompt %}
<|im_start|>assistant
{% endif %}
"""
THINKING = """{%- set ns = namespace(last=messages | length - 1, open=true) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages | length - 1) - loop.index0 %}
    {%- if ns.open and message.role == "user" and message.content is string %}
        {%- set ns.open = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == "assistant" %}
        {%- set content = message.content %}
        {%- set thought = '' %}
        {%- if message.reasoning_content is string %}
            {%- set thought = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and (loop.last or (not loop.last and thought)) %}
            {{- '<|im_start|>assistant\n<think>\n' + thought.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
        {%- else %}
            {{- '<|im_start|>assistant\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}"""
BRACKETS = """{{ bos_token }}{% for message in messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('user and assistant must take turns') }}
{% endif %}
{% if message['role'] == 'user' %}
{{ '[INST] ' + message['content'] + ' [/INST]' }}
{%- elif message['role'] == 'assistant' -%}
{{ ' ' + message['content'] + eos_token }}{% endif %}
{% endfor %}"""
TURNS = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {{ raise_exception('no system message here') }}
{%- endif -%}
{% for message in messages -%}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
    <start_of_turn>{{ role }}
{{ message['content'] | trim }}<end_of_turn>
{% endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model\n' }}
{%- endif -%}
"""
GENERATION = """{% for message in messages %}
{%- if message.role == 'assistant' %}
a: {% generation %}{% set inner = message.content.rsplit(' ', 1)[-1] %}{{ message.content + '|' + inner }}{% endgeneration %}
{{ inner }}
{%- else %}
{{ message.role.ljust(8) }}: {{ message.content | tojson }} {{ message.content.splitlines() | tojson(indent=2) }}
{% endif %}
{%- endfor %}"""
FAMILIES = {
    "headers": HEADERS,
    "chatml": CHATML,
    "thinking": THINKING,
    "brackets": BRACKETS,
    "turns": TURNS,
    "generation": GENERATION,
}
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


EXPRESSIONS = [
    "{{ 'a b  c'.split() | tojson }}{{ ' a b '.split(' ') | tojson }}{{ 'a-b'.split('-', 1)[1] }}",
    "{{ 'a,b,c'.rsplit(',', 1) | tojson }}{{ ' a b '.rsplit(none, 1) | tojson }}",
    "{{ 'abc'[1:] }}{{ 'abc'[-1] }}{{ [1, 2, 3][::-1] | tojson }}{{ [1, 2, 3][:-1] | tojson }}",
    "{{ 'héLLo'.upper() }}{{ 'HÉ'.lower() }}{{ \"they're\".title() }}{{ 'tWO'.capitalize() }}",
    "{{ \"they're a-b\" | title }}{{ 'tWO wORDS' | capitalize }}{{ 'ab' | upper }}",
    "{{ 1 / 2 }} {{ 4 / 2 }} {{ 7 // 2 }} {{ 7 % 3 }} {{ 2 ** 3 }} {{ 1.0 }} {{ 0.1 + 0.2 }}",
    "{{ 1e-5 }} {{ 1e16 }} {{ 1.5e300 }} {{ 100000.0 }} {{ none }} {{ true }} {{ false }}",
    "{{ {'b': 1, 'a': [1.0, none, true]} | tojson }}{{ '<é\\u2028\"\\\\' | tojson }}",
    "{{ {'b': 'é', 'a': {}} | tojson(ensure_ascii=true, sort_keys=true) }}",
    "{{ {'b': [], 'a': [1, {'c': 2}]} | tojson(indent=4) }}",
    "{{ [1, 2] | tojson(separators=(',', ':')) }}{{ '😀' | tojson(ensure_ascii=true) }}",
    "{% for k, v in {'z': 1, 'a': 2}.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in {'z': 1, 'a': 2} %}{{ k }}{% endfor %}{{ {'z': 1, 'a': 2} | length }}",
    "{% for k, v in {'z': 1, 'a': 2} | dictsort %}{{ k }}{{ v }}{% endfor %}",
    "{{ {'a': 1}.get('a') }}{{ {'a': 1}.get('b') }}{{ {'a': 1}.get('b', 2) }}",
    "{{ x is defined }}{{ x }}{{ x | default('d') }}{{ none | default('d') }}{{ '' or 'e' }}",
    "{{ '' | default('d', true) }}{{ messages[0].missing is none }}{{ messages[0].missing }}",
    "{{ 'a' is string }}{{ 'a' is sequence }}{{ 'a' is iterable }}{{ {} is sequence }}",
    "{{ [] is iterable }}{{ {} is mapping }}{{ 1 is number }}{{ true is number }}{{ 1 is integer }}",
    "{{ true is integer }}{{ 1.0 is float }}{{ true is boolean }}{{ 1 is boolean }}",
    "{{ true is true }}{{ 1 is true }}{{ none is none }}{{ 'A' is upper }}{{ 3 is odd }}",
    "{{ ['a', 'b'] | join(', ') }}{{ 'abc' | join('-') }}{{ [1, 2] | join }}",
    "{{ messages | map(attribute='role') | join(',') }}",
    "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}",
    "{{ messages | rejectattr('role', 'eq', 'user') | list | length }}",
    "{{ [3, 1, 2] | sort | tojson }}{{ ['b', 'A'] | sort | tojson }}{{ [1, 1] | unique | list | tojson }}",
    "{{ [1, 2, 3] | first }}{{ [1, 2, 3] | last }}{{ 'abc' | first }}{{ [1, 2] | sum }}{{ [1, 2] | max }}",
    "{{ 'abc' | replace('b', 'x') }}{{ 'aaa'.replace('a', 'b', 2) }}{{ 'ab' | length }}",
    "{{ 'a\nb' | indent(2) }}{{ 'a\nb' | indent(2, true) }}{{ 'a\n\nb' | indent }}",
    "{{ 'abc' | reverse }}{{ [1, 2] | reverse | list | tojson }}{{ 'ab' | list | tojson }}",
    "{{ '3' | int }}{{ '3.5' | float }}{{ 3.7 | int }}{{ -3 | abs }}{{ 2.5 | round }}{{ 42 | string }}",
    "{{ 'x' * 3 }}{{ 'a' ~ 1 ~ none ~ true }}{{ ([1] + [2]) | tojson }}",
    "{{ '%s-%d' | format('a', 3) }}{{ '{}-{}'.format('a', 3) }}",
    "{{ 'a' if false }}{{ 'a' if true else 'b' }}{{ 1 < 2 < 3 }}{{ 'a' in 'abc' }}{{ 1 in [1] }}",
    "{{ 'abc'.startswith('a') }}{{ 'abc'.endswith(('b', 'c')) }}{{ 'abc'.find('c') }}{{ 'aba'.count('a') }}",
    "{{ 'a=b=c'.partition('=') | list | tojson }}{{ 'abc'.removeprefix('a') }}{{ 'abc'.removesuffix('c') }}",
    "{{ ' a '.strip() }}{{ 'xax'.strip('x') }}{{ '\x1ca\x1f'.strip() }}{{ '\x1ca' | trim }}",
    "{{ 'a'.isdigit() }}{{ '12'.isdigit() }}{{ 'ab'.isalpha() }}{{ ' '.isspace() }}{{ 'ab'.islower() }}",
    "{% macro m(a, b='x') %}{{ a }}{{ b }}{% endmacro %}{{ m('1') }}{{ m('1', b='2') }}",
    "{% macro w() %}[{{ caller() }}]{% endmacro %}{% call w() %}in{% endcall %}",
    "{% set x %}a{% if true %}b{% endif %}{% endset %}{{ x }}{% set x = 1 %}{{ x }}",
    "{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{% endfor %}{{ x }}",
    "{% set ns = namespace(n=0) %}{% for i in range(5) %}{% if i == 3 %}{% break %}{% endif %}{% if i == 1 %}{% continue %}{% endif %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
    "{% for i in [1, 2, 3] if i != 2 %}{{ loop.index }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{% else %}none{% endfor %}",
    "{% for i in [] %}{% else %}none{% endfor %}{% for i in [1, 2] %}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% with a = 1 %}{{ a }}{% endwith %}{% filter upper %}a{% endfilter %}{# c #}{% raw %}{{ x }}{% endraw %}",
    "a\n  {% if true %}\n  b\n  {% endif %}\n c {{- ' d ' -}} e\n\n",
    "  {%+ if true +%}\n x {%- endif %}\n\n{#- c -#}\n  y",
    "a\r\nb{% if true %}\r\nc{% endif %}\r\n",
    "{{ dict(a=1, b='x') | tojson }}{{ (1, 2) | tojson }}{{ 'a' == \"a\" }}{{ 1 == 1.0 }}{{ not true }}",
    "{{ messages[-1].content }}{{ messages[0]['role'] }}{{ messages | length }}{{ tools is none }}",
    "{{ '\\n\\t\\x41\\u00e9\\'' }}{{ \"\\\"\" }}{{ '\\d' }}",
    "{{ strftime_now('%Y-%m-%d %d %B %y %A %j') }}",
    "{{ 'a' 'b' }}",
    "{% for c in 'ab' %}{{ c }}.{% endfor %}",
    "{{ x.y }}",
    "{{ raise_exception('no') }}",
    "{{ [[1, 2], [3]] | sum(start=[]) | tojson }}",
    "{{ {'a': 1} == {'a': 1} }}{{ [1, 2] == [1, 2] }}{{ 'b' > 'a' }}{{ (1 > 0) + 1 }}",
    "{{ messages[0] | items | list | length }}{{ messages[0].items() | list | tojson }}",
    "{{ messages[0].keys() | list | tojson }}{{ messages[0].values() | list | tojson }}",
    "{{ [{'a': 2}, {'a': 1}] | sort(attribute='a') | tojson }}",
    "{{ [1, 2, 3, 4] | batch(2) | list | tojson }}{{ 'x' | attr('y') }}",
    "{% raw %}\n  x\n{% endraw %}\ny",
    "{{ x is sequence }}{{ none is sequence }}{{ 5 is sequence }}{{ range(2) is sequence }}",
    "{{ 'x' ~ ['a', none] }}{{ 'x' ~ {'a': 1} }}{{ 'x' ~ 1.5 }}{{ -7 // 2 }}{{ -7 % 3 }}",
    "{{ 'straße'.upper() }}{{ 'ΑΣ'.lower() }}{{ 'x'.replace('', '-') }}{{ '😀é' | length }}",
    "{{ messages[5] }}{{ 'a'[5] }}{{ 'abc'[5:] }}{{ '' == none }}{{ 1 == true }}{{ 1 == '1' }}",
    "{% macro a() %}{{ q }}{% endmacro %}{% set q = 2 %}{{ a() }}",
    "{{ namespace(a=1).a }}{{ range(3) | list | tojson }}{{ range(1, 6, 2) | list | tojson }}",
]


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
        _native.render_chat(BRACKETS, messages, '{"bos_token": "<s>"}', False)


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
