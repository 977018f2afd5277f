"""Heads by name: three ways to bring one, and no foreign code before it is asked for."""

import importlib.util
import py_compile
import textwrap

import pytest

from roots_kg import registry
from roots_kg.adaptation.heads.classification import ClassificationHead
from roots_kg.errors import TaskError, UsageError
from roots_kg.registry import get_head, head_entries, load_task_code, register_head
from roots_kg.trust import CodeFile


@pytest.fixture(autouse=True)
def clean_registry(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.delenv("ROOTS_LOAD_PLUGINS", raising=False)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Install a package that offers heads through entry points: its name, its module, name -> target."""

    def install(name, code, points):
        site = tmp_path / name
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{point} = {target}" for point, target in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[roots_kg.heads]", *lines]) + "\n")
        (site / f"{name}_heads.py").write_text(textwrap.dedent(code))
        monkeypatch.syspath_prepend(str(site))

    return install


@pytest.fixture
def task_code(tmp_path):
    def write(code, task="mine"):
        path = tmp_path / task / "head.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return path

    return write


STUB = "from roots_kg.adaptation.heads.classification import ClassificationHead as Base\n"


def class_in(module):
    return type("Head", (ClassificationHead,), {"__module__": module, "__qualname__": "Head"})


def test_the_built_in_heads_are_these():
    built_in = [entry.name for entry in head_entries().values() if entry.origin == "built in"]
    assert {"answer", "classification"} <= set(built_in)


def test_every_built_in_head_can_be_had():
    assert get_head("classification") is ClassificationHead
    assert all(isinstance(get_head(name), type) for name in registry.BUILT_IN)


def test_an_unknown_head_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match=r"no head 'clasification' \(did you mean 'classification'\?\)"):
        get_head("clasification")


def test_a_decorated_class_can_be_had_by_its_name():
    @register_head("mine")
    class Mine(ClassificationHead):
        pass

    assert get_head("mine") is Mine
    assert head_entries()["mine"].origin == "decorator"


def test_two_heads_cannot_share_a_name():
    register_head("mine")(class_in("first"))
    with pytest.raises(UsageError, match="a head named 'mine' exists already"):
        register_head("mine")(type("Other", (ClassificationHead,), {}))
    with pytest.raises(UsageError, match=r"a head named 'answer' exists already \(built in\)"):
        register_head("answer")(class_in("first"))
    assert get_head("mine").__module__ == "first"


def test_a_class_of_the_same_name_from_another_module_is_another_head():
    register_head("mine")(class_in("first"))
    with pytest.raises(UsageError, match="exists already"):
        register_head("mine")(class_in("second"))


def test_a_class_may_be_defined_again_as_in_a_notebook():
    register_head("mine")(class_in("__main__"))
    again = register_head("mine")(class_in("__main__"))
    assert get_head("mine") is again


def test_a_package_brings_a_head_by_entry_point(package):
    package("acme", STUB + "class Stars(Base): pass", {"stars": "acme_heads:Stars"})
    assert head_entries()["stars"].origin == "package acme"
    assert get_head("stars").__name__ == "Stars"


def test_listing_runs_no_foreign_code(package, task_code, tmp_path):
    trace = tmp_path / "trace"
    code = f"open({str(trace)!r}, 'a').write('ran')\n{STUB}class Stars(Base): pass"
    package("traced", code, {"stars": "traced_heads:Stars"})
    task_code(code)
    assert "stars" in head_entries()
    get_head("classification")
    assert not trace.exists()
    get_head("stars")
    assert trace.read_text() == "ran"


def test_a_package_whose_import_fails_is_named_with_the_reason(package):
    package("broken", "raise RuntimeError('no GPU here')", {"stars": "broken_heads:Stars"})
    with pytest.raises(
        TaskError, match="'stars' from package broken cannot be imported: RuntimeError: no GPU"
    ):
        get_head("stars")
    assert get_head("classification") is ClassificationHead


def test_a_target_that_is_missing_or_no_class_is_refused(package):
    package("odd", "Stars = 3", {"stars": "odd_heads:Stars", "moons": "odd_heads:Moons"})
    with pytest.raises(TaskError, match="'stars' from package odd cannot be used: it is not a class"):
        get_head("stars")
    with pytest.raises(TaskError, match="AttributeError"):
        get_head("moons")


def test_a_package_cannot_take_the_name_of_a_built_in_head(package):
    package("shadow", STUB + "class Mine(Base): pass", {"classification": "shadow_heads:Mine"})
    assert get_head("classification") is ClassificationHead
    listed = head_entries()["classification (package shadow)"]
    assert listed.error == "the name is taken (built in)"
    with pytest.raises(UsageError, match="there is no head"):
        get_head("classification (package shadow)")


def test_of_two_packages_that_offer_one_name_neither_gets_it_until_one_is_chosen(package, monkeypatch):
    package("beta", STUB + "class Head(Base): pass", {"stars": "beta_heads:Head"})
    package("alpha", STUB + "class Head(Base): pass", {"stars": "alpha_heads:Head"})
    entries = head_entries()
    assert "stars" not in entries
    assert "also offered by package alpha" in entries["stars (package beta)"].error
    with pytest.raises(
        UsageError, match=r"no head 'stars' \(package alpha: .*package beta: .*ROOTS_LOAD_PLUGINS"
    ):
        get_head("stars")
    monkeypatch.setenv("ROOTS_LOAD_PLUGINS", "beta")
    assert get_head("stars").__module__ == "beta_heads"


@pytest.mark.parametrize(
    "raised", ["SystemExit(3)", "BaseException('all of it')", "ImportError('no module')"]
)
def test_a_package_may_raise_anything_on_import_and_breaks_no_other(package, raised):
    package("wild", f"raise {raised}", {"stars": "wild_heads:Stars"})
    package("tame", STUB + "class Moons(Base): pass", {"moons": "tame_heads:Moons"})
    with pytest.raises(TaskError, match=f"cannot be imported: {raised.partition('(')[0]}"):
        get_head("stars")
    assert get_head("moons").__name__ == "Moons"


def test_what_a_package_registered_before_it_failed_is_forgotten(package):
    code = f"""
{STUB}
from roots_kg.registry import register_head

@register_head("left_behind")
class Stars(Base): pass

raise ValueError("halfway")
"""
    package("halfway", code, {"stars": "halfway_heads:Stars"})
    with pytest.raises(TaskError, match="ValueError: halfway"):
        get_head("stars")
    assert "left_behind" not in head_entries()


def test_a_package_may_name_its_head_by_entry_point_and_by_decorator(package):
    code = f"""
{STUB}
from roots_kg.registry import register_head

@register_head("twice_named")
class Stars(Base): pass
"""
    package("both", code, {"twice_named": "both_heads:Stars"})
    assert get_head("twice_named").__name__ == "Stars"
    assert head_entries()["twice_named"].origin == "package both"


def test_a_class_that_is_no_whole_head_is_refused_with_what_it_lacks(package):
    code = """
from roots_kg.adaptation.heads.base import Head
class Partly(Head):
    def example(self, record): ...
class Other: pass
"""
    package("partial", code, {"partly": "partial_heads:Partly", "other": "partial_heads:Other"})
    with pytest.raises(
        TaskError, match="'partly' from package partial cannot be used: it lacks decode, fit,"
    ):
        get_head("partly")
    with pytest.raises(TaskError, match=r"not a subclass of roots_kg\.adaptation\.heads\.base\.Head"):
        get_head("other")
    with pytest.raises(UsageError, match="not a subclass"):
        register_head("mine")(type("Mine", (), {}))


@pytest.mark.parametrize("target", ["acme_heads", "", ":Stars", "acme heads"])
def test_an_entry_point_that_names_no_class_is_listed_with_its_error(package, target):
    package("acme", "", {"stars": target})
    listed = [entry for entry in head_entries().values() if entry.name == "stars"]
    with pytest.raises((UsageError, TaskError)):
        get_head("stars")
    assert len(listed) <= 1
    assert get_head("classification") is ClassificationHead


def test_a_package_whose_metadata_cannot_be_read_hides_no_other(package, tmp_path):
    package("good", STUB + "class Stars(Base): pass", {"stars": "good_heads:Stars"})
    package("garbled", "", {"moons": "garbled_heads:Moons"})
    points = tmp_path / "garbled" / "garbled-1.0.dist-info" / "entry_points.txt"
    points.write_text("[roots_kg.heads]\nmoons without a target\n")
    assert get_head("stars").__name__ == "Stars"
    points.write_bytes(b"[roots_kg.heads]\n\xff\xfe = x:y\n")
    assert get_head("stars").__name__ == "Stars"


def test_the_environment_chooses_which_packages_are_seen(package, monkeypatch):
    package("one", STUB + "class Head(Base): pass", {"first": "one_heads:Head"})
    package("two", STUB + "class Head(Base): pass", {"second": "two_heads:Head"})
    assert {"first", "second"} <= set(head_entries())
    monkeypatch.setenv("ROOTS_LOAD_PLUGINS", "two, three")
    assert "first" not in head_entries()
    assert "second" in head_entries()
    monkeypatch.setenv("ROOTS_LOAD_PLUGINS", "")
    assert list(head_entries()) == sorted(registry.BUILT_IN)
    with pytest.raises(UsageError, match="no head 'second'"):
        get_head("second")


HEAD = f"""
from roots_kg.registry import register_head
{STUB}
@register_head("mine")
class Mine(Base):
    pass
"""


def test_a_task_folder_brings_a_head_and_the_listing_says_from_where(task_code):
    path = task_code(HEAD)
    load_task_code(path)
    assert get_head("mine").__name__ == "Mine"
    assert head_entries()["mine"].origin == str(path)


def test_a_task_folders_code_runs_once(task_code):
    path = task_code(HEAD)
    load_task_code(path)
    first = get_head("mine")
    load_task_code(path)
    assert get_head("mine") is first


def test_two_task_folders_cannot_bring_heads_of_one_name(task_code):
    load_task_code(task_code(HEAD))
    with pytest.raises(UsageError, match=r"'mine' exists already \(.*mine/head.py\)"):
        load_task_code(task_code(HEAD, task="other"))


def test_task_code_cannot_take_the_name_of_a_head_that_a_program_registered(task_code):
    register_head("mine")(type("Mine", (ClassificationHead,), {"__qualname__": "Mine"}))
    with pytest.raises(UsageError, match=r"exists already \(decorator\)"):
        load_task_code(task_code(HEAD))


@pytest.mark.parametrize("code", ["raise ValueError('oh no')", "def broken(:", "raise SystemExit", "\0"])
def test_task_code_that_raises_is_refused_with_its_file(task_code, code):
    path = task_code(code)
    with pytest.raises(TaskError, match="its code raised") as caught:
        load_task_code(path)
    assert caught.value.path == path


def test_task_code_that_raises_leaves_no_head_behind_and_fails_again(task_code):
    path = task_code(HEAD + "\nraise ValueError('oh no')")
    for _ in range(2):
        with pytest.raises(TaskError, match="ValueError: oh no"):
            load_task_code(path)
        assert "mine" not in head_entries()


def test_task_code_may_hold_dataclasses_with_postponed_annotations(task_code):
    code = """
        from __future__ import annotations
        from dataclasses import dataclass
        from roots_kg.adaptation.heads.classification import ClassificationHead
        from roots_kg.registry import register_head

        @dataclass
        class Settings:
            size: int = 3

        @register_head("mine")
        class Mine(ClassificationHead):
            form = Settings()
    """
    load_task_code(task_code(code))
    assert get_head("mine").form.size == 3


def test_task_code_that_changed_in_a_running_program_is_run_again(task_code):
    path = task_code(HEAD)
    load_task_code(path)
    first = get_head("mine")
    load_task_code(task_code(HEAD + "\n# changed"))
    assert get_head("mine") is not first
    with pytest.raises(TaskError):
        load_task_code(task_code("raise ValueError"))
    assert get_head("mine") is not first


def test_the_bytes_that_were_read_run_and_no_compiled_copy_beside_them(task_code, tmp_path):
    path = task_code(HEAD)
    code = CodeFile.read(path)
    trace = tmp_path / "trace"
    path.write_text(f"open({str(trace)!r}, 'w')")
    py_compile.compile(str(path), cfile=importlib.util.cache_from_source(str(path)))
    load_task_code(code)
    assert get_head("mine").__name__ == "Mine"
    assert not trace.exists()
