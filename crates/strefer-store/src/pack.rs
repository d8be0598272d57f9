//! Samples written as shards, parquet files or JSON Lines, into a folder or to an address.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use strefer_core::Sample;
use strefer_core::jsonl::Writer;
use strefer_core::records::LineRecord;

use crate::error::{Error, Result, io};
use crate::samples::SampleSet;
use crate::target::Target;

/// Writes a set with its media as WebDataset shards into `folder`, also an address, each begun anew once it holds `shard_bytes`. A
/// medium that several samples of a shard show is in it once. Nothing has the folder's name before all is written, and what is not
/// all there at an address is not read; `each` is called after every sample.
///
/// # Errors
/// A folder that exists, a sample that cannot be read, a medium that is missing or a folder.
pub fn shards(set: &SampleSet, folder: &Path, shard_bytes: u64, mut each: impl FnMut()) -> Result<Packed> {
    let target = Target::new(folder, set.shelf())?;
    let mut packed = Packed::default();
    let mut shard: Option<Shard> = None;
    for number in 0..set.len() {
        let mut sample = set.get(number)?;
        // The names before media are brought: those of copies say nothing.
        let names: Vec<String> = sample.media.iter().map(|medium| medium.uri.clone()).collect();
        let _copies = set.bring(number, &mut sample)?;
        let mut open = match shard.take() {
            Some(open) if open.bytes < shard_bytes => open,
            full => {
                if let Some(full) = full {
                    target.whole(&full.finish()?)?;
                }
                packed.files += 1;
                Shard::new(target.path().join(format!("{:06}.tar", packed.files - 1)))?
            }
        };
        open.add(&format!("{number:09}"), sample, &names, set.media_root())?;
        packed.samples += 1;
        each();
        shard = Some(open);
    }
    if let Some(last) = shard {
        target.whole(&last.finish()?)?;
    }
    target.finish()?;
    Ok(packed)
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Packed {
    /// Samples.
    pub samples: usize,
    /// Files.
    pub files: usize,
}

/// A shard that is being written.
struct Shard {
    path: PathBuf,
    archive: tar::Builder<BufWriter<File>>,
    bytes: u64,
    /// Names of media that are in it.
    media: HashMap<String, String>,
}

impl Shard {
    fn new(path: PathBuf) -> Result<Self> {
        let file = File::create_new(&path).map_err(io(&path))?;
        let archive = tar::Builder::new(BufWriter::with_capacity(1 << 20, file));
        Ok(Self { path, archive, bytes: 0, media: HashMap::new() })
    }

    /// `names`: what its media were called where they came from.
    fn add(&mut self, key: &str, mut sample: Sample, names: &[String], media_root: &Path) -> Result<()> {
        for (at, (medium, own_name)) in sample.media.iter_mut().zip(names).enumerate() {
            let path = media_root.join(&medium.uri);
            if path.is_dir() {
                return Err(Error::FolderMedium { id: sample.id, path });
            }
            medium.uri = match self.media.get(own_name) {
                Some(name) => name.clone(),
                None => {
                    let mut file = File::open(&path).map_err(io(&path))?;
                    let bytes = file.metadata().map_err(io(&path))?.len();
                    let ending = Path::new(own_name).extension().unwrap_or_default().to_string_lossy();
                    let name =
                        if at == 0 { format!("{key}.{ending}") } else { format!("{key}.{at}.{ending}") };
                    let mut header = header(bytes);
                    self.archive.append_data(&mut header, &name, &mut file).map_err(io(&self.path))?;
                    self.bytes += bytes;
                    self.media.insert(own_name.clone(), name.clone());
                    name
                }
            };
        }
        let record =
            serde_json::to_vec(&sample.into_record()).map_err(|error| io(&self.path)(error.into()))?;
        let mut header = header(record.len() as u64);
        let name = format!("{key}.json");
        self.archive.append_data(&mut header, name, record.as_slice()).map_err(io(&self.path))?;
        self.bytes += record.len() as u64;
        Ok(())
    }

    /// Its file, whole.
    fn finish(self) -> Result<PathBuf> {
        let written = self.archive.into_inner().and_then(|mut out| {
            out.flush()?;
            out.get_ref().sync_all()
        });
        written.map_err(io(&self.path)).map(|()| self.path)
    }
}

fn header(bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o644);
    header
}

