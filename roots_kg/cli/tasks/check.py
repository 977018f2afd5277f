"""`roots tasks check`: what is wrong with a task's files, or with a head."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roots_kg.cli.code import TrustTaskCodeOption, head_of_task, run_code
from roots_kg.cli.output import JsonOption, print_json, table
from roots_kg.errors import RootsError, UsageError
from roots_kg.registry import get_head, head_entries
from roots_kg.trust import CodeFile
from roots_kg.workspace import Workspace

if TYPE_CHECKING:
    from roots_kg.adaptation.heads.base import Head
    from roots_kg.adaptation.task import Task
    from roots_kg.adaptation.task_check import Finding
    from roots_kg.graph.store import GraphBundle

SHOWN = 50
TEXT_VECTOR = 384
"""The size of a text vector, for heads that are made but read no vector."""

MARKS = {True: "kept  ", False: "BROKEN", None: "  ?   "}


def check_tasks(
    task: Annotated[
        str | None,
        typer.Argument(metavar="TASK", help="A task folder, or the name of one; by default every task here."),
    ] = None,
    head: Annotated[
        str | None, typer.Option(metavar="HEAD", help="Check a head instead: what every head must do.")
    ] = None,
    knowledge: Annotated[
        Path | None, typer.Option(metavar="BUNDLE", help="A graph, for a task that needs one and names none.")
    ] = None,
    trust_task_code: TrustTaskCodeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read every line of a task's files and tell all that is wrong; or put a head to the test.

    Ends with exit code 1 if something is wrong. Warnings are no wrong.

    Example: roots tasks check region_routing
    """
    if head is not None:
        if task is not None or knowledge is not None:
            raise UsageError("--head checks a head with its own sample, without a task or a graph")
        kept = _check_head(head, trust=trust_task_code, as_json=as_json)
    else:
        workspace = Workspace.find()
        folders = [workspace.task_folder(task)] if task is not None else workspace.task_folders()
        if not folders:
            raise UsageError(f"there is no task in {workspace.root}", hint="`roots tasks new` makes one")
        results = [_check_task(folder, knowledge, trust=trust_task_code) for folder in folders]
        kept = not any(result["problems"] for result in results)
        if as_json:
            print_json(results[0] if task is not None else {"tasks": results})
        else:
            for number, result in enumerate(results):
                print("\n" * bool(number), end="")
                _show(result)
    if not kept:
        raise typer.Exit(1)


def _check_task(folder: Path, knowledge: Path | None, *, trust: bool) -> dict[str, Any]:
    """Return what there is to say about a task, as plain data."""
    from roots_kg.adaptation.task import Task
    from roots_kg.adaptation.task_check import Finding, TaskReport, check_task

    name, head_name = folder.resolve().name, ""
    report = TaskReport()
    try:
        task = Task.load(folder)
        name, head_name = task.name, task.head
        head_type = head_of_task(folder, task.head, trust=trust)
        report = check_task(task, _head(head_type, task, knowledge))
    except RootsError as error:
        report.problems.append(Finding.of(error))
    return {
        "task": name,
        "head": head_name,
        "folder": folder,
        **{key: value for key, value in asdict(report).items() if key not in ("problems", "warnings")},
        "problems": [_plain(found) for found in report.problems],
        "warnings": [_plain(found) for found in report.warnings],
    }


def _head(head_type: type[Head], task: Task, knowledge: Path | None) -> Head:
    """Return a new head that reads the task's lines, with the task's graph, if there is one."""
    from roots_kg.fusion.encoder import Knowledge
    from roots_kg.graph.store import GraphBundle

    bundle = None
    if knowledge is not None:
        bundle = GraphBundle.load(knowledge)
    elif task.knowledge is not None:
        bundle = _untrained(task.knowledge)
    return head_type(task, TEXT_VECTOR, Knowledge(bundle) if bundle is not None else None)


def _untrained(path: Path) -> GraphBundle:
    """Return a graph whose vectors say nothing: lines are read by its names."""
    from roots_kg.graph.store import GraphBundle
    from roots_kg.graph.transe import TransE, TransEConfig
    from roots_kg.graph.triples import KnowledgeGraph

    files = Workspace.find().graph_files(str(path))
    graph = KnowledgeGraph.from_file(*files.triples, aliases=files.aliases)
    config = TransEConfig(dimension=1)
    return GraphBundle(graph, TransE(graph.num_entities, graph.num_relations, config.dimension), config)


def _show(result: dict[str, Any]) -> None:
    """Print what there is to say about a task."""
    examples = ", ".join(f"{count:,} examples in {split}" for split, count in result["examples"].items())
    print(f"{result['task']} ({result['head'] or 'no head'}): {examples or 'nothing could be read'}")
    if result["labels"]:
        splits = list(result["examples"])
        rows = [[label, *(counts[split] for split in splits)] for label, counts in result["labels"].items()]
        print()
        table("", ["label", *splits], rows[:SHOWN])
        _more(len(rows))
    for kind in ("problems", "warnings"):
        if result[kind]:
            print(f"\n{kind}")
            for found in result[kind][:SHOWN]:
                print(f"  {found['text']}")
            _more(len(result[kind]))
    if not result["problems"]:
        print("\nNothing is wrong with it." if not result["warnings"] else "\nNothing else is wrong with it.")


def _more(count: int) -> None:
    if count > SHOWN:
        print(f"  … and {count - SHOWN:,} more; --json gives them all")


def _plain(found: Finding) -> dict[str, Any]:
    return {**asdict(found), "text": str(found)}


def _check_head(name: str, *, trust: bool, as_json: bool) -> bool:
    """Put a head to the test and print what comes of it; return whether it keeps every promise."""
    known = [entry.name for entry in head_entries().values() if not entry.error]
    if name not in known:
        for code in filter(None, map(CodeFile.of_task, Workspace.find().task_folders())):
            if name in code.heads:
                run_code(code, trust=trust)
    get_head(name)

    from roots_kg.testing import head_verdicts

    origin = head_entries()[name].origin
    verdicts = head_verdicts(name)
    broken = [verdict for verdict in verdicts if not verdict.kept]
    if as_json:
        print_json(
            {"head": name, "origin": origin, "kept": not broken, "promises": list(map(asdict, verdicts))}
        )
        return not broken
    print(f"{name} ({origin})")
    for verdict in verdicts:
        print(f"  {MARKS[verdict.kept]}  {verdict.promise}")
        if not verdict.kept:
            print(f"          {verdict.how}")
    kept = len(verdicts) - len(broken)
    print(f"{kept} of {len(verdicts)} promises are kept.")
    return not broken
