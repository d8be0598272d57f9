//! Pictures that carry their own number, so that a decoded frame says which one it is.

#![allow(dead_code, reason = "every test file uses a part of it")]

use image::{Rgb, RgbImage};

const SIDE: u32 = 16;
const BITS: u32 = 8;

/// A 128x64 picture: eight black or white squares spell `number`, a slope below moves with it.
pub fn numbered(number: usize) -> RgbImage {
    RgbImage::from_fn(SIDE * BITS, 64, |x, y| {
        if y < SIDE {
            Rgb([if number >> (x / SIDE) & 1 == 1 { 235 } else { 20 }; 3])
        } else {
            let shifted = (x as usize + 5 * number) % 128;
            Rgb([60 + shifted as u8, 100, 190 - y as u8])
        }
    })
}

/// The number that a decoded picture spells.
pub fn number(image: &RgbImage) -> usize {
    let bit = |bit: u32| usize::from(image.get_pixel(bit * SIDE + SIDE / 2, SIDE / 2).0[1] > 127) << bit;
    (0..BITS).map(bit).sum()
}
