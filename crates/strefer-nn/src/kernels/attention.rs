//! Attention without its matrix of scores, and its gradients.

use candle_core::{DType, Result, bail};

use super::rows::WARPS;
use super::{Arg, Launch, Runner, Values, WARP, blocks, check, int, pointer, suffix};
use crate::ops::{AttentionMask, Heads, Tiling};

/// Head widths that kernels are made for, as in `kernels/attention.cuh`; narrower ones are filled up with zeros.
const WIDTHS: [usize; 6] = [32, 64, 80, 96, 128, 144];
/// Keys of a tile, rows of queries that keys are read with at a time, rows of a warp.
const TILE: usize = 64;
const STEP: usize = 32;
const ROWS: usize = 16;
/// Values between the rows of a tile.
const PAD: usize = 8;
/// Warps of a block.
const MOST_WARPS: usize = 4;
/// Below so many blocks, keys are split among more; a split has at least so many tiles of keys.
const ENOUGH_BLOCKS: usize = 264;
const SPLIT_TILES: usize = 2;

/// From one row of the batch to the next, from one position to the next, and from one head to the next, in values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// To the next row of the batch.
    pub batch: usize,
    /// To the next position.
    pub position: usize,
    /// To the next head.
    pub head: usize,
}

impl Places {
    /// Heads before positions, `(b, nh, s, hd)`.
    pub fn heads_first(heads: usize, positions: usize, hd: usize) -> Self {
        Self { batch: heads * positions * hd, position: hd, head: positions * hd }
    }

    /// Heads side by side, `(b, s, nh*hd)`.
    pub fn side_by_side(heads: usize, positions: usize, hd: usize) -> Self {
        Self { batch: heads * positions * hd, position: heads * hd, head: hd }
    }

    /// Whether every head lies on 16 bytes where the first one begins `start` values behind such a place.
    pub fn is_even(&self, start: usize) -> bool {
        [start, self.batch, self.position, self.head].iter().all(|step| step.is_multiple_of(PAD))
    }

    /// Fails unless `values` reach to the last head, and every head lies on 16 bytes.
    pub(super) fn check(
        &self,
        what: &str,
        values: Values,
        [batch, heads, positions, hd]: [usize; 4],
    ) -> Result<()> {
        if batch * heads * positions == 0 {
            return Ok(());
        }
        let last = (batch - 1) * self.batch + (positions - 1) * self.position + (heads - 1) * self.head + hd;
        if last > values.count {
            bail!("attention's {what}: {self:?} reach to {last} of {} values", values.count);
        }
        if !self.is_even(0) || !values.address.is_multiple_of(16) {
            bail!(
                "attention's {what}: heads have to lie on 16 bytes, not {self:?} from {:#x}",
                values.address
            );
        }
        Ok(())
    }

    fn args(&self) -> [Arg; 3] {
        [self.batch, self.position, self.head].map(|step| Arg::Long(step as i64))
    }
}

/// Sizes of a call, and where its heads lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attention {
    /// Rows of the batch.
    pub batch: usize,
    /// Positions of queries.
    pub queries: usize,
    /// Positions of keys.
    pub keys: usize,
    /// How many heads there are, and what scores are multiplied with.
    pub heads: Heads,
    /// Width of a head.
    pub hd: usize,
    /// Where queries lie.
    pub q: Places,
    /// Where keys lie, and values likewise.
    pub k: Places,
    /// Where results lie.
    pub out: Places,
}

/// What hides keys from queries, where kernels can read it.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// The mask itself.
    pub mask: &'a AttentionMask,
    /// [`AttentionMask::ids`], u32.
    pub ids: Option<Values>,
    /// [`AttentionMask::tiles_by_rows`] of [`Attention::by_rows`], u32.
    pub by_rows: Values,
}

/// What [`attention_back`] found.
#[derive(Debug)]
pub struct AttentionGrads<B> {
    /// That of the queries.
    pub q: B,
    /// That of the keys.
    pub k: B,
    /// That of the values.
    pub v: B,
}

impl Attention {
    /// Whether there are kernels for heads of this width.
    pub fn takes(dtype: DType, hd: usize) -> bool {
        matches!(dtype, DType::BF16 | DType::F16)
            && hd > 0
            && hd.is_multiple_of(PAD)
            && Self::width(hd).is_some()
    }

    /// Tiles that the forward, and the backward for queries, go through.
    pub fn by_rows(&self) -> Tiling {
        self.tiling(ROWS * self.warps())
    }

