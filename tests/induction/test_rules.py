"""Rules as text: what is read, what is refused, and what each gives."""

from __future__ import annotations

import pytest

from limbeck.induction.rules import RuleError, parse_grammar, parse_objects, parse_rule


@pytest.mark.parametrize(
    "text",
    [
        'Rule: {"red cube": "on", "gray ball": "off", "blue ball": "undetermined"}',
        "{'red cube': 'on', 'gray ball': 'off', 'blue ball': 'undetermined'}",
        'First {"red cube": "off"}. No: {"red cube": "On", "gray ball, gray cone": "OFF",}',
        "Rule:\n- red cube: on\n- gray ball -> off\n- the blue ball is undetermined.",
        '"red cube" = on; gray ball: off',
    ],
)
def test_object_maps_are_read_in_the_forms_that_teachers_use(text):
    rule = parse_objects(text)
    assert rule.states["red cube"] == "on"
    assert rule.states["gray ball"] == "off"
    assert rule.apply("gray ball") == "off"
    assert rule.apply("gray ball, red cube") == "on"
    assert rule.apply("gray ball, blue ball") == "undetermined"
    assert rule.apply("red cube, never seen") == "on"
    assert rule.apply("never seen, gray ball") == "undetermined"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no object"),
        ("{}", "no object"),
        ("The red cube does it.", "no entry"),
        ("red cube: on\nand perhaps others", "no entry"),
        ('{"red cube": "sometimes"}', "no entry"),
        ('{"red cube": "on" "blue": "off"}', "no entry"),
        ('{"red cube": ["on"]}', "no entry"),
        ('{"red cube": "on", "blue ball, red cube": "off"}', "both on and off"),
        ('{"a": "on"' * 9_000, "longer than"),
        ("a" + " " * 9_000 + "!", "no entry"),
        ("a " * 4_900 + "!", "no entry"),
    ],
)
def test_what_is_no_object_map_is_refused_with_its_reason(text, why):
    with pytest.raises(RuleError, match=why):
        parse_objects(text)


GRAMMAR = """\
Here are my rules.

Rule 1: "dax" -> "RED"
Priority 1: 4
Rule 2: lug -> BLUE
Priority 2: 4 (a name)
rule 3: "##X "fep"" -> "##X ##X ##X"
Priority 3: 3
Rule 4: ##A blick ##B -> ##A ##B ##A
Priority 4: 2
Rule 5: ##A kiki ##B -> ##B ##A
Priority 5: 1

Note: "##A -> ##B" stands for what it stands for.
"""


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ("dax", "RED"),
        ("lug fep", "BLUE BLUE BLUE"),
        ("dax blick lug", "RED BLUE RED"),
        ("dax fep kiki lug", "BLUE RED RED RED"),
        ("dax kiki lug fep", "BLUE BLUE BLUE RED"),
        ("dax kiki lug blick dax", "BLUE RED BLUE RED"),
        ("dax blick lug kiki lug fep", "BLUE BLUE BLUE RED BLUE RED"),
        ("dax wif", None),
        ("dax blick", None),
        ("", None),
    ],
)
def test_a_grammar_reads_what_binds_tighter_first(given, output):
    grammar = parse_grammar(GRAMMAR)
    assert grammar.faults == ()
    assert grammar.apply(given) == output


def test_bare_lines_are_productions_the_upper_ones_tighter():
    lines = ["dax -> RED", "lug -> BLUE", "##A fep -> ##A ##A", "##A kiki ##B -> ##B ##A"]
    assert parse_grammar("\n".join(lines)).apply("dax kiki lug fep") == "BLUE BLUE RED"
    lines[2:] = reversed(lines[2:])
    assert parse_grammar("\n".join(lines)).apply("dax kiki lug fep") == "BLUE RED BLUE RED"


def test_the_later_priority_of_a_production_counts_and_none_is_0():
    text = "Rule 1: a -> A\nRule 2: a -> A\nPriority 2: 7\nRule 3: b -> B"
    assert [p.priority for p in parse_grammar(text).productions] == [7, 0]


def test_faulty_lines_are_told_and_the_others_stand():
    grammar = parse_grammar(
        "Rule 1: dax -> RED\nRule 2: ##A ##A -> ##A\nRule 3: ##A x -> ##B\nRule 4: see above"
        "\nRule 5: -> RED"
    )
    assert grammar.apply("dax") == "RED"
    assert [fault.split(": ")[-1] for fault in grammar.faults] == [
        "the same nonterminal twice before the arrow",
        "##B is not before the arrow",
        "needs one arrow",
        "nothing before the arrow",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("It repeats things.", "has no production"),
        ("Rule 1: it repeats things", "needs one arrow"),
        ("a -> b -> c", "needs one arrow"),
        ("\n".join(f"w{n} -> X" for n in range(101)), "more than 100"),
        ("a " * 40 + "-> b", "more than 32 symbols"),
        ("a -> b\n" * 9_000, "longer than"),
    ],
)
def test_what_is_no_grammar_is_refused_with_its_reason(text, why):
    with pytest.raises(RuleError, match=why):
        parse_grammar(text)


def test_each_kind_has_its_rules():
    assert parse_rule("acre", "a: on").apply("a") == "on"
    assert parse_rule("miniscan", "a -> A").apply("a") == "A"
    assert parse_rule("list_functions", "xs[1:]").apply("[1, 2]") == "[2]"
    assert parse_rule("one_d_arc", "xs[::-1]").apply("[0, 3]") == "[3, 0]"
