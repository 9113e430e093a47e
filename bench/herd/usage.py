"""How much of the processor a process has used: so that the table can say where the machine was the limit."""

import os
from pathlib import Path


def read_cpu_s(pid: int) -> float | None:
    """Seconds of all its threads so far; None where the system does not say (elsewhere than on Linux)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
