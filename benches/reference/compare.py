"""Runs cases on both sides in turn, each in a process of its own, and writes a table of ratios."""

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from common import CASES, THREADS, needs_card

ROOT = Path(__file__).parents[2]
# STREFER_BENCH_CASE names our program where it lies elsewhere.
PROGRAM = os.environ.get("STREFER_BENCH_CASE", str(ROOT / "target/release/strefer-bench-case"))
SIDES = {
    "strefer": [PROGRAM],
    "pytorch": [sys.executable, str(Path(__file__).with_name("case.py"))],
}


def use_two_cores():
    """Both sides get the same two cores and as many threads; a machine with one core keeps it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(THREADS)


# The most that one side of one case may take on a card, where time is short.
LONGEST_S = 240


def run(side, case, data):
    command = [*SIDES[side], case, "--data", str(data)]
    limit = LONGEST_S if needs_card(case) else None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        sys.exit(f"{' '.join(command)} took more than {limit} s")
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    for line in done.stderr.splitlines():
        if line.startswith("PyTorch"):
            print(line, file=sys.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def merge(found):
    """One side's rounds as one measurement."""
    return {
        "median_s": statistics.median(time for one in found for time in one["runs_s"]),
        "best_s": min(time for one in found for time in one["runs_s"]),
        "runs": sum(len(one["runs_s"]) for one in found),
        "start_mib": max(one["start_mib"] or 0 for one in found),
        "peak_mib": max(one["peak_mib"] or 0 for one in found),
        "parameters": found[0]["parameters"],
    }


def compare(case, rounds, data):
    """Both sides of a case; PyTorch's is None where what it needs is not there, or fails on a card, where our time is not to be lost for it."""
    kind = CASES[case]["work"]["kind"]
    has_reference = kind not in ("sam_stream", "generator") and (kind not in ("video", "loader") or installed("torchcodec"))
    sides = [side for side in SIDES if side == "strefer" or has_reference]
    found = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side in list(sides):
            try:
                found[side].append(run(side, case, data))
            except SystemExit as error:
                if side == "strefer" or not needs_card(case):
                    raise
                print(error, file=sys.stderr)
                found[side].clear()
                sides.remove(side)
                continue
            print(json.dumps(found[side][-1]), file=sys.stderr)
    ours, theirs = (merge(found[side]) if found[side] else None for side in SIDES)
    if theirs and ours["parameters"] != theirs["parameters"]:
        sys.exit(f"{case}: {ours['parameters']} parameters beside {theirs['parameters']}: not the same model")
    return ours, theirs


def installed(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def seconds(value):
    return f"{value:.3f} s" if value >= 1 else f"{1000 * value:.1f} ms"


def row(case, ours, theirs):
    title, (units, name) = CASES[case]["title"], CASES[case]["units"]
    rate = f"{units / ours['median_s']:.3g} {name}/s"
    if theirs is None:
        cells = [title, seconds(ours["median_s"]), "none", "", "", rate, f"{ours['peak_mib']:.0f}", ""]
    else:
        ratios = [f"{ours[key] / theirs[key]:.2f}" for key in ("median_s", "best_s")]
        memory = [f"{side['peak_mib']:.0f} ({side['peak_mib'] - side['start_mib']:.0f})" for side in (ours, theirs)]
        cells = [title, seconds(ours["median_s"]), seconds(theirs["median_s"]), *ratios, rate, *memory]
    return f"| {' | '.join(cells)} |"


def bytes_read(case, parameters):
    """What one run reads at least: each weight once, and the keys and values before a token."""
    work, size = CASES[case]["work"], 2 if CASES[case].get("dtype") == "bf16" else 4
    if work["kind"] == "linear":
        return size * work["times"] * work["input"] * work["output"]
    cfg = work["decoder"]
    width = cfg["num_key_value_heads"] * cfg["hidden_size"] // cfg["num_attention_heads"]
    # A token's row of the embedding is read, not the others, unless they are the head too.
    weights = parameters - (0 if cfg["tie_word_embeddings"] else cfg["vocab_size"] * cfg["hidden_size"])
    return size * (weights + 2 * cfg["num_hidden_layers"] * width * work["tokens"] * work.get("batch", 1))


def bounds(found):
    """What mostly reads, beside the time that reading its bytes takes on this machine, where both were measured."""
    memory = next((case for case in found if CASES[case]["work"]["kind"] == "memory"), None)
    if memory is None:
        return []
    best = min(side["best_s"] for side in found[memory] if side)
    rate = CASES[memory]["work"]["mib"] * 2**20 / 1e9 / best
    lines = [f"Memory is read at {rate:.1f} GB/s here (`{memory}`, best run of both sides)."]
    for case, sides in found.items():
        if CASES[case]["work"]["kind"] not in ("decode", "linear"):
            continue
        gb = bytes_read(case, sides[0]["parameters"]) / 1e9
        shares = [f"{100 * gb / rate / side['median_s']:.0f} %" if side else "none" for side in sides]
        lines.append(
            f"`{case}` reads {gb:.2f} GB, {1000 * gb / rate:.1f} ms at that rate: {shares[0]} of strefer's time, "
            f"{shares[1]} of PyTorch's."
        )
    return ["", *lines]


def step_operations(work, parameters):
    """Of the model once: what runs again in the backward is not counted, nor gradients of weights that do not learn."""
    cfg, tokens = work["decoder"], work["batch"] * work["text_tokens"]
    # A row of the embedding is read, not multiplied, unless it is the head too.
    head = cfg["vocab_size"] * cfg["hidden_size"]
    weights = parameters - (0 if cfg["tie_word_embeddings"] else head)
    attention = 2 * cfg["num_hidden_layers"] * cfg["hidden_size"] * work["text_tokens"] * tokens
    return (4 if work.get("lora") else 6) * weights * tokens + 3 * attention


def shares(found):
    """Training steps beside the best product of matrices in the same call."""
    if "card-product" not in found:
        return []
    side = CASES["card-product"]["work"]["side"]
    peak = 2 * side**3 / min(one["best_s"] for one in found["card-product"] if one)
    lines = [f"Products reach {peak / 1e12:.0f} TFLOP/s here (`card-product`, best run of both sides)."]
    for case, sides in found.items():
        if CASES[case]["work"]["kind"] == "sft":
            done = step_operations(CASES[case]["work"], sides[0]["parameters"])
            mfu = [f"{100 * done / side['median_s'] / peak:.0f} %" if side else "none" for side in sides]
            lines.append(f"`{case}`: MFU {mfu[0]}, PyTorch's {mfu[-1]}.")
    return ["", *lines]


def card():
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0]


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    return names[0] + (", AVX-512" if "avx512f" in flags else "")


