"""`roots predict`: answers for texts, with the triples behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from roots_kg.cli.code import TaskCodeOption, trust_code_of
from roots_kg.cli.output import (
    BlockListOption,
    JsonOption,
    KnowledgeOption,
    PrecisionOption,
    ProjectOption,
    TaskOption,
    print_json,
    progress_bar,
    shows_progress,
    table,
    working,
)
from roots_kg.errors import UsageError

if TYPE_CHECKING:
    from roots_kg.adaptation.heads.base import Head, Prediction
    from roots_kg.adaptation.task import Record
    from roots_kg.explain import Explanation
    from roots_kg.fusion.encoder import Text
    from roots_kg.model import RootsModel

SHOWN, SHOWN_TOKENS = 5, 40
_OUT_OF_SCOPE = "(out of scope)"


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A folder that `roots adapt` wrote.")],
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT...]", help="Texts to answer.")] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input", help="JSONL as for training; what is right may be left out.")
    ] = None,
    output_file: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Write one JSON object a line, for files of any size; for --input.",
        ),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show links, triples and gates.")] = False,
    task: TaskOption = None,
    knowledge: KnowledgeOption = None,
    project_knowledge: ProjectOption = False,
    precision: PrecisionOption = None,
    block_list: BlockListOption = None,
    task_code: TaskCodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Predict for texts; with --explain, show which triples were used and what each was worth.

    Example: roots predict runs/routing "My parcel to Steiermark is late" --explain
    """
    from roots_kg.adaptation.task import read_records
    from roots_kg.encoding.decoding.block_list import BlockList, read_block_list
    from roots_kg.files import is_text
    from roots_kg.model import RootsModel

    if bool(texts) == (input_file is not None):
        raise UsageError("give either texts or --input")
    if not all(map(is_text, texts or ())):
        raise UsageError("a text is not UTF-8")
    if output_file is not None and input_file is None:
        raise UsageError("--output is for --input", hint="without it, --json prints one object")
    if output_file is not None and input_file is not None:
        _check_output(output_file, input_file)
    at_once = input_file if output_file is None else None
    records = [] if at_once is None else read_records(at_once, pipe=True)
    blocked = None if block_list is None else BlockList(read_block_list(block_list))
    trust_code_of(task_code, model)
    with working("loading the model"):
        loaded = RootsModel.from_pretrained(
            model, knowledge=knowledge, project=project_knowledge, precision=precision
        )
    heads = list(loaded.heads.values()) if task is None else []
    heads = heads or [loaded.head_of(task)]
    if blocked is not None:
        if not any(head.writes for head in heads):
            raise UsageError("--block-list is for tasks whose answers are written texts")
        loaded.obey([blocked])
    if input_file is not None and output_file is not None:
        count = _stream(loaded, heads, input_file, output_file, explain=explain)
        if as_json:
            print_json({"metrics": {"texts": count}, "out": output_file})
        else:
            print(f"What was predicted for {count:,} texts is in {output_file}")
        return
    inputs: Sequence[Text] = texts or _read(records, heads)
    if explain:
        explained: dict[str, list[Explanation]] = {}
        for head in heads:
            with progress_bar("texts", len(inputs)) as advance:
                explained[head.task.name] = loaded.explain(inputs, head.task.name, progress=advance)
        if as_json:
            print_json(_by_task({name: list(map(asdict, found)) for name, found in explained.items()}))
        else:
            _show_explanations(explained)
        return
    with progress_bar("texts", len(inputs)) as advance:
        predicted = _predicted(loaded, heads, inputs, advance)
    if as_json:
        print_json(_by_task(_stated(inputs, predicted)))
    else:
        _show_predictions(inputs, heads, predicted)


def _predicted(
    model: RootsModel, heads: Sequence[Head], inputs: Sequence[Text], advance: Callable[[int], None]
) -> dict[str, list[Prediction]]:
    """Return what each head predicts; of several, each text is read once for all that read it alike."""
    if len(heads) > 1:
        return model.predict_all(inputs, progress=advance)
    name = heads[0].task.name
    return {name: model.predict(inputs, name, progress=advance)}


def _stated(
    inputs: Sequence[Text], predicted: dict[str, list[Prediction]]
) -> dict[str, list[dict[str, Any]]]:
    """Return predictions as plain data."""
    return {
        name: [prediction.stated(text) for text, prediction in zip(inputs, found, strict=True)]
        for name, found in predicted.items()
    }


def _check_output(output: Path, source: Path) -> None:
    """Refuse a file to write that holds something else, before any work is done."""
    if output.is_dir():
        raise UsageError("this is a folder", path=output, hint="name a file")
    if output.exists() and output.resolve() == source.resolve():
        raise UsageError("this is the file that is read", path=output, hint="name another file")


