"""`roots evaluate`: how good a model is on labelled examples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from roots_kg.cli.code import TaskCodeOption, trust_code_of
from roots_kg.cli.output import (
    JsonOption,
    KnowledgeOption,
    PrecisionOption,
    ProjectOption,
    RecordOption,
    TaskOption,
    figures,
    print_json,
    progress_bar,
    refuse_to_record,
    working,
)


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A folder that `roots adapt` wrote.")],
    test: Annotated[Path, typer.Option(help="Labelled examples, JSONL.")],
    task: TaskOption = None,
    knowledge: KnowledgeOption = None,
    project_knowledge: ProjectOption = False,
    precision: PrecisionOption = None,
    task_code: TaskCodeOption = None,
    record: RecordOption = False,
    as_json: JsonOption = False,
) -> None:
    """Judge a model by the task's metrics.

    Example: roots evaluate runs/routing --test tasks/region_routing/test.jsonl
    """
    from roots_kg.adaptation.task import read_records
    from roots_kg.model import RootsModel
    from roots_kg.model_card import Judgement

    refuse_to_record(record, knowledge)
    records = read_records(test)
    trust_code_of(task_code, model)
    with working("loading the model"):
        loaded = RootsModel.from_pretrained(
            model, knowledge=knowledge, project=project_knowledge, precision=precision
        )
    with progress_bar("texts", len(records)) as advance:
        report = loaded.evaluate(records, task, progress=advance)
    if record:
        judgement = Judgement(str(test), report.n, report.metrics, dict(report.intervals))
        loaded.card.judged(loaded.head_of(task).task.name, judgement)
        loaded.save_card(model)
    if as_json:
        seconds = {"wall": report.seconds}
        print_json(
            {
                "metrics": report.metrics,
                "intervals": report.intervals,
                "diagnostics": report.diagnostics,
                "n": report.n,
                "seconds": seconds,
            }
        )
        return
    shown = {
        name: f"{value:.4f}" + (f"  [{low:.4f}, {high:.4f}]" if low < high else "")
        for name, value in report.metrics.items()
        for low, high in [report.intervals.get(name, (value, value))]
    }
    figures(
        f"{test}: {report.n:,} examples, {report.seconds:.1f} s  [95% intervals over examples]",
        {**shown, **report.diagnostics},
    )
