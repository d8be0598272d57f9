//! A conversation becomes tokens and labels.

use strefer_core::Sample;
use strefer_core::mixture::Turns;
use strefer_core::placeholder::{Piece, render};
use strefer_core::sample::{LossTurns, Role};
use strefer_llm::{ChatTemplate, Message, Tokenizer};

use crate::config::VideoLlmConfig;
use crate::error::{Error, Result};
use crate::inputs::{IGNORE, PromptToken};
use crate::processor::labels::{self, LabelRule};
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prompt {
    /// The positions.
    pub tokens: Vec<PromptToken>,
    /// One label a position.
    pub labels: Vec<i64>,
    /// One turn a position where turns do not see each other, see [`crate::Inputs::turns`].
    pub turns: Vec<u32>,
}

/// One turn as this model is told it.
#[derive(Debug, Clone)]
struct Said {
    role: Role,
    text: String,
    /// The regions that its placeholders stand for, in order.
    regions: Vec<usize>,
}

/// Whether text without a template tells all of a conversation: a question and its answer.
fn plain_turns(said: &[Said]) -> bool {
    matches!(said, [question, answer] if question.role == Role::User && answer.role == Role::Assistant)
}

fn unsupported(sample: &Sample, reason: &str) -> Error {
    Error::Unsupported { id: sample.id.clone(), reason: reason.to_owned() }
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

/// How a conversation is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Learn {
    /// What an answer sees of it.
    pub turns: Turns,
    /// Which of its tokens.
    pub labels: LabelRule,
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

    /// The prompt of a sample whose segment lasts `duration_s`: all turns with labels where they are learnt, in the way
    /// that `learn` says, otherwise the turns before the first answer and the start of an answer.
    pub fn build(
        &self,
        sample: &Sample,
        duration_s: f64,
        wording: &Wording,
        learn: Option<Learn>,
    ) -> Result<Prompt> {
        let said = self.say(sample, duration_s, wording, learn.is_some());
        let prompt = match learn {
            Some(Learn { turns: Turns::Independent, labels }) => self.independent(sample, &said, labels)?,
            _ => self.encode(sample, &said, learn.map(|learn| learn.labels), sample.loss.turns)?,
        };
        let at = |wanted: fn(&PromptToken) -> bool| prompt.tokens.iter().position(wanted);
        let video = at(|token| matches!(token, PromptToken::Video));
        if at(|token| matches!(token, PromptToken::Region(_))).is_some_and(|region| Some(region) < video) {
            return Err(unsupported(sample, "a region stands before the video that it is part of"));
        }
        if prompt.tokens.len() > self.max_tokens {
            let reason = format!("{} text tokens, this model takes {}", prompt.tokens.len(), self.max_tokens);
            return Err(unsupported(sample, &reason));
        }
        Ok(prompt)
    }

    /// What is said, with placeholders as this model has them.
    fn say(&self, sample: &Sample, duration_s: f64, wording: &Wording, all: bool) -> Vec<Said> {
        let mut preface = wording.preface.as_ref();
        let mut n_regions = 0;
        let mut said = Vec::new();
        for turn in &sample.conversations {
            if !all && turn.role == Role::Assistant {
                break;
            }
            let mut regions = Vec::new();
            let text = render(&turn.text, |piece| match piece {
                Piece::Visual => match preface.take() {
                    Some(preface) => format!("{}\n{preface}", self.video_text),
                    None => self.video_text.clone(),
                },
                Piece::Region(index) => {
                    let index = index.unwrap_or(n_regions);
                    match &wording.objects {
                        Some(names) => names[index].clone(),
                        None => {
                            n_regions += 1;
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
            said.push(Said { role: turn.role, text, regions });
        }
        said
    }

    /// Tokens and labels of what is said.
    fn encode(
        &self,
        sample: &Sample,
        said: &[Said],
        learn: Option<LabelRule>,
        turns: LossTurns,
    ) -> Result<Prompt> {
        let messages: Vec<Message> =
            said.iter().map(|said| Message::new(role_name(said.role), said.text.clone())).collect();
        let mut segments = match learn {
            Some(LabelRule::Plain) if plain_turns(said) => labels::plain(&messages),
            Some(LabelRule::Plain) => {
                return Err(unsupported(sample, "plain text has one question and one answer"));
            }
            _ => self.chat.segments(&messages, learn.is_none())?,
        };
        if turns == LossTurns::LastAssistant {
            let last = segments.iter().rposition(|segment| segment.assistant);
            for segment in segments.iter_mut().take(last.unwrap_or(0)) {
                segment.assistant = false;
            }
        }
        let rule = learn.unwrap_or_default();
        let everywhere = rule.everywhere(&self.tokenizer)?;
        let (ids, assistant) = self.tokenizer.encode_segments(&rule.mark(segments))?;
        let mut prompt = Prompt::default();
        let mut next_region = said.iter().flat_map(|said| &said.regions);
        for (id, assistant) in ids.into_iter().zip(assistant) {
            let (token, learnable) = if id == self.video {
                (PromptToken::Video, false)
            } else if Some(id) == self.region {
                let region = next_region.next().ok_or_else(|| {
                    let reason = format!("{REGION_TOKEN} in the text is not one of its regions");
                    unsupported(sample, &reason)
                })?;
                (PromptToken::Region(*region), false)
            } else {
                (PromptToken::Text(id), self.learnable(id, sample))
            };
            prompt.tokens.push(token);
            let learnt = learn.is_some() && learnable && (assistant || everywhere.contains(&id));
            prompt.labels.push(if learnt { i64::from(id) } else { IGNORE });
        }
        Ok(prompt)
    }

    /// Every answer behind the video and its own question alone. What stands up to the video is there once.
    fn independent(&self, sample: &Sample, said: &[Said], labels: LabelRule) -> Result<Prompt> {
        let first = said.iter().position(|said| said.role != Role::System).unwrap_or(said.len());
        let (system, turns) = said.split_at(first);
        let opening = match turns.first() {
            Some(turn) if turn.text.starts_with(&self.video_text) => format!("{}\n", self.video_text),
            Some(_) if sample.media.is_empty() => String::new(),
            _ => return Err(unsupported(sample, "turns can be independent only behind the video")),
        };
        let mut exchanges: Vec<&[Said]> =
            turns.split_inclusive(|said| said.role == Role::Assistant).collect();
        if sample.loss.turns == LossTurns::LastAssistant {
            exchanges.drain(..exchanges.len().saturating_sub(1));
        }
        let mut whole = Prompt::default();
        for (turn, exchange) in (1..).zip(exchanges) {
            let mut said = [system, exchange].concat();
            let question = &mut said[system.len()].text;
            if !question.starts_with(&self.video_text) {
                question.insert_str(0, &opening);
            }
            let alone = self.encode(sample, &said, Some(labels), LossTurns::Assistant)?;
            let video = alone.tokens.iter().position(|token| *token == PromptToken::Video);
            let behind = video.map_or(0, |video| video + 1);
            if whole.tokens.is_empty() {
                whole.tokens.extend_from_slice(&alone.tokens[..behind]);
                whole.labels.extend_from_slice(&alone.labels[..behind]);
                whole.turns.resize(behind, 0);
            }
            whole.tokens.extend_from_slice(&alone.tokens[behind..]);
            whole.labels.extend_from_slice(&alone.labels[behind..]);
            whole.turns.resize(whole.tokens.len(), turn);
        }
        Ok(whole)
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
