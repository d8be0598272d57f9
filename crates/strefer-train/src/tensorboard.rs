//! TensorBoard event files: scalars in records framed with masked CRC-32C (TensorFlow's `record_writer`).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Result, io};

/// Appends scalars to an event file.
#[derive(Debug)]
pub struct EventWriter {
    file: File,
    path: std::path::PathBuf,
}

impl EventWriter {
    /// Starts a file in `dir`. Events of an earlier file at `first_step` or later are superseded.
    pub fn create(dir: &Path, first_step: usize) -> Result<Self> {
        let now = now_s();
        let path = dir.join(format!("events.out.tfevents.{:010}.{first_step:08}", now as u64));
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(io(&path))?;
        let mut writer = Self { file, path };
        let mut version = wall_time(now);
        field_bytes(&mut version, 3, b"brain.Event:2");
        writer.record(&version)?;
        if first_step > 0 {
            // SessionLog with status START tells readers to drop what came later than this step.
            let mut start = wall_time(now);
            field_varint(&mut start, 2, first_step as u64);
            field_bytes(&mut start, 7, &[0x08, 0x01]);
            writer.record(&start)?;
        }
        Ok(writer)
    }

    /// Adds one scalar.
    pub fn scalar(&mut self, tag: &str, step: usize, value: f64) -> Result<()> {
        let mut summary_value = Vec::new();
        field_bytes(&mut summary_value, 1, tag.as_bytes());
        summary_value.push(2 << 3 | 5); // simple_value, 32 bits
        summary_value.extend((value as f32).to_le_bytes());
        let mut summary = Vec::new();
        field_bytes(&mut summary, 1, &summary_value);
        let mut event = wall_time(now_s());
        field_varint(&mut event, 2, step as u64);
        field_bytes(&mut event, 5, &summary);
        self.record(&event)
    }

    fn record(&mut self, data: &[u8]) -> Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let mut bytes = length.to_vec();
        bytes.extend(masked_crc(&length).to_le_bytes());
        bytes.extend(data);
        bytes.extend(masked_crc(data).to_le_bytes());
        self.file.write_all(&bytes).map_err(io(&self.path))
    }
}

fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// An event that holds its wall time so far.
fn wall_time(now_s: f64) -> Vec<u8> {
    let mut event = vec![1 << 3 | 1]; // 64 bits
    event.extend(now_s.to_le_bytes());
    event
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn field_varint(out: &mut Vec<u8>, number: u8, value: u64) {
    out.push(number << 3);
    varint(out, value);
}

fn field_bytes(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_framed_as_tensorflow_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(dir.path(), 0).unwrap();
        writer.scalar("loss", 300, 1.5).unwrap();
        let bytes = std::fs::read(&writer.path).unwrap();
        let (mut at, mut records) = (0, Vec::new());
        while at < bytes.len() {
            let length_bytes: [u8; 8] = bytes[at..at + 8].try_into().unwrap();
            let length = u64::from_le_bytes(length_bytes) as usize;
            let crc = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap());
            assert_eq!(crc, masked_crc(&length_bytes));
            let data = &bytes[at + 12..at + 12 + length];
            let crc = u32::from_le_bytes(bytes[at + 12 + length..at + 16 + length].try_into().unwrap());
            assert_eq!(crc, masked_crc(data));
            records.push(data.to_vec());
            at += 16 + length;
        }
        assert_eq!(records.len(), 2);
        // wall time, then step 300 as a varint, then a summary that holds tag and value
        assert_eq!(records[1][9..12], [0x10, 0xac, 0x02]);
        assert!(records[1].windows(4).any(|four| four == b"loss"));
        assert!(records[1].ends_with(&1.5f32.to_le_bytes()));
    }

    #[test]
    fn the_checksum_is_the_castagnoli_one() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }
}
