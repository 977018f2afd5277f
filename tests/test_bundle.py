"""A bundle is written whole or not at all, and what is read is byte for byte what was written."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from roots_kg.bundle import Bundle, atomic_folder, ensure_replaceable, is_bundle, sha256, writing
from roots_kg.errors import BundleError

FILES = ("numbers.safetensors", "words.json", "README.md")


def save(path, *, kind="graph", value=1.0):
    with atomic_folder(path, kind=kind) as folder:
        Bundle.write(
            folder,
            kind,
            {"size": 3, "name": "Österreich"},
            tensors={"numbers.safetensors": {"a": torch.full((2, 3), value), "b": torch.arange(6)[::2]}},
            texts={"words.json": '["é", "\\r\\n"]\r\n', "README.md": "# A bundle\n"},
        )
    return path


def rewrite(path, **changes):
    """Change keys of a bundle's config.json; None takes a key out."""
    config = json.loads((path / "config.json").read_text("utf-8")) | changes
    config = {key: value for key, value in config.items() if value is not None}
    (path / "config.json").write_text(json.dumps(config), "utf-8")


def refusal(path, kind="graph"):
    with pytest.raises(BundleError) as caught:
        Bundle.read(path, kind)
    return str(caught.value)


@pytest.fixture
def bundle(tmp_path):
    return save(tmp_path / "bundle")


def test_what_was_written_is_read_back(bundle):
    read = Bundle.read(bundle, "graph")
    assert read.settings == {"size": 3, "name": "Österreich"}
    tensors = read.tensors("numbers.safetensors")
    assert torch.equal(tensors["a"], torch.ones(2, 3))
    assert torch.equal(tensors["b"], torch.tensor([0, 2, 4]))
    assert read.text("words.json") == '["é", "\\r\\n"]\r\n'


def test_a_bundle_is_plain_files_that_its_config_names(bundle):
    config = json.loads((bundle / "config.json").read_text("utf-8"))
    assert config["files"] == {name: sha256(bundle / name) for name in FILES}
    assert {path.name for path in bundle.iterdir()} == {"config.json", *FILES}
    assert (bundle / "README.md").read_bytes() == b"# A bundle\n"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("position", [0, -1])
def test_a_changed_byte_is_noticed_and_its_file_named(bundle, name, position):
    content = bytearray((bundle / name).read_bytes())
    content[position] ^= 1
    (bundle / name).write_bytes(content)
    assert refusal(bundle).startswith(f"{bundle / name}: this file differs from what was saved")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle, name):
    (bundle / name).unlink()
    assert refusal(bundle).startswith(f"{bundle / name}: this file of the bundle is missing")


