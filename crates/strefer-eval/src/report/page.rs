//! The page around charts, tables and examples.

use std::fmt::Write;
use std::path::Path;

use base64::Engine;

use super::seen::{SeenCard, seen_html};
use crate::error::{Error, Result};
use crate::quiz::{Interval, QuizTable, Share};

/// A question with its picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// A PNG with the mask drawn.
    pub png: Vec<u8>,
    /// What was asked.
    pub question: String,
    /// What the models said, by name.
    pub answers: Vec<(String, String)>,
    /// What is true.
    pub truth: String,
}

/// One part of the page.
#[derive(Debug, Clone, PartialEq)]
pub enum Section {
    /// A heading.
    Heading(String),
    /// A paragraph of plain text.
    Text(String),
    /// A chart of [`super::line_chart`].
    Chart(String),
    /// A table of accuracies.
    Table(QuizTable),
    /// Pictures with questions and answers.
    Examples(Vec<Example>),
    /// What a model sees of a sample.
    Seen(SeenCard),
}

/// A page.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Its title.
    pub title: String,
    /// Its parts, from top to bottom.
    pub sections: Vec<Section>,
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2rem auto;padding:0 1rem;\
color:#18181b}table{border-collapse:collapse;margin:1rem 0;font-size:14px}td,th{border-bottom:1px solid #d4d4d8;\
padding:.3rem .6rem;text-align:right}td:first-child,th:first-child{text-align:left}svg{width:100%;font:11px sans-serif}\
figure{margin:1rem 0}.examples{display:grid;grid-template-columns:repeat(auto-fill,minmax(280px,1fr));gap:1rem}\
.example{border:1px solid #d4d4d8;border-radius:8px;padding:.7rem}.example img{width:100%;image-rendering:pixelated}\
.seen{border-top:1px solid #d4d4d8}.frames{display:flex;flex-wrap:wrap;gap:.5rem}.frames figure{margin:0;font-size:12px}\
.seen pre{white-space:pre-wrap}.learnt{background:#bbf7d0}.placeholder{color:#1d4ed8}.right{color:#15803d}.wrong{color:#b91c1c}";

impl Report {
    /// The page as HTML, pictures included.
    pub fn to_html(&self) -> String {
        let mut body = String::new();
        for section in &self.sections {
            match section {
                Section::Heading(text) => push(&mut body, format_args!("<h2>{}</h2>", escape(text))),
                Section::Text(text) => push(&mut body, format_args!("<p>{}</p>", escape(text))),
                Section::Chart(svg) => body.push_str(svg),
                Section::Table(table) => table_html(&mut body, table),
                Section::Examples(examples) => examples_html(&mut body, examples),
                Section::Seen(card) => seen_html(&mut body, card),
            }
        }
        let title = escape(&self.title);
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>\
             {body}</body></html>\n"
        )
    }

    /// Writes the page, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let temporary = path.with_extension("html.tmp");
        std::fs::write(&temporary, self.to_html()).map_err(io)?;
        std::fs::rename(&temporary, path).map_err(io)
    }
}

pub(super) fn push(body: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = body.write_fmt(text);
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A PNG in the page itself.
pub(super) fn picture(png: &[u8]) -> String {
    let bytes = base64::engine::general_purpose::STANDARD.encode(png);
    format!("<img alt=\"frame with mask\" src=\"data:image/png;base64,{bytes}\">")
}

fn table_html(body: &mut String, table: &QuizTable) {
    body.push_str(
        "<table><thead><tr><th>kind</th><th>questions</th><th>accuracy</th><th>95 % interval</th><th>held out</th>\
         <th>no video</th><th>follows another mask</th><th>best constant</th><th>chance</th></tr></thead><tbody>",
    );
    let percent = |share: &Share| match share.of {
        0 => "-".to_owned(),
        _ => format!("{:.1} %", 100.0 * share.value()),
    };
    for row in &table.rows {
        let Interval { low, high } = row.real.interval();
        push(
            body,
            format_args!(
                "<tr><td>{}</td><td>{}</td><td><b>{}</b></td><td>{:.1}-{:.1}</td><td>{}</td><td>{}</td><td>{}</td>\
                 <td>{}</td><td>{:.1} %</td></tr>",
                escape(&row.kind),
                row.real.of,
                percent(&row.real),
                100.0 * low,
                100.0 * high,
                percent(&row.held_out),
                percent(&row.blind),
                percent(&row.follows_mask),
                percent(&row.constant),
                100.0 * row.chance
            ),
        );
    }
    body.push_str("</tbody></table>");
}

fn examples_html(body: &mut String, examples: &[Example]) {
    body.push_str("<div class=\"examples\">");
    for example in examples {
        let picture = picture(&example.png);
        push(body, format_args!("<div class=\"example\">{picture}<p>{}</p>", escape(&example.question)));
        for (name, answer) in &example.answers {
            let right = crate::quiz::normalise(answer) == crate::quiz::normalise(&example.truth);
            let class = if right { "right" } else { "wrong" };
            push(body, format_args!("<div class=\"{class}\">{}: {}</div>", escape(name), escape(answer)));
        }
        push(body, format_args!("<div>truth: {}</div></div>", escape(&example.truth)));
    }
    body.push_str("</div>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Curve, line_chart};

    #[test]
    fn a_page_needs_no_network_and_no_text_breaks_it() {
        let chart =
            line_chart("step", "loss", &[Curve { name: "sft".into(), points: vec![(0.0, 3.0), (9.0, 1.0)] }]);
        let example = Example {
            png: vec![1, 2, 3],
            question: "Is <this> \"it\"?".into(),
            answers: vec![("after".into(), "Yes.".into())],
            truth: "yes".into(),
        };
        let sections = vec![Section::Chart(chart), Section::Examples(vec![example])];
        let html = Report { title: "A & B".into(), sections }.to_html();
        assert!(html.contains("A &amp; B") && html.contains("Is &lt;this&gt;"));
        assert!(html.contains("data:image/png;base64,AQID") && html.contains("<polyline"));
        assert!(html.contains("class=\"right\""));
        assert!(!html.contains("http://") && !html.contains("https://"));
    }
}
