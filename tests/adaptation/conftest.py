"""What the tests of heads and of what they are made of share."""

import pytest

from roots_kg.adaptation.task import Record


@pytest.fixture
def read(tmp_path):
    """A function that reads records as a head's examples."""

    def examples(head, records):
        path = tmp_path / "train.jsonl"
        return [head.example(Record(dict(fields), path, line)) for line, fields in enumerate(records, 1)]

    return examples