def versions():
    rustc = subprocess.run(["rustc", "-V"], capture_output=True, text=True).stdout.split()[1]
    candle = re.search(r'name = "candle-core"\nversion = "(.*?)"', (ROOT / "Cargo.lock").read_text())[1]
    command = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return (
        f"strefer {commit.stdout.strip() or 'without a commit'}, rustc {rustc}, candle {candle}; "
        f"Python {platform.python_version()}, torch {version('torch')}, transformers {version('transformers')}, "
        f"torchcodec {installed('torchcodec') or 'none'}"
    )


def compare_each(cases, rounds, data, within):
    """Time on a card is short: a case that fails, or would begin after so many seconds, is left out and named."""
    found, failed, begun = {}, [], time.monotonic()
    for case in cases:
        if time.monotonic() - begun > within:
            failed.append(f"{case} (no time)")
            continue
        try:
            found[case] = compare(case, rounds, data)
        except SystemExit as error:
            print(error, file=sys.stderr)
            failed.append(case)
    return found, failed


def report_of_card(found, rounds):
    """The table of cases on a card."""
    import torch

    rows = [row(case, *sides) for case, sides in found.items()]
    return "\n".join(
        [
            "# Time and memory beside PyTorch on a card",
            "",
            f"- Date: {datetime.date.today().isoformat()}. Card: {card()}; CUDA {torch.version.cuda}; torch {version('torch')}, "
            f"transformers {version('transformers')}, peft {installed('peft') or 'none'}. STREFER_KERNELS="
            f"{os.environ.get('STREFER_KERNELS', '')}.",
            f"- Both sides in turn, a process each, {rounds} rounds; medians over all runs after an unmeasured one, each until the card had "
            "finished. Random weights, the same number of them. Memory: the most that tensors held.",
            "",
            "| work | strefer | PyTorch | ratio | ratio of best runs | strefer gets through | strefer MiB | PyTorch MiB |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            *shares(found),
            *bounds(found),
            "",
        ]
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--card", action="store_true", help="the cases of card.json")
    parser.add_argument("cases", nargs="*", metavar="case", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--within", type=float, default=float("inf"), help="on a card: no case begins after so many seconds")
    args = parser.parse_args()
    if unknown := set(args.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    if not args.card:
        use_two_cores()
    chosen = args.cases or [case for case in CASES if needs_card(case) == args.card]
    if args.card:
        found, failed = compare_each(chosen, args.rounds, args.data, args.within)
        print(report_of_card(found, args.rounds))
        sys.exit(f"failed: {', '.join(failed)}" if failed else 0)
    found = {case: compare(case, args.rounds, args.data) for case in chosen}
    rows = [row(case, *sides) for case, sides in found.items()]
    date = datetime.date.today().isoformat()
    text = "\n".join(
        [
            "# Time and memory beside PyTorch on a CPU",
            "",
            f"- Date: {date}. Processor: {processor()}, {THREADS} threads on each side.",
            f"- {versions()}.",
            f"- Command: `ROUNDS={args.rounds} scripts/bench{''.join(' ' + case for case in args.cases)}`. Both sides in "
            "turn, a process each; medians over all rounds of runs after an unmeasured one. float32, random weights, "
            "SDPA and fused AdamW in PyTorch. Towers, prompts and tokens are transformers' own models there, the rest plain "
            "modules.",
            "- Memory: VmHWM, the most the process held; in brackets, what came on top of program and libraries.",
            "",
            "| work | strefer | PyTorch | ratio | ratio of best runs | strefer gets through | strefer MiB | PyTorch MiB |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            *bounds(found),
            "",
        ]
    )
    if args.cases:
        print(text)
    else:
        # A note that somebody has written into stays as it is.
        names = [f"{date}-cpu-benches.md"] + [f"{date}-cpu-benches-{n}.md" for n in range(2, 100)]
        path = next(path for path in (ROOT / "docs/results" / name for name in names) if not path.exists())
        path.write_text(text)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
