"""What a server allows, and how much of it at once."""

from __future__ import annotations

from dataclasses import dataclass

from roots_kg.errors import UsageError

__all__ = ["LOCAL_HOSTS", "ServeConfig"]

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class ServeConfig:
    """Limits of a server; whatever goes beyond them is refused in words, and nothing else suffers.

    Args:
        api_key: what clients must send as `Authorization: Bearer KEY`; None asks for none.
        hosts: the names by which a client may call the server, without ports; "*" for any. Without a key this
            keeps pages of other sites from reaching it through a name of their own (DNS rebinding).
        allow_edits: whether triples may be added and removed.
        max_batch: the most texts that the model reads at once.
        max_waiting: the most texts that wait for it; with more, clients are told to come back (503).
        max_texts: the most texts of one request.
        max_body: bytes of one request.
        max_new_tokens: of one generated text.
        max_streams: texts that are generated at once.
        timeout: seconds that one request may take, and that its body may take to arrive.
    """

    api_key: str | None = None
    hosts: tuple[str, ...] = LOCAL_HOSTS
    allow_edits: bool = False
    max_batch: int = 32
    max_waiting: int = 1024
    max_texts: int = 256
    max_body: int = 1_000_000
    max_new_tokens: int = 512
    max_streams: int = 2
    timeout: float = 30.0

    def __post_init__(self) -> None:
        names = ("max_batch", "max_waiting", "max_texts", "max_body", "max_new_tokens", "max_streams")
        for name in names:
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, found {getattr(self, name)}")
        if not 0 < self.timeout < float("inf"):
            raise UsageError(f"timeout must be above 0 seconds, found {self.timeout}")
