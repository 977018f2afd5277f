"""Saved folders ("bundles"): written whole or not at all, and checked byte for byte when read.

A bundle holds `config.json`, tensors in safetensors files, and text files. `config.json` records the
format, its version, the kind of bundle, its settings, and the SHA-256 of every other file, so that a
damaged or exchanged file is noticed. Nothing is pickled, and nothing is read that is not listed there.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from roots_kg.config import from_mapping
from roots_kg.errors import BundleError, ConfigError, RootsError, nearest
from roots_kg.files import not_a_file, read_small

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Bundle", "atomic_folder", "is_bundle", "locked", "make_folder", "sha256", "writing"]

FORMAT, VERSION = "roots-kg", 1
CONFIG, MAX_CONFIG_BYTES = "config.json", 1 << 26
_KEYS = ("format", "version", "kind", "settings", "files")
_RENAME_EXCHANGE, _AT_FDCWD = 2, -100
_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
_DEVICES |= {f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"}
"""What Windows takes for a device, in any folder and with any ending."""
_UNSAFE = {*map(chr, range(32)), *'<>:"|?*\x7f'}

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and found whole.

    Args:
        path: its folder.
        settings: what its writer put in `config.json` under "settings".
        files: the names of its files, as `config.json` lists them.
    """

    path: Path
    settings: dict[str, Any]
    files: frozenset[str] = frozenset()

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
            config = _read_config(path)
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
                its `config.json`, if a file of it is missing or differs from what was written, or if there
                is a file that was not written with it, a hidden one aside, or a link that leads elsewhere.
        """
        config_path = path / CONFIG
        if not os.path.lexists(config_path):
            raise BundleError("this is not a saved bundle: it has no config.json", path=path)
        config = _read_config(path)
        if config.get("format") != FORMAT:
            raise BundleError(f"this config.json was not written by {FORMAT}", path=config_path)
        if type(config.get("version")) is not int or config["version"] != VERSION:
            raise BundleError(
                f"written in format version {config.get('version')!r:.80}, this release reads {VERSION}",
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
        _check_names(files, config_path)
        _check_links(path)
        for name, digest in files.items():
            file = path / name
            problem = not_a_file(file)
            if problem is not None:
                missing = "is missing" if problem == "there is no such file" else f"cannot be used: {problem}"
                raise BundleError(
                    f"this file of the bundle {missing}", path=file, hint="make the bundle again"
                )
            if sha256(file) != digest:
                raise BundleError(
                    "this file differs from what was saved (its SHA-256 does not match)",
                    path=file,
                    hint="restore it from a copy or make the bundle again",
                )
        stranger = _stranger(path, hidden=False)
        if stranger is not None:
            raise BundleError(
                "this file was not saved with the bundle: its config.json does not list it",
                path=stranger,
                hint="move it elsewhere",
            )
        return cls(path, settings, frozenset(files))

    def file(self, name: str) -> Path:
        """Return where the file `name` lies.

        Raises:
            BundleError: if `config.json` does not list it, so that nobody has checked it.
        """
        if name not in self.files:
            raise BundleError(f"it does not list the file {name!r}, which is needed", path=self.path / CONFIG)
        return self.path / name

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        """Return the tensors of the safetensors file `name`."""
        path = self.file(name)
        try:
            tensors: dict[str, torch.Tensor] = load_file(path)
            return tensors
        except (SafetensorError, OSError) as error:
            raise BundleError(f"cannot be read as safetensors: {error}", path=path) from error

    def shapes(self, name: str) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the tensors of the safetensors file `name`, none of which is read."""
        path = self.file(name)
        try:
            with safe_open(path, framework="pt") as stream:
                return {key: tuple(stream.get_slice(key).get_shape()) for key in stream.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise BundleError(f"cannot be read as safetensors: {error}", path=path) from error

    def require_shapes(self, name: str, expected: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse a safetensors file whose tensors are not of the shapes that the settings state.

        Called before a module of these shapes is built: no memory is asked for that the file does not fill.

        Args:
            name: of the file.
            expected: shapes by the names of tensors; there may be others.

        Raises:
            BundleError: if one of them is missing or has another shape.
        """
        found = self.shapes(name)
        for key, shape in expected.items():
            if key not in found:
                raise BundleError(f"the tensor {key!r} is missing", path=self.path / name)
            if found[key] != tuple(shape):
                message = f"its tensors do not fit: {key} has shape {found[key]}, expected {tuple(shape)}"
                raise BundleError(message, path=self.path / name, hint="make the bundle again")

    def text(self, name: str) -> str:
        """Return the content of the text file `name`."""
        path = self.file(name)
        try:
            return path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BundleError(f"cannot be read: {error}", path=path) from error


def is_bundle(path: Path, kind: str) -> bool:
    """Tell whether `path` looks like a saved bundle of this kind, without checking its content."""
    try:
        config = _read_config(path)
    except BundleError:
        return False
    return config.get("format") == FORMAT and config.get("kind") == kind


def _read_config(folder: Path) -> dict[str, Any]:
    """Read the `config.json` of a folder.

    Raises:
        BundleError: if it is no file of that folder, too large, or holds no JSON object.
    """
    path = folder / CONFIG
    if path.is_symlink():
        _check_link(path, folder)
    content = read_small(path, MAX_CONFIG_BYTES, BundleError)
    try:
        config = json.loads(content.decode("utf-8"))
        json.dumps(config, ensure_ascii=False).encode("utf-8")  # which half a surrogate pair cannot be
    except (ValueError, RecursionError) as error:
        reason = "half a surrogate pair" if isinstance(error, UnicodeEncodeError) else error
        raise BundleError(f"damaged: {reason}", path=path, hint="make the bundle again") from error
    if not isinstance(config, dict):
        raise BundleError("damaged: expected a mapping", path=path, hint="make the bundle again")
    return config


def _check_names(names: Iterable[str], config: Path) -> None:
    """Refuse names of files that lead out of a folder, or stand for no file on some system."""
    seen: dict[str, str] = {}
    for name in names:
        parts = name.split("/")
        if name.startswith("/") or ".." in parts or "\\" in name or name[1:2] == ":":
            raise BundleError(f"the file {name!r:.200} leaves the bundle", path=config)
        for part in parts:
            device = part.partition(".")[0].rstrip().upper() in _DEVICES
            if device or not part.strip(". ") or part[-1] in ". " or set(part) & _UNSAFE:
                message = f"{name!r:.200} is no name that a file has on every system"
                raise BundleError(message, path=config)
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            message = f"{other!r:.200} and {name!r:.200} are one file on some systems"
            raise BundleError(message, path=config)
    if CONFIG in names:
        raise BundleError(f"{CONFIG} cannot list itself", path=config)


def _check_links(folder: Path) -> None:
    """Refuse links in a folder that lead out of it; none of them is followed."""
    for path in _entries(folder):
        if path.is_symlink():
            _check_link(path, folder)


def _check_link(path: Path, folder: Path) -> None:
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # the latter of one that leads back to itself, before Python 3.13
        raise BundleError("this link leads back to itself", path=path) from None
    if not inside:
        raise BundleError(
            f"the file {path.relative_to(folder).as_posix()!r} leaves the bundle: it is a link to elsewhere",
            path=path,
            hint="put a copy of the file in its place",
        )


def _entries(folder: Path) -> Iterator[Path]:
    """Yield what lies in a folder at any depth, other than folders; links are not followed."""
    for root, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]
        yield from (Path(root, name) for name in sorted([*links, *files]))


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
        BundleError: if `target` exists and is not a bundle of this `kind` (nor an empty folder), if another
            process or thread writes it, or if it cannot be written.
    """
    with writing(target):
        yield from _atomic_folder(target, kind)


def _atomic_folder(target: Path, kind: str) -> Iterator[Path]:
    ensure_replaceable(target, kind=kind)
    target = target.resolve()
    try:
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


def _stranger(bundle: Path, *, hidden: bool = True) -> Path | None:
    """Return a file or link in the folder that none of its bundles lists, if there is one.

    Args:
        bundle: the folder.
        hidden: whether to look also at names that begin with a dot, such as the hub's and Git's own files.
    """
    known = set()
    for config in (bundle / CONFIG, *bundle.glob(f"*/{CONFIG}")):
        files = _read_config(config.parent).get("files")
        known |= {config, *(config.parent / name for name in files or ())}
    for path in _entries(bundle):
        seen = hidden or not any(part.startswith(".") for part in path.relative_to(bundle).parts)
        if seen and path not in known:
            return path
    return None


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
            raise _taken(folder) from error
        yield
    finally:
        os.close(descriptor)


_held: dict[Path, int] = {}
"""The bundles that this process writes, and the thread that does."""


@contextlib.contextmanager
def writing(bundle: Path) -> Iterator[None]:
    """Keep other processes and threads from writing a bundle; the same thread may ask again.

    The lock is one on a file beside the folder, since the folder itself is exchanged, and ends with the
    process, however it ends. Where the system has no such locks, on Windows, processes are not kept apart.

    Raises:
        BundleError: if another writes it, or nothing can be written beside it.
    """
    bundle, me = bundle.resolve(), threading.get_ident()
    if _held.get(bundle) == me:
        yield
        return
    if _held.setdefault(bundle, me) != me:
        raise _taken(bundle)
    try:
        make_folder(bundle.parent)
        with _lock_file(bundle):
            yield
    finally:
        del _held[bundle]


@contextlib.contextmanager
def _lock_file(bundle: Path) -> Iterator[None]:
    if fcntl is None:
        yield
        return
    path = bundle.parent / f".{bundle.name[:200]}.lock"
    try:
        descriptor = _open_locked(path)
    except BlockingIOError as error:
        raise _taken(bundle) from error
    except OSError as error:
        raise BundleError(f"cannot be written: {error.strerror}", path=bundle) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _open_locked(path: Path) -> int:
    """Return the descriptor of a file that this process alone has locked.

    Raises:
        BlockingIOError: if another has.
        OSError: if the file cannot be opened.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_ino == os.stat(path).st_ino:
                return descriptor
        except (
            FileNotFoundError
        ):  # whoever held the lock has removed the file, and another may make a new one
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _taken(folder: Path) -> BundleError:
    hint = "wait until it is done, or name another folder"
    return BundleError("another process is writing here", path=folder, hint=hint)


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
