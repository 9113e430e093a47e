"""How much of the processor a process wants: so that the table can say where the machine was the limit."""

from pathlib import Path

NS = 1_000_000_000


def read_wanted_cpu_s(pid: int) -> float | None:
    """For how long its main thread has run, or waited for a core that others had; None where the system does not say.

    All the services that are measured do their work in one thread. Only Linux says.
    """
    try:
        ran_ns, waited_ns, _ = Path(f"/proc/{pid}/schedstat").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return None
    return (int(ran_ns) + int(waited_ns)) / NS
