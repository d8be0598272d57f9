//! The Video LLM: connector, region tokens, time tokens, splicing, generation.