def test_a_folder_without_a_config_is_no_bundle(tmp_path):
    assert refusal(tmp_path).startswith(f"{tmp_path}: this is not a saved bundle")
    assert refusal(tmp_path / "nowhere").startswith(f"{tmp_path / 'nowhere'}: this is not a saved bundle")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"setings": {}}, "unknown key 'setings' (did you mean 'settings'?)"),
        ({"version": 2}, "written in format version 2, this release reads 1 (upgrade roots-kg"),
        ({"version": None}, "written in format version None"),
        ({"version": True}, "written in format version True"),
        ({"version": "9" * 10_000}, "written in format version '9999"),
        ({"kind": "model"}, "this is a 'model' bundle, expected 'graph'"),
        ({"format": "other"}, "was not written by roots-kg"),
        ({"files": ["a"]}, "'files' and 'settings' must be mappings"),
        ({"settings": None}, "'files' and 'settings' must be mappings"),
        ({"files": {"../secret": "0" * 64}}, "the file '../secret' leaves the bundle"),
        ({"files": {"/etc/passwd": "0" * 64}}, "the file '/etc/passwd' leaves the bundle"),
        ({"files": {"a\0b": "0" * 64}}, r"'a\x00b' is no name that a file has on every system"),
        ({"files": {"a/../../secret": "0" * 64}}, "the file 'a/../../secret' leaves the bundle"),
        ({"files": {"..\\secret": "0" * 64}}, r"the file '..\\secret' leaves the bundle"),
        ({"files": {"C:secret": "0" * 64}}, "the file 'C:secret' leaves the bundle"),
        ({"files": {"CON": "0" * 64}}, "'CON' is no name that a file has on every system"),
        ({"files": {"a/nul.txt": "0" * 64}}, "'a/nul.txt' is no name"),
        ({"files": {"Lpt1 .md": "0" * 64}}, "'Lpt1 .md' is no name"),
        ({"files": {"": "0" * 64}}, "'' is no name"),
        ({"files": {"a//b": "0" * 64}}, "'a//b' is no name"),
        ({"files": {"./a": "0" * 64}}, "'./a' is no name"),
        ({"files": {"README.md.": "0" * 64}}, "'README.md.' is no name"),
        ({"files": {"a:stream": "0" * 64}}, "'a:stream' leaves the bundle"),
        ({"files": {"\ud800": "0" * 64}}, "damaged: half a surrogate pair"),
        ({"files": {"README.md": "", "readme.MD": ""}}, "'README.md' and 'readme.MD' are one file on some"),
        ({"files": {"config.json": "0" * 64}}, "config.json cannot list itself"),
        ({"settings": {"name": "\udfff"}}, "damaged: half a surrogate pair"),
        ({"files": {"x" * 300: "0" * 64}}, "cannot be used: cannot be read: File name too long"),
    ],
)
def test_a_config_that_was_tampered_with_is_refused_with_the_reason(bundle, changes, reason):
    (bundle.parent / "secret").write_text("secret")
    rewrite(bundle, **changes)
    assert reason in refusal(bundle)


def test_a_link_that_leads_out_of_the_bundle_is_not_followed(bundle):
    (bundle.parent / "secret").write_text("secret")
    (bundle / "README.md").unlink()
    (bundle / "README.md").symlink_to(bundle.parent / "secret")
    assert "the file 'README.md' leaves the bundle" in refusal(bundle)


def swap(path, make):
    """Put something else in place of a file."""
    path.unlink()
    make(path)


@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "this is a pipe, not a file"),
        (lambda path: path.symlink_to(path), "this link leads back to itself"),
        (lambda path: path.symlink_to("/dev/zero"), "leaves the bundle: it is a link to elsewhere"),
        (lambda path: path.symlink_to(path.parents[1] / "secret"), "leaves the bundle"),
        (Path.mkdir, "this is a folder, not a file"),
    ],
    ids=["pipe", "self-link", "endless device", "link to elsewhere", "folder"],
)
@pytest.mark.parametrize("name", ["config.json", "README.md"])
def test_what_stands_in_place_of_a_file_is_refused_and_not_read(bundle, name, make, reason):
    (bundle.parent / "secret").write_text("secret")
    swap(bundle / name, make)
    assert reason in refusal(bundle)
    assert is_bundle(bundle, "graph") == (name != "config.json")


def test_a_config_beyond_all_measure_is_refused_unread(bundle):
    with (bundle / "config.json").open("r+b") as file:
        file.truncate(1 << 40)  # which takes no space
    assert "too large" in refusal(bundle)
    assert not is_bundle(bundle, "graph")


@pytest.mark.parametrize("name", ["evil.safetensors", "training/evil.csv"])
def test_a_file_that_the_config_does_not_list_is_refused(bundle, name):
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_bytes(b"")
    assert refusal(bundle).startswith(f"{bundle / name}: this file was not saved with the bundle")


def test_a_link_to_a_folder_is_refused_in_a_bundle(bundle):
    (bundle.parent / "elsewhere").mkdir()
    (bundle / "knowledge").symlink_to(bundle.parent / "elsewhere")
    assert "the file 'knowledge' leaves the bundle" in refusal(bundle)
    swap(bundle / "knowledge", lambda path: path.symlink_to(bundle))
    assert "this file was not saved with the bundle" in refusal(bundle)


