"""Code of task folders: what it offers is read without running it, and what is trusted are its bytes."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roots_kg.errors import ConfigError, DataError, TaskError
from roots_kg.trust import CodeFile, TrustStore


@pytest.fixture
def store(tmp_path):
    return TrustStore(tmp_path / "home" / "trusted.json")


@pytest.fixture
def head(tmp_path):
    path = tmp_path / "task" / "head.py"
    path.parent.mkdir()
    path.write_text("print('hello')\n")
    return path


def test_code_is_not_trusted_until_somebody_says_so_and_then_remembered(store, head):
    code = CodeFile.read(head)
    assert store.state(code) == "not trusted"
    store.trust(code)
    assert TrustStore(store.path).state(CodeFile.read(head)) == "trusted"
    assert json.loads(store.path.read_text()) == {
        "head.py": {str(head): hashlib.sha256(b"print('hello')\n").hexdigest()}
    }


def test_code_that_changed_by_a_byte_is_trusted_no_more_and_again_when_it_is_what_it_was(store, head):
    store.trust(CodeFile.read(head))
    head.write_text("print('hello') \n")
    assert store.state(CodeFile.read(head)) == "changed since it was trusted"
    head.write_text("print('hello')\n")
    assert store.state(CodeFile.read(head)) == "trusted"


def test_changed_code_that_is_trusted_takes_the_place_of_the_old(store, head):
    store.trust(CodeFile.read(head))
    head.write_text("print('bye')\n")
    store.trust(CodeFile.read(head))
    assert store.state(CodeFile.read(head)) == "trusted"
    head.write_text("print('hello')\n")
    assert store.state(CodeFile.read(head)) == "changed since it was trusted"


def test_trust_is_in_a_file_where_it_is_and_a_link_to_it_is_that_file(store, head, tmp_path):
    store.trust(CodeFile.read(head))
    copy = tmp_path / "copy.py"
    copy.write_bytes(head.read_bytes())
    assert store.state(CodeFile.read(copy)) == "not trusted"
    (tmp_path / "link.py").symlink_to(head)
    assert store.state(CodeFile.read(tmp_path / "link.py")) == "trusted"


def test_what_was_trusted_and_is_still_there_is_listed_with_whether_it_changed(store, head, tmp_path):
    changed, gone = tmp_path / "changed.py", tmp_path / "gone.py"
    for path in (head, changed, gone):
        path.touch()
        store.trust(CodeFile.read(path))
    changed.write_text("1")
    gone.unlink()
    found = {code.path: state for code, state in store.remembered()}
    assert found == {head: "trusted", changed: "changed since it was trusted"}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"3", b"{}", b'{"head.py": []}', b'{"head.py": {"a": 3}}', b"\xff", b"[" * 5000],
)
def test_a_damaged_memory_is_an_error_that_says_what_to_do_and_trusts_nothing(store, head, content):
    store.path.parent.mkdir()
    store.path.write_bytes(content)
    for use in (store.state, store.trust, lambda _: store.remembered()):
        with pytest.raises(
            ConfigError, match=r"trusted\.json: the memory of trusted code is damaged.*delete it"
        ):
            use(CodeFile.read(head))
    assert store.path.read_bytes() == content


def test_a_memory_that_cannot_be_written_is_an_error(head, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises((DataError, ConfigError)):
        TrustStore(tmp_path / "file" / "trusted.json").trust(CodeFile.read(head))


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({"ROOTS_HOME": "/r", "XDG_DATA_HOME": "/x"}, "linux", "/r/trusted.json"),
        ({"XDG_DATA_HOME": "/x"}, "linux", "/x/roots_kg/trusted.json"),
        ({}, "linux", "/home/ann/.local/share/roots_kg/trusted.json"),
        ({}, "darwin", "/home/ann/Library/Application Support/roots_kg/trusted.json"),
        ({"LOCALAPPDATA": "/local"}, "win32", "/local/roots_kg/trusted.json"),
    ],
)
def test_the_memory_is_the_users_own(monkeypatch, environment, platform, expected):
    for name in ("ROOTS_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/ann", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert TrustStore().path.as_posix() == expected


def code_of(text):
    return CodeFile(None, text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('@register_head("mine")\nclass Mine(Head): ...', ("mine",)),
        ('@registry.register_head(name="mine")\nclass Mine(Head): ...', ("mine",)),
        ('register_head("b")(B)\nregister_head("a")(A)\nregister_head("b")(C)', ("b", "a")),
        ('def later():\n    register_head("hidden")(Mine)', ("hidden",)),
        ("register_head(name_of(3))(Mine)\nregister_head()\nregister_head(3)", ()),
        ("register('mine')(Mine)", ()),
        ("def broken(:", ()),
        ("\0", ()),
        ("-" * 50_000 + "1", ()),
        ("(" * 5_000, ()),
        ("", ()),
    ],
)
def test_the_heads_that_code_offers_are_read_without_running_it(text, names):
    assert code_of(text).heads == names


@given(st.text())
def test_any_text_can_be_looked_at(text):
    assert isinstance(code_of(text).heads, tuple)


def test_a_file_that_cannot_be_read_or_is_no_code_is_refused(tmp_path):
    with pytest.raises(TaskError, match="cannot be read"):
        CodeFile.read(tmp_path / "none.py")
    (tmp_path / "loop.py").symlink_to(tmp_path / "loop.py")
    with pytest.raises(TaskError, match="cannot be read"):
        CodeFile.read(tmp_path / "loop.py")
    (tmp_path / "large.py").write_bytes(b"#" * 1_000_001)
    with pytest.raises(TaskError, match="too large"):
        CodeFile.read(tmp_path / "large.py")


def test_a_task_folder_has_code_or_none(tmp_path, head):
    assert CodeFile.of_task(head.parent).path == head
    assert CodeFile.of_task(tmp_path) is None


@pytest.mark.parametrize("path", ["\ud800", "a\0b"])
def test_what_was_never_a_path_is_no_file_that_is_trusted(store, path):
    store.path.parent.mkdir(parents=True, exist_ok=True)
    store.path.write_text(json.dumps({"head.py": {path: "0" * 64}}), encoding="utf-8")
    assert store.remembered() == []
