"""`roots report`: whether a model's graph helps, by every test of it that there is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roots_kg.cli.code import TaskCodeOption, trust_code_of
from roots_kg.cli.output import (
    JsonOption,
    KnowledgeOption,
    PrecisionOption,
    ProjectOption,
    RecordOption,
    figures,
    print_json,
    progress_bar,
    refuse_to_record,
    table,
    working,
)
from roots_kg.errors import TaskError, UsageError
from roots_kg.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from roots_kg.adaptation.task import Record, Task
    from roots_kg.evaluation.bias import BiasReport, TermGroups
    from roots_kg.evaluation.report import KnowledgeReport
    from roots_kg.evaluation.robustness import RobustnessReport
    from roots_kg.model import RootsModel


def report(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A folder that `roots adapt` wrote.")],
    test: Annotated[Path, typer.Option(help="Labelled examples, JSONL.")],
    task: Annotated[
        str | None,
        typer.Option(
            help="The task to draw support sets from: a folder, or a name under tasks/; default: the model's."
        ),
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(
            help="Examples of each class in a support set (in all, for heads without classes); default: all."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many support sets to draw.")] = 5,
    seed: Annotated[int, typer.Option(min=0, max=2**62, help="Of the first draw; the next ones follow.")] = 0,
    evidence_sample: Annotated[
        int, typer.Option(help="Of how many predictions to check the evidence, at most.")
    ] = 200,
    robustness: Annotated[
        bool,
        typer.Option("--robustness", help="Measure instead how the model stands up to noise."),
    ] = False,
    bias: Annotated[
        bool,
        typer.Option(
            "--bias", help="Measure instead how often predictions change where another group is spoken of."
        ),
    ] = False,
    groups: Annotated[
        Path | None,
        typer.Option(
            metavar="WORDS.yaml", help="With --bias: the words to swap, in place of the usual ones."
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="OUT.html", help="Also write a page.")] = None,
    knowledge: KnowledgeOption = None,
    project_knowledge: ProjectOption = False,
    precision: PrecisionOption = None,
    task_code: TaskCodeOption = None,
    record: RecordOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure what a model's graph is worth: the knowledge report.

    The task is learned anew with the graph, without it, with a shuffled graph, with random vectors, and with
    the triples written in front of the text, on the same support sets. Then come entities that no support
    example mentions, what training gives away, and the evidence, checked by deleting it.

    Example: roots report runs/routing --test tasks/region_routing/test.jsonl --shots 5 --html report.html
    """
    from roots_kg.adaptation.task import read_records
    from roots_kg.evaluation.bias import load_groups
    from roots_kg.evaluation.report import knowledge_report, work
    from roots_kg.evaluation.report_page import write_page
    from roots_kg.model import RootsModel

    refuse_to_record(record, knowledge)
    _check_kind(robustness, bias, groups, html, task is not None or shots is not None)
    if html is not None:
        _check_page(html, model, test)
    words = load_groups(groups) if bias else None
    records = read_records(test)
    trust_code_of(task_code, model)
    with working("loading the model"):
        loaded = RootsModel.from_pretrained(
            model, knowledge=knowledge, project=project_knowledge, precision=precision
        )
    if words is not None:
        _tell("bias", _bias(loaded, records, words, seed), loaded, model, test, seed, record, as_json)
        return
    chosen = _task(task, loaded)
    if robustness:
        noise = _robustness(loaded, chosen, records, shots, seed)
        _tell("robustness", noise, loaded, model, test, seed, record, as_json)
        return
    with progress_bar("texts", work(len(records), evidence_sample)) as advance:
        found = knowledge_report(
            loaded,
            chosen,
            records,
            shots=shots,
            seeds=seeds,
            seed=seed,
            evidence_sample=evidence_sample,
            progress=advance,
        )
    if record:
        _record(loaded, found, "knowledge", model)
    if as_json:
        paths = {"model": model, "test": test, **({"html": html} if html is not None else {})}
        print_json({**found.to_json(), **paths, "seed": seed})
    else:
        _print(found, test)
    if html is not None:
        write_page(found, html, model=str(model), test=str(test))
        if not as_json:
            print(f"\nThe page is {html}")


def _record(
    loaded: RootsModel, found: KnowledgeReport | RobustnessReport | BiasReport, name: str, model: Path
) -> None:
    """Write a report into the card of the model."""
    loaded.card.reported(found.task, name, found.to_markdown())
    loaded.save_card(model)


def _tell(
    name: str,
    found: RobustnessReport | BiasReport,
    loaded: RootsModel,
    model: Path,
    test: Path,
    seed: int,
    record: bool,
    as_json: bool,
) -> None:
    """Write a report of the model as it is saved into its card, if that is asked for, and print it."""
    from roots_kg.evaluation.bias import BiasReport

    if record:
        _record(loaded, found, name, model)
    if as_json:
        print_json({"metrics": found.to_json(), "model": model, "test": test, "seed": seed})
    elif isinstance(found, BiasReport):
        _print_bias(found)
    else:
        _print_robustness(found)


def _robustness(
    model: RootsModel, task: Task, test: Sequence[Record], shots: int | None, seed: int
) -> RobustnessReport:
    from roots_kg.evaluation.robustness import robustness_report, work

    with progress_bar("texts", work(len(test))) as advance:
        return robustness_report(model, task, test, shots=shots, seed=seed, progress=advance)


