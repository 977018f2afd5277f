"""What every delimiter must do; a new one in `DELIMITERS` fails here until it has a sample."""

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roots_kg.errors import DataError
from roots_kg.graph.readers import DELIMITERS, TripleReader, sniff

SAMPLES = {
    "tab": 'Österreich\tlies in\tEurope, the continent\nBonn\tsaid "hi"\ta|b\n',
    "pipe": 'Österreich|lies in|Europe, the continent\nBonn|said "hi"|a, b\n',
    "comma": 'Österreich,lies in,"Europe, the continent"\nBonn,"said ""hi""",a|b\n',
}
FIRST = ("Österreich", "lies in", "Europe, the continent")

every_delimiter = pytest.mark.parametrize("name", DELIMITERS)


@pytest.fixture
def write(tmp_path):
    def write(content, name="triples.txt"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def read(path, **options):
    return list(TripleReader(path, **options).read())


@every_delimiter
def test_it_has_a_sample_that_is_recognised_and_read(write, name):
    assert name in SAMPLES, f"add a sample of two triples for {name!r}"
    path = write(SAMPLES[name])
    assert sniff(path) == name
    triples = read(path)
    assert triples[0] == FIRST
    assert triples[1][:2] == ("Bonn", 'said "hi"')
    assert triples == read(path, delimiter=name)


@every_delimiter
def test_it_skips_a_header_and_blank_lines_and_takes_windows_files_and_gzip(write, name):
    header = DELIMITERS[name].join(["Head", "Relation", "Tail"])
    content = f"\ufeff{header}\n\n{SAMPLES[name]}".replace("\n", "\r\n").encode()
    expected = read(write(SAMPLES[name]))
    assert read(write(content, "windows.txt")) == expected
    assert read(write(gzip.compress(content), "triples.gz")) == expected


@every_delimiter
def test_it_refuses_a_bad_line_by_number_or_sets_it_aside(write, name):
    mark = DELIMITERS[name]
    path = write(SAMPLES[name] + f"a{mark}r\n" + f"a{mark}{mark}b\n" + SAMPLES[name])
    with pytest.raises(DataError, match=r"triples.txt:3: expected 3 columns, found 2") as caught:
        read(path)
    assert caught.value.line == 3
    reader = TripleReader(path, on_error="quarantine")
    assert len(list(reader.read())) == 4
    assert [(reject.line, reject.reason) for reject in reader.rejects] == [
        (3, "expected 3 columns, found 2"),
        (4, "the relation column is empty"),
    ]


plain = st.text(
    st.characters(categories=["L", "N", "S", "Po"], exclude_characters='",|'), min_size=1, max_size=6
)


@every_delimiter
@given(triples=st.lists(st.tuples(plain, plain, plain), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_it_reads_back_what_was_written(tmp_path_factory, name, triples):
    path = tmp_path_factory.getbasetemp() / f"written.{name}"
    lines = [("head", "relation", "tail"), *triples]
    path.write_text("\n".join(map(DELIMITERS[name].join, lines)), encoding="utf-8", newline="\n")
    assert read(path, delimiter=name) == triples
