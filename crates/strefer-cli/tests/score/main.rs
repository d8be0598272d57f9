//! `strefer score` as a user runs it: recorded numbers to the digit, and wrong input of each kind.

mod answers;
mod captions;
mod judged;
mod qvhighlights;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use strefer_core::golden;

/// A folder with files of a benchmark.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn write_lines(&self, name: &str, lines: &[Value]) -> String {
        self.write(name, &lines.iter().map(|line| format!("{line}\n")).collect::<String>())
    }

    /// `strefer score BENCHMARK PREDICTIONS --annotations ANNOTATIONS …`, in this folder.
    fn run(&self, benchmark: &str, predictions: &str, annotations: &str, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strefer"));
        command.current_dir(self.0.path()).args(["score", benchmark, predictions]);
        command.args(["--annotations", annotations, "--resamples", "100"]).args(more);
        command.output().expect("the program starts")
    }

    fn table(&self, benchmark: &str, predictions: &str, annotations: &str, more: &[&str]) -> String {
        let output = self.run(benchmark, predictions, annotations, more);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, benchmark: &str, predictions: &str, annotations: &str, more: &[&str]) -> Value {
        let more = [more, &["--json"]].concat();
        serde_json::from_str(&self.table(benchmark, predictions, annotations, &more)).unwrap()
    }

    /// What the program says when it fails.
    #[track_caller]
    fn complains(&self, benchmark: &str, files: [&str; 2], more: &[&str], parts: &[&str]) {
        let output = self.run(benchmark, files[0], files[1], more);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && output.stdout.is_empty(), "it should have failed");
        assert!(!text.contains("panicked") && parts.iter().all(|part| text.contains(part)), "{text}");
    }
}

/// The cell of a table in the row that starts with `name`.
#[track_caller]
fn cell<'a>(table: &'a str, name: &str, column: usize) -> &'a str {
    let mut rows = table.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let row = rows.find(|row| row.get(1) == Some(&name)).unwrap_or_else(|| panic!("no {name} in\n{table}"));
    row[column + 1]
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Our own recordings, and `file` among those of another family.
fn recorded(families: [&str; 2], file: &str) -> Vec<Value> {
    let dirs = golden::dirs(families[0]).into_iter().chain(golden::find(families[1]));
    dirs.map(|dir| dir.join(file)).filter(|path| path.is_file()).map(|path| read(&path)).collect()
}

#[track_caller]
fn near(found: &Value, expected: &Value) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            assert_eq!(found.len(), expected.len());
            expected.iter().for_each(|(name, value)| near(&found[name], value));
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            assert!((a - b).abs() <= 1e-9 * b.abs().max(1e-3), "{a} is not {b}");
        }
        _ => assert_eq!(found, expected),
    }
}
