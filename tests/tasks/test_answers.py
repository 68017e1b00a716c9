import pytest

from limbeck.tasks.answers import list_options, parse

OPTIONS = list_options("Where?", ["a shelf", "the sea", "Ink, a pen"])
DATES = list_options("Which day?", ["05/01/2021", "04/30/2021", "05/01/1971"])


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        ("number", "72", "72"),
        ("number", "She makes 3 * 24 = 72 dollars.", "72"),
        ("number", "$1,450,000.50 a year", "$1,450,000.50"),
        ("number", "about 3 1/2 miles", "3 1/2"),
        ("number", "-5", "-5"),
        ("number", "many", "many"),
        ("option", "B", "B"),
        ("option", "(c)", "C"),
        ("option", "B. the sea", "B"),
        ("option", "option A", "A"),
        ("option", "The sea", "B"),
        ("option", "It is (C), for ink.", "C"),
        ("option", "(A) or (B)", "A"),
        ("option", "either (A) or (B)", "either (A) or (B)"),
        ("option", "I, for one", "I, for one"),  # there is no option I
        ("option", "A shelf", "A"),
        ("date", "A", "A"),
        ("date", "May 1, 2021", "A"),
        ("date", "2021-04-30", "B"),
        ("date", "05/01/1971.", "C"),
        ("date", "June 1, 2021", "June 1, 2021"),
        ("yes_no", "Yes, it would.", "yes"),
        ("yes_no", "It is not: no", "no"),
        ("yes_no", "nobody knows", "nobody knows"),
        ("letters", '"f n e l".', "fnel"),
        ("letters", "42", "42"),
        ("any", " as it is ", " as it is "),
    ],
)
def test_the_answer_in_a_text(kind, text, found):
    question = DATES if kind == "date" else OPTIONS
    assert parse(kind, text, question) == found


def test_a_question_without_options_has_none_to_name():
    assert parse("option", "B", "Where?") == "B"
    assert parse("option", "the sea", "Where?") == "the sea"
