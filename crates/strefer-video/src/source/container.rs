//! Is a file whole? Read from the outer boxes of MP4/MOV and the segment length of Matroska, without a decoder.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// What is missing of a file that is cut off; `None` when nothing can be said against it.
pub(super) fn missing_part(path: &Path) -> std::io::Result<Option<String>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut head = [0u8; 12];
    if file.read(&mut head)? < 12 {
        return Ok(None);
    }
    if head[..4] == [0x1a, 0x45, 0xdf, 0xa3] {
        return missing_of_matroska(&mut file, length);
    }
    if matches!(&head[4..8], b"ftyp" | b"moov" | b"mdat" | b"free" | b"wide" | b"skip") {
        return missing_of_mp4(&mut file, length);
    }
    Ok(None)
}

/// Walks the outermost boxes: each must end inside the file, and one of them is the index (`moov`).
fn missing_of_mp4(file: &mut File, length: u64) -> std::io::Result<Option<String>> {
    let (mut at, mut has_index) = (0u64, false);
    while at + 8 <= length {
        let mut head = [0u8; 16];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut head[..8])?;
        let mut size = u64::from(u32::from_be_bytes([head[0], head[1], head[2], head[3]]));
        let kind = &head[4..8];
        if !kind.iter().all(u8::is_ascii_alphanumeric) {
            break; // padding after the last box
        }
        has_index |= kind == b"moov";
        let name = String::from_utf8_lossy(kind).into_owned();
        if size == 1 {
            if at + 16 > length {
                return Ok(Some(format!("it ends inside the head of box {name:?}")));
            }
            file.read_exact(&mut head[8..])?;
            size = u64::from_be_bytes(head[8..].try_into().unwrap_or_default());
        } else if size == 0 {
            break; // reaches to the end by definition
        }
        if size < 8 {
            break;
        }
        let end = at.saturating_add(size);
        if end > length {
            return Ok(Some(format!("box {name:?} should reach to byte {end}, the file has {length}")));
        }
        at = end;
    }
    Ok((!has_index).then(|| "its index (box \"moov\") is missing".to_string()))
}

/// The first segment says how long it is, unless it was written as a live stream.
fn missing_of_matroska(file: &mut File, length: u64) -> std::io::Result<Option<String>> {
    file.seek(SeekFrom::Start(4))?;
    let Some(header) = read_vint(file)? else { return Ok(None) };
    file.seek(SeekFrom::Current(header as i64))?;
    let mut id = [0u8; 4];
    if file.read(&mut id)? < 4 || id != [0x18, 0x53, 0x80, 0x67] {
        return Ok(None);
    }
    let Some(size) = read_vint(file)? else { return Ok(None) };
    let end = file.stream_position()?.saturating_add(size);
    Ok((end > length).then(|| format!("its segment should reach to byte {end}, the file has {length}")))
}

/// A length in Matroska's variable form; `None` for "unknown".
fn read_vint(file: &mut File) -> std::io::Result<Option<u64>> {
    let mut first = [0u8; 1];
    file.read_exact(&mut first)?;
    let extra = first[0].leading_zeros() as usize;
    if extra > 7 {
        return Ok(None);
    }
    let mut value = u64::from(first[0]) & ((1 << (7 - extra)) - 1);
    let mut rest = [0u8; 7];
    file.read_exact(&mut rest[..extra])?;
    for &byte in &rest[..extra] {
        value = value << 8 | u64::from(byte);
    }
    Ok((value != (1 << (7 * (extra + 1))) - 1).then_some(value))
}
