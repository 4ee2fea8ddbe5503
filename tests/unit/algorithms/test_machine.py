from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from algorithms.numerics import machine

MEMINFO = "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    800 kB\nHugePages_Total:  0\n"


def files(root: Path, content: dict[str, str]) -> Path:
    for name, text in {"proc/meminfo": MEMINFO, **content}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_machine_without_control_groups(tmp_path: Path) -> None:
    root = files(tmp_path, {})
    assert machine.processors(root) == len(os.sched_getaffinity(0))
    assert machine.memory_limit(root) == 1000 << 10
    assert machine.memory_free(root) == 800 << 10


def test_version_2_takes_the_least_of_all_levels(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/kube/pod"
    root = files(
        tmp_path,
        {
            "proc/self/cgroup": "0::/kube/pod\n",
            f"{group}/cpu.max": "max 100000\n",
            "sys/fs/cgroup/kube/cpu.max": "150000 100000\n",
            f"{group}/memory.max": "500000\n",
            f"{group}/memory.current": "450000\n",
            f"{group}/memory.stat": "anon 1\ninactive_file 20000\n",
            "sys/fs/cgroup/kube/memory.max": "max\n",
        },
    )
    assert machine.processors(root) == 1
    assert machine.memory_limit(root) == 500_000
    assert machine.memory_free(root) == 70_000


def test_version_1_and_a_path_that_only_the_host_knows(tmp_path: Path) -> None:
    root = files(
        tmp_path,
        {
            "proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "600000\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "100000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert machine.processors(root) == 1
    assert machine.memory_limit(root) == 600_000
    assert machine.memory_free(root) == 500_000


def test_no_limit_of_version_1(tmp_path: Path) -> None:
    root = files(
        tmp_path,
        {
            "proc/self/cgroup": "5:memory:/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        },
    )
    assert machine.memory_limit(root) == 1000 << 10


def test_limits_of_the_process_count_too() -> None:
    program = """
import resource
from algorithms.numerics.machine import memory_free
resource.setrlimit(resource.RLIMIT_DATA, (300 << 20, resource.RLIM_INFINITY))
before = memory_free()
held = bytearray(100 << 20)
print(before, before - memory_free())
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    before, taken = map(int, run.stdout.split())
    assert 0 < before < 300 << 20
    assert abs(taken - (100 << 20)) < 1 << 20
