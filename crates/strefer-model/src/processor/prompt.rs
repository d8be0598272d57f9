//! A conversation becomes tokens and labels.

use strefer_core::Sample;
use strefer_core::placeholder::{Piece, render};
use strefer_core::sample::{LossTurns, Role};
use strefer_llm::{ChatTemplate, Message, Tokenizer};

use crate::config::VideoLlmConfig;
use crate::error::{Error, Result};
use crate::inputs::{IGNORE, PromptToken};
use crate::time::{TimeConfig, TimeTokens};

fn role_name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// Text of the placeholder tokens. Families may have another text for the video's, and go by its id.
pub const VIDEO_TOKEN: &str = "<video>";
/// See [`VIDEO_TOKEN`].
pub const REGION_TOKEN: &str = "<region>";

/// A prompt and what is to be learnt of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The positions.
    pub tokens: Vec<PromptToken>,
    /// One label a position.
    pub labels: Vec<i64>,
}

/// How the text speaks of what is drawn in the frames; empty where nothing is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wording {
    /// Stands behind the video: what is drawn and what it means.
    pub preface: Option<String>,
    /// What each object is called, instead of region tokens.
    pub objects: Option<Vec<String>>,
    /// What each moment is called, instead of the model's own way.
    pub times: Option<Vec<String>>,
}

/// Renders conversations for one model.
#[derive(Debug)]
pub struct PromptBuilder {
    tokenizer: Tokenizer,
    chat: ChatTemplate,
    time: TimeConfig,
    video: u32,
    video_text: String,
    region: Option<u32>,
    first_time: Option<u32>,
    max_tokens: usize,
}

impl PromptBuilder {
    /// A builder for the model of `cfg`.
    pub fn new(cfg: &VideoLlmConfig, tokenizer: Tokenizer) -> Self {
        Self {
            video_text: tokenizer.token(cfg.tokens.video).unwrap_or_else(|| VIDEO_TOKEN.to_owned()),
            tokenizer,
            chat: cfg.chat.template(),
            time: cfg.time,
            video: cfg.tokens.video,
            region: cfg.tokens.region,
            first_time: cfg.tokens.first_time,
            max_tokens: cfg.max_text_tokens,
        }
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The prompt of a sample whose segment lasts `duration_s`: all turns with labels when `learn`, otherwise the
    /// turns before the first answer and the start of an answer.
    pub fn build(&self, sample: &Sample, duration_s: f64, wording: &Wording, learn: bool) -> Result<Prompt> {
        let mut regions = Vec::new();
        let mut preface = wording.preface.as_ref();
        let mut messages = Vec::new();
        for turn in &sample.conversations {
            if !learn && turn.role == Role::Assistant {
                break;
            }
            let text = render(&turn.text, |piece| match piece {
                Piece::Visual => match preface.take() {
                    Some(preface) => format!("{}\n{preface}", self.video_text),
                    None => self.video_text.clone(),
                },
                Piece::Region(index) => {
                    let index = index.unwrap_or(regions.len());
                    match &wording.objects {
                        Some(names) => names[index].clone(),
                        None => {
                            regions.push(index);
                            REGION_TOKEN.to_owned()
                        }
                    }
                }
                Piece::Time(index) => match &wording.times {
                    Some(names) => names[*index].clone(),
                    None => {
                        let time = &sample.times[*index];
                        self.time.render(time.s, duration_s, time.style)
                    }
                },
                Piece::Text(text) | Piece::Unknown(text) => (*text).to_owned(),
            });
            messages.push(Message::new(role_name(turn.role), text));
        }
        let mut segments = self.chat.segments(&messages, !learn)?;
        if sample.loss.turns == LossTurns::LastAssistant {
            let last = segments.iter().rposition(|segment| segment.assistant);
            for segment in segments.iter_mut().take(last.unwrap_or(0)) {
                segment.assistant = false;
            }
        }
        let (ids, said) = self.tokenizer.encode_segments(&segments)?;
        let (mut tokens, mut labels) = (Vec::with_capacity(ids.len()), Vec::with_capacity(ids.len()));
        let mut next_region = regions.into_iter();
        for (id, said) in ids.into_iter().zip(said) {
            let (token, learnable) = if id == self.video {
                (PromptToken::Video, false)
            } else if Some(id) == self.region {
                let region = next_region.next().ok_or_else(|| Error::Unsupported {
                    id: sample.id.clone(),
                    reason: format!("{REGION_TOKEN} in the text is not one of its regions"),
                })?;
                (PromptToken::Region(region), false)
            } else {
                (PromptToken::Text(id), self.learnable(id, sample))
            };
            tokens.push(token);
            labels.push(if learn && said && learnable { i64::from(id) } else { IGNORE });
        }
        let at = |wanted: fn(&PromptToken) -> bool| tokens.iter().position(wanted);
        let video = at(|token| matches!(token, PromptToken::Video));
        if at(|token| matches!(token, PromptToken::Region(_))).is_some_and(|region| Some(region) < video) {
            return Err(Error::Unsupported {
                id: sample.id.clone(),
                reason: "a region stands before the video that it is part of".to_owned(),
            });
        }
        if tokens.len() > self.max_tokens {
            return Err(Error::Unsupported {
                id: sample.id.clone(),
                reason: format!("{} text tokens, this model takes {}", tokens.len(), self.max_tokens),
            });
        }
        Ok(Prompt { tokens, labels })
    }

    /// Temporal tokens are learnt only where both model and sample say so.
    fn learnable(&self, id: u32, sample: &Sample) -> bool {
        match (self.time, self.first_time) {
            (TimeConfig::Tokens(TimeTokens { count, supervise, .. }), Some(first)) => {
                !(first..first + count).contains(&id) || (supervise && sample.loss.time_tokens)
            }
            _ => true,
        }
    }
}
