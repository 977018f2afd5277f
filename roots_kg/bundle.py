"""Saved folders ("bundles"): written whole or not at all, and checked byte for byte when read.

A bundle holds `config.json`, tensors in safetensors files, and text files. `config.json` records the
format, its version, the kind of bundle, its settings, and the SHA-256 of every other file, so that a
damaged or exchanged file is noticed. Nothing is pickled.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from roots_kg.config import from_mapping
from roots_kg.errors import BundleError, ConfigError, RootsError, nearest

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Bundle", "atomic_folder", "is_bundle", "locked", "make_folder", "sha256"]

FORMAT, VERSION = "roots-kg", 1
_KEYS = ("format", "version", "kind", "settings", "files")
_RENAME_EXCHANGE, _AT_FDCWD = 2, -100


Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and found whole.

    Args:
        path: its folder.
        settings: what its writer put in `config.json` under "settings".
    """

    path: Path
    settings: dict[str, Any]

    def read_settings(self, kind: type[Settings]) -> Settings:
        """Return the settings as a dataclass.

        Raises:
            BundleError: if they do not fit it.
        """
        try:
            return from_mapping(kind, self.settings)
        except ConfigError as error:
            raise checked(self, error) from error

    @contextlib.contextmanager
    def fitting(self) -> Iterator[None]:
        """Turn what goes wrong when tensors are loaded into modules into an error about this bundle."""
        try:
            yield
        except (RuntimeError, KeyError, ValueError) as error:
            message = " ".join(str(error).split())
            raise BundleError(f"its tensors do not fit: {message}", path=self.path) from error

    @staticmethod
    def write(
        folder: Path,
        kind: str,
        settings: Mapping[str, Any],
        *,
        tensors: Mapping[str, Mapping[str, torch.Tensor]] | None = None,
        texts: Mapping[str, str] | None = None,
    ) -> None:
        """Write a bundle into the existing, private folder `folder` (see `atomic_folder`).

        Args:
            folder: where to write; other files that are there already are recorded too, save those of a
                bundle in a folder of its own.
            kind: what the bundle is, such as "graph" or "model".
            settings: plain data.
            tensors: for each safetensors file name, its named tensors.
            texts: for each text file name, its content.
        """
        for name, named in (tensors or {}).items():
            save_file({key: value.contiguous().clone() for key, value in named.items()}, folder / name)
        for name, text in (texts or {}).items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
        nested = [path.parent for path in folder.glob("*/config.json")]  # a bundle in a bundle checks itself
        written = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent not in nested)
        config = {
            "format": FORMAT,
            "version": VERSION,
            "kind": kind,
            "settings": dict(settings),
            "files": {path.relative_to(folder).as_posix(): sha256(path) for path in written},
        }
        _write_config(folder, config)

    @staticmethod
    def amend(path: Path, kind: str, files: Mapping[str, bytes]) -> None:
        """Put further files into a bundle, or others in place of its own; its other files stay as they are.

        Args:
            path: its folder.
            kind: what it is.
            files: the bytes of each, by its path in the folder.

        Raises:
            BundleError: if it is no such bundle, or cannot be written.
        """
        with atomic_folder(path, kind=kind) as folder:
            if not is_bundle(path, kind):
                raise BundleError(f"this is not a saved {kind}", path=path)
            shutil.copytree(path, folder, dirs_exist_ok=True, copy_function=_link)
            config = json.loads((path / "config.json").read_text(encoding="utf-8"))
            for name, content in files.items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                target.write_bytes(content)
                config["files"][name] = sha256(target)
            (folder / "config.json").unlink()
            _write_config(folder, config)

    @classmethod
    def read(cls, path: Path, kind: str) -> Bundle:
        """Open the bundle at `path` and check every file of it.

        Raises:
            BundleError: if it is missing, of another kind, from a newer version, has an unknown key in
                its `config.json`, or if a file of it is missing or differs from what was written.
        """
        config_path = path / "config.json"
        if not config_path.is_file():
            raise BundleError("this is not a saved bundle: it has no config.json", path=path)
        try:
            config = json.loads(config_path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise BundleError(f"damaged: {error}", path=config_path, hint="make the bundle again") from error
        if not isinstance(config, dict) or config.get("format") != FORMAT:
            raise BundleError(f"this config.json was not written by {FORMAT}", path=config_path)
        if config.get("version") != VERSION:
            raise BundleError(
                f"written in format version {config.get('version')!r}, this release reads {VERSION}",
                path=config_path,
                hint="upgrade roots-kg or make the bundle again",
            )
        for key in config:
            if key not in _KEYS:
                raise BundleError(f"unknown key {key!r}", path=config_path, hint=nearest(key, _KEYS))
        if config.get("kind") != kind:
            raise BundleError(f"this is a {config.get('kind')!r} bundle, expected {kind!r}", path=path)
        files, settings = config.get("files"), config.get("settings")
        if not isinstance(files, dict) or not isinstance(settings, dict):
            raise BundleError("'files' and 'settings' must be mappings", path=config_path)
        for name, digest in files.items():
            file = path / name
            if "\0" in name or not file.resolve().is_relative_to(path.resolve()):
                raise BundleError(f"the file {name!r} leaves the bundle", path=config_path)
            if not os.path.isfile(file):
                raise BundleError(
                    "this file of the bundle is missing", path=file, hint="make the bundle again"
                )
            if sha256(file) != digest:
                raise BundleError(
                    "this file differs from what was saved (its SHA-256 does not match)",
                    path=file,
                    hint="restore it from a copy or make the bundle again",
                )
        return cls(path, settings)

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        """Return the tensors of the safetensors file `name`."""
        try:
            tensors: dict[str, torch.Tensor] = load_file(self.path / name)
            return tensors
        except (SafetensorError, OSError) as error:
            raise BundleError(f"cannot be read as safetensors: {error}", path=self.path / name) from error

    def text(self, name: str) -> str:
        """Return the content of the text file `name`."""
        try:
            return (self.path / name).read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BundleError(f"cannot be read: {error}", path=self.path / name) from error


def is_bundle(path: Path, kind: str) -> bool:
    """Tell whether `path` looks like a saved bundle of this kind, without checking its content."""
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and config.get("format") == FORMAT and config.get("kind") == kind


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def atomic_folder(target: Path, *, kind: str) -> Iterator[Path]:
    """Give a temporary folder beside `target` that takes its place when the block ends well.

    If the block raises, `target` is left as it was. A bundle of the same kind that stood there is
    replaced; anything else that stood there is not touched.

    Raises:
        BundleError: if `target` exists and is not a bundle of this `kind` (nor an empty folder), or if
            it cannot be written.
    """
    ensure_replaceable(target, kind=kind)
    target = target.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise BundleError(f"cannot be written: {error.strerror}", path=target) from error
    try:
        yield temporary
        temporary.chmod(0o755)
        for path in sorted(temporary.rglob("*")):
            _fsync(path)
        _fsync(temporary)
        _move_into_place(temporary, target)
        _fsync(target.parent)
    except OSError as error:
        raise BundleError(f"cannot be written: {error.strerror or error}", path=target) from error
    except SafetensorError as error:  # what safetensors makes of an error of the system
        raise BundleError(f"cannot be written: {error}", path=target) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def ensure_replaceable(target: Path, *, kind: str) -> None:
    """Raise if `target` holds anything that a bundle of this `kind` must not replace.

    Called before long work, so that a wrong `--out` is noticed at once.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise BundleError("this is a file", path=target, hint="name a folder for the output")
    if not any(target.iterdir()):
        return
    hint = "choose another folder"
    if not is_bundle(target, kind):
        message = f"this folder holds something that is not a saved {kind}"
        raise BundleError(message, path=target, hint=hint)
    stranger = _stranger(target)
    if stranger is not None:
        message = f"this is not part of the saved {kind} in this folder, and replacing that would lose it"
        raise BundleError(message, path=stranger, hint=hint)


def _stranger(bundle: Path) -> Path | None:
    """Return a file of the folder that none of its bundles lists, if there is one."""
    known = set()
    for config in (bundle / "config.json", *bundle.glob("*/config.json")):
        files = json.loads(config.read_text(encoding="utf-8")).get("files", {})
        known |= {config, *(config.parent / name for name in files)}
    return next((path for path in sorted(bundle.rglob("*")) if path.is_file() and path not in known), None)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of an existing folder that is about to be changed.

    The lock ends with the process, however it ends, and leaves no file behind. Where the system has no such
    locks, on Windows, it does nothing.

    Raises:
        BundleError: if another process holds the lock.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            hint = "wait until it is done, or name another folder"
            raise BundleError("another process is writing here", path=folder, hint=hint) from error
        yield
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder, and those that it lies in.

    Raises:
        BundleError: if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BundleError(f"cannot be written: {error.strerror}", path=folder) from error


def _write_config(folder: Path, config: Mapping[str, Any]) -> None:
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8", newline="\n")


def _link(source: str, target: str) -> None:
    """Give a file a second name, or copy it where the system cannot."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _move_into_place(temporary: Path, target: Path) -> None:
    if not target.exists():
        temporary.rename(target)
    elif not _exchange(temporary, target):  # no atomic exchange on this system: two renames
        old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        target.rename(old / "old")
        temporary.rename(target)
        shutil.rmtree(old, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two folders in one step (Linux renameat2); False where the system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    result = renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    return bool(result == 0)


def _fsync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checked(bundle: Bundle, error: RootsError) -> BundleError:
    """Turn an error about a bundle's settings into one that names the bundle."""
    return BundleError(error.message, path=bundle.path / "config.json", hint=error.hint)
