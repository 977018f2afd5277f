"""Reading a file into plain tuples, and writing one."""

from types import SimpleNamespace

import pytest

from roots_kg.graph.readers import Source, read_file


def rows(cells):
    """Return cells as tuples of text."""
    text = cells.text.tobytes()
    pairs = zip(cells.start.tolist(), cells.length.tolist(), strict=True)
    return [
        tuple(text[at : at + size].decode() for at, size in zip(starts, lengths, strict=True))
        for starts, lengths in pairs
    ]


@pytest.fixture(scope="session")
def read():
    """A function that reads a file: its triples, its values, and what was set aside."""

    def read(path, format=None, **options):
        source = Source(path, **options)
        found = SimpleNamespace(triples=[], values=[], rejects=source.rejects, source=source)
        for batch in read_file(source, format):
            found.triples += rows(batch.triples)
            found.values += rows(batch.values)
        return found

    return read


@pytest.fixture
def write(tmp_path):
    """A function that writes a file of the given name."""

    def write(content, name="triples.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write
