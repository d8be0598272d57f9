"""PyTorch has several ways to the same work on a card; it gets the one that is fastest there."""

import sys
import time

import torch

RUNS = 5


def took(work):
    work()
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(RUNS):
        work()
    torch.cuda.synchronize()
    return time.perf_counter() - begun


def fastest(ways):
    """The fastest of some functions by their names. One that fails is none; the first where all do."""
    times = {}
    for name, work in ways.items():
        try:
            times[name] = took(work)
        except Exception as error:  # whatever a compiler or a backend throws
            print(f"PyTorch, {name}: {str(error).splitlines()[:1]}", file=sys.stderr)
    best = min(times, key=times.get, default=next(iter(ways)))
    print(f"PyTorch is fastest by {best}: " + ", ".join(f"{name} {1000 * time / RUNS:.2f} ms" for name, time in times.items()), file=sys.stderr)
    # The others held memory, too.
    torch.cuda.reset_peak_memory_stats()
    return ways[best]


def by_backends(work):
    """Work with attention, by each of PyTorch's backends."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    def by(backend):
        def work_by():
            with sdpa_kernel(backend):
                work()

        return work_by

    names = ("FLASH_ATTENTION", "CUDNN_ATTENTION", "EFFICIENT_ATTENTION")
    return {name: by(getattr(SDPBackend, name)) for name in names}