def test_hidden_files_of_git_and_the_hub_are_let_be(bundle):
    (bundle / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    (bundle / ".cache" / "huggingface").mkdir(parents=True)
    (bundle / ".cache" / "huggingface" / "README.md.metadata").write_text("")
    assert Bundle.read(bundle, "graph").files == frozenset(FILES)


def test_only_files_that_were_checked_can_be_read(bundle):
    read = Bundle.read(bundle, "graph")
    (bundle / "later.json").write_text("{}")
    for get in (read.text, read.tensors, read.shapes, read.file):
        with pytest.raises(BundleError, match=r"it does not list the file 'later\.json'"):
            get("later.json")


def test_shapes_are_known_before_tensors_are_read(bundle):
    read = Bundle.read(bundle, "graph")
    assert read.shapes("numbers.safetensors") == {"a": (2, 3), "b": (3,)}
    read.require_shapes("numbers.safetensors", {"a": (2, 3)})
    with pytest.raises(BundleError, match=r"a has shape \(2, 3\), expected \(2, 1000000000000\)"):
        read.require_shapes("numbers.safetensors", {"a": (2, 10**12)})
    with pytest.raises(BundleError, match="the tensor 'c' is missing"):
        read.require_shapes("numbers.safetensors", {"c": ()})


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff", b"[]", b"null", b"[" * 100_000, b"1" * 5000],
    ids=["empty", "cut off", "not UTF-8", "list", "null", "nested deeply", "a huge number"],
)
def test_a_config_that_is_no_json_object_is_refused_with_its_file(bundle, content):
    (bundle / "config.json").write_bytes(content)
    assert refusal(bundle).startswith(f"{bundle / 'config.json'}: ")
    assert not is_bundle(bundle, "graph")


def test_tensors_that_are_no_safetensors_are_refused_with_their_file(bundle):
    with pytest.raises(BundleError, match=r"words.json: cannot be read as safetensors"):
        Bundle.read(bundle, "graph").tensors("words.json")


def test_a_bundle_within_a_bundle_checks_itself(tmp_path):
    with atomic_folder(tmp_path / "outer", kind="model") as folder:
        (folder / "extra").mkdir()
        (folder / "extra" / "notes.txt").write_text("kept")
        (folder / "graph").mkdir()
        Bundle.write(folder / "graph", "graph", {}, texts={"a.txt": "a"})
        Bundle.write(folder, "model", {})
    config = json.loads((tmp_path / "outer" / "config.json").read_text("utf-8"))
    assert list(config["files"]) == ["extra/notes.txt"]
    Bundle.read(tmp_path / "outer" / "graph", "graph")


def test_a_bundle_is_known_by_its_kind(bundle, tmp_path):
    assert is_bundle(bundle, "graph")
    assert not is_bundle(bundle, "model")
    assert not is_bundle(tmp_path / "nowhere", "graph")


def test_a_new_bundle_replaces_the_old_one_whole(bundle):
    save(bundle, value=2.0)
    assert Bundle.read(bundle, "graph").tensors("numbers.safetensors")["a"][0, 0] == 2
    assert list(bundle.parent.iterdir()) == [bundle]


def test_a_bundle_beside_which_a_person_left_a_file_is_not_replaced(bundle):
    (bundle / "my-notes.txt").write_text("not to be lost")
    with pytest.raises(BundleError, match=r"my-notes\.txt"):
        save(bundle, value=2.0)
    assert (bundle / "my-notes.txt").read_text() == "not to be lost"
    (bundle / "my-notes.txt").unlink()
    assert Bundle.read(bundle, "graph").tensors("numbers.safetensors")["a"][0, 0] != 2


def test_a_system_without_atomic_exchange_replaces_a_bundle_too(bundle, monkeypatch):
    monkeypatch.setattr("roots_kg.bundle._exchange", lambda *_: False)
    save(bundle, value=2.0)
    assert Bundle.read(bundle, "graph").tensors("numbers.safetensors")["a"][0, 0] == 2
    assert list(bundle.parent.iterdir()) == [bundle]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()], ids=["an error", "an interrupt"])
def test_when_writing_fails_the_old_bundle_is_left_as_it_was(bundle, error):
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}

    def stop_half_way():
        with atomic_folder(bundle, kind="graph") as folder:
            (folder / "README.md").write_text("half")
            raise error

    with pytest.raises(type(error)):
        stop_half_way()
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
    assert list(bundle.parent.iterdir()) == [bundle]


