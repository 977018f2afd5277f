"""A model behind HTTP: answers for many clients at once, and a page to look at them."""

from roots_kg.serve.app import make_app
from roots_kg.serve.config import LOCAL_HOSTS, ServeConfig

__all__ = ["LOCAL_HOSTS", "ServeConfig", "make_app"]
