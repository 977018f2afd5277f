"""Mentions are the longest names that stand in a text as words, with the entities they may refer to."""

import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from roots_kg.graph.linking import FUNCTION_WORDS, NO_LINK, Linker, strongest
from roots_kg.graph.triples import KnowledgeGraph


def linker(*names, aliases=None):
    """A linker for a graph of these entities, in a chain."""
    chain = zip(names, [*names[1:], names[0]], strict=True)
    return Linker(KnowledgeGraph.from_triples([(a, "r", b) for a, b in chain], aliases=aliases))


def found(names, text):
    """The mentions of some names in a text, as (text, entity)."""
    names = [names] if isinstance(names, str) else names
    return [(mention.best.text, names[mention.best.entity_id]) for mention in linker(*names).link(text)]


def mentions(names, text):
    return [surface for surface, _ in found(names, text)]


def test_a_name_is_found_wherever_it_stands_with_its_place():
    (first, second) = linker("Vienna", "Austria").link("Vienna lies in Austria.")
    assert (first.best.start, first.best.end, first.best.text, first.best.entity_id) == (0, 6, "Vienna", 0)
    assert (second.best.start, second.best.end, second.best.entity_id) == (15, 22, 1)


def test_of_overlapping_names_the_leftmost_then_the_longest_is_taken():
    names = ["New York", "York", "New York City", "City Hall"]
    assert mentions(names, "New York City Hall") == ["New York City"]
    assert mentions(names, "New York is not York") == ["New York", "York"]


def test_a_name_within_a_word_is_no_mention():
    assert mentions(["Man", "Chad"], "Manchester, Oman, Chads, Man2, 2Man") == []
    assert mentions("Man", "(Man) Man, Man's; Man-made") == ["Man"] * 4


def test_case_matters_little_but_the_right_case_scores_higher():
    link = linker("Austria").link
    right, wrong = link("in Austria")[0].best, link("in AUSTRIA")[0].best
    assert NO_LINK < wrong.score < right.score == 1


def test_a_second_name_scores_a_little_less_than_the_first():
    link = linker("Q40", "Q1", aliases={"Q40": ["Austria", "Österreich"]}).link
    assert link("near Österreich")[0].best.score < link("near Austria")[0].best.score


def test_an_entity_is_found_by_its_key_however_many_names_it_has():
    link = linker("Austria", aliases={"Austria": ["Republic of Austria"]}).link
    assert [found.best.entity_id for found in link("Austria, or the Republic of Austria")] == [0, 0]


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
@pytest.mark.parametrize(
    "name",
    [
        "Österreich",
        "Việt Nam",
        "Côte d'Ivoire",
        "대한민국",
        "ドイツ",
        "ガーナ",
        "नेपाल",
        "ประเทศไทย",
        "Ελλάδα",
    ],
)
def test_the_unicode_form_of_text_and_name_makes_no_difference(name, form):
    written = unicodedata.normalize(form, name)
    assert mentions(name, f"— {written}.") == [written]
    assert mentions(written, f"— {name}.") == [name]


@pytest.mark.parametrize("mark", "'’‘ʼ`")
def test_every_form_of_the_apostrophe_is_one(mark):
    assert mentions("Côte d'Ivoire", f"to Côte d{mark}Ivoire.") == [f"Côte d{mark}Ivoire"]
    assert mentions(f"Cote d{mark}Ivoire", "to Cote d'Ivoire.") == ["Cote d'Ivoire"]


@pytest.mark.parametrize("mark", "-–—‐‑−")
def test_every_form_of_the_hyphen_is_one(mark):
    assert mentions("Guinea-Bissau", f"to Guinea{mark}Bissau.") == [f"Guinea{mark}Bissau"]


def test_the_space_between_words_may_be_of_any_kind_and_length():
    assert mentions("New York", "in New  York, New\u00a0York, New\nYork") == [
        "New  York",
        "New\u00a0York",
        "New\nYork",
    ]


def test_names_in_scripts_without_spaces_are_found_inside_a_run():
    assert mentions(["日本", "中国"], "日本人と中国") == ["日本", "中国"]
    assert mentions(["ドイツ", "ไทย"], "私はドイツにประเทศไทย") == ["ドイツ", "ไทย"]


