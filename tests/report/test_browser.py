"""The report in a real browser: whole, quiet, offline, and deaf to what its texts pretend to be."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from limbeck.report import report

PLOTS = {
    *(f"accuracy-{n}" for n in range(4)),
    *(f"lengths-{n}" for n in range(3)),
    "curve-loss",
    "curve-cross-entropy",
    "curve-semantic-alignment",
    "curve-learning-rate",
    "curve-grad-norm",
    "curve-trained-share",
    "curve-eval-accuracy",
    "curve-cosine",
    "curve-tokens-per-second",
    "spans",
}
ATTACKS = (
    "<script>window.hit = 'script'</script>",
    '"><img src="https://example.invalid/x.png" onerror="window.hit = \'img\'">',
    "</style></pre></svg><script>window.hit = 'style'</script>",
    "' style='background:url(https://example.invalid/y)' onclick='1",
    "{{ 7*7 }}{% raw %}${7*7}<!--",
    "]]></text><svg onload=\"window.hit = 'svg'\">",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        reason = "no chromium on PATH to open the report in"
        # Where everything is meant to be installed, a test that does not run is a fault.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = playwright.chromium.launch(executable_path=path, args=sandbox)
        yield opened
        opened.close()


Opener = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Opener]:
    """Opens a file and fails at the end if the page complained or asked for anything else."""
    complaints: list[str] = []
    contexts = []

    def open_(path: Path, width: int = 1280, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: request.url == path.as_uri() or complaints.append(request.url),
        )
        page.goto(path.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def test_every_plot_is_drawn(open_page: Opener, demo_page: Path) -> None:
    page = open_page(demo_page)
    drawn = page.evaluate(
        """() => [...document.querySelectorAll("svg[role=img]")].map(svg => {
            const box = svg.getBoundingClientRect();
            const inked = [...svg.querySelectorAll("path, use")].filter(each => {
                const style = getComputedStyle(each), shape = each.getBoundingClientRect();
                const seen = style.stroke !== "none" || style.fill !== "none";
                return seen && shape.width + shape.height > 0;
            });
            const names = svg.getAttribute("aria-labelledby").split(" ");
            return [svg.id, box.width, box.height, inked.length,
                    names.map(name => document.getElementById(name)?.textContent ?? "")];
        })"""
    )
    assert {name for name, *_ in drawn} == PLOTS
    for name, width, height, inked, (title, description) in drawn:
        assert width > 200, name
        assert height > 80, name
        assert inked >= 5, name
        assert title, name
        assert any(digit in description for digit in "0123456789"), name


def test_lines_take_the_colours_of_the_page(open_page: Opener, demo_page: Path) -> None:
    def strokes(scheme: str) -> list[str]:
        page = open_page(demo_page, color_scheme=scheme)
        return page.evaluate(
            """() => [...document.querySelectorAll("#curve-loss path")]
                .filter(path => path.getAttribute("style").includes("--series-"))
                .map(path => getComputedStyle(path).stroke)"""
        )

    light, dark = strokes("light"), strokes("dark")
    assert len(set(light)) == len(set(dark)) == 3, "each method has a colour of its own"
    assert set(light).isdisjoint(dark)


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(open_page: Opener, demo_page: Path, width: int) -> None:
    page = open_page(demo_page, width=width)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_ids_are_unique_and_links_lead_somewhere(open_page: Opener, demo_page: Path) -> None:
    page = open_page(demo_page)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
    assert len(ids) == len(set(ids))
    targets = page.evaluate(
        "[...document.querySelectorAll('a, use')].map(each => each.getAttribute('href'))"
    )
    assert {target.removeprefix("#") for target in targets} <= set(ids)


def test_print_opens_what_is_folded(open_page: Opener, demo_page: Path) -> None:
    page = open_page(demo_page)
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert page.locator("pre.recipe").bounding_box()["height"] > 100


def test_hostile_text_is_only_text(open_page: Opener, fake: Any, tmp_path: Path) -> None:
    evil = "\n".join(ATTACKS)
    fake.title = ATTACKS[0]
    fake.student = ATTACKS[1]
    fake.source = ATTACKS[2]
    fake.tasks = dict.fromkeys(ATTACKS[:4], 0.5)
    fake.generation = evil
    for record in fake.records:
        record.id = record.question = record.answer = evil
    page = open_page(report(fake.write(tmp_path / "run")))
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")

    # Not even attempted: the policy that forbids scripts has nothing to stop.
    assert page.locator("script, img, iframe, object, link:not([rel=icon])").count() == 0
    assert page.evaluate("window.hit") is None
    assert (
        page.evaluate(
            "[...document.querySelectorAll('*')].flatMap(each => each.getAttributeNames())"
            ".filter(name => name.startsWith('on'))"
        )
        == []
    )
    assert page.title() == f"{ATTACKS[0]}: distillation report"
    assert page.locator("h1").inner_text() == ATTACKS[0]
    shown = page.locator(".answer pre").first.inner_text()
    assert shown == evil
    for place in (".question", ".gold", "table", "dl", "pre.recipe", "#accuracy"):
        text = "\n".join(page.locator(place).all_text_contents())
        assert "window.hit" in text or "example.invalid" in text, place
