"""Cluster: which hosts train together, and which one of them this is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cluster:
    """hosts are sorted by name; the first is the leader, which writes the model and where they meet, at `port`."""

    host: str
    hosts: tuple[str, ...]
    interface: str = "eth0"
    port: int = 29_500

    @property
    def rank(self) -> int:
        return self.hosts.index(self.host)

    @property
    def leader(self) -> bool:
        return self.rank == 0
