from functools import partial

import pytest
import torch

from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.base import Example
from roots_kg.adaptation.heads.classification import ClassificationHead
from roots_kg.adaptation.task import Record, Task
from roots_kg.errors import TaskError, UsageError

TEAMS = {"nordic": "Sweden and Norway", "central": "Austria and Germany", "andes": "Peru and Chile"}


@pytest.fixture
def make(encoder, knowledge):
    """A function that makes a head for a task with these labels."""

    def head(labels=(), *, graph=True, settings=None):
        task = Task("routing", "classification", labels=dict(labels))
        return ClassificationHead(task, encoder.hidden_size, knowledge if graph else None, settings)

    return head


@pytest.fixture
def fitted(make, read, layers, text_layers, examples):
    """A function that fits a head to the routing examples."""

    def fit(labels=(), *, graph=True):
        head = make(labels, graph=graph)
        told = head.fit(read(head, examples.routing.train), layers if graph else text_layers, FewShotConfig())
        return head.eval(), told

    return fit


def accuracy(head, encode, read, records):
    found = read(head, records)
    predictions = head.decode(encode([example.text for example in found]))
    return head.metrics(predictions, [example.target for example in found])["accuracy"]


def test_labels_keep_the_order_of_the_task(fitted):
    head, _ = fitted(TEAMS)
    assert head.settings()["labels"] == ["nordic", "central", "andes"]


def test_without_labels_in_the_task_they_are_those_of_the_examples_sorted(fitted):
    head, _ = fitted()
    assert head.settings()["labels"] == ["andes", "central", "nordic"]


def test_a_label_means_the_same_whatever_the_order_of_the_labels(fitted, layers, examples):
    encoded = layers([record["text"] for record in examples.routing.test])
    first, second = fitted(TEAMS)[0], fitted(dict(sorted(TEAMS.items())))[0]
    pairs = zip(first.decode(encoded), second.decode(encoded), strict=True)
    assert all(one.value == other.value for one, other in pairs)


def test_a_label_that_training_never_had_is_an_error_that_names_the_line_and_the_nearest(fitted, tmp_path):
    for labels in ((), TEAMS):
        head, _ = fitted(labels)
        with pytest.raises(
            TaskError, match=r"test\.jsonl:4: unknown label 'nordics' \(did you mean 'nordic'"
        ):
            head.example(Record({"text": "Lund", "label": "nordics"}, tmp_path / "test.jsonl", 4))


def test_examples_of_one_class_are_refused(make, read, layers):
    head = make()
    support = read(head, [{"text": "Graz", "label": "a"}, {"text": "Lund", "label": "a"}])
    with pytest.raises(TaskError, match=r"train\.jsonl: the examples have one label only, 'a'"):
        head.fit(support, layers, FewShotConfig())


def test_places_never_seen_are_told_apart_by_the_graph_and_not_without_it(
    fitted, layers, text_layers, read, examples
):
    head, told = fitted(TEAMS)
    assert told["knowledge_weight"] > 0
    assert told["leave_one_out_accuracy"] > told["leave_one_out_accuracy_text_only"]
    assert accuracy(head, layers, read, examples.routing.test) >= 0.9
    alone, told = fitted(TEAMS, graph=False)
    assert told["knowledge_weight"] == 0
    assert told["leave_one_out_accuracy"] == told["leave_one_out_accuracy_text_only"]
    assert accuracy(alone, text_layers, read, examples.routing.test) <= 0.9


def test_text_alone_is_enough_where_the_texts_differ(make, read, text_layers):
    head = make(graph=False)
    records = [
        {"text": "I forgot my password", "label": "login"},
        {"text": "The sign-in page rejects me", "label": "login"},
        {"text": "Please refund my money", "label": "billing"},
        {"text": "The invoice is too high", "label": "billing"},
    ]
    head.fit(read(head, records), text_layers, FewShotConfig())
    texts = ["cannot log in to my account", "you charged my card twice"]
    assert [found.value for found in head.decode(text_layers(texts))] == ["login", "billing"]


