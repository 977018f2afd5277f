"""What a block list takes for a phrase, and what its file may hold."""

import pytest

from roots_kg.encoding.decoding.block_list import BlockList, read_block_list
from roots_kg.errors import DataError, UsageError


def allowed(phrases, text, *, prompt="", complete=True):
    return BlockList(phrases)(prompt, text, complete)


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("class", "a CLASS, no less"),
        ("New  York", "in new\nyork"),
        ("New York", "NEW YORK's"),
        ("well-known", "a well - known"),
        ("C++", "in c + + or so"),
        ("3.5", "it is 3.5"),
        ("Straße", "die STRASSE"),
        ("ΟΔΟΣ", "η οδος"),
        ("don't", "I don’t"),
        ("café", "the cafe\u0301"),
        ("dog", "the ｄｏｇ"),
        ("dog", "the d\u00ado\u200bg"),
        ("dog", "_dog_"),
        ("fish", "ﬁsh"),
        ("東京", "その東京都は"),
        ("東京", "the 東 京"),
        ("हिन्दी", "वह हिन्दी है"),
        ("🙂", "yes🙂🙂"),
        ("...", "so..."),
    ],
)
def test_a_phrase_is_found_however_it_is_written(phrase, text):
    assert not allowed([phrase], text)
    assert not allowed(["never", phrase], f"before {text} after", complete=False)


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("class", "a classic subclass of classes"),
        ("New York", "new-york, York New"),
        ("cafe", "the café, cafe\u0301"),
        ("3.5", "13.5 or 3.55"),
        ("हिन", "वह हिन्दी है"),
        ("か", "が"),
        ("dog", ""),
    ],
)
def test_what_only_begins_like_a_phrase_is_no_such(phrase, text):
    assert allowed([phrase], text)


def test_a_word_may_become_a_longer_one_until_the_text_is_complete():
    assert allowed(["class"], "the class", complete=False)
    assert not allowed(["class"], "the class", complete=True)
    assert not allowed(["class"], "the class ", complete=False)
    assert not allowed(["class"], "the class.", complete=False)
    assert allowed(["in class"], "in clas", complete=False)
    assert not allowed(["東京"], "東京", complete=False)


def test_what_stands_in_the_prompt_does_not_count_but_is_not_gone_on_with():
    assert allowed(["dog"], " runs", prompt="The dog")
    assert allowed(["dog"], "ma", prompt="The dog")
    assert not allowed(["dog"], "g", prompt="The do")
    assert not allowed(["dog"], " dog", prompt="The dog and the")
    assert not allowed(["hot dog"], " dog", prompt="A hot")
    assert not allowed(["dogs"], "s", prompt="The dog")
    assert allowed(["café"], " is", prompt="A cafe\u0301")


def test_a_phrase_in_which_nothing_is_seen_is_refused():
    with pytest.raises(UsageError, match="is blank"):
        BlockList(["dog", " \u200b"])


def test_a_file_holds_a_phrase_a_line_and_comments(tmp_path):
    path = tmp_path / "blocked.txt"
    path.write_bytes("\ufeff# animals\r\n\r\nhot dog \r\n  Café\n#\n".encode())
    assert read_block_list(path) == ("hot dog", "Café")


@pytest.mark.parametrize(
    ("content", "message", "line"),
    [
        (b"dog\n\xff\n", "not UTF-8", 2),
        (b"# dog\n\n", "there is no phrase", None),
        ("dog\n\u200b\n".encode(), "only characters that are not seen", 2),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_line(tmp_path, content, message, line):
    path = tmp_path / "blocked.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as refused:
        read_block_list(path)
    assert (refused.value.path, refused.value.line) == (path, line)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_block_list(tmp_path / "none.txt")
