//! Files of foreign records: a JSON array or JSON Lines, plain or zstd, read as a stream.

use std::fmt;
use std::io::BufRead;
use std::path::Path;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::Value;

use super::{Fields, refused};
use crate::error::{Error, Result};
use crate::jsonl;

/// Hands every record of a file to `take`, with its position. What is no JSON object arrives as an error that names the
/// position, and reading goes on; a file that is cut off or no JSON at all ends it.
///
/// # Errors
/// The file cannot be read or is not JSON; `take` failed.
pub fn read(path: &Path, mut take: impl FnMut(usize, Result<Fields>) -> Result<()>) -> Result<()> {
    let mut input = jsonl::open(path)?;
    let is_array = first_byte(path, &mut *input)? == Some(b'[');
    if !is_array {
        for (position, value) in jsonl::Reader::<Value>::of(path, input).enumerate() {
            match value {
                Ok(value) => take(position, object(position, value))?,
                Err(error @ Error::Json { .. }) => take(position, Err(error))?,
                Err(error) => return Err(error),
            }
        }
        return Ok(());
    }
    let mut failed = None;
    let elements = Elements { take: &mut take, failed: &mut failed };
    let mut json = serde_json::Deserializer::from_reader(input);
    let read = json.deserialize_seq(elements).and_then(|()| json.end());
    match (failed, read) {
        (Some(error), _) => Err(error),
        (None, Ok(())) => Ok(()),
        (None, Err(source)) => Err(Error::Json { path: path.to_owned(), line: source.line(), source }),
    }
}

/// The first byte that is no white space, left in place.
fn first_byte(path: &Path, input: &mut dyn BufRead) -> Result<Option<u8>> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    loop {
        let buffer = input.fill_buf().map_err(io)?;
        let blank = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        match buffer.get(blank) {
            Some(byte) => return Ok(Some(*byte)),
            None if buffer.is_empty() => return Ok(None),
            None => input.consume(blank),
        }
    }
}

fn object(position: usize, value: Value) -> Result<Fields> {
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(refused(&format!("#{position}"), "it is no JSON object")),
    }
}

/// Takes the elements of an array one by one.
struct Elements<'a, F> {
    take: &'a mut F,
    /// Why `take` wants no more.
    failed: &'a mut Option<Error>,
}

impl<'de, F: FnMut(usize, Result<Fields>) -> Result<()>> Visitor<'de> for Elements<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> std::result::Result<(), A::Error> {
        let mut position = 0;
        while let Some(value) = elements.next_element::<Value>()? {
            if let Err(error) = (self.take)(position, object(position, value)) {
                *self.failed = Some(error);
                return Err(serde::de::Error::custom("stopped"));
            }
            position += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str) -> Result<Vec<String>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut all = Vec::new();
        read(file.path(), |position, fields| {
            all.push(match fields {
                Ok(fields) => format!("{position} {}", fields["id"]),
                Err(error) => format!("{position} refused {error}"),
            });
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn arrays_and_lines_give_the_same_records() {
        let array = records(" \n[{\"id\": 1},\n {\"id\": 2}]\n").unwrap();
        assert_eq!(array, ["0 1", "1 2"]);
        assert_eq!(records("{\"id\": 1}\n\n{\"id\": 2}").unwrap(), array);
        assert!(records("").unwrap().is_empty());
        assert!(records("[]").unwrap().is_empty());
    }

    #[test]
    fn one_bad_record_does_not_end_a_file_and_a_cut_does() {
        let lines = records("{\"id\": 1}\n{\"id\": \n{\"id\": 3}").unwrap();
        assert!(lines[0] == "0 1" && lines[1].contains("line 2") && lines[2] == "2 3", "{lines:?}");
        let array = records("[7, {\"id\": 2}]").unwrap();
        assert!(array[0].contains("#0") && array[1] == "1 2", "{array:?}");
        for cut in ["[{\"id\": 1}, {\"id\"", "[{\"id\": 1}] trailing"] {
            assert!(matches!(records(cut), Err(Error::Json { .. })), "{cut}");
        }
    }

    #[test]
    fn whoever_takes_records_may_stop() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[{\"id\": 1}, {\"id\": 2}]").unwrap();
        let mut seen = 0;
        let stopped = read(file.path(), |_, _| {
            seen += 1;
            Err(refused("x", "enough"))
        });
        assert!(stopped.unwrap_err().to_string().contains("enough"));
        assert_eq!(seen, 1);
    }
}
