//! Language backbone, tokenizer, chat template, sampling.
