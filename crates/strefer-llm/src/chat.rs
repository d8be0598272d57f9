//! Conversations become text the way a model was trained on it.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value as Jinja;
use minijinja::{Environment, ErrorKind, context};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

impl Message {
    /// A turn of `role`.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// A stretch of a rendered conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The text.
    pub text: String,
    /// Whether the assistant says it: a turn's content and its end token, but not the header before.
    pub assistant: bool,
}

/// A template in the language published models use (Jinja).
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    name: String,
    source: String,
    bos_token: String,
    eos_token: String,
}

const QWEN2: &str = "\
{%- if not messages or messages[0].role != 'system' -%}
{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}
{%- endif -%}
{%- for message in messages -%}
{{ '<|im_start|>' ~ message.role ~ '\n' ~ message.content ~ '<|im_end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}";

const PHI3: &str = "\
{%- for message in messages -%}
{{ '<|' ~ message.role ~ '|>\n' ~ message.content ~ '<|end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>\n' }}{%- endif -%}";

impl ChatTemplate {
    /// ChatML with the default system line of Qwen2.
    pub fn qwen2() -> Self {
        Self {
            name: "qwen2".into(),
            source: QWEN2.into(),
            bos_token: String::new(),
            eos_token: "<|im_end|>".into(),
        }
    }

    /// Phi-3's turns, without a token for the end of the whole text.
    pub fn phi3() -> Self {
        Self {
            name: "phi3".into(),
            source: PHI3.into(),
            bos_token: "<s>".into(),
            eos_token: "<|endoftext|>".into(),
        }
    }

    /// A preset by name.
    pub fn preset(name: &str) -> Result<Self> {
        match name {
            "qwen2" => Ok(Self::qwen2()),
            "phi3" => Ok(Self::phi3()),
            _ => Err(Error::Template { name: name.into(), reason: "no such preset (qwen2, phi3)".into() }),
        }
    }

    /// The template of a `tokenizer_config.json`.
    pub fn from_tokenizer_config(json: &Value) -> Result<Self> {
        let name = "tokenizer_config.json";
        let named_default = |list: &Value| {
            let entry = list.as_array()?.iter().find(|entry| entry["name"] == "default")?;
            entry["template"].as_str().map(str::to_string)
        };
        let template = &json["chat_template"];
        let source = template.as_str().map(str::to_string).or_else(|| named_default(template));
        let Some(source) = source else {
            return Err(Error::Template { name: name.into(), reason: "no chat_template in it".into() });
        };
        let token = |key: &str| {
            let token = &json[key];
            token.as_str().or(token["content"].as_str()).unwrap_or_default().to_string()
        };
        let (bos_token, eos_token) = (token("bos_token"), token("eos_token"));
        let template = Self { name: name.into(), source, bos_token, eos_token };
        template.render(&[Message::new("user", "a")], true)?;
        Ok(template)
    }

    /// The text of a conversation; with `add_generation_prompt` the assistant's next turn is begun.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        let error = |error: minijinja::Error| Error::Template {
            name: self.name.clone(),
            reason: format!("{error:#}"),
        };
        let mut env = Environment::new();
        env.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(error)?);
        env.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        env.add_function(
            "raise_exception",
            |message: String| -> std::result::Result<String, minijinja::Error> {
                Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
            },
        );
        let template = env.template_from_str(&self.source).map_err(error)?;
        let turn =
            |message: &Message| context! { role => message.role.clone(), content => message.content.clone() };
        let messages: Vec<Jinja> = messages.iter().map(turn).collect();
        let values = context! {
            messages, add_generation_prompt, bos_token => self.bos_token.clone(), eos_token => self.eos_token.clone(),
        };
        template.render(values).map_err(error)
    }

    /// As [`ChatTemplate::render`], cut where assistant turns begin and end. The segments together are the text.
    pub fn segments(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Vec<Segment>> {
        let whole = self.render(messages, add_generation_prompt)?;
        let mut cuts = Vec::new();
        for (at, message) in messages.iter().enumerate().filter(|(_, message)| message.role == "assistant") {
            let before = self.render(&messages[..at], true)?;
            let turn = whole.strip_prefix(&before).and_then(|turn| {
                let content = if turn.starts_with(&message.content) {
                    message.content.as_str()
                } else {
                    message.content.trim()
                };
                turn.starts_with(content).then(|| content.len() + end_token(&turn[content.len()..]))
            });
            let Some(len) = turn else {
                let reason = format!("the text before assistant turn {at} changes with what follows it");
                return Err(Error::Template { name: self.name.clone(), reason });
            };
            cuts.push((before.len(), before.len() + len));
        }
        let mut segments = Vec::new();
        let mut push = |text: &str, assistant: bool| {
            if !text.is_empty() {
                segments.push(Segment { text: text.to_string(), assistant });
            }
        };
        let mut from = 0;
        for (start, end) in cuts {
            push(&whole[from..start], false);
            push(&whole[start..end], true);
            from = end;
        }
        push(&whole[from..], false);
        Ok(segments)
    }
}