    /// Tiles that the backward for keys and values goes through.
    pub fn by_keys(&self) -> Tiling {
        self.tiling(STEP)
    }

    fn tiling(&self, rows: usize) -> Tiling {
        Tiling { queries: self.queries, keys: self.keys, group: self.group(), rows, columns: TILE }
    }

    fn width(hd: usize) -> Option<usize> {
        WIDTHS.into_iter().find(|width| hd <= *width)
    }

    /// Query heads of a key head.
    pub(crate) fn group(&self) -> usize {
        self.heads.query / self.heads.key.max(1)
    }

    /// Query heads of a key head, times queries.
    fn rows(&self) -> usize {
        self.group() * self.queries
    }

    pub(super) fn rows_of_all(&self) -> usize {
        self.batch * self.heads.key * self.rows()
    }

    fn warps(&self) -> usize {
        self.rows().div_ceil(ROWS).clamp(1, MOST_WARPS)
    }

    /// Tiles of rows, and how many blocks share the keys of one.
    fn blocks(&self) -> (usize, usize) {
        let tiles = self.rows().div_ceil(ROWS * self.warps());
        let blocks = (tiles * self.batch * self.heads.key).max(1);
        let most = self.keys.div_ceil(TILE) / SPLIT_TILES;
        (tiles, (ENOUGH_BLOCKS / blocks).min(most).max(1))
    }

    /// Whether the queries of a row of the batch are a single tile.
    pub(super) fn is_one_tile(&self) -> bool {
        self.rows() <= ROWS * MOST_WARPS
    }

    /// A forward kernel over all tiles and shares of the keys.
    pub(super) fn forward(
        &self,
        module: &'static str,
        kernel: String,
        width: usize,
        splits: usize,
        args: Vec<Arg>,
    ) -> Result<Launch> {
        let grid = (blocks(self.blocks().0 * splits * self.batch * self.heads.key)?, 1);
        let launch = Launch::new(module, kernel, grid, self.warps() * WARP, args);
        Ok(Launch { shared: Self::shared(width, 2 * TILE), ..launch })
    }

    /// Bytes of so many rows in shared memory.
    fn shared(width: usize, rows: usize) -> u32 {
        (rows * (width + PAD) * 2) as u32
    }

    /// Fails unless kernels take these heads; else the width of the one that does.
    fn check_heads(&self, dtype: DType) -> Result<usize> {
        let Self { heads, hd, .. } = *self;
        if heads.key == 0 || !heads.query.is_multiple_of(heads.key) {
            bail!("{} query heads cannot share {} key heads", heads.query, heads.key);
        }
        if !(heads.scale > 0.0 && heads.scale.is_finite()) {
            bail!("attention scores times {}", heads.scale);
        }
        match Self::width(hd).filter(|_| Self::takes(dtype, hd)) {
            Some(width) => Ok(width),
            None => bail!("no attention kernel takes heads of {hd} in {dtype:?}"),
        }
    }

    /// Fails unless queries and results are as they should be; the width of the kernel, and how many blocks share the keys.
    pub(super) fn check_rows(&self, q: Values, out: Values) -> Result<(usize, usize)> {
        let width = self.check_heads(q.dtype)?;
        check("attention's queries", q, out.dtype, out.count)?;
        let dims = [self.batch, self.heads.query, self.queries, self.hd];
        self.q.check("queries", q, dims)?;
        self.out.check("results", out, dims)?;
        Ok((width, self.blocks().1))
    }

    pub(super) fn check(&self, [q, k, v, out]: [Values; 4]) -> Result<usize> {
        let Self { batch, queries, keys, heads, hd, .. } = *self;
        let width = self.check_heads(q.dtype)?;
        for (what, places, values, [heads, positions]) in [
            ("queries", self.q, q, [heads.query, queries]),
            ("keys", self.k, k, [heads.key, keys]),
            ("values", self.k, v, [heads.key, keys]),
            ("results", self.out, out, [heads.query, queries]),
        ] {
            if values.dtype != q.dtype {
                bail!("attention's {what}: {:?}, where queries are {:?}", values.dtype, q.dtype);
            }
            places.check(what, values, [batch, heads, positions, hd])?;
        }
        Ok(width)
    }

