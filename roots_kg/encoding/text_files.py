"""Text files, plain or compressed, as a stream of pieces that are short enough to hold.

A piece is a paragraph or a line. It knows where it stands, and from where reading can be taken up again.
"""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import BinaryIO, Literal, cast

from roots_kg.errors import DataError
from roots_kg.files import not_a_file

__all__ = ["Documents", "Piece", "Position", "read_documents"]

Documents = Literal["file", "line"]
Position = tuple[int, int]

LONGEST = 20_000
BLOCK = 1 << 18
BINARY_SHARE = 0.05
_SIGNATURES = {
    b"\x1f\x8b": ("this is a gzip file", "let its name end in .gz"),
    b"\xfd7zXZ\0": ("this is an XZ file", "let its name end in .xz"),
    b"\xff\xfe": ("this is UTF-16 text", "save it as UTF-8"),
    b"\xfe\xff": ("this is UTF-16 text", "save it as UTF-8"),
    b"PK\x03\x04": ("this is a ZIP file", "unpack it first; gzip and XZ are read as they are"),
    b"\x28\xb5\x2f\xfd": ("this is a Zstandard file", "unpack it first; gzip and XZ are read as they are"),
    b"BZh": ("this is a bzip2 file", "unpack it first; gzip and XZ are read as they are"),
    b"%PDF-": ("this is a PDF file", "save its text as a text file"),
}
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))


@dataclass(frozen=True)
class Piece:
    """A paragraph or a line of a file.

    Args:
        text: its characters, with at least one that is not white space.
        path: the file.
        line: its first line, counted from 1.
        ends_document: whether it is the last piece of a document.
        position: where reading goes on after it: the number of the file, and how many pieces of that file
            have been read.
    """

    text: str
    path: Path
    line: int
    ends_document: bool
    position: Position


def read_documents(
    paths: Sequence[Path], documents: Documents = "file", start: Position = (0, 0)
) -> Iterator[Piece]:
    """Read UTF-8 text, piece by piece, in memory that does not grow with the files.

    Files whose names end in `.gz` or `.xz` are decompressed. A byte-order mark at the start of a file is left
    out, and every way to end a line is one line feed. A paragraph or line longer than `LONGEST` characters
    becomes several pieces, cut at a line, else at white space, else anywhere.

    Args:
        paths: the files, in the order of reading.
        documents: whether a whole file is a document, read by paragraphs (the lines between blank lines), or
            every line that is not blank.
        start: the position of a piece, to go on after it.

    Returns:
        The pieces, from files that are opened one after another.

    Raises:
        DataError: at once if one is missing or no file, such as a folder, a pipe or a device; while reading
            if it is damaged, no text, or now shorter than `start` says, or if there is no text in any.
    """
    for path in paths:
        problem = not_a_file(path)
        if problem is not None:
            hint = "name the files in it" if path.is_dir() else None
            raise DataError(problem, path=path, hint=hint)
    return _read(paths, documents, start)


def _read(paths: Sequence[Path], documents: Documents, start: Position) -> Iterator[Piece]:
    empty = True
    for file, path in islice(enumerate(paths), start[0], None):
        pieces = _lines(path) if documents == "line" else _paragraphs(_lines(path))
        skipped, count = start[1] if file == start[0] else 0, 0
        for piece, following in pairwise(chain(pieces, [None])):
            assert piece is not None
            count += 1
            ends = following is None or (documents == "line" and following.number != piece.number)
            if count > skipped:
                yield Piece(piece.text, path, piece.number, ends, (file, count))
        if count < skipped:
            raise DataError(
                f"reading was to go on after {skipped:,} pieces of text, and there are {count:,}",
                path=path,
                hint="the file has changed; start anew",
            )
        empty = empty and not count
    if empty and start == (0, 0):
        only = paths[0] if len(paths) == 1 else None
        raise DataError("there is no text in " + ("this file" if only else "any of the files"), path=only)


@dataclass(frozen=True)
class _Line:
    """A line or several, or a part of a line that is too long.

    Args:
        number: of the first line, counted from 1.
        text: without the end of the line; not blank.
    """

    number: int
    text: str


