//! Label Studio's run lengths of brush strokes: a stream of bits over the four channels of every pixel.
//!
//! The number of values (32 bits), the width of a value less one (5), four widths of lengths less one (4 each); then blocks: one
//! bit that says whether a run follows, two that choose a width, a length less one of that width, and one value, or as many
//! values as the length says.

use crate::mask::Mask;
use crate::rle::MAX_PIXELS;

/// Widths of lengths, as Label Studio writes them.
const WIDTHS: [u32; 4] = [3, 4, 8, 16];

/// Bits, the highest of a byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Result<u32, String> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8).ok_or("it ends too early")?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Ok(value)
    }
}

/// The mask of the pixels whose last channel is not zero.
pub(super) fn decode(bytes: &[u8], height: usize, width: usize) -> Result<Mask, String> {
    let pixels = height as u64 * width as u64;
    if pixels > MAX_PIXELS {
        return Err(format!("more than {MAX_PIXELS} pixels"));
    }
    let mut bits = Bits { bytes, at: 0 };
    let count = bits.take(32)?;
    if u64::from(count) != 4 * pixels {
        return Err(format!("{count} values for {height}x{width} pixels of four"));
    }
    let word = bits.take(5)? + 1;
    let mut widths = [0; 4];
    for width in &mut widths {
        *width = bits.take(4)? + 1;
    }
    let mut mask = Mask::zeros(height, width);
    let mut put = |at: u64, value: u32| {
        if at % 4 == 3 && value != 0 {
            let pixel = (at / 4) as usize;
            mask.set(pixel / width, pixel % width, true);
        }
    };
    let mut at = 0u64;
    while at < u64::from(count) {
        let is_run = bits.take(1)? == 1;
        let chosen = widths[bits.take(2)? as usize];
        let end = at + u64::from(bits.take(chosen)?) + 1;
        if end > u64::from(count) {
            return Err(format!("its runs fill more than {count} values"));
        }
        let repeated = if is_run { Some(bits.take(word)?) } else { None };
        for at in at..end {
            let value = match repeated {
                Some(value) => value,
                None => bits.take(word)?,
            };
            put(at, value);
        }
        at = end;
    }
    Ok(mask)
}

/// The stream of a mask: runs only.
pub(super) fn encode(mask: &Mask) -> Vec<u8> {
    let (mut bytes, mut held, mut filled) = (Vec::new(), 0u64, 0u32);
    let mut put = |value: u32, count: u32| {
        for bit in (0..count).rev() {
            held = held << 1 | u64::from(value >> bit & 1);
            filled += 1;
            if filled == 8 {
                bytes.push(held as u8);
                (held, filled) = (0, 0);
            }
        }
    };
    put(4 * mask.as_slice().len() as u32, 32);
    put(7, 5);
    WIDTHS.iter().for_each(|width| put(width - 1, 4));
    let mut rest = mask.as_slice();
    while let Some(&inside) = rest.first() {
        let length = rest.iter().take_while(|pixel| **pixel == inside).count();
        rest = &rest[length..];
        let mut left = 4 * length as u64;
        while left > 0 {
            let run = left.min(1 << WIDTHS[3]) as u32;
            let chosen = WIDTHS.iter().position(|width| run <= 1 << width).unwrap_or(3);
            put(1, 1);
            put(chosen as u32, 2);
            put(run - 1, WIDTHS[chosen]);
            put(u32::from(inside) * 255, 8);
            left -= u64::from(run);
        }
    }
    put(0, 7);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(height in 1usize..9, width in 1usize..40, bits in proptest::collection::vec(any::<bool>(), 400)) {
            let mask = Mask::from_fn(height, width, |y, x| bits[(y * width + x) / 3]);
            prop_assert_eq!(decode(&encode(&mask), height, width).unwrap(), mask);
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40), height in 1usize..9) {
            let _ = decode(&bytes, height, 3);
        }
    }

    #[test]
    fn values_that_stand_one_by_one_are_read() {
        // Two pixels: 8 values of 8 bits, lengths of 3 bits; one block of 8 values.
        let mut text = format!("{:032b}{:05b}", 8, 7) + &"0010".repeat(4) + "0" + "00" + "111";
        for value in [9, 9, 9, 0, 0, 0, 0, 255] {
            text += &format!("{value:08b}");
        }
        let bytes: Vec<u8> = text
            .as_bytes()
            .chunks(8)
            .map(|bits| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | (bit - b'0') << (7 - at)))
            .collect();
        assert_eq!(decode(&bytes, 1, 2).unwrap().as_slice(), [0, 1]);
        assert!(decode(&bytes, 2, 2).unwrap_err().contains("8 values for 2x2"));
        assert!(decode(&bytes[..9], 1, 2).unwrap_err().contains("too early"));
    }
}
