"""Write the questions of this task from templates and the facts of the geography graph.

    python tasks/geo_questions/build.py

Writes `train.jsonl` and `test.jsonl` beside this file. A question names one entity, its topic; the answers
are the entities at the end of a path of one or two relations from there. No topic of test is a topic of
train.
"""

from __future__ import annotations

import json
import random
import re
import runpy
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent
GRAPH = FOLDER.parent.parent / "knowledge" / "geography"
SEED = 20250302
QUESTIONS = {"train": 9, "test": 30}
"""Questions of each kind; fewer where the topics run out."""
TRAIN_SHARE = 0.25
"""The part of the topics that goes to train."""
MOST_ANSWERS = 40
"""Topics with more answers are left out; the euro stays in."""


Steps = dict[str, dict[str, list[str]]]
"""Relation -> entity -> entities one step away; "^relation" goes from tail to head."""


class Kind(NamedTuple):
    """A kind of question: the relation path from topic to answers, and what is asked.

    A relation with a leading "^" is followed from tail to head. Templates in `shared` occur in both splits,
    those in `test_only` in test alone. Topics are further limited to heads of the relation `topic_of`.
    """

    path: tuple[str, ...]
    shared: tuple[str, ...]
    test_only: tuple[str, ...]
    topic_of: str | None = None


KINDS = {
    "country_of_subdivision": Kind(
        ("located_in",),
        (
            "Which country is {topic} in?",
            "In what country would I find {topic}?",
            "{topic} belongs to which country?",
        ),
        ("To which country does {topic} belong?", "what country is {topic} a part of"),
    ),
    "country_of_city": Kind(
        ("city_in",),
        (
            "Which country is the city of {topic} in?",
            "In what country is {topic}?",
            "Name the country where {topic} is.",
        ),
        ("I am flying to {topic}. Which country is that?", "the city of {topic} is found in which country"),
    ),
    "parent_of_subdivision": Kind(
        ("part_of",),
        (
            "Which larger administrative area is {topic} part of?",
            "What is the next larger administrative area around {topic}?",
            "{topic} is part of which larger administrative area?",
        ),
        (
            "Into which bigger administrative area does {topic} fall?",
            "name the administrative area one step above {topic}",
        ),
    ),
    "currency_of_country": Kind(
        ("currency",),
        (
            "What currency is used in {topic}?",
            "Which currency do people in {topic} pay with?",
            "What is the legal tender of {topic}?",
        ),
        ("I travel to {topic} next week. What money do I need?", "money used in {topic}?"),
    ),
    "language_of_country": Kind(
        ("official_language",),
        (
            "What is the official language of {topic}?",
            "Which languages are official in {topic}?",
            "Name an official language of {topic}.",
        ),
        ("In which language does the government of {topic} write its laws?", "official language, {topic}?"),
    ),
    "subregion_of_country": Kind(
        ("subregion",),
        (
            "In which subregion of the world is {topic}?",
            "Which subregion does {topic} belong to?",
            "What subregion is {topic} counted in?",
        ),
        ("To which subregion do statisticians assign {topic}?", "subregion of {topic}?"),
    ),
    "continent_of_country": Kind(
        ("continent",),
        (
            "On which continent is {topic}?",
            "Which continent does {topic} belong to?",
            "What continent is {topic} part of?",
        ),
        ("If I travel to {topic}, which continent am I on?", "continent of {topic}?"),
        topic_of="subregion",
    ),
    "script_of_language": Kind(
        ("script",),
        (
            "Which script is {topic} written in?",
            "What writing system does {topic} use?",
            "In which script do people write {topic}?",
        ),
        ("I want to learn to read {topic}. Which letters are those?", "script of the language {topic}?"),
    ),
    "countries_with_currency": Kind(
        ("^currency",),
        (
            "Which countries use the {topic}?",
            "In which country can I pay with the {topic}?",
            "Where is the {topic} legal tender?",
        ),
        ("I found some coins, the bank says {topic}. Where can I spend them?", "who pays with the {topic}"),
    ),
    "countries_with_language": Kind(
        ("^official_language",),
        (
            "In which countries is {topic} an official language?",
            "Which country has {topic} as an official language?",
            "Where is {topic} the official language?",
        ),
        (
            "Which country speaks {topic} officially?",
            "in which countries do the authorities have to answer in {topic}",
        ),
    ),
    "currency_of_subdivision": Kind(
        ("located_in", "currency"),
        (
            "What currency is used in {topic}?",
            "Which currency do people in {topic} pay with?",
            "What money do I need for a trip to {topic}?",
        ),
        ("How would I pay a taxi in {topic}, in which currency?", "shops in {topic} take which currency"),
    ),
    "language_of_subdivision": Kind(
        ("located_in", "official_language"),
        (
            "What is the official language of the country that {topic} lies in?",
            "{topic} is in a country with which official language?",
            "Which language is official in the country around {topic}?",
        ),
        (
            "I have to write to the national government about {topic}. In which language?",
            "official language of the country to which {topic} belongs?",
        ),
    ),
    "continent_of_subdivision": Kind(
        ("located_in", "continent"),
        (
            "On which continent is the country that {topic} belongs to?",
            "{topic} lies in a country on which continent?",
            "Which continent is the country of {topic} part of?",
        ),
        (
            "The country that {topic} is in: on what continent is it?",
            "continent of the country around {topic}?",
        ),
    ),
    "subregion_of_subdivision": Kind(
        ("located_in", "subregion"),
        (
            "In which subregion of the world is the country that {topic} belongs to?",
            "Which subregion is the country of {topic} counted in?",
            "{topic} lies in a country of which subregion?",
        ),
        (
            "The country that {topic} is in: which subregion is it assigned to?",
            "subregion of the country around {topic}?",
        ),
    ),
    "currency_of_city": Kind(
        ("city_in", "currency"),
        (
            "What currency do I need in the city of {topic}?",
            "Which currency is used in {topic}?",
            "What do people in {topic} pay with?",
        ),
        ("My hotel in {topic} wants cash. Which currency?", "which money do i bring to {topic}"),
    ),
    "language_of_city": Kind(
        ("city_in", "official_language"),
        (
            "What is the official language of the country where {topic} is?",
            "{topic} is a city in a country with which official language?",
            "Which language is official in the country of the city of {topic}?",
        ),
        (
            "The city of {topic} lies abroad. What is the official language of that country?",
            "official language of the country with the city of {topic}?",
        ),
    ),
    "script_of_country": Kind(
        ("official_language", "script"),
        (
            "Which script is used to write the official language of {topic}?",
            "In what script is the official language of {topic} written?",
            "What writing system does the official language of {topic} use?",
        ),
        (
            "Which letters do officials in {topic} write their official language with?",
            "script of the official language in {topic}?",
        ),
    ),
    "subregion_of_currency": Kind(
        ("^currency", "subregion"),
        (
            "In which subregion of the world is the {topic} used?",
            "Which subregions have a country that pays with the {topic}?",
            "The {topic} is used by a country of which subregion?",
        ),
        ("To which subregion would I travel to spend the {topic}?", "subregion where the {topic} is money?"),
    ),
}

