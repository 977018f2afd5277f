"""Files that are written whole or not at all, and what is looked at before it is read or written."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from roots_kg.errors import DataError, RootsError

__all__ = ["is_text", "not_a_file", "read_small", "replacing", "reserve"]

_ZEROS = bytes(1 << 20)


def is_text(text: str) -> bool:
    """Tell whether a string can be encoded, which undecodable bytes and lone surrogates cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def not_a_file(path: Path) -> str | None:
    """Say what stands at `path` in place of a file that can be read to its end; None if such a file does.

    A pipe would keep its reader waiting, and a device such as /dev/zero would never end.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "there is no such file"
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "this link leads back to itself"
        return f"cannot be read: {error.strerror}"
    except ValueError:  # a NUL character, or half a surrogate pair
        return "no file can have this name"
    if stat.S_ISREG(mode):
        return None
    if stat.S_ISDIR(mode):
        return "this is a folder, not a file"
    return f"this is a {'pipe' if stat.S_ISFIFO(mode) else 'device'}, not a file"


def read_small(path: Path, most: int, raising: type[RootsError]) -> bytes:
    """Read a file of at most so many bytes.

    Raises:
        RootsError: of the class `raising`, if it is no file, cannot be read, or has more bytes than `most`.
    """
    problem = not_a_file(path)
    if problem is not None:
        raise raising(problem, path=path)
    try:
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise raising(f"cannot be read: {error.strerror}", path=path) from error
    if len(content) > most:
        raise raising(f"larger than {most:,} bytes, too large for a file of its kind", path=path)
    return content


def reserve(path: Path, size: int) -> None:
    """Make a file of zeros that has all its space on the disk.

    Memory that is mapped from a file without its space kills the process when the disk turns out to be full.

    Raises:
        DataError: if there is no space for it, or it cannot be written; nothing is left then.
    """
    try:
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                if size:
                    os.posix_fallocate(file.fileno(), 0, size)
            else:
                for start in range(0, size, len(_ZEROS)):
                    file.write(_ZEROS[: size - start])
    except OSError as error:
        path.unlink(missing_ok=True)
        reason = error.strerror or error
        message = f"{size:,} bytes cannot be written: {reason}"
        raise DataError(message, path=path, hint="free some space, or name another place") from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file beside `path` that takes its place when the block ends well.

    Raises:
        DataError: if it cannot be written; what stood at `path` is left as it was.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:50]}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror or error}", path=path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
