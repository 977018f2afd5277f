import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from roots_kg.errors import DataError
from roots_kg.evaluation.deletion import Deleted
from roots_kg.evaluation.report_page import write_page

VOID = {"meta", "br", "hr", "img", "input", "link"}
HOSTILE = "</bdi><script>alert(1)</script>\u202e@@policy@@&amp;"


class Outline(HTMLParser):
    """The elements of a page, which must be closed in the order in which they were opened."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def page(report, tmp_path, **options):
    path = tmp_path / "page.html"
    write_page(report, path, **options)
    return path.read_text(encoding="utf-8")


def test_the_verdict_comes_first_and_every_part_of_the_report_follows(routing_report, tmp_path):
    text = page(routing_report, tmp_path, model="runs/routing", test="test.jsonl")
    assert f'<p class="verdict helps"><bdi>{routing_report.verdict}</bdi></p>' in text
    assert text.index("verdict helps") < text.index("<h2")
    for shown in ("runs/routing", "18 of test.jsonl", "3 draws of 12 examples (4 shots)", "Draw 3"):
        assert shown in text
    assert routing_report.interval in text
    assert "@@" not in text


def test_the_page_is_well_formed_and_names_its_parts(routing_report, questions_report, tmp_path):
    for report in (routing_report, questions_report):
        outline = Outline(page(report, tmp_path))
        ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        named = [a["aria-labelledby"] for _, a in outline.elements if "aria-labelledby" in a]
        assert {name for names in named for name in names.split()} <= set(ids)
        assert len(outline.all("svg")) == 3
        assert all(a.get("role") == "img" for a in outline.all("svg"))
        assert {a.get("scope") for a in outline.all("th")} == {"col", "row"}
        assert len(outline.all("caption")) == len(outline.all("table"))
        scrolling = [a for a in outline.all("div") if a.get("class") == "scroll"]
        assert all(a["tabindex"] == "0" and a["aria-label"] for a in scrolling)
        assert len(scrolling) == len(outline.all("table"))


def test_the_page_fetches_nothing_runs_nothing_and_allows_its_own_style_only(routing_report, tmp_path):
    text = page(routing_report, tmp_path)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; ")
    assert "unsafe" not in policy
    assert not re.search(r"<script|(src|href|style)\s*=|url\(|@import|https?://", text)


def test_names_are_text_and_nothing_else(routing_report, tmp_path):
    harmless = page(routing_report, tmp_path, model="model", test="test")
    shown = (Deleted(HOSTILE, (HOSTILE, HOSTILE, HOSTILE), HOSTILE, HOSTILE),)
    deletion = replace(routing_report.deletion, shown=shown * len(routing_report.deletion.shown))
    report = replace(routing_report, task=HOSTILE, head=HOSTILE, deletion=deletion)
    text = page(report, tmp_path, model=HOSTILE, test=HOSTILE)
    assert re.findall(r"<[/!a-zA-Z]*", text) == re.findall(r"<[/!a-zA-Z]*", harmless)
    assert "\u202e" not in text
    assert "&amp;amp;" in text


def test_what_is_impossible_or_was_not_tried_is_said(questions_report, routing_report, tmp_path):
    text = page(questions_report, tmp_path)
    assert "not possible" in text
    assert "stands in for it" in text
    none = replace(routing_report.deletion.heaviest, tried=0, changed=0, share=None, fall=None)
    deletion = replace(
        routing_report.deletion, heaviest=none, strongest=none, other=none, shown=(), with_evidence=0
    )
    assert "No prediction cites a triple" in page(replace(routing_report, deletion=deletion), tmp_path)


def test_what_cannot_be_written_leaves_what_was_there(routing_report, tmp_path):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(DataError, match="cannot be written"):
        write_page(routing_report, tmp_path / "file" / "page.html")
    assert (tmp_path / "file").read_text() == "a file"
    write_page(routing_report, tmp_path / "new" / "page.html")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]
