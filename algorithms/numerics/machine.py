"""Processors and memory that this process may use: of the machine, its control group, or its own limits (ulimit)."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
NO_LIMIT = 1 << 60  # bytes; version 1 of control groups writes "no limit" as a number about this large


def processors(root: Path = ROOT) -> int:
    """Whole processors, at least one: a quota of 2.5 gives 2."""
    quotas = [len(os.sched_getaffinity(0)), *_quotas(root)]
    return max(1, int(min(quotas)))


def memory_limit(root: Path = ROOT) -> int:
    """Bytes that may be in use at most."""
    limits = [limit for folder in _groups(root, "memory") for limit in [_limit(folder)] if limit is not None]
    return min([_meminfo(root, "MemTotal"), *limits])


def memory_free(root: Path = ROOT) -> int:
    """Bytes that may still be taken. Pages of files, which the kernel can drop, count as free."""
    free = [_meminfo(root, "MemAvailable")]
    for folder in _groups(root, "memory"):
        limit = _limit(folder)
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes")
        if limit is not None and used is not None:
            free.append(limit - used + _droppable(folder))
    sizes = _kibibytes(root / "proc/self/status")
    for which, taken in ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize")):
        soft, _ = resource.getrlimit(which)
        if soft != resource.RLIM_INFINITY:
            free.append(soft - (sizes.get(taken, 0) << 10))
    return max(0, min(free))


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of this process's control group and of those around it, of version 2 and then 1.

    Inside a container the path of the group is often that of the host and not to be seen; its root then stands for it.
    """
    mount = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = mount / controller if controllers else mount
        folder = top / path.lstrip("/")
        yield from (level for level in (folder, *folder.parents) if level.is_relative_to(top))


def _quotas(root: Path) -> Iterator[float]:
    for folder in _groups(root, "cpu"):
        fields = next(iter(_lines(folder / "cpu.max")), "").split()
        if len(fields) == 2 and fields[0].isdigit():
            yield int(fields[0]) / int(fields[1])
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if quota is not None and period:
            yield quota / period


def _limit(folder: Path) -> int | None:
    limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
    return None if limit is None or limit >= NO_LIMIT else limit


def _droppable(folder: Path) -> int:
    fields = dict(line.split(" ", 1) for line in _lines(folder / "memory.stat") if " " in line)
    return int(fields.get("total_inactive_file", fields.get("inactive_file", "0")))


def _meminfo(root: Path, field: str) -> int:
    sizes = _kibibytes(root / "proc/meminfo")
    return sizes[field] << 10 if field in sizes else NO_LIMIT


def _kibibytes(path: Path) -> dict[str, int]:
    """Lines such as `MemTotal: 16 kB` by their names."""
    fields = (line.replace(":", " ").split() for line in _lines(path))
    return {words[0]: int(words[1]) for words in fields if len(words) == 3 and words[2] == "kB" and words[1].isdigit()}


def _number(path: Path) -> int | None:
    """A count in a file; None when there is no file, or it says max or -1."""
    text = next(iter(_lines(path)), "").strip()
    return int(text) if text.isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:  # not this version of control groups, or not this kernel
        return []