def _print_robustness(found: RobustnessReport) -> None:
    from roots_kg.evaluation.verdict import number, points

    rows = [
        [row.disturbance, number(row.graph), number(row.text), points(row.difference)] for row in found.rows
    ]
    title = f"{found.task}: {found.metric} on {found.n:,} examples, with 95% bootstrap intervals"
    table(title, ["disturbance", "with the graph", "text only", "difference"], rows)


def _bias(model: RootsModel, test: Sequence[Record], groups: TermGroups, seed: int) -> BiasReport:
    from roots_kg.evaluation.bias import bias_report, work

    with progress_bar("texts", work(model, test, groups)) as advance:
        return bias_report(model, test, groups, seed=seed, progress=advance)


def _print_bias(found: BiasReport) -> None:
    from roots_kg.evaluation.bias import PARTS, parts_of

    title = f"{found.task}: words swapped in those of {found.n:,} examples that have one, 95% intervals"
    table(title, found.columns, found.rows())
    for kind in found.kinds:
        if kind.entities is not None:
            print(f"\n{kind.kind}: in the names of {kind.entities:,} of the graph's entities")
        for of in PARTS:
            columns, rows = parts_of(kind, of)
            if rows:
                table(f"\n{kind.kind}: flips, and the probability's shift in points", columns, rows)


def _check_kind(robustness: bool, bias: bool, groups: Path | None, html: Path | None, learns: bool) -> None:
    """Refuse options that belong to another kind of report."""
    if robustness and bias:
        raise UsageError("--robustness and --bias are reports of their own", hint="ask for one of the two")
    if groups is not None and not bias:
        raise UsageError("--groups tells --bias what to swap", hint="add --bias")
    if bias and learns:
        hint = "leave --task and --shots out"
        raise UsageError("--bias judges the model as it is, and learns from no examples", hint=hint)
    if html is not None and (robustness or bias):
        named = "--robustness" if robustness else "--bias"
        raise UsageError(f"{named} writes no page", hint="leave --html out")


def _check_page(html: Path, model: Path, test: Path) -> None:
    """Refuse a page that would take the place of something else, before any work is done."""
    if html.is_dir():
        raise UsageError("this is a folder", path=html, hint="name a file to write the page to")
    if html.resolve() == test.resolve():
        raise UsageError("this file holds the test examples", path=html, hint="name another file")
    if model.resolve() in html.resolve().parents:
        raise UsageError("this lies in the model that is being judged", path=html, hint="name another place")


def _task(named: str | None, model: RootsModel) -> Task:
    """Return the task to draw support sets from: the named one, or that of the model's name."""
    from roots_kg.adaptation.task import Task

    workspace = Workspace.find()
    if named is not None:
        return Task.load(workspace.task_folder(named))
    own = model.head_of().task
    try:
        return Task.load(workspace.task_folder(own.name))
    except TaskError as error:
        raise UsageError(
            f"the task {own.name!r}, which the model was adapted to, is not in this workspace",
            hint="name its folder with `--task`",
        ) from error


def _print(found: KnowledgeReport, test: Path) -> None:
    from roots_kg.evaluation.conditions import GRAPH, TITLES
    from roots_kg.evaluation.verdict import number, points

    metric, metrics = found.metric, list(found.saved[GRAPH])
    names = [name.replace("_", " ") for name in metrics]
    print(f"{found.verdict}\n")
    size = f"{found.support[0]:,}" if len(set(found.support)) == 1 else f"about {found.support[0]:,}"
    print(f"{found.task} ({found.head}), {test}: {found.n:,} examples, {found.seconds:.1f} s")
    draws = f"{len(found.support)} draw{'s' if len(found.support) > 1 else ''}"
    print(f"learned anew from {draws} of {size} training examples; {found.interval}\n")
    rows = []
    for result in found.conditions:
        scores = result.scores
        shown = [number(scores[name] if scores else None) for name in metrics]
        rows.append([TITLES[result.name], *shown, points(result.gain[metric]) if result.gain else "–"])
    table("conditions", ["learned with", *names, "graph minus this"], rows)
    for result in found.conditions:
        if result.note:
            print(f"{TITLES[result.name]}: {result.note}")
    print()
    titles = ("with its graph", "graph switched off")
    saved = zip(titles, found.saved.values(), strict=True)
    table(
        "the model as saved",
        ["asked", *names],
        [[title, *(scores[name] for name in metrics)] for title, scores in saved],
    )
    print()
    parts = found.parts
    rows = [["(examples)", *(f"{n:,.4g}" for _, n, _ in parts)]]
    for name, title in TITLES.items():
        each = (scores[name] for _, _, scores in parts)
        rows.append([title, *(number(scores[metric] if scores else None) for scores in each)])
    table(f"{metric.replace('_', ' ')} on parts", ["learned with", *(title for title, _, _ in parts)], rows)
    print()
    leakage = found.leakage
    figures(
        f"given away by {leakage.training:,} training examples",
        {title: _share(*counts) for title, counts in leakage.counts.items()},
    )
    print()
    check = found.deletion
    if not check.heaviest.tried:
        print("evidence: no prediction cites a triple")
        return
    rows = []
    for title, deleted in check.by_title.items():
        fall = points(deleted.fall) if deleted.fall else "–"
        rows.append([title, _share(deleted.changed, deleted.tried), number(deleted.share), fall])
    columns = ["deleted", "answers changed", "share", "fall of the answer's probability"]
    table(f"evidence: {check.with_evidence:,} predictions cite a triple", columns, rows)


def _share(count: int, total: int) -> str:
    return f"{count:,} of {total:,}{f' ({count / total:.1%})' if total else ''}"