def test_when_writing_a_first_bundle_fails_nothing_is_left(tmp_path):
    with pytest.raises(ValueError, match="no"), atomic_folder(tmp_path / "new", kind="graph"):
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_with_the_target(tmp_path):
    with (
        pytest.raises(BundleError, match=r"new: cannot be written: No space left"),
        atomic_folder(tmp_path / "new", kind="graph"),
    ):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_folders_above_the_target_are_made_and_an_empty_one_is_used(tmp_path):
    save(tmp_path / "a" / "b")
    assert is_bundle(tmp_path / "a" / "b", "graph")
    (tmp_path / "empty").mkdir()
    save(tmp_path / "empty")
    assert is_bundle(tmp_path / "empty", "graph")


def test_what_is_not_a_bundle_of_the_kind_is_not_replaced(bundle, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "thesis.txt").write_text("years of work")
    for target, kind in ((notes, "graph"), (bundle, "model"), (notes / "thesis.txt", "graph")):
        with pytest.raises(BundleError) as caught, atomic_folder(target, kind=kind):
            pytest.fail("the block must not run")
        assert caught.value.path == target
        with pytest.raises(BundleError):
            ensure_replaceable(target, kind=kind)
    assert (notes / "thesis.txt").read_text() == "years of work"
    assert is_bundle(bundle, "graph")
    assert sorted(tmp_path.iterdir()) == [bundle, notes]


def test_a_target_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(BundleError, match="cannot be written"),
        atomic_folder(tmp_path / "file" / "a", kind="x"),
    ):
        pytest.fail("the block must not run")


def test_a_link_to_a_bundle_stays_a_link_and_what_it_names_is_replaced(bundle):
    link = bundle.parent / "latest"
    link.symlink_to(bundle)
    save(link, value=2.0)
    assert link.is_symlink()
    assert Bundle.read(bundle, "graph").tensors("numbers.safetensors")["a"][0, 0] == 2
    assert sorted(bundle.parent.iterdir()) == [bundle, link]


def test_a_bundle_can_be_read_by_others_than_its_writer(bundle):
    assert bundle.stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(os.name == "nt", reason="there are no such locks")
def test_a_bundle_that_another_process_writes_is_left_to_it(bundle):
    code = (
        "import sys; from pathlib import Path\n"
        "from roots_kg.bundle import atomic_folder\nfrom roots_kg.errors import BundleError\n"
        "try:\n    with atomic_folder(Path(sys.argv[1]), kind='graph'): print('written')\n"
        "except BundleError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code]
    with atomic_folder(bundle, kind="graph") as folder:
        done = subprocess.run([*command, str(bundle)], capture_output=True, text=True, check=True)
        assert done.stdout.startswith(f"{bundle}: another process is writing here (wait until it is done")
        Bundle.write(folder, "graph", {"size": 9})
    assert Bundle.read(bundle, "graph").settings == {"size": 9}
    assert list(bundle.parent.iterdir()) == [bundle]


def test_threads_write_one_bundle_one_at_a_time_and_others_at_once(bundle):
    with ThreadPoolExecutor(1) as pool, atomic_folder(bundle, kind="graph") as folder:
        with pytest.raises(BundleError, match="another process is writing here"):
            pool.submit(save, bundle).result()
        pool.submit(save, bundle.parent / "other").result()
        Bundle.write(folder, "graph", {"size": 9})
    assert Bundle.read(bundle, "graph").settings == {"size": 9}
    save(bundle)
    assert sorted(bundle.parent.iterdir()) == [bundle, bundle.parent / "other"]


def test_who_keeps_others_out_may_write_and_a_lock_that_was_left_behind_holds_nobody_up(bundle):
    (bundle.parent / f".{bundle.name}.lock").touch()  # of a process that was killed
    with writing(bundle):
        save(bundle, value=2.0)
        with pytest.raises(ZeroDivisionError), writing(bundle):
            _ = 1 / 0
        save(bundle, value=3.0)
    assert Bundle.read(bundle, "graph").tensors("numbers.safetensors")["a"][0, 0] == 3
    assert list(bundle.parent.iterdir()) == [bundle]
