//! Differentiable building blocks on candle, LoRA, optimiser, weights loading.