def test_the_probabilities_of_the_labels_sum_to_one(fitted, layers):
    head, _ = fitted(TEAMS)
    for prediction in head.decode(layers(["The parcel to Lund.", "", "nothing known"])):
        assert sum(share for _, share in prediction.ranked) == pytest.approx(1, abs=1e-5)


def test_where_knowledge_is_not_trusted_there_is_no_evidence(make, read, layers, knowledge):
    head = make()
    records = [
        {"text": f"{opening} {town}", "label": label}
        for town in ("Graz", "Lund", "Cusco", "Ulm")
        for opening, label in (("Please refund my money in", "billing"), ("I forgot my password in", "login"))
    ]
    told = head.fit(read(head, records), layers, FewShotConfig())
    assert told["knowledge_weight"] == 0
    assert [found.evidence for found in head.decode(layers(["Refund me in Wels"]))] == [()]


def test_evidence_holds_the_triples_of_the_subgraph_by_falling_attention(fitted, layers, knowledge):
    head, _ = fitted(TEAMS)
    encoded = layers(["The parcel to Wels never arrived.", "No place at all."])
    linked, unlinked = head.decode(encoded)
    weights = [weight for _, weight in linked.evidence]
    assert weights == sorted(weights, reverse=True)
    assert {triple for triple, _ in linked.evidence} == set(encoded.subgraphs[0].triple.tolist())
    assert ("Wels", "located_in", "Austria") in [
        knowledge.graph.triple(triple) for triple, _ in linked.evidence
    ]
    assert unlinked.evidence == ()


def test_f1_counts_every_label_alike(make, read):
    from roots_kg.adaptation.heads.base import Prediction

    head = make({"a": "a", "b": "b"})
    predictions = [Prediction(value, 1.0, ((value, 1.0),)) for value in "aaab"]
    metrics = head.metrics(predictions, list("aaba"))
    assert metrics["accuracy"] == 0.5
    assert metrics["f1_macro"] == pytest.approx((2 / 3 + 0) / 2)


def test_the_loss_is_the_cross_entropy_of_the_logits(fitted, layers):
    head, _ = fitted(TEAMS)
    encoded = layers(["The parcel to Lund.", "The parcel to Graz."])
    probabilities = head(encoded).softmax(dim=1)
    expected = -(probabilities[0, 0].log() + probabilities[1, 1].log()) / 2
    torch.testing.assert_close(head.loss(encoded, ["nordic", "central"]), expected)


def test_shots_are_drawn_for_each_label(make, read, examples):
    head = make(TEAMS)
    support = partial(head.sample, read(head, examples.routing.train), 2)
    labels = [example.target for example in support(0)]
    assert sorted(labels) == sorted([*TEAMS] * 2)
    assert support(0) == support(0) != support(1)


def pair(first, second, label):
    return {"text": first, "text_pair": second, "label": label}


PAIRS = [
    pair("Where is my parcel?", "When does my parcel arrive?", "same"),
    pair("I forgot my password.", "I cannot remember the password.", "same"),
    pair("Where is my parcel?", "Please delete my profile.", "other"),
    pair("I forgot my password.", "Do you ship to Norway?", "other"),
]


def test_of_pairs_it_matters_what_they_are_to_each_other(make, read, text_layers):
    head = make(graph=False)
    head.fit(read(head, PAIRS), text_layers, FewShotConfig())
    swapped = [
        pair("Can I pay by card?", "Is payment by card possible?", "same"),
        pair("Can I pay by card?", "My parcel is damaged.", "other"),
        pair("My parcel is damaged.", "The box that came is broken.", "same"),
    ]
    assert accuracy(head, text_layers, read, swapped) == 1.0


