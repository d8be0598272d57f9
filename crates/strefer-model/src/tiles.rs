//! Into which tiles an image is cut for a tower that sees small squares, and what is kept of the map of their features
//! (LLaVA-OneVision, arXiv 2408.03326).

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

/// A map with more patches than the most is shrunk only where its side is longer than theirs by this factor.
const SLACK: f64 = 1.1;

/// How still images are cut into tiles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TilesConfig {
    /// Heights and widths in pixels that images are brought to; of equally good ones the first is taken.
    pub pinpoints: Vec<(usize, usize)>,
    /// The map of all tiles is shrunk to about as many patches as so many tiles have; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<usize>,
}

/// How one image is cut, and what becomes of the map of its tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tiling {
    /// Rows of tiles.
    pub rows: usize,
    /// Tiles of a row.
    pub columns: usize,
    /// Height and width, in patches, of the middle of the map, which shows the image; the rest shows what was added to it.
    pub kept: (usize, usize),
    /// Height and width to which that is shrunk, in tokens.
    pub shrunk: (usize, usize),
}

impl Tiling {
    /// Tokens of the image: those of the whole in small, and the map's with a newline behind each row. `side` is that of a
    /// tile in patches.
    pub fn token_count(&self, side: usize) -> usize {
        let (height, width) = self.shrunk;
        side * side + height * (width + 1)
    }
}

impl TilesConfig {
    /// All grids of up to six by six squares of `size` pixels.
    pub fn up_to_six(size: usize, most: Option<usize>) -> Self {
        let column = |rows: usize| (1..=6).map(move |columns| (rows * size, columns * size));
        Self { pinpoints: (1..=6).flat_map(column).collect(), most }
    }

    /// Rejects what cannot be cut into squares of `size` pixels.
    pub(crate) fn validate(&self, size: usize) -> Result<(), String> {
        if self.pinpoints.is_empty() {
            return Err("tiles.pinpoints is empty".to_owned());
        }
        let fits = |length: usize| length > 0 && length.is_multiple_of(size);
        if let Some((height, width)) = self.pinpoints.iter().find(|(h, w)| !fits(*h) || !fits(*w)) {
            return Err(format!(
                "tiles.pinpoints: {height}x{width} pixels (height x width) are no tiles of {size} pixels"
            ));
        }
        match self.most {
            Some(0) => Err("tiles.most is zero".to_owned()),
            _ => Ok(()),
        }
    }

    /// How an image of `height` by `width` pixels is cut into tiles of `size` pixels and `side` patches; none where its
    /// shape leaves nothing to be seen.
    pub fn tiling(&self, height: usize, width: usize, size: usize, side: usize) -> Option<Tiling> {
        let (target_height, target_width) = self.resolution(height, width)?;
        let (rows, columns) = (target_height / size, target_width / size);
        let kept = kept((rows * side, columns * side), height as f64, width as f64);
        let most = self.most.map_or(usize::MAX, |tiles| tiles * side * side);
        Some(Tiling { rows, columns, kept, shrunk: shrunk(kept, most) })
    }

    /// The resolution that shows most of an image's pixels, and of such ones that with the smallest margin.
    fn resolution(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        let seen = |target: &(usize, usize)| {
            let scale = (target.1 as f64 / width as f64).min(target.0 as f64 / height as f64);
            let scaled = |length: usize| (length as f64 * scale) as usize;
            (scaled(width) * scaled(height)).min(width * height)
        };
        let visible = self.pinpoints.iter().copied().filter(|target| seen(target) > 0);
        visible.min_by_key(|target| (Reverse(seen(target)), target.0 * target.1 - seen(target)))
    }
}

/// The part of a map that shows an image of some height and width, in patches.
fn kept((rows, columns): (usize, usize), height: f64, width: f64) -> (usize, usize) {
    let (map_height, map_width) = (rows as f64, columns as f64);
    if width / height > map_width / map_height {
        (without_margins(rows, height * (map_width / width)), columns)
    } else {
        (rows, without_margins(columns, width * (map_height / height)))
    }
}

/// The reference rounds what is filled to seven digits before it cuts the fraction off.
fn without_margins(length: usize, filled: f64) -> usize {
    let filled = ((filled * 1e7).round() / 1e7) as usize;
    // The middle stays even where a thin image fills none of it.
    let margin = (length.saturating_sub(filled) / 2).min((length - 1) / 2);
    length - 2 * margin
}

fn shrunk((height, width): (usize, usize), most: usize) -> (usize, usize) {
    let ratio = ((height * width) as f64 / most as f64).sqrt();
    if ratio <= SLACK {
        return (height, width);
    }
    let whole = |length: f64| (((length - length % ratio) / ratio).round() as usize).max(1);
    (whole(height as f64), whole(width as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published() -> TilesConfig {
        TilesConfig::up_to_six(384, Some(9))
    }

    #[test]
    fn a_wide_image_lies_in_two_tiles_and_loses_its_margins() {
        // Scaled by 768 / 600 to 768 x 256 of 768 x 384 pixels: 18 of 27 rows of patches, and 4 and 5 around them.
        let tiling = published().tiling(200, 600, 384, 27).unwrap();
        assert_eq!((tiling.rows, tiling.columns), (1, 2));
        assert_eq!((tiling.kept, tiling.shrunk), ((19, 54), (19, 54)));
        assert_eq!(tiling.token_count(27), 729 + 19 * 55);
    }

    #[test]
    fn a_large_image_is_shrunk_to_nine_tiles() {
        // 36 tiles have four times as many patches: sides are halved.
        let tiling = published().tiling(2304, 2304, 384, 27).unwrap();
        assert_eq!((tiling.kept, tiling.shrunk), ((162, 162), (81, 81)));
        let endless = TilesConfig { most: None, ..published() };
        assert_eq!(endless.tiling(2304, 2304, 384, 27).unwrap().shrunk, (162, 162));
    }

    #[test]
    fn of_equal_resolutions_the_first_is_taken() {
        for pinpoints in [vec![(8, 4), (4, 8)], vec![(4, 8), (8, 4)]] {
            let cfg = TilesConfig { pinpoints: pinpoints.clone(), most: None };
            let tiling = cfg.tiling(9, 9, 4, 2).unwrap();
            assert_eq!((4 * tiling.rows, 4 * tiling.columns), pinpoints[0]);
        }
    }

    #[test]
    fn images_without_an_area_have_no_tiling() {
        for (height, width) in [(0, 9), (9, 0), (0, 0), (1, 100_000)] {
            assert_eq!(published().tiling(height, width, 384, 27), None, "{height}x{width}");
        }
        // Two of sixteen pixels are half a patch.
        let cfg = TilesConfig { pinpoints: vec![(16, 16)], most: Some(1) };
        assert_eq!(cfg.tiling(2, 16, 16, 4).unwrap().kept, (2, 4));
    }

    #[test]
    fn resolutions_that_are_no_tiles_are_refused() {
        assert_eq!(published().validate(384), Ok(()));
        for cfg in [
            TilesConfig { pinpoints: Vec::new(), most: None },
            TilesConfig { pinpoints: vec![(384, 384), (384, 400)], most: None },
            TilesConfig { pinpoints: vec![(0, 384)], most: None },
            TilesConfig { most: Some(0), ..published() },
        ] {
            assert!(cfg.validate(384).unwrap_err().starts_with("tiles."), "{cfg:?}");
        }
    }
}
