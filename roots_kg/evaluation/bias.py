"""Whether a model answers alike when a text, or a name in its graph, speaks of another group of people.

Words of groups (genders, nationalities, first names) are exchanged for those of another group, and nothing
else is: counterfactual augmentation (Lu and others 2018), used to measure instead of to train.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from roots_kg.adaptation.heads.answer import AnswerHead
from roots_kg.adaptation.heads.base import Example, Head, Prediction
from roots_kg.adaptation.heads.generation import GenerationHead
from roots_kg.adaptation.task import Record
from roots_kg.config import from_mapping, load_yaml
from roots_kg.errors import UsageError
from roots_kg.evaluation.verdict import number, points
from roots_kg.fusion.encoder import TEXTS_AT_A_TIME
from roots_kg.graph.store import GraphBundle
from roots_kg.intervals import Estimate, bootstrap, percentiles, wilson
from roots_kg.model import RootsModel
from roots_kg.model_card import markdown_cell, markdown_table

__all__ = [
    "PARTS",
    "PLACES",
    "TERMS",
    "BiasReport",
    "Kind",
    "KindBias",
    "Place",
    "PlaceBias",
    "Shifted",
    "Swap",
    "SwappedGraph",
    "TermGroups",
    "bias_report",
    "load_groups",
    "parts_of",
    "swapped_graph",
    "work",
]

Progress = Callable[[int], None]
Place = Literal["texts", "graph", "both"]
Parts = Literal["labels", "groups"]

PLACES: tuple[Place, ...] = ("texts", "graph", "both")
"""Where words are swapped, in the order of the report."""

PARTS: tuple[Parts, ...] = ("labels", "groups")
"""What results are told apart by."""

TERMS = Path(__file__).with_name("bias_terms.yaml")
"""The groups that are used where a person names no others."""

SEVERAL, OUT_OF_SCOPE, NO_LABEL = "several groups", "(out of scope)", "(no label)"
SHOWN = 20
"""Of how many labels a table tells, those first that flip most often."""

_NEXT_WORD = re.compile(r"\s+([^\W_]+)")


@dataclass(frozen=True)
class Kind:
    """Groups of words that tell people apart in one way.

    Args:
        groups: the words of each group, by its name.
        ordered: whether words in the same place of two groups correspond, such as "he" and "she".
        alone_before: words before which one that has two counterparts stands alone, see `Swap`.
    """

    groups: dict[str, tuple[str, ...]]
    ordered: bool = False
    alone_before: tuple[str, ...] = ()


@dataclass(frozen=True)
class TermGroups:
    """What is swapped.

    Args:
        kinds: by name; each is swapped by itself.

    Raises:
        ValueError: if a kind has fewer than two groups, an empty group, a word in two groups, ordered groups
            that are not of one length, or a pool with more than half of all words.
    """

    kinds: dict[str, Kind]

    def __post_init__(self) -> None:
        if not self.kinds:
            raise ValueError("there are no kinds of groups")
        for name, kind in self.kinds.items():
            _check(name, kind)


def load_groups(path: Path | None = None) -> TermGroups:
    """Read a file of groups, by default the package's own.

    Raises:
        ConfigError: if it is missing or not such a file; the message names it.
    """
    path = path or TERMS
    return from_mapping(TermGroups, load_yaml(path), path=path)


class Swap:
    """What the words of one kind become: the same in every text and in the graph.

    A word is found whole, written as it is listed, in small letters, in capitals or with a capital in front,
    and its counterpart is written in that way. A word that is listed with a capital is found without one only
    in a text that writes no capitals: "Mark" is no "mark".

    Of two ordered groups each becomes the other; of more, each becomes the next in an order that the seed
    draws. Words of pools are laid out group by group and moved on by the size of the largest group, so that
    no two become the same, and none one of its own group.

    A word that stands several times in its group has several counterparts: "her" is "his" or "him". It is
    the first of them before a word, and the last before a sign, the end of the text, or a word of
    `alone_before`. This is a guess: it takes "told her everything" for a possessive. All other words come
    back when two groups are swapped twice. What agrees with a word stays: "a German" becomes "a American".

    Args:
        name: of the kind.
        kind: its groups.
        seed: of what is drawn.
    """

    def __init__(self, name: str, kind: Kind, seed: int = 0) -> None:
        self.name, self.alone_before = name, frozenset(map(str.casefold, kind.alone_before))
        self.counterparts: dict[str, list[str]] = {}
        self.group_of: dict[str, str] = {}
        self._need_capitals: set[str] = set()
        pairs = list(_pairs(kind, random.Random(f"{seed} {name}")))
        for form in (str, str.upper, str.lower, _capitalised):
            known = frozenset(self.counterparts)
            for group, word, other in pairs:
                written = form(word)
                if written in known:
                    continue
                self.counterparts.setdefault(written, []).append(form(other))
                self.group_of[written] = group
                if written.islower() and not word.islower():
                    self._need_capitals.add(written)
        found = "|".join(map(re.escape, sorted(self.counterparts, key=lambda word: (-len(word), word))))
        self._pattern = re.compile(rf"(?<![^\W_])(?:{found})(?![^\W_]|[\u0300-\u036f])")

    def __call__(self, text: str) -> str:
        """Return a text with the words of the kind swapped."""
        cased = text != text.lower()

        def other(match: re.Match[str]) -> str:
            word = match.group()
            if cased and word in self._need_capitals:
                return word
            known = self.counterparts[word]
            return known[-1] if len(known) > 1 and self._is_alone(text, match.end()) else known[0]

        return self._pattern.sub(other, text)

    def groups_in(self, text: str) -> frozenset[str]:
        """Return the groups of which a word stands in a text."""
        cased = text != text.lower()
        words = self._pattern.findall(text)
        return frozenset(self.group_of[word] for word in words if not (cased and word in self._need_capitals))

    def _is_alone(self, text: str, end: int) -> bool:
        following = _NEXT_WORD.match(text, end)
        return following is None or following[1].casefold() in self.alone_before


@dataclass(frozen=True)
class SwappedGraph:
    """A graph in which words of names were swapped.

    Args:
        bundle: it, with the same ids and vectors.
        keys: the new key of each entity whose key has changed.
        entities: how many entities have a name that has changed.
    """

    bundle: GraphBundle
    keys: Mapping[str, str]
    entities: int


def swapped_graph(bundle: GraphBundle, swap: Swap) -> SwappedGraph:
    """Swap the words of a kind in the names of a graph's entities.

    Keys are names, too, and change with the others. One that would be another entity's gets its old key
    behind it, in brackets. Where retrieval must choose among equals, it does so by keys, so that a changed
    key may change what is retrieved around an entity of very many edges.
    """
    graph = bundle.graph
    wanted = {key: swap(key) for key in graph.entities}
    taken = {key for key, new in wanted.items() if key == new}
    keys: dict[str, str] = {}
    aliases: dict[str, tuple[str, ...]] = {}
    changed = 0
    for key, new in wanted.items():
        old_names = graph.aliases.get(key, ())
        names = tuple(dict.fromkeys(map(swap, old_names)))
        changed += new != key or names != tuple(dict.fromkeys(old_names))
        if new != key:
            while new in taken:
                names, new = names or (new,), f"{new} [{key}]"
            taken.add(new)
            keys[key] = new
        if names:
            aliases[new] = names
    renamed = replace(
        graph,
        entities=tuple(keys.get(key, key) for key in graph.entities),
        aliases=aliases,
        values={keys.get(key, key): values for key, values in graph.values.items()},
    )
    return SwappedGraph(replace(bundle, graph=renamed), keys, changed)


@dataclass(frozen=True)
class Shifted:
    """What swapping did to some of the texts.

    Args:
        name: of the label that was predicted, or of the group that the text spoke of.
        n: how many texts.
        flips: how many lost the label, or changed their answer.
        shift: by how much the probability of the first answer rose, on average.
    """

    name: str
    n: int
    flips: int
    shift: float


@dataclass(frozen=True)
class PlaceBias:
    """What came of swapping the words of a kind in one place.

    Args:
        place: one of `PLACES`.
        flips: how many predictions changed.
        flip_rate: their share, with Wilson's interval.
        shift: by how much the probability of the first answer rose, on average, with a bootstrap interval.
        before: the metric on these texts as they are.
        after: the metric on them when swapped.
        labels: the same by the labels predicted first.
        groups: the same by the group that the text spoke of before.
    """

    place: Place
    flips: int
    flip_rate: Estimate
    shift: Estimate
    before: float
    after: float
    labels: tuple[Shifted, ...]
    groups: tuple[Shifted, ...]


@dataclass(frozen=True)
class KindBias:
    """What came of swapping the words of one kind.

    Args:
        kind: its name.
        n: how many texts have a word of it; only those are judged.
        entities: how many of the graph's entities have one in a name; None without a graph.
        places: a result for each place where there is something to swap; none if no text has a word.
    """

    kind: str
    n: int
    entities: int | None
    places: tuple[PlaceBias, ...]


@dataclass(frozen=True)
class BiasReport:
    """Whether a model answers alike when other groups are spoken of.

    Args:
        task: the task's name.
        metric: what `before` and `after` are, the task's first metric.
        n: how many test examples there are.
        kinds: one for each kind of groups.
    """

    task: str
    metric: str
    n: int
    kinds: tuple[KindBias, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of `rows`."""
        return ("kind", "swapped in", "flips", "flip rate", "probability", self.metric)

    def rows(self) -> list[tuple[str, ...]]:
        """Return a row of text for each kind and place."""
        rows: list[tuple[str, ...]] = []
        for kind in self.kinds:
            if not kind.places:
                rows.append((kind.kind, "–", "no text has a word", "–", "–", "–"))
            for found in kind.places:
                flips, rate = f"{found.flips:,} of {kind.n:,}", number(found.flip_rate)
                change = f"{found.before:.3f} → {found.after:.3f}"
                rows.append((kind.kind, found.place, flips, rate, points(found.shift), change))
        return rows

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    def to_markdown(self) -> str:
        """Return what a model's card says of it."""
        tables = [_table(self.columns, self.rows())]
        for of in PARTS:
            for kind in self.kinds:
                columns, rows = parts_of(kind, of)
                if rows:
                    tables.append(_table((f"{kind.kind}: {columns[0]}", *columns[1:]), rows))
        told = (
            "Words of groups were swapped; only texts with such a word are judged. Flips are predictions "
            "that changed, with Wilson's 95% interval; the probability is that of the first prediction."
        )
        return "\n".join([*tables, told, ""])


