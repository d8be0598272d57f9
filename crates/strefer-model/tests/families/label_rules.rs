//! Which tokens of a conversation carry labels, by rule, through the processor.

use strefer_core::mixture::Turns;
use strefer_core::sample::{Role, Turn};
use strefer_core::{Rng, Sample};
use strefer_model::config::ChatPreset;

use strefer_model::{IGNORE, LabelRule, Processor, ProcessorOptions, PromptToken, Purpose};

use super::place::{fresh_tiny, still};

const TALK: [(Role, &str); 4] = [
    (Role::User, "<video>\nWho is it?"),
    (Role::Assistant, "A dog."),
    (Role::User, "Why?"),
    (Role::Assistant, "It\nbarks."),
];

/// A still and a fresh tiny model that speaks ChatML.
struct Desk {
    dir: tempfile::TempDir,
    processor: Processor,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let loaded = fresh_tiny(dir.path(), "Who is it? A dog.");
        let mut cfg = loaded.processor.config().clone();
        cfg.chat = ChatPreset::Qwen2;
        let mut tokenizer = loaded.processor.tokenizer().clone();
        tokenizer.add_special_tokens(&["<|im_start|>", "<|im_end|>"]).unwrap();
        let processor = Processor::new(&cfg, tokenizer, ProcessorOptions::default());
        Self { dir, processor }
    }

    fn sample(&self, turns: usize) -> Sample {
        let mut sample = Sample::new("talk", "still", vec![still(self.dir.path())]);
        let turn = |&(role, text): &(Role, &str)| Turn { role, text: text.to_owned() };
        sample.conversations = TALK[..turns].iter().map(turn).collect();
        sample
    }

    /// The text of what is learnt; a dot stands for each stretch that is not.
    fn learnt(&self, rule: LabelRule, turns: Turns, count: usize) -> Result<String, String> {
        let options = ProcessorOptions { labels: rule, turns, ..ProcessorOptions::default() };
        let purpose = Purpose::Train(Rng::new(1, "test"));
        let processor = self.processor.with_options(options);
        let inputs = processor.process(&self.sample(count), &purpose).map_err(|error| error.to_string())?;
        let mut stretches: Vec<Option<Vec<u32>>> = Vec::new();
        for (token, &label) in inputs.tokens.iter().zip(&inputs.labels) {
            let learnt = label != IGNORE;
            assert!(!learnt || *token == PromptToken::Text(label as u32));
            match stretches.last_mut() {
                Some(Some(ids)) if learnt => ids.push(label as u32),
                Some(None) if !learnt => {}
                _ => stretches.push(learnt.then(|| vec![label as u32])),
            }
        }
        let text = |ids: Vec<u32>| processor.tokenizer().decode(&ids, false).unwrap();
        Ok(stretches.into_iter().map(|ids| ids.map_or_else(|| "·".to_owned(), text)).collect())
    }
}

#[test]
fn each_rule_learns_what_it_says() {
    let desk = Desk::new();
    let rules = [
        (LabelRule::Answers, "·A dog.<|im_end|>·It\nbarks.<|im_end|>·"),
        (LabelRule::AnswerLines, "·A dog.<|im_end|>\n·It\nbarks.<|im_end|>\n"),
        (
            LabelRule::TurnMarks,
            "<|im_start|>·\n·<|im_end|>\n<|im_start|>·\n·\n·<|im_end|>\n<|im_start|>assistant\nA dog.<|im_end|>\n\
             <|im_start|>·\n·<|im_end|>\n<|im_start|>assistant\nIt\nbarks.<|im_end|>\n",
        ),
    ];
    for (rule, expected) in rules {
        assert_eq!(desk.learnt(rule, Turns::Conversation, 4).unwrap(), expected, "{rule:?}");
    }
    let apart = desk.learnt(LabelRule::AnswerLines, Turns::Independent, 4).unwrap();
    assert_eq!(apart, "·A dog.<|im_end|>\n·It\nbarks.<|im_end|>\n");
}

#[test]
fn plain_text_is_learnt_whole_and_has_one_question() {
    let desk = Desk::new();
    let learnt = |count| desk.learnt(LabelRule::Plain, Turns::Conversation, count);
    assert_eq!(learnt(2).unwrap(), "·\nWho is it? A dog.");
    let error = learnt(4).unwrap_err();
    assert!(error.contains("talk") && error.contains("one question and one answer"), "{error}");
}
