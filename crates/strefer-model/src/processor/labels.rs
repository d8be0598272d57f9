//! Which tokens of a conversation are learnt.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strefer_llm::{Message, Segment, Tokenizer};

use crate::error::Result;

/// How a conversation is written for training, and which of its tokens are learnt. Placeholders never are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LabelRule {
    /// Answers and their end tokens.
    #[default]
    Answers,
    /// Also the line end behind each answer, as in VideoRefer's training (arXiv 2501.00599).
    AnswerLines,
    /// Also the headers of answers, and every turn mark and line end of the text, as in LLaVA-OneVision's training
    /// (arXiv 2408.03326).
    TurnMarks,
    /// No template: the first question, a space and its answer, all of which is learnt, as in VideoRefer's first stage.
    Plain,
}

/// Begins a turn of ChatML.
const TURN_START: &str = "<|im_start|>";
/// Ends it.
const TURN_END: &str = "<|im_end|>";

impl LabelRule {
    /// Whether it is the usual one.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// The segments of a rendered conversation with those marked that are learnt.
    pub(super) fn mark(self, segments: Vec<Segment>) -> Vec<Segment> {
        match self {
            Self::Answers | Self::Plain => segments,
            Self::AnswerLines => with_line_ends(segments),
            Self::TurnMarks => with_headers(segments),
        }
    }

    /// Tokens that are learnt wherever they stand.
    pub(super) fn everywhere(self, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
        if self != Self::TurnMarks {
            return Ok(Vec::new());
        }
        let marks = [TURN_START, TURN_END].into_iter().filter_map(|mark| tokenizer.token_id(mark));
        let line_end = tokenizer.encode("\n")?;
        Ok(marks.chain(line_end).collect())
    }
}

/// The text of a conversation without a template: what is asked first, and the answer.
pub(super) fn plain(messages: &[Message]) -> Vec<Segment> {
    let text =
        |role: &str| messages.iter().find(|message| message.role == role).map(|found| &found.content[..]);
    let text = format!("{} {}", text("user").unwrap_or_default(), text("assistant").unwrap_or_default());
    vec![Segment { text, assistant: true }]
}

/// Line ends go from the beginning of a segment to the answer before it.
fn with_line_ends(mut segments: Vec<Segment>) -> Vec<Segment> {
    for at in 1..segments.len() {
        if segments[at - 1].assistant && segments[at].text.starts_with('\n') {
            segments[at].text.remove(0);
            segments[at - 1].text.push('\n');
        }
    }
    segments.retain(|segment| !segment.text.is_empty());
    segments
}

/// The last turn start before an answer, and what follows it, goes to the answer.
fn with_headers(mut segments: Vec<Segment>) -> Vec<Segment> {
    for at in 1..segments.len() {
        let header = segments[at - 1].text.rfind(TURN_START);
        if let (true, Some(from)) = (segments[at].assistant, header) {
            let header = segments[at - 1].text.split_off(from);
            segments[at].text.insert_str(0, &header);
        }
    }
    segments.retain(|segment| !segment.text.is_empty());
    segments
}

#[cfg(test)]
mod tests {
    use strefer_llm::ChatTemplate;

    use super::*;

    const TALK: [(&str, &str); 4] =
        [("user", "Who?"), ("assistant", "A dog."), ("user", "Why?"), ("assistant", "Barks.")];

    fn messages() -> Vec<Message> {
        TALK.iter().map(|&(role, text)| Message::new(role, text)).collect()
    }

    fn learnt(rule: LabelRule) -> Vec<String> {
        let segments = ChatTemplate::qwen2().segments(&messages(), false).unwrap();
        let whole: String = segments.iter().map(|segment| segment.text.as_str()).collect();
        let marked = rule.mark(segments);
        assert_eq!(marked.iter().map(|segment| segment.text.as_str()).collect::<String>(), whole);
        marked.into_iter().filter(|segment| segment.assistant).map(|segment| segment.text).collect()
    }

    #[test]
    fn answers_end_with_their_end_tokens() {
        assert_eq!(learnt(LabelRule::Answers), ["A dog.<|im_end|>", "Barks.<|im_end|>"]);
    }

    #[test]
    fn videorefer_learns_the_line_end_too() {
        assert_eq!(learnt(LabelRule::AnswerLines), ["A dog.<|im_end|>\n", "Barks.<|im_end|>\n"]);
    }

    #[test]
    fn llava_learns_the_headers_too() {
        let expected =
            ["A dog.<|im_end|>", "Barks.<|im_end|>"].map(|said| format!("<|im_start|>assistant\n{said}"));
        assert_eq!(learnt(LabelRule::TurnMarks), expected);
    }

    #[test]
    fn plain_text_has_no_turns() {
        let [segment] = plain(&messages()[..2]).try_into().unwrap();
        assert_eq!(segment, Segment { text: "Who? A dog.".into(), assistant: true });
    }
}
