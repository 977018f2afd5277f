import pytest

from roots_kg.adaptation import sample_tasks
from roots_kg.adaptation.contract import encode_with
from roots_kg.adaptation.few_shot import FewShotConfig
from roots_kg.adaptation.heads.span import SpanHead
from roots_kg.adaptation.task import Record, Task
from roots_kg.errors import TaskError
from roots_kg.fusion.encoder import MarkedText

FIT = FewShotConfig()
TRAIN = sample_tasks.SPAN.train
QUESTION, CONTEXT = "Who runs it?", "Anna Berg runs it."


@pytest.fixture
def make(encoder):
    """A function that makes a head."""
    return lambda settings=None: SpanHead(Task("questions", "span"), encoder.hidden_size, None, settings)


@pytest.fixture
def fit(make, read, text_layers):
    """A function that fits a head to records."""

    def fitted(records):
        head = make()
        told = head.fit(read(head, records), encode_with(text_layers, head), FIT)
        return head.eval(), told

    return fitted


@pytest.fixture
def ask(text_layers, tmp_path):
    """A function that asks a head about a context."""

    def asked(head, question, context):
        text = head.text(Record({"text": question, "context": context}, tmp_path / "new.jsonl", 1))
        return text.text, head.decode(encode_with(text_layers, head)([text]))[0]

    return asked


def line(answers, context=CONTEXT):
    return {"text": QUESTION, "context": context, "answers": answers}


def test_an_answer_is_found_by_what_is_asked_for(fit, ask):
    head, _ = fit(TRAIN)
    context = "The garden is watered by Maria Rossi on Sunday."
    for question, answer in (("Who waters the garden?", "Maria Rossi"), ("When is it watered?", "Sunday")):
        text, found = ask(head, question, context)
        assert found.value == answer
        (part,) = found.parts
        assert text[part.start : part.end] == part.label == answer
        assert part.probability == found.probability


def test_where_the_context_does_not_say_it_there_is_no_answer(fit, ask):
    head, told = fit(TRAIN)
    _, found = ask(head, "Who drives the bus?", "The river is deep and cold.")
    assert (found.value, found.parts, head.display(found.value)) == ("", (), "no answer")
    assert told["without_answer"] == 2


def test_a_head_that_has_always_had_an_answer_gives_one(fit, ask):
    head, _ = fit([record for record in TRAIN if record["answers"]])
    _, found = ask(head, "Who drives the bus?", "The river is deep and cold.")
    assert found.value
    assert head.settings()["can_be_none"] is False


def test_an_answer_that_stands_there_twice_counts_twice(fit, ask):
    head, _ = fit(TRAIN)
    _, once = ask(head, "Who repairs it?", "John Smith repairs it. Laura Klein does not.")
    _, twice = ask(head, "Who repairs it?", "John Smith repairs it. John Smith repairs it.")
    assert once.value == twice.value == "John Smith"
    assert sum(chance for _, chance in twice.ranked) <= 1 + 1e-5
    assert len({answer for answer, _ in twice.ranked}) == len(twice.ranked)


def test_an_answer_at_the_end_of_a_long_context_is_found(fit, ask):
    head, _ = fit([record for record in TRAIN if record["answers"]])
    context = "The river is deep and cold. " * 100 + "The office is cleaned by Maria Rossi on Thursday."
    text, found = ask(head, "Who cleans the office?", context)
    assert found.value == "Maria Rossi"
    assert found.parts[0].start == text.index("Maria Rossi")


def test_several_right_answers_may_be_given(make, read):
    head = make()
    answers = [{"text": "Anna", "start": 0}, {"text": "Anna Berg", "start": 0}]
    (example,) = read(head, [line(answers)])
    assert example.target == ((0, "Anna"), (0, "Anna Berg"))
    assert head.value_of(example.target) == "Anna"


def test_a_question_of_several_lines_is_read_as_one(make, tmp_path):
    record = Record({"text": "Who\r\n  runs it?", "context": CONTEXT}, tmp_path / "new.jsonl", 1)
    assert make().text(record) == MarkedText(f"Who runs it?\n{CONTEXT}", spans=((13, 31),))


def test_examples_without_any_answer_are_refused(fit):
    with pytest.raises(TaskError, match=r"train\.jsonl: no example has an answer"):
        fit([line([])])


def test_what_is_remembered_of_an_example_stays_out_of_its_own_loss(fit, read, text_layers):
    head, _ = fit(TRAIN[:2])
    examples = read(head, TRAIN[:1])
    encoded = encode_with(text_layers, head)([example.text for example in examples])
    before = head.loss(encoded, [example.target for example in examples])
    head.answers[0] *= -1
    assert head.loss(encoded, [example.target for example in examples]) == before
    head.answers[1] *= -1
    assert head.loss(encoded, [example.target for example in examples]) != before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": QUESTION, "context": CONTEXT}, "'answers' must be a list, and is missing"),
        (line("Anna"), "must be a list, found 'Anna'"),
        (line(["Anna"]), 'an answer is {"text", "start"}, found \'Anna\''),
        (line([{"text": "Anna", "start": 5}]), r"does not say 'Anna' at 5 \(it does at 0\)"),
        (line([{"text": "anna", "start": 0}]), "a piece of the context, to the letter"),
        (line([{"text": "it.", "start": -3}]), "does not say 'it.' at -3"),
        (line([{"text": "Anna ", "start": 0}]), "begins or ends with white space"),
        (line([{"text": "Anna", "start": True}]), "is a whole number, found True"),
        (line([{"text": "", "start": 0}]), "has a word at least"),
        (line([], context="  "), "the context has no word"),
        ({"text": " ", "context": CONTEXT, "answers": []}, "the question has no word"),
        ({"text": QUESTION, "answers": []}, "'context' is missing"),
    ],
)
def test_lines_that_are_wrong_are_refused_by_their_place(make, read, fields, message):
    with pytest.raises(TaskError, match=message) as error:
        read(make(), [fields])
    assert "train.jsonl:1: " in str(error.value)