/// Writes a set as JSON Lines, packed with zstd, into `folder`, also an address, so many rows a file. Media stay where they are;
/// `each` is called after every sample.
///
/// # Errors
/// A folder that exists, a sample that cannot be read.
pub fn lines(set: &SampleSet, folder: &Path, rows: usize, each: impl FnMut()) -> Result<Packed> {
    in_files(set, folder, ("jsonl.zst", rows), each, |path, samples| {
        let (mut writer, mut count) = (Writer::create(path)?, 0);
        for sample in samples {
            writer.write(&sample?.into_record())?;
            count += 1;
        }
        writer.finish()?;
        Ok(count)
    })
}

/// Writes a set into files of so many rows each, which `write` writes.
fn in_files(
    set: &SampleSet,
    folder: &Path,
    (ending, rows): (&str, usize),
    mut each: impl FnMut(),
    write: impl Fn(&Path, &mut dyn Iterator<Item = Result<Sample>>) -> Result<usize>,
) -> Result<Packed> {
    let target = Target::new(folder, set.shelf())?;
    let mut packed = Packed::default();
    let mut samples = (0..set.len()).map(|number| set.get(number)).inspect(|_| each()).peekable();
    while samples.peek().is_some() {
        let path = target.path().join(format!("{:06}.{ending}", packed.files));
        packed.samples += write(&path, &mut samples.by_ref().take(rows.max(1)))?;
        packed.files += 1;
        target.whole(&path)?;
    }
    target.finish()?;
    Ok(packed)
}

/// Writes a set as parquet files into `folder`, also an address, so many rows each, packed with zstd: the record as JSON in the column
/// `sample`, and `id`, `dataset`, `group` beside it for whoever looks into them. Media stay where they are; `each` is called after every sample.
///
/// # Errors
/// A folder that exists, a sample that cannot be read.
#[cfg(feature = "parquet")]
pub fn parquet(set: &SampleSet, folder: &Path, rows: usize, each: impl FnMut()) -> Result<Packed> {
    in_files(set, folder, ("parquet", rows), each, |path, samples| write_parquet(path, samples))
}

/// Rows of a group, which are packed together.
#[cfg(feature = "parquet")]
const GROUP: usize = 1000;

#[cfg(feature = "parquet")]
fn write_parquet(path: &Path, samples: impl Iterator<Item = Result<Sample>>) -> Result<usize> {
    use std::sync::Arc;

    use parquet::basic::{Compression, ZstdLevel};
    use parquet::data_type::{ByteArray, ByteArrayType};
    use parquet::errors::ParquetError;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    let bad = |error: ParquetError| Error::Parquet { path: path.to_owned(), reason: error.to_string() };
    let column = crate::parquet::COLUMN;
    let schema = format!(
        "message samples {{ required binary id (UTF8); required binary dataset (UTF8); \
         optional binary group (UTF8); required binary {column} (UTF8); }}"
    );
    let schema = Arc::new(parse_message_type(&schema).map_err(bad)?);
    // Pages are small: a row in the middle is read with the page around it.
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(false)
        .set_data_page_row_count_limit(20)
        .set_write_batch_size(20)
        .build();
    let file = File::create_new(path).map_err(io(path))?;
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).map_err(bad)?;
    let (mut samples, mut count) = (samples.peekable(), 0);
    while samples.peek().is_some() {
        let group = samples.by_ref().take(GROUP).collect::<Result<Vec<Sample>>>()?;
        count += group.len();
        let text = |text: &str| ByteArray::from(text.as_bytes().to_vec());
        let groups: Vec<Option<&str>> =
            group.iter().map(|sample| sample.task.as_ref().map(|task| task.group.as_str())).collect();
        let present: Vec<i16> = groups.iter().map(|group| i16::from(group.is_some())).collect();
        let groups: Vec<ByteArray> = groups.iter().flatten().map(|group| text(group)).collect();
        let ids = group.iter().map(|sample| text(&sample.id)).collect();
        let datasets = group
            .iter()
            .map(|sample| text(sample.provenance.as_ref().map_or("", |from| from.dataset.as_str())))
            .collect();
        let records = group.into_iter().map(|sample| {
            serde_json::to_vec(&sample.into_record())
                .map(ByteArray::from)
                .map_err(|error| io(path)(error.into()))
        });
        let records = records.collect::<Result<Vec<ByteArray>>>()?;
        let mut rows = writer.next_row_group().map_err(bad)?;
        let columns: [(Vec<ByteArray>, Option<&[i16]>); 4] =
            [(ids, None), (datasets, None), (groups, Some(&present)), (records, None)];
        for (values, levels) in columns {
            let Some(mut column) = rows.next_column().map_err(bad)? else { break };
            column.typed::<ByteArrayType>().write_batch(&values, levels, None).map_err(bad)?;
            column.close().map_err(bad)?;
        }
        rows.close().map_err(bad)?;
    }
    writer.close().map_err(bad)?;
    Ok(count)
}
