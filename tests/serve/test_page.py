"""The page in a real browser: what a person types is answered, marked, measured and drawn."""

import shutil
import threading

import pytest
import uvicorn

from roots_kg.serve import ServeConfig, make_app
from roots_kg.serve.service import Service

CHROMIUM = shutil.which("chromium")
browsers = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

TEXT = "The parcel to <b>Wels</b> 🎁 never arrived, said Graz."


@pytest.fixture(scope="module")
def address(routing):
    """Where a server listens, in this process."""
    settings = uvicorn.Config(make_app(Service(routing, "routing"), ServeConfig()), port=0, log_level="error")
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        thread.join(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def browser():
    """Chromium, without a window."""
    with browsers.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser, address):
    """The page as it is opened; nothing that a browser complains of may happen."""
    context = browser.new_context(reduced_motion="reduce", viewport={"width": 390, "height": 800})
    opened, complaints = context.new_page(), []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(address)
    yield opened
    assert complaints == []
    context.close()


def ask(page, text):
    page.fill("#text", text)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#found:visible")
    page.wait_for_function("() => !document.getElementById('go').disabled")


def test_a_text_is_answered_with_its_links_and_triples(page):
    ask(page, TEXT)
    assert page.inner_text("#answer") == "central"
    assert "Without the graph" in page.inner_text("#change")
    assert page.locator("#marked mark button").all_inner_texts() == ["Wels", "Graz"]
    assert "<b>" in page.inner_text("#marked")
    assert "Wels · located_in · Austria" in page.inner_text("#evidence")
    assert page.locator("#gates span").count() > 5
    assert page.locator(".node.linked").count() == 2
    assert page.locator(".edge.used").count() >= 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing runs off a phone


def test_the_graph_is_switched_off_and_unfolded_by_keyboard(page):
    ask(page, "The parcel to Wels never arrived.")
    page.uncheck("#use")
    page.wait_for_function("() => document.getElementById('change').textContent.startsWith('With the graph')")
    assert "nothing in it is linked" in page.inner_text("#marked")
    page.check("#use")
    page.wait_for_selector(".node.linked")
    before = page.locator(".node").count()
    page.focus(".node:not(.linked)")
    page.keyboard.press("Enter")
    page.wait_for_function(f"() => document.querySelectorAll('.node').length > {before}")
    assert page.inner_text("#unfolded").startswith("Austria: ")


def test_an_entity_can_be_dragged(page):
    ask(page, "The parcel to Wels never arrived.")
    node = page.locator(".node.linked").first
    node.scroll_into_view_if_needed()
    box, before = node.bounding_box(), node.get_attribute("transform")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 50, steps=5)
    page.mouse.up()
    assert node.get_attribute("transform") != before
