"""Code that a task folder brings: read without being run, and trusted by the SHA-256 of its bytes.

What a person has trusted is remembered in one file, for each path the SHA-256 that the code had. Code that
has changed since is another code, and has to be trusted anew. The bytes that are hashed are the bytes that
run: a `head.py` is read once, and no compiled copy beside it is ever used.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from roots_kg.errors import ConfigError, TaskError
from roots_kg.files import replacing

__all__ = ["CodeFile", "Trust", "TrustStore"]

CODE_FILE = "head.py"
MAX_CODE_BYTES = 1_000_000

Trust = Literal["trusted", "not trusted", "changed since it was trusted"]


@dataclass(frozen=True)
class CodeFile:
    """A Python file as it was read, once; nothing of it has run.

    Args:
        path: where it is, without links.
        source: its bytes.
    """

    path: Path
    source: bytes

    @classmethod
    def read(cls, path: Path) -> CodeFile:
        """Read a file.

        Raises:
            TaskError: if it cannot be read, or is too large to be code.
        """
        try:
            path = path.resolve()
            with path.open("rb") as stream:
                source = stream.read(MAX_CODE_BYTES + 1)
        except (OSError, RuntimeError, ValueError) as error:  # ValueError: no path at all
            raise TaskError(f"cannot be read: {error}", path=path) from error
        if len(source) > MAX_CODE_BYTES:
            raise TaskError(f"larger than {MAX_CODE_BYTES:,} bytes, too large for a {CODE_FILE}", path=path)
        return cls(path, source)

    @classmethod
    def of_task(cls, folder: Path) -> CodeFile | None:
        """Return the `head.py` of a task folder, or None if it has none.

        Raises:
            TaskError: if it cannot be read.
        """
        path = folder / CODE_FILE
        return cls.read(path) if path.is_file() else None

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the bytes, in hexadecimal."""
        return hashlib.sha256(self.source).hexdigest()

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """The names under which it registers heads, as far as they stand in it as text; none of it is run."""
        try:
            tree = ast.parse(self.source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return ()
        return tuple(dict.fromkeys(_registered_names(tree)))


class TrustStore:
    """What a person has trusted.

    Args:
        path: the file that remembers it; by default `trusted.json` in the folder that the environment
            variable ROOTS_HOME names, or else in the platform's folder for a user's data.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or _data_folder() / "trusted.json"

    def state(self, code: CodeFile) -> Trust:
        """Return whether a person has trusted this very code.

        Raises:
            ConfigError: if the file that remembers it is damaged.
        """
        remembered = self._read().get(str(code.path))
        if remembered is None:
            return "not trusted"
        return "trusted" if remembered == code.sha256 else "changed since it was trusted"

    def trust(self, code: CodeFile) -> None:
        """Remember that a person trusts this code.

        Raises:
            ConfigError: if the file that remembers it is damaged.
            DataError: if it cannot be written.
        """
        remembered = self._read()
        if remembered.get(str(code.path)) == code.sha256:
            return
        remembered[str(code.path)] = code.sha256
        text = json.dumps({"head.py": dict(sorted(remembered.items()))}, indent=1, ensure_ascii=False)
        with replacing(self.path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    def remembered(self) -> list[tuple[CodeFile, Trust]]:
        """Return every file that was ever trusted and is still there, and whether it is as it was.

        Raises:
            ConfigError: if the file that remembers it is damaged.
        """
        found: list[tuple[CodeFile, Trust]] = []
        for path, sha256 in self._read().items():
            try:
                code = CodeFile.read(Path(path))
            except TaskError:
                continue
            found.append((code, "trusted" if code.sha256 == sha256 else "changed since it was trusted"))
        return found

    def _read(self) -> dict[str, str]:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise self._damaged(str(error)) from error
        try:
            remembered = json.loads(text)["head.py"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self._damaged(f"{type(error).__name__}: {error}") from error
        if not isinstance(remembered, dict) or not all(
            isinstance(sha256, str) and len(sha256) == 64 for sha256 in remembered.values()
        ):
            raise self._damaged("it does not hold a SHA-256 for each path")
        return remembered

    def _damaged(self, reason: str) -> ConfigError:
        return ConfigError(
            f"the memory of trusted code is damaged: {reason}",
            path=self.path,
            hint="delete it; what you trust has to be trusted once more",
        )


def _data_folder() -> Path:
    """Return the folder for a user's data."""
    environment = os.environ
    if environment.get("ROOTS_HOME"):
        return Path(environment["ROOTS_HOME"])
    home = Path(os.path.expanduser("~"))
    if sys.platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "roots_kg"


def _registered_names(tree: ast.AST) -> Iterator[str]:
    """Yield the texts that `register_head` is called with."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        named = [keyword.value for keyword in node.keywords if keyword.arg == "name"]
        for argument in (node.args[:1] or named) if called == "register_head" else ():
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value
