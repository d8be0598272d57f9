//! Many questions as a file, for servers that answer files (`vllm run-batch`, OpenAI's batches).

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::Teacher;
use crate::endpoint::{EndpointConfig, Reply, body};
use crate::fault::{Error, Fault, Result, beginning, io};
use crate::form::Form;
use crate::question::Question;
use crate::record::Recorded;

/// Writes questions, one request a line, each under its key. Those that are the same are written once.
///
/// # Errors
/// A file that cannot be written. A question that the server does not take is given back.
pub fn write_batch<'a>(
    path: &Path,
    config: &EndpointConfig,
    questions: impl IntoIterator<Item = &'a Question>,
) -> Result<Vec<(String, Fault)>> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut out = BufWriter::new(File::create(&temporary).map_err(io(&temporary))?);
    let (mut refused, mut written) = (Vec::new(), std::collections::HashSet::new());
    for question in questions {
        let key = question.key(&config.model);
        if !written.insert(key.clone()) {
            continue;
        }
        match body(config, question) {
            Err(fault) => refused.push((key, fault)),
            Ok(body) => {
                let line = json!({ "custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body });
                writeln!(out, "{line}").map_err(io(&temporary))?;
            }
        }
    }
    let closed = out.into_inner().map_err(|error| error.into_error()).and_then(|file| file.sync_all());
    closed.and_then(|()| std::fs::rename(&temporary, path)).map_err(io(path))?;
    Ok(refused)
}

/// Reads a file of answers and keeps those that belong to `questions`, as if they had been asked. Gives back what has no good
/// answer in it: the key and why.
///
/// # Errors
/// A file that cannot be read or is none; answers that cannot be kept.
pub fn read_batch<'a, T: Teacher>(
    path: &Path,
    recorded: &Recorded<T>,
    questions: impl IntoIterator<Item = &'a Question>,
) -> Result<Vec<(String, Fault)>> {
    let model = recorded.model().to_owned();
    let mut open: HashMap<String, &Question> =
        questions.into_iter().map(|question| (question.key(&model), question)).collect();
    let mut faults = Vec::new();
    let input = BufReader::new(File::open(path).map_err(io(path))?);
    for (number, line) in input.lines().enumerate() {
        let line = line.map_err(io(path))?;
        if line.trim().is_empty() {
            continue;
        }
        let bad = |reason: String| Error::Content { path: path.to_owned(), line: Some(number + 1), reason };
        let line: Value = serde_json::from_str(&line).map_err(|error| bad(error.to_string()))?;
        let key = line["custom_id"].as_str().ok_or_else(|| bad("has no custom_id".to_owned()))?;
        let Some(question) = open.remove(key) else { continue };
        match answer(&line, &model, question) {
            Ok(answer) => recorded.keep(question, &answer, 0.0)?,
            Err(fault) => faults.push((key.to_owned(), fault)),
        }
    }
    let missing = |key| {
        let fault =
            Fault::NotRecorded { folder: path.to_owned(), model: model.clone(), key: String::clone(&key) };
        (key, fault)
    };
    faults.extend(open.into_keys().map(missing));
    faults.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    Ok(faults)
}

fn answer(line: &Value, model: &str, question: &Question) -> std::result::Result<crate::Answer, Fault> {
    let response = &line["response"];
    let status = response["status_code"].as_u64().unwrap_or_default();
    if status != 200 || !line["error"].is_null() {
        let said = if line["error"].is_null() { &response["body"] } else { &line["error"] };
        let message = beginning(&said.to_string());
        return Err(Fault::Refused { endpoint: "batch".to_owned(), status: status as u16, message });
    }
    Reply::of(&response["body"]).answer(model, question, &Form::of(question)?)
}
