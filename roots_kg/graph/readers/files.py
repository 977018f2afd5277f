"""The bytes of a file: decompressed, in blocks of whole lines, with no line that is too long to hold."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import BinaryIO, cast

from roots_kg.errors import DataError
from roots_kg.files import not_a_file
from roots_kg.graph.readers.contract import LONGEST_LINE, SHOWN, Source

__all__ = ["Input", "line_blocks", "too_long"]

BLOCK = 8 << 20
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
KEEPS = "`--on-error quarantine` keeps what comes before"
_SIGNATURES = {
    b"\x1f\x8b": ("this is a gzip file", "let its name end in .gz"),
    b"PAR1\x15": ("this is a Parquet file", "let its name end in .parquet, or use `--format parquet`"),
    b"\xff\xfe": ("this is UTF-16 text", "save it as UTF-8"),
    b"\xfe\xff": ("this is UTF-16 text", "save it as UTF-8"),
    b"PK\x03\x04": ("this is a ZIP file", "unpack it first; only gzip is read as it is"),
    b"\x28\xb5\x2f\xfd": ("this is a Zstandard file", "unpack it first; only gzip is read as it is"),
    b"\xfd7zXZ\0": ("this is an XZ file", "unpack it first; only gzip is read as it is"),
}


class Input:
    """The bytes of a file, decompressed where its name ends in `.gz`; a context manager.

    A file that breaks off is read up to there; `failure` then says what happened. A byte-order mark is left
    out.

    Args:
        source: the file.
        guard: called with each piece that is read; a text that it returns ends the reading before that piece.
        binary: whether the file is of another kind than text.

    Raises:
        DataError: if the file cannot be opened or, from `read`, is something else than text.
    """

    def __init__(
        self, source: Source, guard: Callable[[bytes], str | None] | None = None, *, binary: bool = False
    ) -> None:
        path = self._path = source.path
        self.failure: str | None = None
        self._guard = guard
        self._binary = binary
        self._at_start = True
        problem = not_a_file(path)
        if problem is not None:
            raise DataError(problem, path=path)
        try:
            opened = gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # noqa: SIM115
        except (OSError, ValueError) as error:
            raise DataError(f"cannot be read: {_words(error)}", path=path) from error
        self._stream = cast(BinaryIO, opened)

    def __enter__(self) -> Input:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._stream.close()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, at most `size`, or none at the end."""
        size = BLOCK if size < 0 else size
        pieces: list[bytes] = []
        while size > 0 and self.failure is None:
            try:
                piece = self._stream.read1(size)  # type: ignore[attr-defined]
            except EOFError:
                self.failure = "the compressed data end too early"
            except (gzip.BadGzipFile, zlib.error) as error:
                no_gzip = isinstance(error, gzip.BadGzipFile) and self._at_start and not pieces
                damaged = f"the compressed data are damaged: {_words(error)}"
                self.failure = "this is not gzip, whatever its name says" if no_gzip else damaged
            except OSError as error:
                self.failure = f"cannot be read: {_words(error)}"
            else:
                if not piece:
                    break
                self.failure = self._guard(piece) if self._guard else None
                if self.failure is None:
                    pieces.append(piece)
                    size -= len(piece)
        content = b"".join(pieces)
        at_start, self._at_start = self._at_start, False
        if at_start and not self._binary:
            for signature, (what, hint) in _SIGNATURES.items():
                if content.startswith(signature):
                    raise DataError(what, path=self._path, hint=hint)
            return content.removeprefix(BYTE_ORDER_MARK)
        return content


def line_blocks(source: Source) -> Iterator[tuple[int, bytes]]:
    """Yield whole lines, some megabytes at a time, after the number of the first of them.

    Each line ends in a line feed, also the last. A byte-order mark is left out, and so is a line longer than
    a block, which is rejected.

    Raises:
        DataError: if the file cannot be read, is no text, or, in strict mode, breaks off.
    """
    number, rest = 1, b""
    with Input(source) as stream:
        piece = stream.read(BLOCK)
        while piece:
            end = piece.rfind(b"\n") + 1
            if end:
                lines = rest + piece[:end]
                yield number, lines
                number += lines.count(b"\n")
                rest = b""
            rest += piece[end:]
            piece = b""
            if len(rest) > LONGEST_LINE:
                length, piece = _skip_line(stream, len(rest))
                source.reject(number, too_long(length), rest[:SHOWN])
                number, rest = number + 1, b""
            piece = piece or stream.read(BLOCK)
        if stream.failure is not None:
            nothing = number == 1 and not rest
            source.reject(None if nothing else number, stream.failure, rest[:SHOWN], "" if nothing else KEEPS)
        elif rest:
            yield number, rest + b"\n"


def too_long(length: int) -> str:
    """Return why a line of so many bytes is refused."""
    return f"the line is {length:,} bytes long, the limit is {LONGEST_LINE:,}"


def _skip_line(stream: Input, length: int) -> tuple[int, bytes]:
    """Read to the end of a line, of which `length` bytes were read; return its length and what follows it."""
    while piece := stream.read(BLOCK):
        end = piece.find(b"\n")
        if end >= 0:
            return length + end, piece[end + 1 :]
        length += len(piece)
    return length, b""


def _words(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
