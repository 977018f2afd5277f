"""What every reader must do; a new one in `FORMATS` fails here until it has a sample."""

import contextlib
import gzip
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from roots_kg.errors import DataError, RootsError
from roots_kg.graph.readers import FORMATS, Source, format_of
from roots_kg.graph.triples import KnowledgeGraph
from roots_kg.workspace import TRIPLES_EXTENSIONS

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


@dataclass(frozen=True)
class Sample:
    """How a file of a format is made.

    Args:
        write: from triples to the content of a file.
        extensions: how names of such files end.
        bad: what makes content bad in its third statement; None where the format has no single bad statement.
        stops: whether that is the end of what can be read.
        iris: whether names must be IRIs.
    """

    write: Callable[[list[tuple[str, str, str]]], bytes]
    extensions: tuple[str, ...]
    bad: Callable[[bytes], bytes] | None = None
    stops: bool = False
    iris: bool = False


def delimited(mark):
    return lambda triples: "".join(mark.join(triple) + "\n" for triple in triples).encode()


def jsonl(triples):
    return "".join(json.dumps(triple, ensure_ascii=False) + "\n" for triple in triples).encode()


def parquet(triples):
    columns = dict(zip(("head", "relation", "tail"), zip(*triples, strict=True), strict=True))
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({name: list(cells) for name, cells in columns.items()}), stream)
    return stream.getvalue()


def statements(triples):
    return "".join(f"<{head}> <{relation}> <{tail}> .\n" for head, relation, tail in triples).encode()


def json_ld(triples):
    nodes = [{"@id": head, relation: {"@id": tail}} for head, relation, tail in triples]
    return "[{}]".format(",\n".join(map(json.dumps, nodes))).encode()


def rdf_xml(triples):
    nodes = "".join(
        f'<r:Description r:about="{head}">'
        f'<{relation.replace(BASE, "b:")} r:resource="{tail}"/></r:Description>\n'
        for head, relation, tail in triples
    )
    return f'<r:RDF xmlns:r="{RDF}" xmlns:b="{BASE}">\n{nodes}</r:RDF>'.encode()


def third_line(replacement):
    def spoil(content):
        lines = content.split(b"\n")
        return b"\n".join([*lines[:2], replacement, *lines[3:]])

    return spoil


BASE = "http://example.org/"
TEXT = (".tsv", ".csv", ".txt", "")
SAMPLES = {
    "tab": Sample(delimited("\t"), TEXT, third_line(b"a\tr")),
    "pipe": Sample(delimited("|"), TEXT, third_line(b"a|r|b|c")),
    "comma": Sample(delimited(","), TEXT, third_line(b"a,,b")),
    "jsonl": Sample(jsonl, (".jsonl", ".ndjson"), third_line(b'["a", "r"]')),
    "parquet": Sample(parquet, (".parquet", ".pq")),
    "ntriples": Sample(statements, (".nt",), third_line(b"<a> <r>"), iris=True),
    "turtle": Sample(statements, (".ttl",), third_line(b"<http://a> .\n."), stops=True, iris=True),
    "jsonld": Sample(json_ld, (".jsonld",), third_line(b"{]"), stops=True, iris=True),
    "rdfxml": Sample(rdf_xml, (".rdf", ".owl", ".xml"), third_line(b"<<"), stops=True, iris=True),
}
TRIPLES = [
    ("Bonn", "in", "Germany"),
    ("Österreich", "borders", "Italy"),
    ("Rome", "in", "Italy"),
    ("a", "r", "b"),
]

every_format = pytest.mark.parametrize("name", FORMATS)


def names_for(sample, triples):
    """Return the triples with names that the format can hold."""
    if not sample.iris:
        return triples
    return [tuple(BASE + "x" + quote(name).replace("%", "_") for name in triple) for triple in triples]


def triples_of(graph):
    ids = zip(graph.head_id, graph.relation_id, graph.tail_id, strict=True)
    return [(graph.entities[head], graph.relations[link], graph.entities[tail]) for head, link, tail in ids]


@pytest.fixture
def write(tmp_path):
    def write(content, name):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@every_format
def test_it_has_a_sample_that_is_recognised_by_name_or_content_and_read(write, name):
    assert name in SAMPLES, f"add a sample for {name!r}"
    sample = SAMPLES[name]
    expected = names_for(sample, TRIPLES)
    content = sample.write(expected)
    for extension in sample.extensions:
        for path in (
            write(content, f"x{extension}"),
            write(content, f"X{extension.upper()}"),
            write(gzip.compress(content), f"x{extension}.gz"),
        ):
            assert format_of(Source(path)) == name
            assert triples_of(KnowledgeGraph.from_file(path)) == expected
    assert triples_of(KnowledgeGraph.from_file(write(content, "x.data"), format=name)) == expected


def test_a_workspace_looks_for_every_kind_of_triples_file():
    named = {extension for known in FORMATS.values() for extension in known.extensions}
    assert set(TRIPLES_EXTENSIONS) == named | {".tsv", ".csv", ".txt"}
    assert {extension for sample in SAMPLES.values() for extension in sample.extensions} - {
        ""
    } == named | set(TEXT[:3])


