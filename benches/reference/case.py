"""Measures one case in a process of its own and prints one line of JSON: case.py NAME [--runs N] [--data FOLDER]."""

import argparse
import json
from pathlib import Path

import torch
from common import CASES, THREADS, measure, needs_card
from work import KINDS


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--data", type=Path, default=Path("target/bench"))
    args = parser.parse_args()
    case = CASES[args.case]
    if needs_card(args.case):
        torch.set_default_device("cuda")
    else:
        torch.set_num_threads(THREADS)
    torch.manual_seed(1)
    torch.set_default_dtype(torch.bfloat16 if case.get("dtype") == "bf16" else torch.float32)
    work = case["work"]
    found = measure(args.case, args.runs or case["runs"], lambda: KINDS[work["kind"]](work, args.data))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
