//! Timestamp conversion equals the references', case by case.

use serde::Deserialize;
use strefer_core::golden;
use strefer_core::time::parse_clock;
use strefer_model::time::{Rounding, TimeTokens};

#[derive(Deserialize)]
struct Cases {
    to_token: Vec<ToToken>,
    to_seconds: Vec<serde_json::Value>,
    clock_text: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct ToToken {
    seconds: f64,
    duration: f64,
    strefer: i64,
    strefer_clamped: u32,
    gvl: u32,
}

fn all() -> Vec<Cases> {
    let cases: Vec<Cases> = golden::dirs("time_tokens")
        .iter()
        .map(|dir| serde_json::from_slice(&std::fs::read(dir.join("cases.json")).unwrap()).unwrap())
        .collect();
    assert!(cases.iter().map(|cases| cases.to_token.len()).sum::<usize>() > 0);
    cases
}

#[test]
fn seconds_become_the_recorded_tokens() {
    for cases in all() {
        for row in &cases.to_token {
            let at = (row.seconds, row.duration);
            assert_eq!(TimeTokens::STREFER.unclamped(at.0, at.1), row.strefer, "{at:?}");
            assert_eq!(TimeTokens::STREFER.token(at.0, at.1), row.strefer_clamped, "{at:?}");
            assert_eq!(TimeTokens::GVL.token(at.0, at.1), row.gvl, "{at:?}");
        }
    }
}

#[test]
fn tokens_become_the_recorded_text() {
    let mut seen = 0;
    for cases in all() {
        for row in &cases.to_seconds {
            let (preset, tokens) = match row["preset"].as_str().unwrap() {
                "strefer" => ("strefer", TimeTokens::STREFER),
                "gvl" => ("gvl", TimeTokens::GVL),
                other => panic!("{other}"),
            };
            let printed = tokens
                .printed_seconds(row["token"].as_u64().unwrap() as u32, row["duration"].as_f64().unwrap());
            let expected = match &row["seconds"] {
                serde_json::Value::String(text) => text.clone(),
                number => format!("{}", number.as_f64().unwrap()),
            };
            assert_eq!(printed, expected, "{preset} {row}");
            seen += 1;
        }
    }
    assert!(seen > 0);
}

#[test]
fn clock_text_becomes_the_recorded_seconds() {
    let mut seen = 0;
    for cases in all() {
        for row in &cases.clock_text {
            let seconds = parse_clock(row["text"].as_str().unwrap()).unwrap();
            assert_eq!(seconds, row["seconds"].as_f64().unwrap(), "{row}");
            seen += 1;
        }
    }
    assert!(seen > 0);
}

#[test]
fn another_rounding_does_not_agree() {
    let wrong = TimeTokens { rounding: Rounding::Floor, ..TimeTokens::STREFER };
    let differs = |row: &ToToken| i64::from(wrong.token(row.seconds, row.duration)) != row.strefer;
    assert!(all().iter().flat_map(|cases| &cases.to_token).any(differs));
}