@every_format
def test_ids_follow_the_order_of_appearance_and_repeated_triples_are_counted(write, name):
    sample = SAMPLES[name]
    expected = names_for(sample, [*TRIPLES, *TRIPLES[1:3]])
    graph, report = KnowledgeGraph.read([write(sample.write(expected), "x")], format=name)
    assert graph.entities == tuple(dict.fromkeys(text for head, _, tail in expected for text in (head, tail)))
    assert graph.relations == tuple(dict.fromkeys(relation for _, relation, _ in expected))
    assert triples_of(graph) == expected[:4]
    assert report.duplicates == 2


@every_format
def test_windows_line_ends_and_a_byte_order_mark_make_no_difference(write, name):
    sample = SAMPLES[name]
    if name == "parquet":
        pytest.skip("no text")
    expected = names_for(sample, TRIPLES)
    content = b"\xef\xbb\xbf" + sample.write(expected).replace(b"\n", b"\r\n")
    assert triples_of(KnowledgeGraph.from_file(write(content, "x"), format=name)) == expected


@every_format
def test_a_bad_statement_is_refused_with_its_line_or_set_aside(write, name):
    sample = SAMPLES[name]
    if sample.bad is None:
        pytest.skip("its bad rows are made in the test of the reader")
    good = names_for(sample, TRIPLES)
    path = write(sample.bad(sample.write(good)), "x")
    with pytest.raises(DataError) as caught:
        KnowledgeGraph.from_file(path, format=name)
    assert caught.value.path == path
    assert caught.value.line in (3, 4)
    assert "--on-error quarantine" in caught.value.hint
    graph, report = KnowledgeGraph.read([path], format=name, on_error="quarantine")
    read = triples_of(graph)
    assert read == good[: len(read)] if sample.stops else read == [*good[:2], good[3]]
    assert [reject.line for reject in report.rejects] == [caught.value.line]


@every_format
def test_composed_and_decomposed_names_stay_two_entities(write, name):
    base = BASE if SAMPLES[name].iris else ""
    content = SAMPLES[name].write([(f"{base}\u00e9", f"{base}r", f"{base}e\u0301")])
    assert KnowledgeGraph.from_file(write(content, "x"), format=name).num_entities == 2


plain = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=6)


@every_format
@given(triples=st.lists(st.tuples(plain, plain, plain), min_size=1, max_size=6, unique=True))
@settings(max_examples=20, deadline=None)
def test_it_reads_back_what_was_written(tmp_path_factory, name, triples):
    path = tmp_path_factory.getbasetemp() / f"written.{name}"
    expected = names_for(SAMPLES[name], [("first", "of", "all"), *triples])
    path.write_bytes(SAMPLES[name].write(expected))
    assert triples_of(KnowledgeGraph.from_file(path, format=name)) == list(dict.fromkeys(expected))


TOKENS = (
    'a @ \t @ , @ | @ \n @ " @ \r @ \0 @ ä @ \u3000 @ <http://a> @ . @ [ @ ] @ { @ } @ : @ _:b @ <<( @ )>>'
)
MORE = '& @ 5 @ true @ "@id" @ "@context" @ @prefix : <http://e/> . @ <a> @ </a> @ <!-- @ PAR1 @ \ufeff'
BROKEN = [b"\xc3", b"\xa4", b"\x1f\x8b", b" "]
tokens = st.lists(
    st.sampled_from([*BROKEN, *(token.encode() for token in f"{TOKENS} @ {MORE}".split(" @ "))]), max_size=40
).map(b"".join)


@st.composite
def spoilt(draw, name):
    """Draw the content of a file of a format with some bytes changed, left out or put in."""
    content = bytearray(SAMPLES[name].write(names_for(SAMPLES[name], TRIPLES)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 8))] = draw(st.binary(max_size=4) | tokens)
    return bytes(content)


@every_format
@given(data=st.data(), compressed=st.booleans(), cut=st.integers(0, 200))
@settings(max_examples=60, deadline=None)
def test_no_bytes_make_it_raise_anything_but_our_errors(tmp_path_factory, name, data, compressed, cut):
    content = data.draw(spoilt(name) | tokens | st.binary(max_size=200))
    if compressed:
        content = gzip.compress(content)[: cut or None]
    path = tmp_path_factory.getbasetemp() / f"any.{name}{'.gz' if compressed else ''}"
    path.write_bytes(content)
    for options in ({}, {"on_error": "quarantine"}, {"on_error": "quarantine", "literals": "entities"}):
        with contextlib.suppress(RootsError):
            graph, report = KnowledgeGraph.read([path], format=name, **options)
            assert all(map(str.strip, graph.entities))
            assert all(reject.reason for reject in report.rejects)


@given(tokens)
@example(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\xff")
@settings(max_examples=100, deadline=None)
def test_no_bytes_confuse_the_choice_of_a_format(tmp_path_factory, content):
    for name in ("unknown", "unknown.gz"):
        path = tmp_path_factory.getbasetemp() / name
        path.write_bytes(content)
        with contextlib.suppress(RootsError):
            assert format_of(Source(path)) in FORMATS
