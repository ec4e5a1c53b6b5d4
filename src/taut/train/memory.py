"""Will it fit? XLA does not raise on memory, so it is asked before the first step."""

from pathlib import Path

import jax


def free_memory() -> int | None:
    """Bytes that the default device can still allocate; `None` where unknown."""
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        if "bytes_limit" not in stats:
            return None
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    free = []
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
        if "MemAvailable" in fields:
            free.append(int(fields["MemAvailable"].split()[0]) * 1024)
    group = Path("/sys/fs/cgroup")
    limit, used = group / "memory.max", group / "memory.current"
    if limit.exists() and used.exists() and limit.read_text().strip() != "max":
        free.append(int(limit.read_text()) - int(used.read_text()))
    return min(free, default=None)


def check_memory(compiled, limit: int | None = None) -> None:
    """Refuse a compiled step that needs more memory than there is."""
    analysis = compiled.memory_analysis()
    available = free_memory() if limit is None else limit
    if analysis is None or available is None:
        return
    # Arguments are allocated already, and outputs reuse the donated ones.
    needed = (
        analysis.temp_size_in_bytes
        + analysis.output_size_in_bytes
        - analysis.alias_size_in_bytes
    )
    if needed > available:
        raise MemoryError(
            f"One step needs {needed / 2**30:.2f} GiB besides the parameters and data, "
            f"and {available / 2**30:.2f} GiB are free. Evaluate the particles a few "
            "at a time with the sampler's `chunk` (for example "
            "Importance(q, num, chunk=10) or Amortized(guide, num, chunk=10)), use a "
            "smaller batch_size or fewer seeds at once, or spread the batch over a "
            "mesh of devices."
        )