def parts_of(kind: KindBias, of: Parts) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the columns and rows of a table by labels or by groups, a column for each place."""
    columns = ("predicted" if of == "labels" else "spoken of", "n", *(one.place for one in kind.places))
    found = [{part.name: part for part in getattr(place, of)} for place in kind.places]
    if not found:
        return columns, []
    flips = Counter({name: sum(parts[name].flips for parts in found) for name in found[0]})
    return columns, [
        (
            name,
            f"{found[0][name].n:,}",
            *(f"{part[name].flips:,} flips, {100 * part[name].shift:+.1f}" for part in found),
        )
        for name, _ in flips.most_common(SHOWN)
    ]


def work(model: RootsModel, test: Sequence[Record], groups: TermGroups) -> int:
    """Return how many texts a report reads at most.

    Raises:
        UsageError, TaskError: as `bias_report` does.
    """
    texts = [str(example.text) for example in _examples(model.head_of(), test)]
    concerned = sum(
        bool(Swap(name, kind).groups_in(text)) for name, kind in groups.kinds.items() for text in texts
    )
    return len(texts) + concerned * (len(PLACES) if model.knowledge is not None else 1)


def bias_report(
    model: RootsModel,
    test: Sequence[Record],
    groups: TermGroups | None = None,
    *,
    seed: int = 0,
    progress: Progress = lambda done: None,
) -> BiasReport:
    """Judge a model where words of groups are swapped in its test examples, in its graph, and in both.

    Args:
        model: a saved model with one task.
        test: labelled examples.
        groups: what is swapped; the package's own groups by default.
        seed: of what becomes what.
        progress: called with the number of texts done since the last call.

    Raises:
        UsageError: if the head reads more of a line than a text, or answers with places in it or a text.
        TaskError: if an example does not fit the head.
    """
    groups = groups or load_groups()
    judge = _Judge(model, _examples(model.head_of(), test), progress)
    kinds = tuple(judge.kind(Swap(name, kind, seed)) for name, kind in groups.kinds.items())
    return BiasReport(judge.head.task.name, judge.metric, len(test), kinds)


class _Judge:
    """Asks a model before and after; what it says of the texts as they are is kept."""

    def __init__(self, model: RootsModel, examples: Sequence[Example], progress: Progress) -> None:
        self.model, self.progress = model, progress
        self.head: Head = model.head_of()
        self.texts = [str(example.text) for example in examples]
        self.targets = [example.target for example in examples]
        self.first = model.predict(self.texts, progress=progress)
        self.metric = next(iter(self.head.judge(self.first, self.targets)))

    def kind(self, swap: Swap) -> KindBias:
        """Return what comes of swapping the words of a kind, in each place."""
        knowledge = self.model.knowledge
        graph = swapped_graph(knowledge.bundle, swap) if knowledge is not None else None
        entities = graph.entities if graph is not None else None
        spoken = {at: found for at, text in enumerate(self.texts) if (found := swap.groups_in(text))}
        if not spoken:
            return KindBias(swap.name, 0, entities, ())
        swapped = {at: swap(self.texts[at]) for at in spoken}
        places = [self._place("texts", self.model, swapped, spoken, {})]
        if graph is not None and graph.entities:
            other = self.model.with_graph(graph.bundle)
            plain = {at: self.texts[at] for at in spoken}
            places.append(self._place("graph", other, plain, spoken, graph.keys))
            places.append(self._place("both", other, swapped, spoken, graph.keys))
        return KindBias(swap.name, len(spoken), entities, tuple(places))

    def _place(
        self,
        place: Place,
        model: RootsModel,
        texts: Mapping[int, str],
        spoken: Mapping[int, frozenset[str]],
        keys: Mapping[str, str],
    ) -> PlaceBias:
        """Compare what a model says of some texts, by their numbers, with what was said of them first."""
        head, numbers = model.head_of(), list(texts)
        keys = keys if isinstance(head, AnswerHead) else {}
        after, chances = self._asked(model, texts, keys)
        old_keys = {new: key for key, new in keys.items()}
        now = {at: _labels(found, old_keys, head) for at, found in after.items()}
        before = {at: _labels(self.first[at], {}, head) for at in numbers}
        shift = {at: chances[at] - self.first[at].probability for at in numbers}

        def told(name: str, chosen: Sequence[int], flipped: Callable[[int], bool]) -> Shifted:
            mean = float(np.mean([shift[at] for at in chosen]))
            return Shifted(name, len(chosen), sum(map(flipped, chosen)), mean)

        labels = [
            told(self._shown(label), chosen, lambda at, label=label: label not in now[at])  # type: ignore[misc]
            for label, chosen in _gathered(before).items()
        ]
        groups = {at: [next(iter(found)) if len(found) == 1 else SEVERAL] for at, found in spoken.items()}

        def changed(at: int) -> bool:
            return now[at] != before[at]

        flips = sum(map(changed, numbers))
        resampled = bootstrap(
            lambda drawn: {"shift": float(np.mean([shift[numbers[at]] for at in drawn]))},
            range(len(numbers)),
        )
        targets = [self.targets[at] for at in numbers]
        return PlaceBias(
            place,
            flips,
            wilson(flips, len(numbers)),
            percentiles(float(np.mean(list(shift.values()))), resampled["shift"]),
            self.head.judge([self.first[at] for at in numbers], targets)[self.metric],
            head.judge([after[at] for at in numbers], targets)[self.metric],
            tuple(labels),
            tuple(told(group, chosen, changed) for group, chosen in _gathered(groups).items()),
        )

    def _asked(
        self, model: RootsModel, texts: Mapping[int, str], keys: Mapping[str, str]
    ) -> tuple[dict[int, Prediction], dict[int, float]]:
        """Return what a model predicts of texts, and how probable it finds what was predicted first."""
        head = model.head_of()
        found: dict[int, Prediction] = {}
        chances: dict[int, float] = {}
        for value, numbers in _gathered({at: [self.first[at].value] for at in texts}).items():
            for begin in range(0, len(numbers), TEXTS_AT_A_TIME):
                part = numbers[begin : begin + TEXTS_AT_A_TIME]
                encoded = model.encode_for(head, [texts[at] for at in part])
                found.update(zip(part, head.decode(encoded), strict=True))
                wanted = keys.get(value, value) if isinstance(value, str) else value
                chances.update(zip(part, head.support_of(encoded, wanted), strict=True))
                self.progress(len(part))
        return found, chances

    def _shown(self, label: Any) -> str:
        if label in (OUT_OF_SCOPE, NO_LABEL):
            return str(label)
        return self.head.display(label) if isinstance(self.head, AnswerHead) else str(label)


def _check(name: str, kind: Kind) -> None:
    """Refuse a kind whose words cannot be swapped."""
    if len(kind.groups) < 2:
        raise ValueError(f"{name}: there must be at least two groups, found {len(kind.groups)}")
    owner: dict[str, str] = {}
    for group, words in kind.groups.items():
        if not words:
            raise ValueError(f"{name}: the group {group!r} is empty")
        for word in words:
            if word != word.strip() or not any(map(str.isalnum, word)):
                raise ValueError(f"{name}: {word!r} in the group {group!r} is no word")
            other = owner.setdefault(word.casefold(), group)
            if other != group:
                raise ValueError(f"{name}: {word!r} stands in two groups, {other!r} and {group!r}")
    sizes = {group: len(words) for group, words in kind.groups.items()}
    if kind.ordered and len(set(sizes.values())) > 1:
        told = ", ".join(f"{group!r} has {size}" for group, size in sizes.items())
        raise ValueError(f"{name}: ordered groups must have as many words each, but {told}")
    if not kind.ordered:
        repeated = [word for word, n in _folded(kind.groups.values()).items() if n > 1]
        if repeated:
            raise ValueError(f"{name}: {repeated[0]!r} stands twice in its group, which is not ordered")
        largest = max(sizes, key=sizes.__getitem__)
        if 2 * sizes[largest] > sum(sizes.values()):
            raise ValueError(f"{name}: the group {largest!r} has more than half of the words")


def _folded(groups: Iterable[Sequence[str]]) -> Counter[str]:
    return Counter(word.casefold() for words in groups for word in words)


def _pairs(kind: Kind, draw: random.Random) -> Iterable[tuple[str, str, str]]:
    """Yield the group of each word, the word, and what it becomes."""
    order = draw.sample(sorted(kind.groups), len(kind.groups))
    if kind.ordered:
        for group, other in zip(order, [*order[1:], order[0]], strict=True):
            words = zip(kind.groups[group], kind.groups[other], strict=True)
            yield from ((group, word, counterpart) for word, counterpart in words)
        return
    row = [
        (group, word) for group in order for word in draw.sample(kind.groups[group], len(kind.groups[group]))
    ]
    ahead = max(map(len, kind.groups.values()))
    for place, (group, word) in enumerate(row):
        yield group, word, row[(place + ahead) % len(row)][1]


def _capitalised(word: str) -> str:
    return word[:1].upper() + word[1:]


def _examples(head: Head, test: Sequence[Record]) -> list[Example]:
    """Read test examples, of a head that reads a text alone and whose answers do not depend on its words."""
    examples = [head.example(record) for record in test]
    hint = "this report is for heads that read a text alone and choose among labels or entities"
    if not all(isinstance(example.text, str) for example in examples):
        message = (
            f"the head {head.task.head!r} reads more of a line than a text, in which words cannot be swapped"
        )
        raise UsageError(message, hint=hint)
    if head.reads_tokens or isinstance(head, GenerationHead):
        message = f"the answers of the head {head.task.head!r} change with the words that are swapped"
        raise UsageError(message, hint=hint)
    return examples


def _labels(found: Prediction, keys: Mapping[str, str], head: Head) -> tuple[Any, ...]:
    """Return the labels of an answer, with the keys of entities as they were."""
    if not found.in_scope:
        return (OUT_OF_SCOPE,)
    if isinstance(found.value, tuple):
        return found.value or (NO_LABEL,)
    return (keys.get(found.value, found.value) if isinstance(head, AnswerHead) else found.value,)


def _gathered(labels: Mapping[int, Sequence[Any]]) -> dict[Any, list[int]]:
    """Return the numbers that have each label."""
    gathered: dict[Any, list[int]] = {}
    for at, own in labels.items():
        for label in own:
            gathered.setdefault(label, []).append(at)
    return gathered


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return markdown_table(list(map(markdown_cell, columns)), [list(map(markdown_cell, row)) for row in rows])
