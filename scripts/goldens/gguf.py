"""Language models in GGUF files of ours, run by llama.cpp: logits behind prompts and greedy tokens.

The files are written by our own exporter first, into the folder that is recorded:
    STREFER_GGUF_OUT=tests/goldens/gguf cargo test -p strefer-llm --test suite -- --ignored writes_files_to_record
"""

import numpy as np
import torch
from llama_cpp import Llama

import common

PROMPTS, LENGTH, NEW = 40, 20, 16
# A token counts when its logit leads by so many deviations of all logits: below, rounding decides.
CLEAR = 0.1
TEXTS = ["the red ball rolls, the blue box stays", "  a  ball's 42 boxes!\n", "Überrot 漢 <end>"]


def prompts(vocab):
    return [[(at * 37 + first * 11) % vocab for at in range(LENGTH)] for first in range(PROMPTS)]


def follow(llm, ids):
    """Logits of the last position of a prompt, and the greedy tokens behind it up to the first that is not clear."""
    llm.reset()
    llm.eval(ids)
    logits = np.array(llm.scores[len(ids) - 1], dtype=np.float32)
    tokens = []
    while len(tokens) < NEW:
        last = np.array(llm.scores[llm.n_tokens - 1])
        second, first = np.sort(last)[-2:]
        if first - second < CLEAR * last.std():
            break
        tokens.append(int(last.argmax()))
        llm.eval(tokens[-1:])
    return torch.from_numpy(logits), tokens


def run(path):
    llm = Llama(str(path), n_ctx=128, n_threads=1, n_threads_batch=1, logits_all=True, verbose=False)
    asked = prompts(llm.n_vocab())
    logits, tokens = zip(*(follow(llm, ids) for ids in asked))
    padded = torch.full((PROMPTS, NEW), -1, dtype=torch.int64)
    for row, ids in zip(padded, tokens):
        row[: len(ids)] = torch.tensor(ids, dtype=torch.int64)
    print(f"{path.stem}: {sum(map(len, tokens))} clear tokens behind {PROMPTS} prompts")
    ids = [llm.tokenize(text.encode(), add_bos=False, special=True) for text in TEXTS]
    texts = {f"text{at}": torch.tensor(list(text.encode())) for at, text in enumerate(TEXTS)}
    texts |= {f"ids{at}": torch.tensor(found) for at, found in enumerate(ids)}
    return texts | {"prompts": torch.tensor(asked), "logits": torch.stack(logits), "tokens": padded}


def main():
    folder = common.ROOT / "gguf"
    files = sorted(folder.glob("*.gguf"))
    assert files, f"{folder} holds no file to run: {__doc__}"
    for path in files:
        common.save(folder, path.stem, run(path))
    common.readme(
        folder, "GGUF files",
        "`NAME.gguf` as `strefer_llm::gguf::export` writes it from a random model, `NAME.json` its configuration. In\n"
        "`NAME.safetensors`: `prompts`, `logits` of their last positions, and the greedy `tokens` behind each up to the first whose\n"
        f"logit leads by less than {CLEAR} deviations (-1 from there on); `ids0`, … of the bytes of `text0`, ….",
        "11, that of the models", common.versions("llama-cpp-python"), "llama.cpp on the same files.",
        "tokens equal; logits 3 % of their length: both sides round what goes into a quantised product.",
    )
    common.report(folder)


if __name__ == "__main__":
    main()