def _stream(model: RootsModel, heads: Sequence[Head], source: Path, target: Path, *, explain: bool) -> int:
    """Predict for a file a part at a time; what is written replaces `target` when the last line is done.

    Returns:
        How many texts there were.

    Raises:
        TaskError: for the first line that cannot be read.
    """
    import json

    from roots_kg.adaptation.task import each_record
    from roots_kg.files import replacing
    from roots_kg.fusion.encoder import TEXTS_AT_A_TIME

    count = 0
    records = each_record(source, pipe=True)
    with (
        replacing(target) as path,
        path.open("w", encoding="utf-8", newline="\n") as stream,
        progress_bar("texts", _lines(source) if shows_progress() else None) as advance,
    ):
        while part := list(islice(records, TEXTS_AT_A_TIME)):
            inputs = _read(part, heads)
            if explain:
                names = [head.task.name for head in heads]
                columns = {name: list(map(asdict, model.explain(inputs, name))) for name in names}
                advance(len(part))
            else:
                columns = _stated(inputs, _predicted(model, heads, inputs, advance))
            for row in zip(*columns.values(), strict=True):
                stated = row[0] if len(heads) == 1 else dict(zip(columns, row, strict=True))
                stream.write(json.dumps(stated, ensure_ascii=False) + "\n")
            count += len(part)
    return count


def _lines(path: Path) -> int | None:
    """Count the lines of a file, without holding it in memory; None of a pipe, which is read once."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream:
            return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
    except OSError:  # which is told when it is read
        return None


def _read(records: Sequence[Record], heads: Sequence[Head]) -> list[Text]:
    """Return what lines say to predict from, on which all heads must agree.

    Raises:
        TaskError: if a line does not fit a head.
        UsageError: if the heads read a line in different ways.
    """
    inputs: list[Text] = []
    for record in records:
        first, *others = (head.text(record) for head in heads)
        if any(other != first for other in others):
            names = ", ".join(head.task.name for head in heads)
            raise UsageError(
                f"the tasks {names} read this line in different ways",
                path=record.path,
                line=record.line,
                hint="name one of them with --task",
            )
        inputs.append(first)
    return inputs


def _by_task(rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Put the rows of the only task, or of each task by its name, under a key."""
    return {"predictions": next(iter(rows.values()))} if len(rows) == 1 else {"tasks": rows}


def _show_predictions(
    inputs: Sequence[Text], heads: Sequence[Head], predicted: dict[str, list[Prediction]]
) -> None:
    from roots_kg.fusion.encoder import plain_text

    columns: list[str] = []
    rows: list[list[Any]] = [[] for _ in inputs]
    for head in heads:
        columns += ["prediction" if len(heads) == 1 else head.task.name, "probability"]
        for row, found in zip(rows, predicted[head.task.name], strict=True):
            row += [head.display(found.value) if found.in_scope else _OUT_OF_SCOPE, found.probability]
    shown = [[*row, plain_text(text)] for row, text in zip(rows, inputs, strict=True)]
    table("", [*columns, "text"], shown)


def _show_explanations(explained: dict[str, list[Explanation]]) -> None:
    for number, (name, found) in enumerate(explained.items()):
        if len(explained) > 1:
            print("\n" * (number > 0) + f"== {name}")
        _show(found)


def _show(explanations: Sequence[Explanation]) -> None:
    for number, found in enumerate(explanations):
        if number:
            print()
        print(found.text)
        best = f"{found.prediction}  (probability {found.probability:.3f})"
        print(f"→ {best}" if found.in_scope else f"→ {_OUT_OF_SCOPE}, nearest {best}")
        others = ", ".join(f"{name} {share:.3f}" for name, share in found.ranked[1:4])
        if others:
            print(f"  then {others}")
        if found.links:
            print()
            rows = [[link.text, link.name, link.score] for link in found.links]
            table("links", ["mention", "entity", "score"], rows)
        else:
            print("  nothing in the text is linked to the graph")
        if found.evidence:
            print()
            evidence = [
                [" · ".join(item.triple), item.effect, item.weight] for item in found.evidence[:SHOWN]
            ]
            table("triples used", ["triple", "effect of removing it", "weight"], evidence)
        if found.inferred:
            print()
            inferred = [[" · ".join(item.triple), item.weight] for item in found.inferred[:SHOWN]]
            table("inferred: these triples are not in the graph", ["triple", "weight"], inferred)
        if found.gates:
            print()
            tokens = " ".join(f"{gate.text}:{gate.gate:.2f}" for gate in found.gates[:SHOWN_TOKENS])
            print(f"knowledge let in, token by token\n{tokens}")
