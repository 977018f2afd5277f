"""The bundled graph and tasks are what their build scripts make, and keep the promises of their READMEs."""

import importlib.util
import json
import sys
from collections import Counter, defaultdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GRAPH = ROOT / "knowledge" / "geography"
ROUTING = ROOT / "tasks" / "region_routing"
QUESTIONS = ROOT / "tasks" / "geo_questions"


def load(path):
    """Import a file that belongs to no package."""
    name = f"bundled_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def rows(path):
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def records(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def names():
    return load(GRAPH / "names.py")


@pytest.fixture(scope="module")
def graph(names):
    return names.read_graph(GRAPH)


@pytest.fixture(scope="module")
def triples():
    return rows(GRAPH / "triples.tsv")


@pytest.fixture(scope="module")
def entities(triples):
    return {entity for head, _, tail in triples for entity in (head, tail)}


@pytest.fixture(scope="module")
def questions():
    return load(QUESTIONS / "build.py")


def assert_same_bytes(folder, files):
    for name, text in files.items():
        assert (folder / name).read_bytes() == text.encode("utf-8"), f"run {folder / 'build.py'} again"


def test_the_graph_is_what_its_script_builds_from_the_same_package_versions():
    expected = yaml.safe_load((GRAPH / "card.yaml").read_text(encoding="utf-8"))["generator"]
    try:
        installed = {package: version(package) for package in expected}
    except PackageNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    if installed != expected:
        pytest.skip(f"the graph was built with {expected}, installed are {installed}")
    assert_same_bytes(GRAPH, load(GRAPH / "build.py").build())


def test_the_routing_tickets_are_what_their_script_builds():
    assert_same_bytes(ROUTING, load(ROUTING / "build.py").build())


def test_the_questions_are_what_their_script_builds(questions):
    assert_same_bytes(QUESTIONS, questions.build())


def test_every_triple_has_three_columns_with_text_and_occurs_once(triples):
    assert all(len(row) == 3 and all(column.strip() == column != "" for column in row) for row in triples)
    assert len({tuple(row) for row in triples}) == len(triples)


def test_every_alias_belongs_to_an_entity_of_the_triples(entities):
    aliases = rows(GRAPH / "aliases.tsv")
    assert all(len(row) == 2 and row[1].strip() for row in aliases)
    assert {entity for entity, _ in aliases} <= entities
    assert len({tuple(row) for row in aliases}) == len(aliases)


def test_the_first_alias_is_the_key_without_the_part_that_tells_namesakes_apart():
    first = {}
    for entity, alias in rows(GRAPH / "aliases.tsv"):
        first.setdefault(entity, alias)
    assert first["Germany"] == "Germany"
    assert first["Georgia (US)"] == first["Georgia (country)"] == "Georgia"
    assert all(entity == alias or entity.startswith(f"{alias} (") for entity, alias in first.items())


def test_the_card_counts_what_the_files_hold(triples, entities):
    counts = yaml.safe_load((GRAPH / "card.yaml").read_text(encoding="utf-8"))["counts"]
    by_relation = Counter(relation for _, relation, _ in triples)
    assert counts == {
        "triples": len(triples),
        "entities": len(entities),
        "relations": len(by_relation),
        "aliases": len(rows(GRAPH / "aliases.tsv")),
        "by_relation": dict(by_relation),
    }


@pytest.mark.parametrize(
    "triple",
    [
        ("Sachsen", "located_in", "Germany"),
        ("Yvelines", "part_of", "Île-de-France"),
        ("Austria", "currency", "euro"),
        ("Bulgaria", "former_currency", "Bulgarian lev"),
        ("Austria", "official_language", "German"),
        ("Austria", "subregion", "Western Europe"),
        ("Western Europe", "continent", "Europe"),
        ("Vienna", "city_in", "Austria"),
        ("Serbian", "script", "Cyrillic"),
    ],
)
def test_the_graph_holds_well_known_facts(triples, triple):
    assert list(triple) in triples


def test_routing_tickets_name_one_place_and_no_place_of_test_occurs_in_train(names, graph):
    owners = names.name_owners(graph)
    located = {head: tail for head, relation, tail in graph.triples if relation in ("located_in", "city_in")}
    plain = {
        names.words(name): entity for entity, name in names.plain_names(graph).items() if entity in located
    }
    build = load(ROUTING / "build.py")
    places = {}
    for split in ("train", "test"):
        places[split] = set()
        for record in records(ROUTING / f"{split}.jsonl"):
            found = names.names_in(record["text"], owners)
            longest = max(found, key=len)
            assert all(holds(longest, name) for name in found), record
            assert located[plain[longest]] in build.TEAMS[record["label"]], record
            places[split].add(plain[longest])
    train_text = " ".join(names.words(record["text"]) for record in records(ROUTING / "train.jsonl"))
    test_names = {names.words(name) for entity in places["test"] for name in graph.names[entity]}
    assert not places["train"] & places["test"]
    assert not [name for name in test_names if holds(train_text, name)]


def test_every_team_gets_the_same_templates_equally_often():
    build = load(ROUTING / "build.py")
    assert not set(build.TRAIN_TEMPLATES) & set(build.TEST_TEMPLATES)
    for split, templates in (("train", build.TRAIN_TEMPLATES), ("test", build.TEST_TEMPLATES)):
        used = defaultdict(Counter)
        for record in records(ROUTING / f"{split}.jsonl"):
            matching = [template for template in templates if fits(template, record["text"])]
            assert len(matching) == 1
            used[record["label"]][matching[0]] += 1
        assert {frozenset(counts.items()) for counts in used.values()} == {frozenset(used["dach"].items())}
        assert all(counts.total() == build.TICKETS[split] for counts in used.values())
        texts = [record["text"] for record in records(ROUTING / f"{split}.jsonl")]
        assert len(set(texts)) == len(texts)


def test_every_answer_is_an_entity_at_the_end_of_the_stated_path_and_none_is_missing(
    questions, triples, entities
):
    forward, backward = defaultdict(set), defaultdict(set)
    for head, relation, tail in triples:
        forward[head, relation].add(tail)
        backward[tail, relation].add(head)
    for split, items in questions.questions().items():
        assert [{"text": item.text, "answers": list(item.answers)} for item in items] == records(
            QUESTIONS / f"{split}.jsonl"
        )
        for item in items:
            reached = {item.topic}
            for relation in item.path:
                table = backward if relation.startswith("^") else forward
                reached = {end for start in reached for end in table[start, relation.removeprefix("^")]}
            assert reached == set(item.answers) <= entities
            assert reached


def test_topics_of_test_questions_are_no_topics_of_train_questions(questions):
    topics = {split: {item.topic for item in items} for split, items in questions.questions().items()}
    assert not topics["train"] & topics["test"]


def test_a_question_names_its_topic_with_a_name_that_no_other_entity_has(questions, names, graph):
    plain = names.plain_names(graph)
    for items in questions.questions().values():
        for item in items:
            assert holds(names.words(item.text), names.words(plain[item.topic]))


def test_contested_places_are_entities_of_the_graph(questions, entities):
    assert entities >= questions.DISPUTED


@pytest.mark.parametrize("folder", [ROUTING, QUESTIONS], ids=lambda folder: folder.name)
def test_a_task_names_files_and_a_graph_that_exist(folder):
    task = yaml.safe_load((folder / "task.yaml").read_text(encoding="utf-8"))
    assert task["name"] == folder.name
    assert (folder / task["train"]).is_file()
    assert (folder / task["test"]).is_file()
    assert (folder / task["knowledge"]).resolve() == GRAPH
    if task["head"] == "classification":
        assert {record["label"] for record in records(folder / task["test"])} == set(task["labels"])


def fits(template, text):
    """Tell whether a text is the template with some place in it."""
    before, after = template.split("{place}")
    return text.startswith(before) and text.endswith(after) and len(text) > len(before) + len(after)


def holds(words, part):
    """Tell whether the words hold the part as whole words."""
    return f" {part} " in f" {words} "
