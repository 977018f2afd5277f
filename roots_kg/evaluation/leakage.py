"""What test examples share with training examples: entities, stated facts, whole texts.

A fact of a labelled example is a pair of an entity that is linked in its text and what is right for it: a
label, or one of several answers. A training example that states a fact of a test example gives its answer
away without any graph.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from roots_kg.adaptation.heads.base import Example
from roots_kg.fusion.encoder import EncodedTexts, KnowledgeEncoder

__all__ = ["Labelled", "LeakageAudit", "SharedEntities", "audit", "labelled", "shared_entities"]


@dataclass(frozen=True)
class Labelled:
    """A labelled example as the audit sees it.

    Args:
        text: its text.
        entities: what its mentions were resolved to.
        target: what is right, in the head's own form.
    """

    text: str
    entities: frozenset[int]
    target: Any


@dataclass(frozen=True)
class SharedEntities:
    """Test examples by whether their entities are known from a support set, as positions.

    Args:
        unseen: those in which something is linked, and none of it in the support set.
        seen: those in which something is linked that is linked in the support set too.
        unlinked: those in which nothing is linked.
    """

    unseen: tuple[int, ...]
    seen: tuple[int, ...]
    unlinked: tuple[int, ...]


@dataclass(frozen=True)
class LeakageAudit:
    """What the training examples give away.

    Args:
        examples: how many test examples there are.
        training: how many training examples.
        repeated: positions of test examples whose text is one of the training texts, but for case, accents'
            encoding, punctuation and spaces.
        stated: positions of test examples of which a training example states a fact.
        facts: how many different facts the test examples have.
        facts_stated: how many of those a training example states.
    """

    examples: int
    training: int
    repeated: tuple[int, ...]
    stated: tuple[int, ...]
    facts: int
    facts_stated: int

    @property
    def clean(self) -> list[int]:
        """The positions of the test examples that are neither repeated nor stated."""
        leaked = {*self.repeated, *self.stated}
        return [position for position in range(self.examples) if position not in leaked]

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """How many were found of how many, by the title that people are shown for it."""
        return {
            "texts repeated in training": (len(self.repeated), self.examples),
            "examples stated in training": (len(self.stated), self.examples),
            "facts stated in training": (self.facts_stated, self.facts),
        }


def labelled(layers: KnowledgeEncoder, examples: Sequence[Example]) -> list[Labelled]:
    """Link the texts of examples; they are not encoded."""
    encoded: EncodedTexts = layers([example.text for example in examples], read=False, fuse=False)
    return [
        Labelled(text, frozenset(mention.best.entity_id for mention in found), example.target)
        for text, found, example in zip(encoded.texts, encoded.mentions, examples, strict=True)
    ]


def shared_entities(test: Sequence[Labelled], support: Sequence[Labelled]) -> SharedEntities:
    """Divide test examples by whether their entities are linked in a support set."""
    known = frozenset[int]().union(*(example.entities for example in support))
    numbered = [(index, example.entities) for index, example in enumerate(test)]
    return SharedEntities(
        unseen=tuple(index for index, linked in numbered if linked and not linked & known),
        seen=tuple(index for index, linked in numbered if linked & known),
        unlinked=tuple(index for index, linked in numbered if not linked),
    )


def audit(train: Sequence[Labelled], test: Sequence[Labelled]) -> LeakageAudit:
    """Find what training examples give away of test examples."""
    texts = {_normalised(example.text) for example in train}
    known = frozenset[Hashable]().union(*map(_facts, train))
    facts = list(map(_facts, test))
    distinct = frozenset[Hashable]().union(*facts)
    return LeakageAudit(
        examples=len(test),
        training=len(train),
        repeated=tuple(i for i, example in enumerate(test) if _normalised(example.text) in texts),
        stated=tuple(index for index, stated in enumerate(facts) if stated & known),
        facts=len(distinct),
        facts_stated=len(distinct & known),
    )


def _facts(example: Labelled) -> frozenset[Hashable]:
    return frozenset((entity, right) for entity in example.entities for right in _parts(example.target))


def _parts(target: Any) -> list[Hashable]:
    """Return what a target holds to be right: each member of a collection, or else the target itself."""
    members = target if isinstance(target, (set, frozenset, list, tuple)) else [target]
    return [member if isinstance(member, (str, int)) else repr(member) for member in members]


def _normalised(text: str) -> str:
    return re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", text).casefold()).strip()
