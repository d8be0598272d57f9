//! Pictures whose pixels are numbers of objects.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

use png::{BitDepth, ColorType, Decoder, Encoder, Transformations};

use super::collect::wrong;
use crate::error::{Error, Result};
use crate::rle::MAX_PIXELS;

/// Numbers of objects, row by row.
#[derive(Debug, PartialEq)]
pub struct Picture {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// A number a pixel.
    pub numbers: Vec<u16>,
    /// Whether the numbers are colours of a palette.
    pub palette: bool,
}

/// Reads a PNG of one channel, of palette or grey, without changing its numbers.
///
/// # Errors
/// A file that cannot be read, is no PNG, has several channels, or more pixels than a mask may have.
pub fn read(path: &Path) -> Result<Picture> {
    let file = File::open(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let bad = |error: png::DecodingError| wrong(path, "picture", error);
    let mut decoder = Decoder::new(BufReader::new(file));
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(bad)?;
    let (color, depth) = reader.output_color_type();
    let (width, height) = reader.info().size();
    if !matches!(color, ColorType::Indexed | ColorType::Grayscale) {
        return Err(wrong(path, "picture", format!("{color:?} pixels, numbers of objects are wanted")));
    }
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(wrong(path, "picture", format!("more than {MAX_PIXELS} pixels")));
    }
    let size = reader.output_buffer_size().ok_or_else(|| wrong(path, "picture", "its size overflows"))?;
    let mut bytes = vec![0; size];
    let info = reader.next_frame(&mut bytes).map_err(bad)?;
    let (width, height) = (width as usize, height as usize);
    let mut numbers = Vec::with_capacity(width * height);
    for row in bytes.chunks_exact(info.line_size).take(height) {
        match depth {
            BitDepth::Sixteen => {
                numbers.extend(row.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])));
            }
            BitDepth::Eight => numbers.extend(row.iter().copied().map(u16::from)),
            small => {
                let bits = small as usize;
                let mask = (1u16 << bits) - 1;
                numbers.extend((0..width).map(|x| {
                    let byte = u16::from(row[x * bits / 8]);
                    (byte >> (8 - bits - x * bits % 8)) & mask
                }));
            }
        }
    }
    Ok(Picture { height, width, numbers, palette: color == ColorType::Indexed })
}

/// Writes a palette PNG; numbers are below 256.
pub(super) fn write_palette(path: &Path, picture: &Picture) -> Result<()> {
    let bytes: Vec<u8> = picture.numbers.iter().map(|number| *number as u8).collect();
    encode(path, picture, ColorType::Indexed, BitDepth::Eight, &bytes)
}

/// Writes a grey PNG of 16 bits.
pub(super) fn write_deep(path: &Path, picture: &Picture) -> Result<()> {
    let bytes: Vec<u8> = picture.numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    encode(path, picture, ColorType::Grayscale, BitDepth::Sixteen, &bytes)
}

fn encode(path: &Path, picture: &Picture, color: ColorType, depth: BitDepth, bytes: &[u8]) -> Result<()> {
    let file = File::create(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let bad = |error: png::EncodingError| wrong(path, "picture", error);
    let mut encoder = Encoder::new(BufWriter::new(file), picture.width as u32, picture.height as u32);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == ColorType::Indexed {
        encoder.set_palette(colours());
    }
    let mut writer = encoder.write_header().map_err(bad)?;
    writer.write_image_data(bytes).map_err(bad)?;
    writer.finish().map_err(bad)
}

/// The colours of PASCAL VOC, which DAVIS has too: the bits of a number, three at a time from the lowest, are the highest bits
/// of red, green and blue, by turns.
fn colours() -> Vec<u8> {
    let bit = |number: u8, at: u32| (u32::from(number) >> at & 1) as u8;
    let channel = |number: u8, channel: u32| {
        (0..3).fold(0, |colour, place| colour | bit(number, 3 * place + channel) << (7 - place))
    };
    (0..=255u8).flat_map(|number| [0, 1, 2].map(|at| channel(number, at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_colours_are_those_of_voc() {
        let colours = colours();
        let wanted = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128]];
        assert_eq!(&colours[..15], wanted.as_flattened());
        assert_eq!(&colours[8 * 3..9 * 3], [64, 0, 0]);
        assert_eq!(&colours[255 * 3..], [224, 224, 192]);
    }

    #[test]
    fn numbers_of_few_bits_are_read_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        let mut encoder = Encoder::new(File::create(&path).unwrap(), 5, 2);
        encoder.set_color(ColorType::Indexed);
        encoder.set_depth(BitDepth::Two);
        encoder.set_palette(vec![0; 12]);
        // Two bits a pixel, rows begin at bytes: 0 1 2 3 1, 3 3 0 0 2.
        encoder
            .write_header()
            .unwrap()
            .write_image_data(&[0b0001_1011, 0b0100_0000, 0b1111_0000, 0b1000_0000])
            .unwrap();
        let picture = read(&path).unwrap();
        assert_eq!(picture.numbers, [0, 1, 2, 3, 1, 3, 3, 0, 0, 2]);
        assert!(picture.palette);
        std::fs::write(&path, b"no picture").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("a.png"));
    }
}
