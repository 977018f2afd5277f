"""The head does what every head must."""

from roots_kg.testing import check_head


def test_the_head_keeps_the_contract() -> None:
    """Each promise that is broken is named, and how."""
    check_head("rating")
