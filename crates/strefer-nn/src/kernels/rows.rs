//! Who works on a row: a warp where it is short, else a block.

use candle_core::{Result, bail};

use super::{Arg, Launch, Values, WARP, int, pack, packed};

/// Warps of a block that has a row each.
pub(super) const WARPS: usize = 4;

/// A grid over rows of one width.
pub(super) struct Rows {
    pub(super) rows: usize,
    blocks: u32,
    block: usize,
    lanes: usize,
    packed: bool,
}

impl Rows {
    /// Rows of `width` values each in all of `values`.
    pub(super) fn of(values: &[Values], width: usize) -> Result<Self> {
        let count = values.first().map_or(0, |values| values.count);
        if width == 0 || !count.is_multiple_of(width) {
            bail!("{count} values are no rows of {width}");
        }
        let packed = packed(width, values);
        let rows = count / width;
        // A thread reads a few times 16 bytes.
        let lanes = match if packed { width / pack(values) } else { width } {
            0..=128 => WARP,
            129..=512 => 128,
            513..=2048 => 256,
            _ => 512,
        };
        let (blocks, block) =
            if lanes == WARP { (rows.div_ceil(WARPS), WARPS * WARP) } else { (rows, lanes) };
        Ok(Self { rows, blocks: super::blocks(blocks)?, block, lanes, packed })
    }

    /// A kernel over these rows.
    pub(super) fn launch(&self, module: &'static str, kernel: String, args: Vec<Arg>) -> Launch {
        Launch::new(module, kernel, (self.blocks, 1), self.block, args)
    }

    /// How many rows, as an argument.
    pub(super) fn count(&self) -> Arg {
        Arg::Long(self.rows as i64)
    }

    /// The last two arguments of a kernel over rows.
    pub(super) fn shape(&self) -> Result<[Arg; 2]> {
        Ok([int("threads", self.lanes)?, Arg::Int(self.packed.into())])
    }
}
