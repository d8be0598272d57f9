//! Tables that are arrays of JSON objects, read row by row: the largest have millions.

use std::fs::File;
use std::io::BufReader;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, de};

use crate::error::{Error, Result};

/// The name of a row: 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Token(u128);

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number =
            Some(&text).filter(|text| text.len() == 32).and_then(|text| u128::from_str_radix(text, 16).ok());
        number.map(Self).ok_or_else(|| de::Error::custom(format!("{text:?} is no token")))
    }
}

/// A token, or nothing: an empty text, at the ends of a chain.
pub(super) fn maybe_token<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Token>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Token(Token),
        Text(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Token(token) => Ok(Some(token)),
        Written::Text(text) if text.is_empty() => Ok(None),
        Written::Text(text) => Err(de::Error::custom(format!("{text:?} is no token"))),
    }
}

/// A row without what it should hold.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Broken {
    /// Its token, as it is written.
    #[serde(default)]
    pub token: Option<String>,
    /// The sample that it belongs to.
    #[serde(default)]
    pub sample_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Row<T> {
    Good(T),
    Broken(Broken),
    Other(IgnoredAny),
}

/// The rows of a table of which each should be good; how many are not is said.
///
/// # Errors
/// A file that cannot be read or is no array.
pub(super) fn good_rows<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let (mut found, mut broken) = (Vec::new(), 0);
    rows(path, |row| match row {
        Ok(row) => found.push(row),
        Err(_) => broken += 1,
    })?;
    if broken > 0 {
        tracing::warn!("{}: {broken} rows cannot be read and are left out", path.display());
    }
    Ok(found)
}

/// Hands every row of a table on, one after the other; those that are no `T` as broken.
///
/// # Errors
/// A file that cannot be read or is no array.
pub(super) fn rows<T: DeserializeOwned>(
    path: &Path,
    mut each: impl FnMut(std::result::Result<T, Broken>),
) -> Result<()> {
    struct Rows<'a, T, F>(&'a mut F, PhantomData<T>);

    impl<'de, T: Deserialize<'de>, F: FnMut(std::result::Result<T, Broken>)> Visitor<'de> for Rows<'_, T, F> {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an array of rows")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> std::result::Result<(), A::Error> {
            while let Some(row) = rows.next_element::<Row<T>>()? {
                (self.0)(match row {
                    Row::Good(row) => Ok(row),
                    Row::Broken(broken) => Err(broken),
                    Row::Other(_) => Err(Broken::default()),
                });
            }
            Ok(())
        }
    }

    let file = File::open(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let json = |source| Error::Json { path: path.to_owned(), source };
    let mut text = serde_json::Deserializer::from_reader(BufReader::with_capacity(1 << 20, file));
    text.deserialize_seq(Rows(&mut each, PhantomData)).map_err(json)?;
    text.end().map_err(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Link {
        token: Token,
        #[serde(deserialize_with = "maybe_token")]
        next: Option<Token>,
    }

    fn read(text: &str) -> (Result<()>, Vec<std::result::Result<Link, Option<String>>>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("link.json");
        std::fs::write(&path, text).unwrap();
        let mut found = Vec::new();
        let ended = rows::<Link>(&path, |row| found.push(row.map_err(|broken| broken.token)));
        (ended, found)
    }

    #[test]
    fn rows_come_one_by_one_and_broken_ones_by_their_token() {
        let token = |number: u8| format!("{number:032x}");
        let text = format!(
            r#"[{{"token": "{}", "next": "{}", "more": [1]}}, {{"token": "{}", "next": ""}}, {{"token": "{}", "next": 7}}, 3]"#,
            token(1),
            token(2),
            token(2),
            token(3)
        );
        let (ended, found) = read(&text);
        ended.unwrap();
        assert_eq!(found[0], Ok(Link { token: Token(1), next: Some(Token(2)) }));
        assert_eq!(found[1], Ok(Link { token: Token(2), next: None }));
        assert_eq!(found[2..], [Err(Some(token(3))), Err(None)]);
        assert_eq!(Token(3).to_string(), token(3));
    }

    #[test]
    fn a_table_that_is_cut_off_is_named() {
        for text in ["", "{}", r#"[{"token": "00"}"#, "[] 3"] {
            let (ended, _) = read(text);
            assert!(ended.unwrap_err().to_string().contains("link.json"), "{text}");
        }
    }
}