def test_a_script_with_vowel_signs_has_words_like_any_other():
    assert mentions("नेप", "नेपाल") == []
    assert mentions(["Μαν", "عمان"], "Μανία عمانية") == []


def test_a_mention_ends_where_the_accent_on_its_last_letter_ends():
    assert mentions("Man", "Man\u0301 is not") == []
    assert mentions("Café", "in Cafe\u0301!") == ["Cafe\u0301"]


@pytest.mark.parametrize("text", ["come to us", "To be", "It is", "so US", "what IT is"])
def test_function_words_give_no_link(text):
    assert mentions(["to", "us", "it", "be", "is", "so", "what"], text) == []


def test_a_name_that_is_also_a_function_word_is_found_where_it_is_written_like_the_name():
    assert mentions("US", "in the US") == ["US"]
    assert mentions("US", "give us time") == []


def test_a_capital_at_the_start_of_a_text_does_not_make_a_function_word_a_name():
    assert mentions("It", "It is far") == []
    assert mentions("It", "we read It again") == ["It"]


def test_a_name_that_several_entities_share_gives_them_all_best_first():
    names = {"Q1": ["Georgia"], "Q2": ["Sakartvelo", "Georgia"], "Q3": ["georgia"], "Q4": ["Georgia"]}
    graph = KnowledgeGraph.from_triples(
        [("Q1", "r", "Q2"), ("Q3", "r", "Q4"), ("Q4", "r", "Q2")], aliases=names
    )
    (mention,) = Linker(graph).link("in Georgia")
    keys = [graph.entities[link.entity_id] for link in mention.candidates]
    assert keys == ["Q4", "Q1", "Q2", "Q3"]
    scores = [link.score for link in mention.candidates]
    assert scores == sorted(scores, reverse=True)
    assert mention.best == mention.candidates[0]


def test_an_entity_is_a_candidate_once_however_many_of_its_names_match():
    (mention,) = linker("Q1", "Q2", aliases={"Q1": ["Georgia", "GEORGIA", "georgia"]}).link("in georgia")
    assert [link.score for link in mention.candidates] == [pytest.approx(0.9 * 0.95)]


def test_a_text_or_a_graph_without_names_gives_no_mentions():
    assert linker("Vienna").link("") == []
    assert linker("Vienna").link("nothing of the kind") == []
    assert Linker(KnowledgeGraph.from_triples([])).link("Vienna") == []
    assert linker(" ", "Vienna").link(" ") == []


@pytest.mark.parametrize(
    ("names", "text", "mentioned"),
    [
        (["Directed by John Ford", "John Ford"], "films directed by John Ford", "John Ford"),
        (["In Hell", "Hell's Kitchen"], "who starred in Hell's Kitchen", "Hell's Kitchen"),
        (["The Butterfly", "Butterfly"], "the film by the Butterfly director", "Butterfly"),
        (["The Devil", "House of the Devil"], "The house of the Devil", "house of the Devil"),
        (["united", "United States"], "the united states", "united states"),
        (["The House", "House of Cards"], "THE HOUSE OF CARDS", "THE HOUSE"),
        (["at 10", "10 Years", "top 10"], "now at 10 years", "at 10"),
        (["iPhone 15", "15 Max"], "the iPhone 15 max", "iPhone 15"),
    ],
)
def test_of_overlapping_names_those_written_like_names_come_first(names, text, mentioned):
    assert mentioned in mentions(names, text)


def test_a_name_in_small_letters_says_less_where_the_text_writes_capitals():
    link = linker("Austria", "Time Changer", "The Lord of the Rings").link
    (lower,), (cased,) = link("in austria"), link("in austria, says Jane")
    assert NO_LINK < cased.best.score < lower.best.score < 1
    (long,) = link("the lord of the rings, says Jane")
    assert long.best.score > cased.best.score


def test_the_strongest_mention_is_the_one_most_like_a_name_then_the_longest():
    link = linker("film", "time machine", "Austria", "Time Out").link
    assert strongest(link("a film about a time machine")).best.text == "time machine"
    assert strongest(link("the film Time Out")).best.text == "Time Out"
    assert strongest(link("Austria, Austria")).best.start == 0
    assert strongest([]) is None


