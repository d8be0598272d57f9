"""What the reference scripts share: the cases, times, and the memory of the process."""

import json
import signal
import statistics
import time
from pathlib import Path

CASES = json.loads((Path(__file__).parents[1] / "cases.json").read_text())
THREADS = 2


def status_mib(key):
    """A line of this process's status; None where there is no such file."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    found = [line for line in lines if line.startswith(key)]
    return int(found[0].split()[1]) / 1024 if found else None


def measure(case, runs, prepare):
    """Does the work once unmeasured, then `runs` times. A run in which the process was stopped does not count."""
    start = status_mib("VmRSS:")
    continued = []
    signal.signal(signal.SIGCONT, lambda *_: continued.append(time.perf_counter()))
    work, parameters = prepare()
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
        "peak_mib": status_mib("VmHWM:"),
        "start_mib": start,
        "parameters": parameters,
    }
