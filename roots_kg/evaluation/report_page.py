"""The knowledge report as one HTML page that needs nothing else: a verdict, charts and tables."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from roots_kg.evaluation.conditions import AS_TEXT, GRAPH, NO_GRAPH, TITLES
from roots_kg.evaluation.deletion import DeletionCheck, Deletions
from roots_kg.evaluation.leakage import LeakageAudit
from roots_kg.evaluation.report import KnowledgeReport
from roots_kg.evaluation.report_charts import Bar, bars
from roots_kg.evaluation.trials import Estimates
from roots_kg.evaluation.verdict import number, points
from roots_kg.files import replacing
from roots_kg.viz.drawing import showable

__all__ = ["write_page"]

KINDS = {GRAPH: "graph", AS_TEXT: "text"}


def write_page(report: KnowledgeReport, path: Path, *, model: str = "", test: str = "") -> None:
    """Write a report as a page, replacing `path` whole or not at all.

    The page fetches nothing and runs nothing, and its content security policy allows it nothing but its own
    style, by its hash. Names and texts are text in it, never markup.

    Args:
        report: what is shown.
        path: the file.
        model: what the model is called on the page; empty for nothing.
        test: what the test examples are called; likewise.

    Raises:
        DataError: if it cannot be written.
    """
    page = _page(report, model, test)
    with replacing(path) as temporary:
        temporary.write_bytes(page.encode())


def _page(report: KnowledgeReport, model: str, test: str) -> str:
    template = files("roots_kg").joinpath("templates/report.html").read_text(encoding="utf-8")
    facts = {
        "Model": model,
        "Test examples": f"{report.n:,}{f' of {test}' if test else ''}",
        "Head": report.head,
        "Support sets": _support(report),
        "Intervals": report.interval,
    }
    parts = {
        "policy": _policy(template),
        "task": _text(report.task),
        "outcome": report.outcome,
        "verdict": _text(report.verdict),
        "facts": "".join(
            f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>" for name, value in facts.items() if value
        ),
        "metric": _text(_words(report.metric)),
        "conditions": _conditions_chart(report),
        "conditions_table": _conditions_table(report),
        "notes": _notes(report),
        "draws": _draws(report),
        "saved": _saved(report),
        "splits": _splits(report),
        "leakage": _leakage_chart(report.leakage),
        "leakage_table": _leakage_table(report.leakage),
        "deletion": _deletion_chart(report.deletion),
        "deletion_table": _deletion_table(report.deletion),
        "deleted": _deleted(report.deletion),
    }
    return re.sub(r"@@(\w+)@@", lambda found: parts[found[1]], template)


def _policy(template: str) -> str:
    """Return a policy that allows the template's own style, and nothing else at all."""
    style = re.search(r"<style>(.*?)</style>", template, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _text(text: str) -> str:
    return f"<bdi>{html.escape(showable(text))}</bdi>"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _support(report: KnowledgeReport) -> str:
    sizes = sorted(set(report.support))
    held = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    draws = "1 draw" if len(report.support) == 1 else f"{len(report.support)} draws"
    return f"{draws} of {held} examples{'' if report.shots is None else f' ({report.shots} shots)'}"


def _table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "figures") -> str:
    """Return a table whose first column names its rows; what does not fit the page scrolls inside it."""
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in columns)
    body = "\n".join(
        f'<tr><th scope="row">{_text(first)}</th>'
        + "".join(f"<td>{_text(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{html.escape(caption)}">'
        f'<table class="{kind}">\n'
        f"<caption>{html.escape(caption)}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _conditions_chart(report: KnowledgeReport) -> str:
    rows = []
    for result in report.conditions:
        found = None if result.scores is None else result.scores[report.metric]
        shown = "not possible" if found is None else number(found)
        rows.append(Bar(TITLES[result.name], found, shown, KINDS.get(result.name, "plain")))
    return bars("conditions", f"{_words(report.metric)} under each condition", rows)


def _conditions_table(report: KnowledgeReport) -> str:
    metrics = list(report.saved[GRAPH])
    columns = ["Condition", *map(_words, metrics), f"Graph minus this ({_words(report.metric)})"]
    rows = []
    for result in report.conditions:
        gain = points(result.gain[report.metric]) if result.gain else "–"
        rows.append([TITLES[result.name], *_row(result.scores, metrics), gain])
    return _table("All metrics under each condition", columns, rows)


def _row(scores: Estimates | None, metrics: Sequence[str]) -> list[str]:
    return [number(scores[metric] if scores else None) for metric in metrics]


def _notes(report: KnowledgeReport) -> str:
    notes = [
        f"<li>{_text(f'{TITLES[result.name]}: {result.note}.')}</li>"
        for result in report.conditions
        if result.note
    ]
    return f'<ul class="notes">{"".join(notes)}</ul>' if notes else ""


def _draws(report: KnowledgeReport) -> str:
    if len(report.support) < 2:
        return ""
    rows = [
        [TITLES[result.name], *(f"{scores[report.metric]:.3f}" for scores in result.draws)]
        for result in report.conditions
        if result.draws
    ]
    columns = ["Condition", *(f"Draw {number + 1}" for number in range(len(report.support)))]
    table = _table(f"{_words(report.metric)} of each draw", columns, rows)
    return f"<details><summary>Draw by draw</summary>{table}</details>"


def _saved(report: KnowledgeReport) -> str:
    titles = {GRAPH: "with its graph", NO_GRAPH: "graph switched off"}
    metrics = list(report.saved[GRAPH])
    rows = [
        [titles[name], *(f"{scores[metric]:.3f}" for metric in metrics)]
        for name, scores in report.saved.items()
    ]
    return _table("The saved model as it is", ["Asked", *map(_words, metrics)], rows)


def _splits(report: KnowledgeReport) -> str:
    columns = ["Condition", *(f"{title} ({n:,.4g})" for title, n, _ in report.parts)]
    rows = []
    for name, title in TITLES.items():
        found = [scores[name] for _, _, scores in report.parts]
        rows.append([title, *(number(scores[report.metric] if scores else None) for scores in found)])
    return _table(f"{_words(report.metric)} on parts of the test examples (how many)", columns, rows)


def _leakage_chart(leakage: LeakageAudit) -> str:
    rows = [
        Bar(label, count / total if total else 0.0, f"{count:,} of {total:,}")
        for label, (count, total) in leakage.counts.items()
    ]
    return bars("leakage", "What the training examples give away", rows)


def _leakage_table(leakage: LeakageAudit) -> str:
    rows = [
        [label, f"{count:,}", f"{total:,}", f"{count / total:.1%}" if total else "–"]
        for label, (count, total) in leakage.counts.items()
    ]
    caption = f"Audit against all {leakage.training:,} training examples"
    return _table(caption, ["What", "Found", "Of", "Share"], rows)


def _deletion_chart(check: DeletionCheck) -> str:
    if not check.heaviest.tried:
        return "<p>No prediction cites a triple, so there is no evidence to check.</p>"
    rows = [
        Bar(title, found.share, _changed(found), "plain" if found is check.other else "graph")
        for title, found in check.by_title.items()
    ]
    return bars("deletion", "Answers that change when a triple is deleted", rows)


def _deletion_table(check: DeletionCheck) -> str:
    columns = ["Deleted", "Answers changed", "Share", "Fall of the answer's probability"]
    rows = [
        [title, _changed(found), number(found.share), points(found.fall) if found.fall else "–"]
        for title, found in check.by_title.items()
    ]
    return _table(f"{check.with_evidence:,} predictions cite a triple", columns, rows)


def _changed(found: Deletions) -> str:
    return f"{found.changed:,} of {found.tried:,}"


def _deleted(check: DeletionCheck) -> str:
    if not check.shown:
        return ""
    rows = [
        [deleted.text, " · ".join(deleted.triple), deleted.before, deleted.after] for deleted in check.shown
    ]
    columns = ["Text", "Deleted triple that counts most", "Answer", "Answer without it"]
    return f"<details><summary>Some of them</summary>{_table('Examples', columns, rows, 'wording')}</details>"
