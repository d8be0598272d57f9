//! The same as one HTML file.

use std::fmt::Write;

use super::row::RowSource;
use super::table::Leaderboard;
use crate::report::escape;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem}\
table{border-collapse:collapse;width:100%}th,td{padding:.3rem .6rem;border-bottom:1px solid #ddd;text-align:right}\
th:first-child,td:first-child,th:nth-child(2),td:nth-child(2){text-align:left}tr.published{color:#666;background:#f7f7f7}\
.wide{overflow-x:auto}li{color:#444}";

impl Leaderboard {
    /// As a page that needs nothing beside it.
    pub fn to_html(&self) -> String {
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Leaderboard</title><style>{STYLE}\
             </style></head><body>\n<h1>Leaderboard</h1>\n<p>Rows in grey are published numbers; all others are runs of this \
             program, with 95 % bootstrap intervals.</p>\n"
        );
        for (bench, table) in &self.tables {
            let cells = |tag: &str, cells: &[String]| -> String {
                cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect()
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                html,
                "<h2>{bench}</h2>\n<div class=\"wide\"><table>\n<tr>{}</tr>",
                cells("th", &table.head())
            );
            for row in &table.rows {
                let class = match row.source {
                    RowSource::Run(_) => "",
                    RowSource::Published(_) => " class=\"published\"",
                };
                let _ = writeln!(html, "<tr{class}>{}</tr>", cells("td", &table.cells(row)));
            }
            html.push_str("</table></div>\n");
            let notes = table.footnotes();
            if !notes.is_empty() {
                let items: String = notes.iter().map(|note| format!("<li>{}</li>", escape(note))).collect();
                let _ = writeln!(html, "<ul>{items}</ul>");
            }
        }
        html.push_str("</body></html>\n");
        html
    }
}
