"""What a knowledge report comes to, in a sentence or two of plain words that follow from its intervals."""

from __future__ import annotations

from typing import Literal

from roots_kg.intervals import Estimate

__all__ = ["Outcome", "number", "outcome", "points", "verdict"]

Outcome = Literal["helps", "hurts", "unclear"]


def outcome(gain: Estimate) -> Outcome:
    """Tell what an interval of the graph's gain shows: above zero, below zero, or neither."""
    return "helps" if gain.low > 0 else "hurts" if gain.high < 0 else "unclear"


def points(gain: Estimate) -> str:
    """Return a difference of two shares in points, with its interval."""
    value, low, high = (_written(100 * part, 1) for part in (gain.value, gain.low, gain.high))
    return f"{'' if value.startswith('−') else '+'}{value} points [{low}, {high}]"


def number(found: Estimate | None) -> str:
    """Return a number with its interval; a dash where there is none."""
    if found is None:
        return "–"
    value, low, high = (_written(part, 3) for part in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def verdict(
    metric: str,
    over_none: Estimate,
    over_shuffled: Estimate | None,
    over_text: Estimate | None,
    stood_in: bool,
) -> str:
    """Say what the graph does, whether it is its facts that do it, and whether plain text does better.

    Args:
        metric: what is measured, by name.
        over_none: by how much the graph is better than no graph.
        over_shuffled: by how much it is better than the same graph shuffled, if that could be tried.
        over_text: by how much it is better than its triples written in front of the text, likewise.
        stood_in: whether the nearest labelled text stood in for "no graph".
    """
    metric = metric.replace("_", " ")
    against = "the nearest labelled text, which stands in for no graph" if stood_in else "no graph"
    found = outcome(over_none)
    if found == "unclear":
        sentences = [f"No effect can be shown: {points(over_none)} of {metric} against {against}."]
    else:
        sentences = [f"The graph {found}: {points(over_none)} of {metric} against {against}."]
    if found == "helps" and over_shuffled is not None:
        shuffled = f"against a shuffled graph it is {points(over_shuffled)}."
        if outcome(over_shuffled) == "helps":
            sentences.append(f"It is its facts that count: {shuffled}")
        else:
            sentences.append(f"But its facts cannot be shown to be why: {shuffled}")
    if over_text is not None and outcome(over_text) == "hurts":
        better = Estimate(-over_text.value, -over_text.high, -over_text.low)
        sentences.append(f"Its triples written in front of the text do better: {points(better)}.")
    return " ".join(sentences)


def _written(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")  # + 0.0 makes 0 of −0
