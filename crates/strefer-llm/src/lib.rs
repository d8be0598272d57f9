//! The language side: one decoder for Qwen2 and Phi-3, tokenizer, chat templates, sampling.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use strefer_llm::{Decoder, DecoderConfig, GenerationConfig, generate};
//! use strefer_nn::ParamStore;
//!
//! let store = ParamStore::new(1, &Device::Cpu, DType::F32);
//! let decoder = Decoder::new(&DecoderConfig::tiny(100), store.var_builder())?;
//! let prompt = decoder.embed(&Tensor::new(&[[5u32, 6, 7]], &Device::Cpu)?)?;
//! let cfg = GenerationConfig { max_new_tokens: 4, ..GenerationConfig::default() };
//! let tokens = generate(&decoder, &prompt, &cfg, |_| std::ops::ControlFlow::Continue(()))?;
//! assert_eq!(tokens.len(), 4);
//! # Ok::<(), strefer_llm::Error>(())
//! ```

mod bpe;
pub mod chat;
pub mod decoder;
mod error;
mod generate;
pub mod gguf;
mod guide;
mod sampler;
mod tokenizer;

pub use bpe::train_bpe;
pub use chat::{ChatTemplate, Message, Segment};
pub use decoder::{Decoder, DecoderConfig, KvCache, Loss, RopeScaling};
pub use error::{Error, Result};
pub use generate::{
    Batcher, Generated, GenerationConfig, Greedy, Scored, generate, generate_after, generate_guided,
    generate_scored, generate_text, generate_text_after, generate_texts, remember,
};
pub use guide::{Guide, Guides};
pub use sampler::Sampler;
pub use tokenizer::{Offsets, StreamDecoder, Tokenizer};
