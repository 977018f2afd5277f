import pytest
from hypothesis import given
from hypothesis import strategies as st

from roots_kg.encoding.markup import StripMarkup

strip = StripMarkup().build()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("one<br/>two <b>bo</b>ld", "one\ntwo bold"),
        ("<p>One.</p>\n<p class='a > b'>Two.</p>", "One.\nTwo."),
        ("<name>Graz</name><country>Austria</country>", "Graz\nAustria"),
        ("a &amp; b &lt;c&gt; &#228; &#xE4; &euro;", "a & b <c> ä ä €"),
        ("one<!-- <p>not this</p> -->two", "onetwo"),
        ("<!DOCTYPE html><?xml version='1.0'?>text", "text"),
        ("a<![CDATA[ <b> & ]]>c", "a <b> & c"),
        ("one<script type='x'>if (a < b) { '<p>' }</script>two", "onetwo"),
        ("<style>p { color: red }</STYLE>text", "text"),
        ("<A HREF='x'>text</A>", "text"),
    ],
)
def test_markup_goes_and_text_stays(text, wanted):
    assert strip(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "a < b and c > d",
        "I <3 Graz, x<5",
        "<john@example.org> wrote to <http://example.org/>",
        "AT&T and R&D",
        "  indented\n\n and spaced ",
        "the end <b",
        "an open <!-- comment and more",
    ],
)
def test_what_is_no_markup_stays_as_it_is(text):
    assert strip(text) == text


@pytest.mark.parametrize(
    "broken",
    [
        "<script>",
        "<style",
        "</b",
        "<!-- ",
        "<a href='x>",
        "<b <i>",
        "</p></p>",
        "<![CDATA[",
        "<!",
        "<textarea>",
    ],
)
def test_broken_markup_never_loses_the_text_around_it(broken):
    made = strip(f"before {broken} after")
    assert "before" in made
    assert "after" in made


@given(st.text(st.sampled_from("ab \n\u3000ä&;"), max_size=40))
def test_text_without_angle_brackets_and_known_entities_is_untouched(text):
    assert strip(text) == text