def test_what_the_graph_knows_of_either_text_counts(make, read, layers):
    records = [
        pair(f"A letter for {first}.", f"The one to {second} is lost.", label)
        for first, second, label in [
            ("Graz", "Linz", "same"),
            ("Kiruna", "Lund", "same"),
            ("Cusco", "Tacna", "same"),
            ("Graz", "Kiruna", "other"),
            ("Lund", "Puno", "other"),
            ("Tacna", "Wels", "other"),
        ]
    ]
    head = make()
    encoded = layers([example.text for example in read(head, records)])
    alone = layers([record["text"] for record in records])
    assert not torch.allclose(head.knowledge_vectors(encoded), head.knowledge_vectors(alone))
    of_both, of_one = dict(encoded.attended(0)), dict(alone.attended(0))
    assert all(of_both[triple] >= weight for triple, weight in of_one.items())
    assert any(weight > of_one.get(triple, 0.0) for triple, weight in of_both.items())


def test_a_single_text_among_pairs_is_refused_by_its_line(make, read, text_layers):
    head = make(graph=False)
    records = [*PAIRS, {"text": "Where is it?", "label": "same"}]
    with pytest.raises(TaskError, match=r"train\.jsonl:5: .*'text_pair' is missing"):
        head.fit(read(head, records), text_layers, FewShotConfig())


def test_a_head_for_pairs_refuses_single_texts_and_the_other_way_round(make, read, text_layers, examples):
    head = make(graph=False)
    head.fit(read(head, PAIRS), text_layers, FewShotConfig())
    with pytest.raises(TaskError, match="'text_pair' is missing"):
        read(head, [{"text": "Where is it?", "label": "same"}])
    with pytest.raises(TaskError, match="about pairs"):
        head.decode(text_layers(["Where is it?"]))
    head = make(graph=False)
    head.fit(read(head, examples.routing.train), text_layers, FewShotConfig())
    with pytest.raises(TaskError, match="'text_pair' is not supported"):
        read(head, [pair("Where is it?", "Here.", "nordic")])


SUPPORT = [
    {"text": "I forgot my password", "label": "login"},
    {"text": "The sign-in page rejects me", "label": "login"},
    {"text": "I cannot get into my account", "label": "login"},
    {"text": "Please refund my money", "label": "billing"},
    {"text": "The invoice is too high", "label": "billing"},
    {"text": "You charged me twice", "label": "billing"},
]
DELIVERY = ["Where is my parcel?", "The delivery is late", "My package never came"]


@pytest.fixture
def fit_support(make, read, text_layers):
    """A function that fits a head to `SUPPORT`, with settings."""

    def fit(records=SUPPORT, labels=(), **config):
        head = make(labels, graph=False)
        return head, head.fit(read(head, records), text_layers, FewShotConfig(**config))

    return fit


def test_a_class_with_more_weight_is_chosen_more_often(fit_support, text_layers):
    encoded = text_layers(["my account", "the page shows a wrong number", "hello", "help me please"])
    plain, _ = fit_support()
    heavy, _ = fit_support(class_weight={"billing": 20.0})
    place = plain.labels.index("billing")
    assert (heavy(encoded).softmax(dim=1)[:, place] > plain(encoded).softmax(dim=1)[:, place]).all()


def test_balanced_weights_are_in_inverse_to_the_size_of_the_class():
    from roots_kg.adaptation.few_shot import class_weights

    found = class_weights("balanced", torch.tensor([0, 0, 0, 1]), ["a", "b", "c"])
    torch.testing.assert_close(found, torch.tensor([4 / 6, 2.0, 1.0]))
    assert class_weights(None, torch.tensor([0]), ["a"]) is None


def test_a_weight_for_a_label_that_there_is_not_is_an_error_that_names_the_nearest(fit_support):
    with pytest.raises(UsageError, match=r"label 'biling' \(did you mean 'billing'"):
        fit_support(class_weight={"biling": 2.0})


@pytest.mark.parametrize("graph", [False, True])
def test_a_class_that_is_added_leaves_the_vectors_of_the_others_bit_for_bit(
    fitted, layers, text_layers, read, graph
):
    head, _ = fitted(TEAMS, graph=graph)
    encode = layers if graph else text_layers
    encoded = encode(["The parcel to Lund.", "From Graz with love", "", *DELIVERY])
    before, state = head(encoded), {name: value.clone() for name, value in head.state_dict().items()}
    head.add_class("lost", [Example(text, "lost", None) for text in DELIVERY], encode)
    after = head(encoded)
    assert head.labels == [*TEAMS, "lost"]
    torch.testing.assert_close(after[:, :-1], before)  # a product of another shape may round otherwise
    for name, value in head.state_dict().items():
        assert torch.equal(value[: len(state[name])], state[name])
    assert [found.value for found in head.decode(encoded)[-3:]] == ["lost"] * 3
    assert head.settings()["labels"] == head.labels