def _paragraphs(lines: Iterator[_Line]) -> Iterator[_Line]:
    """Join the lines that follow one another; the parts of a cut line never fit together."""
    held: list[_Line] = []
    size = 0
    for line in lines:
        if held and (line.number > held[-1].number + 1 or size + len(line.text) > LONGEST):
            yield _joined(held)
            held, size = [], 0
        held.append(line)
        size += len(line.text) + 1
    if held:
        yield _joined(held)


def _joined(lines: Sequence[_Line]) -> _Line:
    return _Line(lines[0].number, "\n".join(line.text for line in lines))


def _lines(path: Path) -> Iterator[_Line]:
    """Yield the lines of a file that are not blank, those longer than `LONGEST` in parts."""
    number, rest = 1, ""
    for block in chain(_blocks(path), ["\n"]):
        *ended, rest = (rest + block).split("\n")
        for text in ended:
            for part in _cut(text):
                if part.strip():
                    yield _Line(number, part)
            number += 1
        *parts, rest = _cut(rest)
        for part in parts:
            if part.strip():
                yield _Line(number, part)


def _cut(line: str) -> list[str]:
    """Cut a line at white space, or else anywhere, so that no part is longer than `LONGEST`."""
    parts = []
    while len(line) > LONGEST:
        space = next((index for index in range(LONGEST, 0, -1) if line[index].isspace()), None)
        parts.append(line[: space or LONGEST])
        line = line[LONGEST if space is None else space + 1 :]
    return [*parts, line]


def _blocks(path: Path) -> Iterator[str]:
    """Yield the characters of a file, with "\\n" for every end of a line."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    line, at_start = 1, True
    with _open(path) as stream:
        while True:
            try:
                block = stream.read(BLOCK)
            except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
                raise DataError(_why_unreadable(error, at_start), path=path, line=line) from error
            if at_start:
                _refuse_other_kinds(block, path)
            at_start = False
            ended = not block
            try:
                text = newlines.decode(decoder.decode(block, final=ended), final=ended)
            except UnicodeDecodeError as error:
                before = newlines.decode(error.object[: error.start].decode(), final=True)
                problem = f"not UTF-8: byte 0x{error.object[error.start]:02x}"
                raise _not_text(problem, block, path, line + before.count("\n")) from error
            if "\0" in text:
                before = text[: text.index("\0")]
                raise _not_text("a NUL byte", block, path, line + before.count("\n"))
            line += text.count("\n")
            yield text
            if ended:
                return


def _open(path: Path) -> BinaryIO:
    try:
        if path.suffix.lower() == ".gz":
            return cast(BinaryIO, gzip.open(path))
        if path.suffix.lower() == ".xz":
            return cast(BinaryIO, lzma.open(path))
        return path.open("rb")
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path=path) from error


def _refuse_other_kinds(content: bytes, path: Path) -> None:
    for signature, (what, hint) in _SIGNATURES.items():
        if content.startswith(signature):
            raise DataError(what, path=path, hint=hint)


def _why_unreadable(error: Exception, at_start: bool) -> str:
    if isinstance(error, EOFError):
        return "the compressed data end too early"
    if at_start and isinstance(error, (gzip.BadGzipFile, lzma.LZMAError)):
        return f"damaged, or not compressed as its name says: {error}"
    if isinstance(error, (gzip.BadGzipFile, zlib.error, lzma.LZMAError)):
        return f"the compressed data are damaged: {error}"
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"


def _not_text(problem: str, block: bytes, path: Path, line: int) -> DataError:
    """Say that a file is not text, or, where control characters abound, that it was never meant to be."""
    controls = len(block) - len(block.translate(None, _CONTROLS))
    if controls > BINARY_SHARE * len(block):
        hint = "name text files, plain or compressed with gzip or XZ"
        return DataError(
            f"this looks like a binary file, not text: {problem}", path=path, line=line, hint=hint
        )
    return DataError(problem, path=path, line=line, hint="save the file as UTF-8 text")
