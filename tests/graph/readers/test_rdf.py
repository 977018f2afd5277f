"""RDF: entities, blank nodes and literals in four syntaxes, and what happens at an error."""

import builtins
import gzip

import pytest

from roots_kg.errors import DataError, UsageError

XSD = "http://www.w3.org/2001/XMLSchema#"
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:e="http://e/"'
KEEPS = "(`--on-error quarantine` keeps what comes before)"

FILES = {
    "x.nt": (
        "# a comment\n\n<http://e/a> <http://e/r> <http://e/b> .\n"
        '<http://e/a> <http://e/size> "5"^^<http://www.w3.org/2001/XMLSchema#integer> .\n'
        '<http://e/a> <http://e/says> "Grüß Gott"@de .\n_:x <http://e/r> <http://e/a> .\n'
    ),
    "x.ttl": '@prefix e: <http://e/> .\ne:a e:r e:b ; e:size 5 ;\n  e:says "Grüß Gott"@de .\n[] e:r e:a .\n',
    "x.jsonld": (
        '{"@context": {"e": "http://e/"}, "@graph": [{"@id": "e:a", "e:r": {"@id": "e:b"}, "e:size": 5,\n'
        '"e:says": {"@value": "Grüß Gott", "@language": "de"}}, {"e:r": {"@id": "e:a"}}]}'
    ),
    "x.rdf": (
        f"<?xml version='1.0'?>\n<rdf:RDF {RDF}><rdf:Description rdf:about='http://e/a'>"
        "<e:r rdf:resource='http://e/b'/>"
        "<e:size rdf:datatype='http://www.w3.org/2001/XMLSchema#integer'>5</e:size>\n"
        "<e:says xml:lang='de'>Grüß Gott</e:says></rdf:Description>"
        "<rdf:Description><e:r rdf:resource='http://e/a'/></rdf:Description></rdf:RDF>"
    ),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_every_syntax_gives_the_same_statements(write, read, name, end, mark):
    content = (mark + FILES[name]).encode()
    found = read(write(gzip.compress(content) if end else content, name + end), scope="7")
    assert sorted(found.triples) == [
        ("_:7.0", "http://e/r", "http://e/a"),
        ("http://e/a", "http://e/r", "http://e/b"),
    ]
    assert found.values == [
        ("http://e/a", "http://e/size", "5", XSD + "integer", ""),
        ("http://e/a", "http://e/says", "Grüß Gott", "", "de"),
    ]


@pytest.mark.parametrize("name", FILES)
def test_literals_become_entities_or_nothing_where_that_is_asked_for(write, read, name):
    path = write(FILES[name], name)
    assert ("http://e/a", "http://e/size", "5") in read(path, literals="entities").triples
    found = read(path, literals="ignore")
    assert (len(found.triples), found.values, found.source.ignored) == (2, [], 2)


def test_labels_are_kept_whatever_becomes_of_literals(write, read):
    path = write('<http://e/a> <http://www.w3.org/2000/01/rdf-schema#label> "A" .\n', "x.nt")
    for literals in ("values", "entities", "ignore"):
        assert [row[2] for row in read(path, literals=literals).values] == ["A"]


def test_blank_nodes_are_numbered_as_they_appear_so_that_reading_twice_gives_the_same(write, read):
    path = write("@prefix e: <http://e/> .\ne:a e:r [ e:r [ e:r _:z ] ] .\n_:z e:r _:y .\n", "x.ttl")
    first = read(path).triples
    assert first == read(path).triples
    assert {name for triple in first for name in triple if name.startswith("_:")} == {
        f"_:0.{number}" for number in range(4)
    }


def test_named_graphs_in_json_ld_lose_their_name_and_keep_their_triples(write, read):
    content = '{"@id": "http://e/g", "@graph": [{"@id": "http://e/a", "http://e/r": {"@id": "http://e/b"}}]}'
    assert read(write(content, "x.jsonld")).triples == [("http://e/a", "http://e/r", "http://e/b")]


def test_a_bad_line_of_n_triples_costs_that_line_only(write, read):
    good = "<http://e/a> <http://e/r> <http://e/b> .\n"
    bad = ['<http://e/a> <http://e/r "y" .\n', "<a> <b> <c> .\n", "<http://e/a> <http://e/r> <http://e/b>\n"]
    quoted = "<http://e/a> <http://e/r> <<( <http://e/a> <http://e/r> <http://e/b> )>> .\n"
    content = good + good.join(bad) + good + quoted + '_:a <http://e/r> "\xff" .\n'
    path = write(content.encode("latin-1"), "x.nt")
    with pytest.raises(DataError, match=r"x.nt:2: not valid N-Triples: .* \(`--on-error quarantine` sets"):
        read(path)
    found = read(path, on_error="quarantine")
    assert len(found.triples) == 4
    assert [reject.line for reject in found.rejects] == [2, 4, 6, 8, 9]
    assert found.rejects[3].reason == "a quoted triple is not read"


def test_a_long_line_of_n_triples_is_refused_for_its_length(write, read):
    content = (
        '<http://e/a> <http://e/r> "' + "x" * 1_000_000 + '" .\n<http://e/a> <http://e/r> <http://e/b> .\n'
    )
    found = read(write(content, "x.nt"), on_error="quarantine")
    assert len(found.triples) == 1
    assert [(reject.line, reject.reason[:24]) for reject in found.rejects] == [
        (1, "the line is 1,000,030 by")
    ]


def test_a_turtle_file_cut_in_half_names_its_line_and_keeps_what_came_before(write, read):
    lines = ["@prefix e: <http://e/> .", *(f"e:a{number} e:r e:b{number} ." for number in range(50))]
    path = write("\n".join(lines)[:500], "x.ttl")
    with pytest.raises(
        DataError, match=r"x.ttl:\d+: not valid Turtle: .*; nothing from here on was read"
    ) as caught:
        read(path)
    assert str(caught.value).endswith(KEEPS)
    found = read(path, on_error="quarantine")
    assert caught.value.line == len(found.triples) + 2
    assert found.triples[0] == ("http://e/a0", "http://e/r", "http://e/b0")
    assert [reject.line for reject in found.rejects] == [caught.value.line]


@pytest.mark.parametrize("name", ["x.jsonld", "x.rdf"])
def test_a_document_cut_in_half_is_refused_with_its_line(write, read, name):
    path = write(FILES[name][: len(FILES[name]) * 2 // 3], name)
    with pytest.raises(DataError, match=r"x\.\w+:[23]: not valid "):
        read(path)


def test_an_rdf_xml_file_that_ends_between_two_elements_is_not_taken_for_whole(write, read):
    content = FILES["x.rdf"]
    path = write(content[: content.index("<rdf:Description>")], "x.rdf")
    with pytest.raises(DataError, match=r"x.rdf:3: not valid XML: no element found"):
        read(path)
    found = read(path, on_error="quarantine")
    assert len(found.triples) == 1
    assert [reject.line for reject in found.rejects] == [3]


@pytest.mark.parametrize("name", ["x.ttl", "x.rdf", "x.nt"])
def test_a_compressed_file_that_ends_early_is_refused_for_that(write, read, name):
    path = write(gzip.compress(FILES[name].encode())[:-12], name + ".gz")
    with pytest.raises(DataError, match=r"\.gz:\d+: the compressed data end too early"):
        read(path)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (
            '{"@context": "http://schema.org/", "name": "x"}',
            "x.jsonld",
            "contexts are not fetched from the network",
        ),
        ("<a> <b> <c> .", "x.ttl", "say what relative names are relative to"),
        ('<?xml version="1.0" encoding="ISO-8859-1"?><a/>', "x.rdf", "save it as UTF-8"),
    ],
)
def test_what_can_be_done_about_it_is_said(write, read, content, name, message):
    with pytest.raises(DataError, match=message):
        read(write(content, name))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("", "x.nt"),
        ("", "x.ttl"),
        ("# nothing\n", "x.ttl"),
        ("{}", "x.jsonld"),
        (f"<rdf:RDF {RDF}/>", "x.rdf"),
    ],
)
def test_a_file_without_statements_holds_no_triple(write, read, content, name):
    with pytest.raises(DataError, match="holds no triple"):
        read(write(content, name))


def test_a_quoted_triple_is_refused_or_set_aside(write, read):
    path = write("@prefix e: <http://e/> .\ne:a e:r <<( e:a e:r e:b )>> .\ne:a e:r e:b .\n", "x.ttl")
    with pytest.raises(DataError, match="a quoted triple is not read"):
        read(path)
    found = read(path, on_error="quarantine")
    assert len(found.triples) == len(found.rejects) == 1
    assert found.rejects[0].line is None


@pytest.mark.parametrize("name", FILES)
def test_without_pyoxigraph_the_way_to_get_it_is_named(write, read, monkeypatch, name):
    real = builtins.__import__

    def without(module, *arguments, **options):
        if module == "pyoxigraph":
            raise ImportError(module)
        return real(module, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"needs the package pyoxigraph \(pip install 'roots-kg\[rdf\]'\)"):
        read(write(FILES[name], name))