@pytest.mark.parametrize(
    ("alias", "text", "expected"),
    [
        ("it", "it is far, and It is late", []),
        ("It", "I saw it. It was late", []),
        ("It", 'He read "It" twice', ["It"]),
        ("US", "tell us, and US troops left", ["US"]),
        ("US", "US troops left", ["US"]),
        ("US", "He left. US troops stayed", ["US"]),
        ("US", "TELL US THE WAY", []),
        ("us", "US troops", []),
        ("The Who", "we heard The Who", ["The Who"]),
        ("The Who", "The Who played", ["The Who"]),
        ("The Who", "the who and the what", []),
        ("So What", "so what", []),
    ],
)
def test_an_alias_that_is_a_common_word_is_found_only_where_its_capitals_tell(alias, text, expected):
    found = linker("Q1", "Q2", aliases={"Q1": ["a name of its own", alias]}).link(text)
    assert [mention.best.text for mention in found] == expected


def test_a_graph_without_names_is_searched_by_its_keys():
    link = linker("Q42", "http://example.org/Q5", "_:b0").link
    assert [found.best.entity_id for found in link("is Q42 of http://example.org/Q5 or b0?")] == [0, 1]


@pytest.mark.parametrize("alias", ["", " ", "\t\n", "-", "'", "?!", "…", "\u0301", "\u200b"])
def test_a_name_of_punctuation_alone_is_not_looked_for(alias):
    graph = KnowledgeGraph.from_triples([("Q1", "r", "Q2")], aliases={"Q1": [alias], "Q2": [alias, "Two"]})
    found = Linker(graph).link(f"a {alias} - ' ?! … Two Q1 {alias}")
    assert [mention.best.text for mention in found] == ["Two", "Q1"]


def test_two_entities_of_one_name_are_both_candidates():
    (mention,) = linker("Q1", "Q2", aliases={"Q1": ["Paris"], "Q2": ["Paris"]}).link("to Paris")
    assert {link.entity_id for link in mention.candidates} == {0, 1}


def test_labels_of_rdf_are_found_in_every_language(tmp_path):
    pytest.importorskip("pyoxigraph")
    path = tmp_path / "graph.ttl"
    path.write_text(
        "@prefix : <http://example.org/> . @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .\n"
        ":Q40 :capital :Q1741 ; rdfs:label 'Austria'@en, 'Österreich'@de, 'オーストリア'@ja, 'النمسا'@ar .\n"
        ":Q1741 rdfs:label 'Vienna'@en, 'ウィーン'@ja, 'เวียนนา'@th .\n",
        encoding="utf-8",
    )
    graph = KnowledgeGraph.from_file(path)
    texts = ["Vienna in Austria", "Wien in Österreich", "オーストリアのウィーンへ", "في النمسا", "ไปเวียนนา"]
    found = [
        [graph.name(mention.best.entity_id) for mention in part] for part in Linker(graph).link_all(texts)
    ]
    assert found == [["Vienna", "Austria"], ["Austria"], ["Austria", "Vienna"], ["Austria"], ["Vienna"]]


def test_a_long_text_with_many_mentions_is_read_to_its_end():
    names = [f"Town {number}" for number in range(500)]
    text = ", ".join(names)
    assert [mention.best.entity_id for mention in linker(*names).link(text)] == list(range(500))
    long = f"{'It was us in the town of it. ' * 35_000}Town 7{' Ünd' * 20_000}, Town 8"
    found = linker(*names, "It", "us", "Und").link(long)
    assert [mention.best.text for mention in found] == ["Town 7", "Town 8"]
    assert all(long[mention.best.start : mention.best.end] == mention.best.text for mention in found)


def test_names_within_names_are_all_read_past():
    names = [" ".join(["ah"] * count) for count in range(1, 20)]
    assert [len(mention.best.text.split()) for mention in linker(*names).link("ah " * 1000)] == [19] * 52 + [
        12
    ]