DISPUTED = frozenset(
    [
        "Aousserd",
        "Assa-Zag",
        "Avtonomna Respublika Krym",
        "Azad Jammu and Kashmir",
        "Boujdour",
        "Dakhla-Oued Ed-Dahab",
        "Es-Semara",
        "Gilgit-Baltistan",
        "Guelmim-Oued Noun",
        "Jammu and Kashmīr",
        "Jerusalem (city)",
        "Kosovo-Metohija",
        "Kosovo",
        "Kosovski okrug",
        "Kosovsko-Mitrovački okrug",
        "Kosovsko-Pomoravski okrug",
        "Ladākh",
        "Laâyoune",
        "Laâyoune-Sakia El Hamra",
        "Oued Ed-Dahab",
        "Pećki okrug",
        "Prizrenski okrug",
        "Sevastopol",
        "Simferopol",
        "Tan-Tan",
        "Tarfaya",
        "Western Sahara",
    ]
)
"""Places whose country is contested: a question with one right answer would take sides."""

WITH_ARTICLE = re.compile(
    r"(Democratic Republic|Republic|United|British Virgin|Isle) .*|.* (Islands|Republic|Territories|Emirates)"
    r"|Bahamas|Comoros|Gambia|Maldives|Netherlands|Caribbean Netherlands|Philippines"
)


class Question(NamedTuple):
    """A question with its answers, and how they were found: topic and relation path."""

    text: str
    answers: tuple[str, ...]
    topic: str
    path: tuple[str, ...]


def build() -> dict[str, str]:
    """Return the text of both files, by file name."""
    return {
        f"{split}.jsonl": "".join(
            json.dumps({"text": item.text, "answers": list(item.answers)}, ensure_ascii=False) + "\n"
            for item in items
        )
        for split, items in questions().items()
    }


