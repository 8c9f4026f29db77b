"""What the page's tests run on: a service on a free port, a browser, and a page that is watched."""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    Route,
    expect,
    sync_playwright,
)

FAKE_SERVICE = Path(__file__).with_name("fake_service.py")
START_SECONDS = 60
PATIENCE_MS = 15_000  # a busy machine is slow, not wrong
CHROMIUM_ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
RECOMMENDATIONS = "**/recommendations"
#: The buttons of suggestions that rest on the person's own reviews.
WHY = "#cards [data-key^='why ']"
#: What the browser itself says about an answer such as 503; the tests cause these on purpose.
ANSWERED_BADLY = "Failed to load resource"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def running(command: list[str], port: int) -> Iterator[str]:
    """Starts a service, waits until it answers, yields its address, ends it."""
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(START_SECONDS * 10):
            try:
                urlopen(f"{address}/styles", timeout=5).close()
                break
            except OSError:
                if process.poll() is not None:
                    pytest.fail(f"the service did not start: {process.stderr.read()}")
                time.sleep(0.1)
        else:
            pytest.fail(f"the service did not answer within {START_SECONDS} s")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stderr.close()


@contextmanager
def fake_service() -> Iterator[str]:
    """The address of a service whose answers are invented."""
    port = free_port()
    with running([str(FAKE_SERVICE), "--port", str(port)], port) as address:
        yield address


@contextmanager
def headless_chromium() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed, so the page is not tested")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=list(CHROMIUM_ARGUMENTS)
        )
        expect.set_options(timeout=PATIENCE_MS)
        yield browser
        browser.close()


@contextmanager
def watched_page(browser: Browser, page_url: str) -> Iterator[Callable[..., Page]]:
    """A function that opens the page in a fresh profile; at the end nothing may have gone wrong."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on(
            "console",
            lambda message: (
                wrong.append(f"console: {message.text}")
                if message.type in ("error", "warning") and ANSWERED_BADLY not in message.text
                else None
            ),
        )
        page.on(
            "request",
            lambda request: (
                wrong.append(f"another host: {request.url}")
                if not request.url.startswith(f"{page_url}/")
                else None
            ),
        )

    def open_page(prepare: Callable[[Page], None] | None = None, **options: Any) -> Page:
        options = {"viewport": {"width": 1440, "height": 1000}} | options
        context = browser.new_context(reduced_motion="reduce", **options)
        contexts.append(context)
        page = context.new_page()
        watch(page)
        if prepare is not None:
            prepare(page)
        page.goto(f"{page_url}/")
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            page.unroute_all(behavior="ignoreErrors")  # of a request that is still on its way
        context.close()
    assert wrong == []


def answer_with(page: Page, status: int, detail: Any, times: int = 1, **headers: str) -> None:
    """The next `times` requests for recommendations are answered so, whatever the service is."""
    page.route(
        RECOMMENDATIONS,
        lambda route: route.fulfill(
            status=status,
            body=json.dumps({"detail": detail}),
            headers={"Content-Type": "application/json"} | headers,
        ),
        times=times,
    )


def change_answers(page: Page, change: Callable[[dict[str, Any]], None]) -> None:
    """`change` may alter each answer of the service on its way to the page."""

    def altered(route: Route) -> None:
        response = route.fetch()
        answer = response.json()
        change(answer)
        route.fulfill(response=response, json=answer)

    page.route(RECOMMENDATIONS, altered)


def cards(page: Page) -> Locator:
    return page.locator("#cards > .card:not(.skeleton)")


def names(page: Page) -> list[str]:
    return page.locator("#cards h3").all_text_contents()


def borrow(page: Page, number: int = 0) -> None:
    """Takes the reviews of a demo person and waits for what they are suggested."""
    with page.expect_response(RECOMMENDATIONS):
        page.locator("#people button").nth(number).click()
    expect(page.locator(WHY).first).to_be_visible()


def wish(page: Page, words: str) -> None:
    """Types what is wanted and waits for the list."""
    with page.expect_response(RECOMMENDATIONS):
        page.get_by_label("What are you looking for?").press_sequentially(words)
    expect(page.locator("#cards .match").first).to_be_visible()


def write(page: Page, text: str, product: str = "", stars: int = 4) -> None:
    name = page.get_by_label("What did you try?")
    name.fill(product)
    name.blur()  # or suggestions may come that lie over the stars
    page.locator(f"label[for=star-{stars}]").click()
    page.get_by_label("In your own words").fill(text)
    with page.expect_request(RECOMMENDATIONS):
        page.get_by_role("button", name="Add review").click()
