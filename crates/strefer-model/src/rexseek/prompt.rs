//! What the language model reads: the image, its boxes, a question.

/// A stretch of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// Text, turned into tokens for itself.
    Text(String),
    /// The tokens of the image.
    Image,
    /// The token of a box.
    Object(usize),
}

/// A prompt in pieces: one user turn of Qwen's chat markup without a system turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt(Vec<Chunk>);

/// What an expression may not hold: it would be read as markup.
pub(super) const MARKUP: [&str; 5] = ["<image>", "<objfeat>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"];

/// The token of an index.
pub(super) fn object_token(index: usize) -> String {
    format!("<obj{index}>")
}

impl Prompt {
    /// The part that all questions about a scene begin with: the image, then for every box the token of its index and the
    /// token of what it shows.
    pub fn scene(boxes: usize) -> Self {
        let mut chunks = vec![Chunk::Text("<|im_start|>user\n".into()), Chunk::Image];
        for index in 0..boxes {
            let line = if index == 0 { "\n" } else { "" };
            chunks.push(Chunk::Text(format!("{line}{}", object_token(index))));
            chunks.push(Chunk::Object(index));
        }
        Self(chunks)
    }

    /// The part behind it.
    pub fn question(question: &str) -> Self {
        Self(vec![Chunk::Text(format!("\n{question}<|im_end|>\n<|im_start|>assistant\n"))])
    }

    /// Its pieces in order.
    pub fn chunks(&self) -> &[Chunk] {
        &self.0
    }
}
