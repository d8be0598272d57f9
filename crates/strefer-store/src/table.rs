//! Parquet tables of others, read whole.

use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::{Map, Value};

use crate::error::{Error, Result, io};

/// All rows of a parquet table as JSON objects: texts, numbers, truths, lists and structures of these.
///
/// # Errors
/// A file that is no such table, or a value of another kind.
pub fn read_table(path: &Path) -> Result<Vec<Value>> {
    let bad = |reason: String| Error::Parquet { path: path.to_owned(), reason };
    let file = File::open(path).map_err(io(path))?;
    let reader = SerializedFileReader::new(file).map_err(|error| bad(error.to_string()))?;
    let rows = reader.get_row_iter(None).map_err(|error| bad(error.to_string()))?;
    let row = |(at, row): (usize, parquet::errors::Result<Row>)| {
        let row = row.map_err(|error| error.to_string()).and_then(|row| object(&row));
        row.map_err(|reason| Error::Row { path: path.to_owned(), row: at, reason })
    };
    rows.enumerate().map(row).collect()
}

fn object(row: &Row) -> std::result::Result<Value, String> {
    let columns = row.get_column_iter();
    let pairs = columns.map(|(name, field)| {
        let value = value(field).map_err(|reason| format!("column {name}: {reason}"))?;
        Ok((name.clone(), value))
    });
    Ok(Value::Object(pairs.collect::<std::result::Result<Map<_, _>, String>>()?))
}

fn value(field: &Field) -> std::result::Result<Value, String> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(truth) => (*truth).into(),
        Field::Byte(number) => (*number).into(),
        Field::Short(number) => (*number).into(),
        Field::Int(number) => (*number).into(),
        Field::Long(number) => (*number).into(),
        Field::UByte(number) => (*number).into(),
        Field::UShort(number) => (*number).into(),
        Field::UInt(number) => (*number).into(),
        Field::ULong(number) => (*number).into(),
        Field::Float(number) => (*number).into(),
        Field::Double(number) => (*number).into(),
        Field::Str(text) => text.as_str().into(),
        Field::ListInternal(list) => {
            list.elements().iter().map(value).collect::<std::result::Result<Vec<_>, _>>()?.into()
        }
        Field::Group(row) => object(row)?,
        other => return Err(format!("{other} is neither text, number, truth, list nor structure")),
    })
}