/// How many bytes after a turn's content are its end token: everything up to a line end or the next `<`.
fn end_token(rest: &str) -> usize {
    let lead = rest.len() - rest.trim_start_matches(' ').len();
    let marker = &rest[lead..];
    let end = marker
        .char_indices()
        .skip(1)
        .find(|&(_, c)| c == '<' || c.is_whitespace())
        .map_or(marker.len(), |x| x.0);
    if marker.starts_with('<') { lead + end } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk() -> Vec<Message> {
        vec![
            Message::new("user", "Who is <region>?"),
            Message::new("assistant", "A dog."),
            Message::new("user", "Why?"),
            Message::new("assistant", "It barks\nand runs."),
        ]
    }

    #[test]
    fn qwen2_adds_its_system_line_and_begins_the_answer() {
        let text = ChatTemplate::qwen2().render(&talk()[..1], true).unwrap();
        assert_eq!(
            text,
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nWho is <region>?<|im_end|>\n\
             <|im_start|>assistant\n"
        );
        let own = [Message::new("system", "Be brief."), Message::new("user", "Hi")];
        let text = ChatTemplate::qwen2().render(&own, false).unwrap();
        assert_eq!(text, "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n");
    }

    #[test]
    fn phi3_writes_its_turns() {
        let text = ChatTemplate::phi3().render(&talk()[..2], false).unwrap();
        assert_eq!(text, "<|user|>\nWho is <region>?<|end|>\n<|assistant|>\nA dog.<|end|>\n");
    }

    #[test]
    fn assistant_segments_hold_content_and_end_token() {
        for (template, end) in [(ChatTemplate::qwen2(), "<|im_end|>"), (ChatTemplate::phi3(), "<|end|>")] {
            let segments = template.segments(&talk(), false).unwrap();
            let said: Vec<&str> = segments.iter().filter(|s| s.assistant).map(|s| s.text.as_str()).collect();
            assert_eq!(said, [format!("A dog.{end}"), format!("It barks\nand runs.{end}")]);
            let joined: String = segments.iter().map(|s| s.text.as_str()).collect();
            assert_eq!(joined, template.render(&talk(), false).unwrap());
        }
    }

    #[test]
    fn a_published_template_is_used_with_its_tokens_and_its_refusals() {
        let json = serde_json::json!({
            "bos_token": {"content": "<s>"}, "eos_token": "</s>",
            "chat_template": "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'tool' %}\
                {{ raise_exception('no tools') }}{% endif %}{% if m['role'] == 'user' %}[I] {{ m['content'].strip() }} [/I]\
                {% else %} {{ m['content'] }} {{ eos_token }}{% endif %}{% endfor %}"
        });
        let template = ChatTemplate::from_tokenizer_config(&json).unwrap();
        let text = template.render(&talk()[..2], false).unwrap();
        assert_eq!(text, "<s>[I] Who is <region>? [/I] A dog. </s>");
        let error = template.render(&[Message::new("tool", "x")], false).unwrap_err().to_string();
        assert!(error.contains("no tools"), "{error}");
        assert!(ChatTemplate::from_tokenizer_config(&serde_json::json!({})).is_err());
    }
}