def test_a_class_that_is_there_cannot_be_added_nor_one_without_examples(fit_support, text_layers):
    head, _ = fit_support()
    with pytest.raises(TaskError, match="the label 'login' is there already"):
        head.add_class("login", [Example("a", "login", None)], text_layers)
    with pytest.raises(TaskError, match="there is no example of 'lost'"):
        head.add_class("lost", [], text_layers)


def test_a_head_rejects_only_if_it_is_told_to(fit_support, text_layers):
    strange = text_layers(["The recipe calls for three eggs and a pinch of salt", "E = mc²"])
    plain, _ = fit_support()
    assert all(found.in_scope for found in plain.decode(strange))
    strict, _ = fit_support(reject=0.5)
    assert not any(found.in_scope for found in strict.decode(strange))
    known = text_layers([record["text"] for record in SUPPORT])
    assert all(found.in_scope for found in strict.decode(known))
    assert min(found.scope for found in strict.decode(known)) > max(
        found.scope for found in strict.decode(strange)
    )


def test_to_reject_what_is_out_of_scope_is_right_and_is_judged(fit_support, read, text_layers):
    head, _ = fit_support(reject=0.5)
    records = [*SUPPORT, {"text": "The recipe calls for three eggs and a pinch of salt", "label": None}]
    found = read(head, records)
    predictions = head.decode(text_layers([example.text for example in found]))
    targets = [example.target for example in found]
    assert head.metrics(predictions, targets)["accuracy"] == 1.0
    told = head.diagnostics(predictions, targets)
    assert told["out_of_scope_auroc"] == 1.0
    assert told["out_of_scope"] == 1
    assert 0 <= told["calibration_error"] < 0.5
    assert head.diagnostics(predictions[:-1], targets[:-1]).keys() == {"calibration_error"}


def test_what_is_out_of_scope_cannot_be_learned_from(fit_support):
    with pytest.raises(TaskError, match=r"train\.jsonl:\d+: the label is null"):
        fit_support([*SUPPORT, {"text": "E = mc²", "label": None}])


def test_examples_that_contradict_each_other_and_labels_without_any_are_counted(fit_support):
    records = [*SUPPORT, {"text": "You charged me twice", "label": "login"}]
    _, told = fit_support(records, labels={"login": "login", "billing": "billing", "lost": "a lost parcel"})
    assert told["contradictory_examples"] == 2
    assert told["labels_without_examples"] == 1
    low, high = told["left_out_accuracy_95%"]
    assert 0 <= low <= told["left_out_accuracy"] <= high <= 1


def test_what_was_calibrated_is_kept(fit_support, make, text_layers):
    head, told = fit_support(reject=0.2)
    again = make(graph=False, settings=head.settings())
    again.load_state_dict(head.state_dict())
    texts = text_layers(["hello", "my money"])
    assert again.calibration == head.calibration
    assert head.calibration.text.temperature == told["temperature"]
    assert torch.equal(again(texts), head(texts))


@pytest.mark.parametrize("count", [2, 3])
def test_one_example_a_class_is_enough(fit_support, text_layers, count):
    head, told = fit_support([SUPPORT[0], SUPPORT[3], {"text": "Lund", "label": "place"}][:count])
    assert told["name_weight"] == 2.0
    assert (told["left_out"], told["temperature"]) == (0, pytest.approx(1.0))
    assert [found.value for found in head.decode(text_layers(["my password", "a refund"]))] == [
        "login",
        "billing",
    ]


def test_without_two_examples_of_a_label_nothing_tells_what_to_reject(fit_support):
    with pytest.raises(TaskError, match=r"no label has two examples.*reject nothing"):
        fit_support([SUPPORT[0], SUPPORT[3]], reject=0.1)
