"""What the goldens of Qwen2 and Phi-3 share: prefill, loss with gradients, greedy decoding."""

import torch

import common

PAD = 0


def batch(rng, vocab, lengths, side):
    """Random ids padded on one side, the mask, and positions counted over real tokens (0 on padding)."""
    width = max(lengths)
    ids = torch.full((len(lengths), width), PAD)
    mask = torch.zeros((len(lengths), width), dtype=torch.long)
    for row, length in enumerate(lengths):
        columns = slice(width - length, width) if side == "left" else slice(0, length)
        ids[row, columns] = torch.from_numpy(rng.integers(3, vocab, length))
        mask[row, columns] = 1
    positions = (mask.cumsum(1) - 1).clamp(min=0) * mask
    return ids, mask, positions


def labels_for(rng, ids, mask):
    """Targets on about 60 % of the real positions, -100 elsewhere and on the first of a row: none precedes it."""
    keep = torch.from_numpy(rng.random(tuple(ids.shape)) < 0.6) & (mask == 1) & (mask.cumsum(1) > 1)
    return torch.where(keep, ids, torch.full_like(ids, -100))


def prefill(model, rng, lengths, side, vocab):
    ids, mask, positions = batch(rng, vocab, lengths, side)
    out = model(input_ids=ids, attention_mask=mask, position_ids=positions, output_hidden_states=True, use_cache=False)
    return {
        "in.input_ids": ids, "in.attention_mask": mask, "in.position_ids": positions, "out.logits": out.logits,
        **{f"out.hidden_states.{i}": state for i, state in enumerate(out.hidden_states)},
    }


def loss_and_grads(model, rng, lengths, side, vocab, as_embeds):
    ids, mask, positions = batch(rng, vocab, lengths, side)
    labels = labels_for(rng, ids, mask)
    model.zero_grad()
    tensors = {"in.labels": labels, "in.attention_mask": mask, "in.position_ids": positions}
    if as_embeds:
        embeds = 0.5 * torch.from_numpy(rng.standard_normal((*ids.shape, model.config.hidden_size)).astype("float32"))
        embeds.requires_grad_()
        source = {"inputs_embeds": embeds}
        tensors["in.inputs_embeds"] = embeds
    else:
        source = {"input_ids": ids}
        tensors["in.input_ids"] = ids
    out = model(**source, attention_mask=mask, position_ids=positions, labels=labels, use_cache=False)
    shifted = torch.nn.functional.cross_entropy(out.logits[:, :-1].reshape(-1, vocab), labels[:, 1:].reshape(-1))
    common.agree("loss", out.loss, shifted)
    out.loss.backward()
    tensors |= {"out.loss": out.loss, "out.logits": out.logits}
    grads = {f"grad.{name}": weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    if as_embeds:
        grads["grad.inputs_embeds"] = embeds.grad
    return tensors, grads


@torch.no_grad()
def greedy(model, rng, lengths, vocab, steps):
    """Every step from a full pass without a cache, then compared with the library's own generation."""
    prompt, prompt_mask, _ = batch(rng, vocab, lengths, "left")
    ids, mask, tokens, logits = prompt, prompt_mask, [], []
    for _ in range(steps):
        positions = (mask.cumsum(1) - 1).clamp(min=0) * mask
        last = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits[:, -1]
        tokens.append(last.argmax(-1))
        logits.append(last)
        ids = torch.cat([ids, tokens[-1][:, None]], 1)
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], 1)
    tokens, logits = torch.stack(tokens, 1), torch.stack(logits, 1)
    model.generation_config.eos_token_id = None
    generated = model.generate(
        prompt, attention_mask=prompt_mask, max_new_tokens=steps, do_sample=False, pad_token_id=PAD, eos_token_id=None
    )[:, prompt.shape[1]:]
    equal = torch.equal(generated, tokens)
    top = logits.topk(2, -1).values
    gap = (top[..., 0] - top[..., 1]).min().item()
    tensors = {"in.input_ids": prompt, "in.attention_mask": prompt_mask, "out.tokens": tokens, "out.step_logits": logits}
    return tensors, {"min_top1_top2_gap": gap, "hf_generate_equal": equal}


def record(folder, model, rng, suffix="", decoding=("greedy_12", [9, 5, 6], True)):
    """All cases of one model; file names end in `suffix`. `decoding`: name of the greedy case, its prompts' lengths, and
    whether the library's cached generation must give the same."""
    vocab = model.config.vocab_size
    manifest = {}
    cases = {"prefill_nopad": ([8, 8], "right"), "prefill_leftpad": ([9, 4, 7], "left"), "prefill_rightpad": ([5, 9, 8], "right")}
    for name, (lengths, side) in cases.items():
        with torch.no_grad():
            manifest[name] = common.save(folder, name + suffix, prefill(model, rng, lengths, side, vocab))
    cases = {
        "loss_grad_rightpad": ([9, 6, 7], "right", False),
        "loss_grad_leftpad": ([4, 9, 8], "left", False),
        "loss_grad_inputs_embeds": ([7, 5], "right", True),
    }
    for name, (lengths, side, as_embeds) in cases.items():
        tensors, grads = loss_and_grads(model, rng, lengths, side, vocab, as_embeds)
        common.save(folder, name + suffix, {**tensors, **grads})
        manifest[name] = {key: list(value.shape) for key, value in tensors.items()} | {"grads": list(grads)}
    name, lengths, cached = decoding
    tensors, facts = greedy(model, rng, lengths, vocab, 12)
    assert facts["hf_generate_equal"] or not cached, "cached generation differs from the full pass"
    assert facts["min_top1_top2_gap"] > 1e-3, f"greedy choice too close: {facts['min_top1_top2_gap']}"
    manifest[name] = common.save(folder, name + suffix, tensors) | facts
    common.write_json(folder / f"manifest{suffix}.json", manifest)


WHAT = """{what}

- `prefill_*`: logits and hidden states; compare where `in.attention_mask` is 1. `hidden_states.0` is the embedding, the
  last one is after the final norm.
- `loss_grad_*`: mean cross-entropy over the shifted labels that are not -100, gradients of all weights.
- `greedy_12`: left-padded, 12 greedy tokens and their logits, equal to cached generation; the smallest gap between the
  best two logits stands in the manifest."""

TOLERANCE = "logits 1e-4, loss 1e-5, gradients 1e-3 relative or 1e-5 absolute, tokens equal."
