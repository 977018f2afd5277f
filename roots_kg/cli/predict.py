"""`roots predict`: answers for texts, with the triples behind them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from roots_kg.cli.code import TaskCodeOption, trust_code_of
from roots_kg.cli.output import (
    JsonOption,
    KnowledgeOption,
    PrecisionOption,
    ProjectOption,
    print_json,
    progress_bar,
    table,
)
from roots_kg.errors import UsageError

if TYPE_CHECKING:
    from roots_kg.explain import Explanation
    from roots_kg.fusion.encoder import Text

SHOWN, SHOWN_TOKENS = 5, 40


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A folder that `roots adapt` wrote.")],
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT...]", help="Texts to answer.")] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input", help="JSONL as for training; what is right may be left out.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show links, triples and gates.")] = False,
    knowledge: KnowledgeOption = None,
    project_knowledge: ProjectOption = False,
    precision: PrecisionOption = None,
    task_code: TaskCodeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Predict for texts; with --explain, show which triples were used and what each was worth.

    Example: roots predict runs/routing "My parcel to Steiermark is late" --explain
    """
    from roots_kg.adaptation.task import is_text, read_records
    from roots_kg.fusion.encoder import plain_text
    from roots_kg.model import RootsModel

    if bool(texts) == (input_file is not None):
        raise UsageError("give either texts or --input")
    if not all(map(is_text, texts or ())):
        raise UsageError("a text is not UTF-8")
    records = read_records(input_file) if input_file is not None else []
    trust_code_of(task_code, model)
    loaded = RootsModel.from_pretrained(
        model, knowledge=knowledge, project=project_knowledge, precision=precision
    )
    inputs: Sequence[Text] = texts or [loaded.read(record) for record in records]
    with progress_bar("texts", len(inputs)) as advance:
        if explain:
            explanations = loaded.explain(inputs, progress=advance)
        else:
            predictions = loaded.predict(inputs, progress=advance)
    if explain and as_json:
        print_json({"predictions": explanations})
    elif explain:
        _show(explanations)
    elif as_json:
        rows = [
            {
                "text": plain_text(text),
                "prediction": found.value,
                "probability": found.probability,
                "ranked": found.ranked,
            }
            for text, found in zip(inputs, predictions, strict=True)
        ]
        print_json({"predictions": rows})
    else:
        shown = [
            [found.value, found.probability, plain_text(text)]
            for text, found in zip(inputs, predictions, strict=True)
        ]
        table("", ["prediction", "probability", "text"], shown)


def _show(explanations: Sequence[Explanation]) -> None:
    for number, found in enumerate(explanations):
        if number:
            print()
        print(found.text)
        print(f"→ {found.prediction}  (probability {found.probability:.3f})")
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