def test_many_texts_give_what_each_gives_alone():
    link = linker("Vienna", "New York", "Österreich", "日本", "US")
    texts = [
        "Vienna and",
        "New",
        "York",
        "",
        "Österreich, Vienna",
        "日本",
        "the US",
        " ",
        "New York \udc80 Vienna",
    ]
    together = link.link_all(texts)
    assert together == [link.link(text) for text in texts]
    assert list(map(len, together)) == [1, 0, 0, 0, 2, 1, 1, 0, 2]
    assert link.link_all([]) == []


alphabet = "abAB ' ’-.é\u0301国の़ेx\x02\x03_1ßİﬁ\u3099か"
pieces = st.text(alphabet, max_size=12) | st.text(max_size=8)


@given(st.lists(pieces, min_size=1, max_size=6, unique=True), st.lists(pieces, max_size=5), st.data())
@example(["a", "\x03"], ["\x02\x03\x03a"], None)
@settings(max_examples=150, deadline=None)
def test_mentions_of_any_names_in_any_text_are_spans_of_it_in_order(names, parts, data):
    inserted = data.draw(st.lists(st.sampled_from(names), max_size=3)) if data else []
    text = "".join([*parts, *inserted])
    linked = linker(*names).link(text)
    position = 0
    for mention in linked:
        assert len({(link.start, link.end) for link in mention.candidates}) == 1
        assert position <= mention.best.start < mention.best.end
        position = mention.best.end
        for link in mention.candidates:
            assert text[link.start : link.end] == link.text
            assert 0 <= link.entity_id < len(names)
            assert NO_LINK < link.score <= 1


words = st.text(st.characters(categories=["Lu", "Ll", "Lo"]), min_size=3, max_size=8).filter(
    lambda word: word.casefold() not in FUNCTION_WORDS
)


@given(words, st.sampled_from(["NFC", "NFD"]))
@settings(max_examples=100, deadline=None)
def test_any_word_is_found_between_spaces_in_either_unicode_form(word, form):
    name, written = unicodedata.normalize("NFC", word), unicodedata.normalize(form, word)
    linked = linker(name, "another name").link(f"1 {written} 2")
    assert [mention.best.text for mention in linked] == [written]


def plainly(names, text):
    """The spans that a linker should find in an ASCII text without function words, by trying all."""
    words = [
        (found.start(), found.end(), found.group().replace("`", "'").lower())
        for found in re.finditer(r"[A-Za-z0-9]+|[^\w\s]|_", text)
    ]
    spans = []
    for first in range(len(words)):
        for last in range(first, len(words)):
            inside = [word for _, _, word in words[first : last + 1]]
            same = [name for name in names if wordlike(name) and plain_words(name) == inside]
            if same:
                spans.append((words[first][0], words[last][1], same))

    def precedence(span):
        surface = text[span[0] : span[1]]
        capital = next(sign for sign in surface if sign.isalnum()).isupper()
        like_a_name = capital or (surface in span[2] and surface != surface.lower())
        return not like_a_name, span[0], -span[1]

    chosen = []
    for start, end, _ in sorted(spans, key=precedence):
        if all(end <= other[0] or other[1] <= start for other in chosen):
            chosen.append((start, end))
    return sorted(chosen)


def plain_words(name):
    return [word.replace("`", "'").lower() for word in re.findall(r"[A-Za-z0-9]+|[^\w\s]|_", name)]


def wordlike(name):
    return any(sign.isalnum() for sign in name)


syllables = st.sampled_from(
    ["ka", "Ka", "lo", "LO", "x1", " ", " ", "  ", "-", "'", "`", "_", ".", "\n", "\x1c"]
)
plain_texts = st.lists(syllables, max_size=14).map("".join)


@given(
    st.lists(plain_texts, min_size=1, max_size=8, unique=True), st.lists(plain_texts, max_size=4), st.data()
)
@settings(max_examples=300, deadline=None)
def test_what_is_found_is_what_trying_all_names_finds(names, texts, data):
    texts = [f"{text} {data.draw(st.sampled_from(names))} {text}" for text in texts]
    found = linker(*names).link_all([*texts, *names])
    for text, mentions_ in zip([*texts, *names], found, strict=True):
        assert [(m.best.start, m.best.end) for m in mentions_] == plainly(names, text)
