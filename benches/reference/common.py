"""What the reference scripts share: the cases, times, and the memory of the process."""

import json
import signal
import statistics
import time
from pathlib import Path

BENCHES = Path(__file__).parents[1]
CASES = {name: case for file in ("cases.json", "card.json") for name, case in json.loads((BENCHES / file).read_text()).items()}
THREADS = 2


def status_mib(key):
    """A line of this process's status; None where there is no such file."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    found = [line for line in lines if line.startswith(key)]
    return int(found[0].split()[1]) / 1024 if found else None


def needs_card(case):
    return CASES[case].get("device") == "card"


def measure(case, runs, prepare):
    """Does the work once unmeasured, then `runs` times. A run in which the process was stopped does not count. On a card the
    time ends when the card has finished, and memory is what its tensors held at most."""
    card = None
    if needs_card(case):
        from torch import cuda as card
    start = 0 if card else status_mib("VmRSS:")
    continued = []
    signal.signal(signal.SIGCONT, lambda *_: continued.append(time.perf_counter()))
    prepared, parameters = prepare()

    def work():
        prepared()
        if card:
            card.synchronize()

    work()
    times = []
    while len(times) < max(runs, 1):
        begun, stops = time.perf_counter(), len(continued)
        work()
        elapsed = time.perf_counter() - begun
        if len(continued) == stops:
            times.append(elapsed)
    return {
        "case": case,
        "side": "pytorch",
        "median_s": statistics.median(times),
        "runs_s": times,
        "peak_mib": card.max_memory_allocated() / 2**20 if card else status_mib("VmHWM:"),
        "start_mib": start,
        "parameters": parameters,
    }