    /// Steps from one row of the batch to the next in plans and ids.
    fn mask_steps(&self, tiles: usize, sight: &Sight<'_>, plans: Values) -> Result<[Arg; 2]> {
        sight.mask.check(self.batch, self.queries, self.keys)?;
        let batch = sight.mask.ids().map_or(1, |(rows, _)| rows);
        let step = |each: usize| Arg::Long(if batch == 1 { 0 } else { each as i64 });
        check("attention's plan", plans, DType::U32, batch * tiles * 4)?;
        match (sight.mask.ids(), sight.ids) {
            (Some(_), Some(ids)) => check("attention's ids", ids, DType::U32, batch * self.keys)?,
            (None, None) => {}
            _ => bail!("attention's ids are those of another mask"),
        }
        Ok([step(tiles * 4), step(self.keys)])
    }

    /// The sizes that all kernels begin with.
    pub(super) fn sizes(&self) -> Result<[Arg; 3]> {
        // Rows are counted in a register.
        int("rows of queries", self.rows() + TILE)?;
        Ok([
            int("key heads", self.heads.key)?,
            int("heads of a group", self.group())?,
            int("queries", self.queries)?,
        ])
    }

    fn mask_args(&self, mask: &AttentionMask) -> Result<[Arg; 3]> {
        let window = mask.window().map_or(Ok(Arg::Int(0)), |window| int("columns of a window", window))?;
        Ok([Arg::Int(mask.is_causal().into()), window, Arg::Int(mask.sight_number())])
    }
}

/// What every query reads of the values, laid out as `call.out` says, and the log-sum-exp of its scores, f32, in an order of
/// the kernels' own. A query that sees nothing reads zeros.
///
/// # Shapes
/// - `q`: `(b, nh, s, hd)`, `k`, `v`: `(b, nkv, t, hd)`, in any order of the first three that `call` tells
/// - returns: as `q`, and `b * nh * s` numbers
///
/// # Errors
/// Heads that no kernel takes ([`Attention::takes`]), that do not lie on 16 bytes or reach behind their memory; a mask of other
/// sizes, or another mask's tiles.
pub fn attention<R: Runner>(
    runner: &R,
    [q, k, v]: [Values; 3],
    sight: Sight<'_>,
    call: Attention,
) -> Result<(R::Buffer, R::Buffer)> {
    let rows = call.rows_of_all();
    let mut result = runner.reserve(q.dtype, call.batch * call.queries * call.heads.query * call.hd)?;
    let mut lse = runner.reserve(DType::F32, rows)?;
    let (out, of_rows) = (runner.values(&mut result), runner.values(&mut lse));
    let width = call.check([q, k, v, out])?;
    if rows == 0 {
        return Ok((result, lse));
    }
    let (tiles, splits) = call.blocks();
    let steps = call.mask_steps(tiles, &sight, sight.by_rows)?;
    let mut parts = runner.reserve(DType::F32, if splits > 1 { splits * rows * call.hd } else { 0 })?;
    let mut part_lse = runner.reserve(DType::F32, if splits > 1 { splits * rows } else { 0 })?;
    let (parts, part_lse) = (runner.values(&mut parts), runner.values(&mut part_lse));
    let (kind, to, to_lse) =
        if splits > 1 { ("attention_split", parts, part_lse) } else { ("attention", out, of_rows) };
    let mut args: Vec<Arg> = [q, k, v, to, to_lse].map(|values| Arg::Pointer(values.address)).to_vec();
    args.extend([pointer(sight.ids), Arg::Pointer(sight.by_rows.address)]);
    args.extend([call.q, call.k, call.out].iter().flat_map(Places::args));
    args.extend(steps);
    args.push(Arg::Long(rows as i64));
    args.extend(call.sizes()?);
    args.extend([int("keys", call.keys)?, int("columns", call.hd)?]);
    args.extend(call.mask_args(sight.mask)?);
    args.extend([int("tiles", tiles)?, int("splits", splits)?, Arg::Float(call.heads.scale as f32)]);
    let kernel = format!("{kind}_{width}_{}", suffix(q.dtype)?);
    runner.launch(&call.forward("attention", kernel, width, splits, args)?)?;
    if splits > 1 {
        join_splits(runner, &call, splits, [parts, part_lse, out, of_rows])?;
    }
    Ok((result, lse))
}