def questions() -> dict[str, list[Question]]:
    """Return the questions of both splits, shuffled."""
    names = SimpleNamespace(**runpy.run_path(str(GRAPH / "names.py")))
    graph = names.read_graph(GRAPH)
    check_templates(names, graph)
    plain = names.plain_names(graph)
    steps = neighbours(graph.triples)
    usable = plain.keys() - telling_names(names, graph, plain, steps)
    splits = split_topics(sorted(usable))
    result: dict[str, list[Question]] = {split: [] for split in QUESTIONS}
    for name, kind in KINDS.items():
        topics = topics_of(kind, steps)
        for split, items in result.items():
            rng = random.Random(f"{SEED} {split} {name}")
            candidates = [topic for topic in topics if topic in splits[split]]
            chosen = rng.sample(candidates, min(QUESTIONS[split], len(candidates)))
            templates = kind.shared if split == "train" else interleave(kind.shared, kind.test_only)
            for number, topic in enumerate(chosen):
                text = fill(templates[number % len(templates)], plain[topic])
                items.append(Question(text, tuple(follow(kind.path, topic, steps)), topic, kind.path))
    for split, items in result.items():
        random.Random(f"{SEED} {split}").shuffle(items)
    return result


def topics_of(kind: Kind, steps: Steps) -> list[str]:
    """Return the entities that a kind of question can be asked about, in alphabetical order."""
    return [
        topic
        for topic in sorted(steps[kind.path[0]])
        if 0 < len(follow(kind.path, topic, steps)) <= MOST_ANSWERS
        and (kind.topic_of is None or topic in steps[kind.topic_of])
        and topic not in DISPUTED
        and not is_debatable(kind.path, topic, steps)
    ]


def is_debatable(path: tuple[str, ...], topic: str, steps: Steps) -> bool:
    """Tell whether official languages on this path are a matter of definition.

    They are where CLDR has regional official languages beside the official ones.
    """
    if "^official_language" in path:
        return topic in steps["^regional_language"]
    if "official_language" in path:
        before = path[: path.index("official_language")]
        return any(country in steps["regional_language"] for country in follow(before, topic, steps))
    return False


def telling_names(names: Any, graph: Any, plain: dict[str, str], steps: Steps) -> set[str]:
    """Return the places whose name gives their country or state away ("Knox, Indiana")."""
    countries = {names.words(name) for country in steps["subregion"] for name in graph.names[country]}
    places = [place for relation in ("located_in", "city_in") for place in steps[relation] if place in plain]
    return {place for place in places if "," in plain[place] or names.names_in(plain[place], countries)}


def follow(path: tuple[str, ...], topic: str, steps: Steps) -> list[str]:
    """Return the entities at the end of a relation path, in alphabetical order."""
    reached = {topic}
    for relation in path:
        reached = {entity for start in reached for entity in steps[relation].get(start, ())}
    return sorted(reached)


def neighbours(triples: list[tuple[str, str, str]]) -> Steps:
    """Return the steps of a graph in both directions."""
    steps: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for head, relation, tail in triples:
        steps[relation][head].append(tail)
        steps[f"^{relation}"][tail].append(head)
    return {relation: dict(entities) for relation, entities in steps.items()}


def split_topics(entities: list[str]) -> dict[str, frozenset[str]]:
    """Divide all entities between train and test."""
    shuffled = random.Random(f"{SEED} topics").sample(entities, len(entities))
    cut = round(TRAIN_SHARE * len(shuffled))
    return {"train": frozenset(shuffled[:cut]), "test": frozenset(shuffled[cut:])}


def interleave(shared: tuple[str, ...], test_only: tuple[str, ...]) -> list[str]:
    """Return templates that, taken in turn, are shared ones and test-only ones equally often."""
    length = len(shared) * len(test_only)
    return [
        template
        for i in range(length)
        for template in (shared[i % len(shared)], test_only[i % len(test_only)])
    ]


def fill(template: str, topic: str) -> str:
    """Put the topic into the template, with its article, and start with a capital where the template does."""
    named = f"the {topic}" if WITH_ARTICLE.fullmatch(topic) and "the {topic}" not in template else topic
    text = template.format(topic=named)
    return text[0].upper() + text[1:] if template.startswith("{") else text


def check_templates(names: Any, graph: Any) -> None:
    """Raise if a template names an entity of the graph besides its topic."""
    owners = names.name_owners(graph)
    for kind in KINDS.values():
        for template in kind.shared + kind.test_only:
            if found := names.names_in(template.replace("{topic}", " "), owners):
                raise ValueError(
                    f"the graph has entities named {sorted(found)}, as in the template {template!r}"
                )


if __name__ == "__main__":
    for name, text in build().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
