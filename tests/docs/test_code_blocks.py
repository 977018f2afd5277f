"""What the README and the tutorial tell a person to type does what they say it does."""

import contextlib
import io
import json
import lzma
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import metadata
from pathlib import Path

import pytest
import typer
import yaml

from roots_kg.cli import app, main

ROOT = Path(__file__).resolve().parents[2]
README, README_ZH, TUTORIAL = ROOT / "README.md", ROOT / "README.zh.md", ROOT / "docs/tutorial.md"
BLOCK = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
EXTRAS = set(metadata("roots-kg").get_all("Provides-Extra"))
ELSEWHERE = {"python", ".", "export", "make", "git"}
"""What sets a computer up, which this one is."""


@dataclass(frozen=True)
class Block:
    """A block of code: its language, the file that it is, if it is one, and what it says."""

    language: str
    title: str
    text: str


def blocks(path):
    return [Block(*found) for found in BLOCK.findall(path.read_text(encoding="utf-8"))]


def commands(block):
    """Yield each command of a block with the output that is shown below it, if any is."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "sh":
        for line in lines:
            yield from ((part, "") for part in re.split(r" && ", line.partition("  #")[0]) if part.strip())
        return
    for part in re.split(r"^\$ ", "\n".join(lines), flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output.strip("\n")


def without_numbers(text):
    """Return a text with figures blotted out, which differ from run to run, and spaces that they move."""
    lines = (re.sub(r"[−-]?\d[\d.,]*", "#", line) for line in text.splitlines())
    return "\n".join(re.sub(r"\s+", " ", line).strip() for line in lines)


class Typist:
    """Types what pages say, in a folder of its own.

    Args:
        folder: where.
        after: what else happens in the world after a command that begins so, as a function of the typist.
        instead: likewise, of a command that is not typed as it stands.
    """

    def __init__(self, folder, after=None, instead=None):
        self.folder, self.after, self.instead = folder, after or {}, instead or {}
        self.servers = []

    def follow(self, found):
        for block in found:
            if block.title:
                path = self.folder / block.title
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")
            elif block.language in ("sh", "console"):
                for command, shown in commands(block):
                    printed = self.type(command)
                    if shown:
                        printed = printed.replace(f"{self.folder.resolve()}/", "")
                        assert without_numbers(printed) == without_numbers(shown), command
            elif block.language == "python":
                with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
                    patch.chdir(self.folder)
                    exec(compile(block.text, "block", "exec"), {})
            elif block.language == "yaml":
                assert isinstance(yaml.safe_load(block.text), dict)

    def type(self, command):
        words = shlex.split(command, comments=True)
        for start, happens in self.instead.items():
            if command.startswith(start):
                return happens(self)
        printed = self._run(words) if words else ""
        for start, happens in self.after.items():
            if command.startswith(start):
                happens(self)
        return printed

    def _run(self, words):
        if words[0] in ELSEWHERE:
            return ""
        if words[0] == "pip":
            for extra in re.findall(r"\[(.*?)\]", " ".join(words)):
                assert set(extra.split(",")) <= EXTRAS, extra
            return ""
        if words[0] == "cd":
            self.folder = self.folder / words[1]
            assert self.folder.is_dir()
            return ""
        if words[:2] == ["roots", "serve"]:
            return self._serve(words[1:])
        if words[0] == "roots":
            return self._roots(words[1:])
        done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout

    def _roots(self, arguments):
        out, err = io.StringIO(), io.StringIO()
        expanded = [
            name
            for word in arguments
            for name in (sorted(map(str, self.folder.glob(word))) if "*" in word else [word])
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["roots", *expanded])
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    main()
                    code = 0
                except SystemExit as stop:
                    code = stop.code or 0
        assert code == 0, f"roots {shlex.join(arguments)}: {err.getvalue()}"
        return out.getvalue()

    def _serve(self, arguments):
        command = [sys.executable, "-m", "roots_kg", *arguments]
        process = subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.servers.append(process)
        assert "http://127.0.0.1:8000/" in process.stdout.readline()
        return ""

    def stop(self):
        for process in self.servers:
            process.terminate()
            process.wait(timeout=60)


def test_the_tutorial_typed_word_for_word_ends_in_a_served_model(tmp_path):
    typist = Typist(tmp_path)
    try:
        typist.follow(blocks(TUTORIAL))
        page = subprocess.run(["curl", "-s", "http://127.0.0.1:8000/"], capture_output=True, text=True)
        assert "<title>" in page.stdout
    finally:
        typist.stop()
    assert typist.folder == tmp_path / "bikes"
    assert (typist.folder / "report.html").is_file()
    card = (typist.folder / "runs/tickets/README.md").read_text(encoding="utf-8")
    assert "On the 13 examples of `tasks/tickets/test.jsonl`" in card


def fill(typist):
    """Put a graph and a task called NAME into the new workspace: what a person brings along."""
    folder = typist.folder / "my-project"
    countries = {"Austria", "Germany", "Sweden", "Norway", "Europe"}
    triples = (ROOT / "knowledge/geography/triples.tsv").read_text(encoding="utf-8").splitlines()
    kept = [line for line in triples if set(line.split("\t")[::2]) & countries]
    (folder / "knowledge/NAME").mkdir()
    (folder / "knowledge/NAME/triples.tsv").write_text("\n".join(kept) + "\n", encoding="utf-8")
    (folder / "tasks/NAME").mkdir()
    for name, most in (("train", 6), ("test", 6)):
        lines = (ROOT / f"tasks/region_routing/{name}.jsonl").read_text(encoding="utf-8").splitlines()
        read = [json.loads(line) for line in lines]
        chosen = [
            each
            for label in ("dach", "nordics")
            for each in [row for row in read if row["label"] == label][:most]
        ]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in chosen)
        (folder / f"tasks/NAME/{name}.jsonl").write_text(text, encoding="utf-8")
    (yaml_block,) = [block for block in blocks(README) if block.language == "yaml"]
    (folder / "tasks/NAME/task.yaml").write_text(yaml_block.text, encoding="utf-8")
    refunds = [{"text": "I want my money back."}, {"text": "Please refund the broken lamp."}]
    (folder / "refunds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in refunds))
    (folder / "my-text").mkdir()
    novel = "It was a dark and stormy night, and the rain fell in torrents. " * 400
    (folder / "my-text/novel.txt.xz").write_bytes(lzma.compress(novel.encode()))


def shorten(typist):
    """Make the ready-made pretraining a short one."""
    path = typist.folder / "configs/pretrain.yaml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    settings |= {"steps": 2, "validation": [], "tokenizer": {"kind": "bpe", "vocab_size": 300}}
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")


def test_what_the_readme_says_of_ones_own_data_can_be_typed(tmp_path):
    after = {"roots init my-project": fill, "roots configs cp pretrain": shorten}
    instead = {"roots serve": lambda typist: ""}  # the tutorial serves
    typist = Typist(tmp_path, after, instead)
    typist.follow([block for block in blocks(README) if "runs/demo" not in block.text])
    assert (typist.folder / "report.html").is_file()


def test_the_readme_shows_what_the_demo_prints(tmp_path):
    for name in ("knowledge", "tasks"):
        (tmp_path / name).symlink_to(ROOT / name)

    def answering(typist):
        typist.type("roots adapt geo_questions --knowledge runs/demo/geography --out runs/demo/questions")

    def judging(typist):  # on a part of the test examples, which changes nothing but figures
        lines = (ROOT / "tasks/region_routing/test.jsonl").read_text(encoding="utf-8").splitlines()
        (tmp_path / "part.jsonl").write_text("\n".join(lines[::20]) + "\n", encoding="utf-8")
        answering(typist)
        shown = typist.type("roots evaluate runs/demo/routing --test part.jsonl")
        return shown.replace("part.jsonl", "tasks/region_routing/test.jsonl")

    (demo,) = [block for block in blocks(README) if "runs/demo" in block.text]
    Typist(tmp_path, instead={"roots evaluate runs/demo/routing --test tasks": judging}).follow([demo])
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(DEMO)", "runs/demo")
    for command, _ in commands(demo):
        assert command in makefile, command


def test_both_readmes_have_the_same_code():
    pages = (README, README_ZH)
    english, chinese = ([block.text for block in blocks(path) if block.language] for path in pages)

    def bare(found):  # without comments, which are in the language of the page
        return [re.sub(r" *#.*", "", text) for text in found]

    assert bare(english) == bare(chinese)


def test_every_command_in_the_documentation_is_one():
    pages = [README, README_ZH, *sorted((ROOT / "docs").rglob("*.md"))]
    checked = 0
    for page in pages:
        for block in blocks(page):
            for command, _ in commands(block) if block.language in ("sh", "console") else ():
                words = shlex.split(command, comments=True)
                if words[:1] == ["roots"]:
                    understand(words[1:], f"{page.name}: {command}")
                    checked += 1
    assert checked > 60


def understand(words, place):
    """Fail if the command line would refuse these words."""
    command = typer.main.get_command(app)
    while hasattr(command, "list_commands"):
        assert words, place
        assert words[0] in command.list_commands(None), place
        command, words = command.get_command(None, words[0]), words[1:]
    try:
        command.make_context("roots", list(words))
    except Exception as error:
        raise AssertionError(f"{place}: {error}") from error