/// The gradients of [`attention`]'s inputs, each where its input lies, from its results and the first one's gradient, which
/// lies as that does. `by_keys` is [`AttentionMask::tiles_by_keys`] of [`Attention::by_keys`].
///
/// # Errors
/// As [`attention`], and results that are another call's.
pub fn attention_back<R: Runner>(
    runner: &R,
    [q, k, v]: [Values; 3],
    [out, lse, grad]: [Values; 3],
    sight: Sight<'_>,
    by_keys: Values,
    call: Attention,
) -> Result<AttentionGrads<R::Buffer>> {
    let rows = call.rows_of_all();
    let width = call.check([q, k, v, out])?;
    call.out.check("gradient", grad, [call.batch, call.heads.query, call.queries, call.hd])?;
    check("attention's gradient", grad, q.dtype, out.count)?;
    check("attention's log-sum-exp", lse, DType::F32, rows)?;
    let reserve = |count: usize| -> Result<(R::Buffer, Values)> {
        let mut buffer = runner.reserve(q.dtype, count)?;
        let values = runner.values(&mut buffer);
        Ok((buffer, values))
    };
    let ((of_q, dq), (of_k, dk), (of_v, dv)) = (reserve(q.count)?, reserve(k.count)?, reserve(v.count)?);
    let grads = AttentionGrads { q: of_q, k: of_k, v: of_v };
    let mut delta = runner.reserve(DType::F32, rows)?;
    let delta = runner.values(&mut delta);
    let suffix = suffix(q.dtype)?;
    if rows > 0 {
        let mut args: Vec<Arg> = [out, grad, delta].map(|values| Arg::Pointer(values.address)).to_vec();
        args.extend(call.out.args());
        args.push(Arg::Long(rows as i64));
        args.extend(call.sizes()?);
        args.push(int("columns", call.hd)?);
        runner.launch(&of_warps(rows, "attention_back", format!("attention_delta_{suffix}"), args)?)?;
    }
    let launch = |kind: &str, to: &[Values], plans: Values, tiles: usize, warps: usize| -> Result<()> {
        let steps = call.mask_steps(tiles, &sight, plans)?;
        let mut args: Vec<Arg> =
            [q, k, v, grad, lse, delta].iter().chain(to).map(|values| Arg::Pointer(values.address)).collect();
        args.extend([pointer(sight.ids), Arg::Pointer(plans.address)]);
        args.extend([call.q, call.k, call.out].iter().flat_map(Places::args));
        args.extend(steps);
        args.extend(call.sizes()?);
        args.extend([int("keys", call.keys)?, int("columns", call.hd)?]);
        args.extend(call.mask_args(sight.mask)?);
        args.extend([int("tiles", tiles)?, Arg::Float(call.heads.scale as f32)]);
        let kernel = format!("attention_back_{kind}_{width}_{suffix}");
        let grid = (blocks(tiles * call.batch * call.heads.key)?, 1);
        // Either way four tiles of keys, or two and as many rows of queries and gradients, twice.
        let shared = Attention::shared(width, 4 * TILE);
        runner.launch(&Launch { shared, ..Launch::new("attention_back", kernel, grid, warps * WARP, args) })
    };
    if rows > 0 {
        launch("q", &[dq], sight.by_rows, call.blocks().0, call.warps())?;
    }
    if call.batch * call.heads.key * call.keys > 0 {
        launch("kv", &[dk, dv], by_keys, call.keys.div_ceil(TILE), TILE / ROWS)?;
    }
    Ok(grads)
}

/// Joins what blocks that had shares of the keys made of them: parts and their log-sum-exp, f32, then where both go.
pub(super) fn join_splits<R: Runner>(
    runner: &R,
    call: &Attention,
    splits: usize,
    [parts, part_lse, out, lse]: [Values; 4],
) -> Result<()> {
    let rows = call.rows_of_all();
    let mut args: Vec<Arg> = [parts, part_lse, out, lse].map(|values| Arg::Pointer(values.address)).to_vec();
    args.extend(call.out.args());
    args.push(Arg::Long(rows as i64));
    args.extend(call.sizes()?);
    args.extend([int("columns", call.hd)?, int("splits", splits)?]);
    let kernel = format!("attention_join_{}", suffix(out.dtype)?);
    runner.launch(&of_warps(rows, "attention", kernel, args)?)
}

/// A warp for each row.
fn of_warps(rows: usize, module: &'static str, kernel: String, args: Vec<Arg>) -> Result<Launch> {
    Ok(Launch::new(module, kernel, (blocks(rows.div_ceil(WARPS))?, 1), WARPS * WARP, args))
}
