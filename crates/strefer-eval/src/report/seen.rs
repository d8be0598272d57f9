//! What a model sees of a sample, on the page.

use super::page::{escape, picture, push};

/// Part of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromptPart {
    /// Text that is read.
    Read(String),
    /// Text that is learnt.
    Learnt(String),
    /// Something in the place of text: what it is.
    Placeholder(String),
}

/// One sample as a model sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenCard {
    /// Which sample.
    pub title: String,
    /// Frames as PNG, each with its caption.
    pub frames: Vec<(String, Vec<u8>)>,
    /// The prompt from beginning to end.
    pub prompt: Vec<PromptPart>,
}

pub(super) fn seen_html(body: &mut String, card: &SeenCard) {
    push(
        body,
        format_args!("<section class=\"seen\"><h3>{}</h3><div class=\"frames\">", escape(&card.title)),
    );
    for (caption, png) in &card.frames {
        let (picture, caption) = (picture(png), escape(caption));
        push(body, format_args!("<figure>{picture}<figcaption>{caption}</figcaption></figure>"));
    }
    body.push_str("</div><pre>");
    for part in &card.prompt {
        let (class, text) = match part {
            PromptPart::Read(text) => ("read", text),
            PromptPart::Learnt(text) => ("learnt", text),
            PromptPart::Placeholder(text) => ("placeholder", text),
        };
        push(body, format_args!("<span class=\"{class}\">{}</span>", escape(text)));
    }
    body.push_str("</pre></section>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_learnt_is_told_apart_and_no_text_breaks_the_page() {
        let card = SeenCard {
            title: "a<b".into(),
            frames: vec![("frame 3".into(), vec![1, 2, 3])],
            prompt: vec![
                PromptPart::Placeholder("video".into()),
                PromptPart::Read("<|user|>".into()),
                PromptPart::Learnt("Yes.\n".into()),
            ],
        };
        let mut body = String::new();
        seen_html(&mut body, &card);
        assert!(body.contains("a&lt;b") && body.contains("base64,AQID") && body.contains("frame 3"));
        assert!(
            body.contains("<span class=\"read\">&lt;|user|&gt;</span><span class=\"learnt\">Yes.\n</span>")
        );
        assert!(body.contains("<span class=\"placeholder\">video</span>"));
    }
}
