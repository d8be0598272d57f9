//! A step of answers that are written side by side: keys and values go behind what each row of the batch has seen before, and
//! queries read all of it.

use candle_core::{DType, Result, bail};

use super::attention::{Attention, join_splits};
use super::{Arg, Launch, Places, Runner, Values, check, int, pack, packed, suffix};
use crate::ops::Heads;

/// Sizes of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cached {
    /// Rows of the batch.
    pub batch: usize,
    /// Positions that are new in each.
    pub positions: usize,
    /// How many heads there are, and what scores are multiplied with.
    pub heads: Heads,
    /// Width of a head.
    pub hd: usize,
    /// No row holds more positions, the new ones included.
    pub reach: usize,
    /// How many positions a query looks back, itself included, if not all.
    pub window: Option<usize>,
}

/// Heads side by side, `(b, s, n*hd)`: from one row of the batch to the next and from one position to the next, in values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beside {
    /// All values from the first one on.
    pub values: Values,
    /// To the next row of the batch.
    pub batch: usize,
    /// To the next position.
    pub position: usize,
}

/// Rotation angles: f32, or of the type of what is turned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tables {
    /// Cosines.
    pub cos: Values,
    /// Sines.
    pub sin: Values,
    /// Entries of a position, `hd / 2` or `hd`.
    pub entries: usize,
    /// Whether each row of the batch has tables of its own.
    pub own: bool,
}

impl Beside {
    fn check(&self, what: &str, call: &Cached, heads: usize) -> Result<()> {
        let last = (call.batch - 1) * self.batch + (call.positions - 1) * self.position + heads * call.hd;
        if last > self.values.count {
            bail!("{what}: heads reach to {last} of {} values", self.values.count);
        }
        Ok(())
    }

    fn is_even(&self, pack: usize) -> bool {
        self.batch.is_multiple_of(pack) && self.position.is_multiple_of(pack)
    }
}

impl Cached {
    fn attention(&self) -> Attention {
        let Self { batch, positions, heads, hd, reach, .. } = *self;
        let q = Places::side_by_side(heads.query, positions, hd);
        let k = Places::side_by_side(heads.key, reach, hd);
        Attention { batch, queries: positions, keys: reach, heads, hd, q, k, out: q }
    }

    /// Whether [`attention_rows`] has kernels for such heads, and for so few queries.
    pub fn takes(&self, dtype: DType) -> bool {
        Attention::takes(dtype, self.hd) && self.attention().is_one_tile()
    }

    fn check(&self, places: Values, held: Values) -> Result<()> {
        let Heads { query, key, .. } = self.heads;
        if self.batch == 0 || self.positions == 0 || key == 0 || !query.is_multiple_of(key) || self.hd == 0 {
            bail!("{self:?} is no step");
        }
        check("the places of keys and values", places, DType::I64, 2 * self.batch)?;
        check("how much is held", held, DType::I64, self.batch)
    }
}

/// Turns queries and keys by their positions' angles, and puts keys and values behind what the caches hold. Returns the
/// queries, `(b, s, nh*hd)`.
///
/// `places` is the address of the keys of each row of the batch, then that of the values of each; a cache is
/// `(capacity, nkv*hd)`. `held` says how many positions are there already.
///
/// # Errors
/// Sizes that do not fit. Whether the caches have room is the caller's to see to.
pub fn cached<R: Runner>(
    runner: &R,
    [q, k, v]: [Beside; 3],
    Tables { cos, sin, entries, own }: Tables,
    [places, held]: [Values; 2],
    call: Cached,
) -> Result<R::Buffer> {
    call.check(places, held)?;
    let Cached { batch, positions, heads, hd, .. } = call;
    let (half, dtype) = (hd / 2, q.values.dtype);
    for (what, heads, from) in [("queries", heads.query, q), ("keys", heads.key, k), ("values", heads.key, v)]
    {
        check(what, from.values, dtype, from.values.count)?;
        from.check(what, &call, heads)?;
    }
    let count = if own { batch } else { 1 } * positions * entries;
    if hd % 2 != 0 || (entries != half && entries != hd) || cos.count != count {
        bail!("tables of {} entries do not fit {call:?}", cos.count);
    }
    check("sines", sin, cos.dtype, cos.count)?;
    if cos.dtype != dtype && cos.dtype != DType::F32 {
        bail!("no kernel turns {dtype:?} by {:?}", cos.dtype);
    }
    let mut turned = runner.reserve(dtype, batch * positions * heads.query * hd)?;
    let out = runner.values(&mut turned);
    let all = [q.values, k.values, v.values, cos, sin, out];
    let packed = packed(half, &all) && [q, k, v].iter().all(|from| from.is_even(pack(&all)));
    let threads =
        batch * positions * (heads.query + 2 * heads.key) * half / if packed { pack(&all) } else { 1 };
    let pointers = [q.values, k.values, v.values, cos, sin, places, held, out];
    let mut args: Vec<Arg> = pointers.iter().map(|values| Arg::Pointer(values.address)).collect();
    args.extend(
        [q, k, v].iter().flat_map(|from| [from.batch, from.position]).map(|step| Arg::Long(step as i64)),
    );
    args.extend([
        Arg::Long(if own { (positions * entries) as i64 } else { 0 }),
        int("rows", batch)?,
        int("heads", heads.query)?,
        int("key heads", heads.key)?,
        int("positions", positions)?,
        int("pairs", half)?,
        int("entries", entries)?,
        Arg::Int(packed.into()),
    ]);
    let kernel = format!("cached_{}_{}", suffix(dtype)?, suffix(cos.dtype)?);
    runner.launch(&Launch::over(threads, "rotary", kernel, args)?)?;
    Ok(turned)
}

/// What every query, `(b, s, nh*hd)`, reads of its row's cache, the new positions included, laid out as the queries are.
/// `places` and `held` are those of [`cached`].
///
/// # Errors
/// Heads or numbers of queries that no kernel takes ([`Cached::takes`]), values that do not lie on 16 bytes.
pub fn attention_rows<R: Runner>(
    runner: &R,
    q: Values,
    [places, held]: [Values; 2],
    call: Cached,
) -> Result<R::Buffer> {
    call.check(places, held)?;
    if !call.takes(q.dtype) {
        bail!("no kernel takes {call:?} in {:?}", q.dtype);
    }
    let attention = call.attention();
    let mut result = runner.reserve(q.dtype, call.batch * call.positions * call.heads.query * call.hd)?;
    let out = runner.values(&mut result);
    let (width, splits) = attention.check_rows(q, out)?;
    let rows = attention.rows_of_all();
    let mut parts = runner.reserve(DType::F32, splits * rows * call.hd)?;
    let mut part_lse = runner.reserve(DType::F32, splits * rows)?;
    let mut lse = runner.reserve(DType::F32, rows)?;
    let [parts, part_lse, lse] = [&mut parts, &mut part_lse, &mut lse].map(|buffer| runner.values(buffer));
    let mut args: Vec<Arg> =
        [q, places, held, parts, part_lse].iter().map(|values| Arg::Pointer(values.address)).collect();
    args.extend([Arg::Long(rows as i64), int("rows", call.batch)?]);
    args.extend(attention.sizes()?);
    args.extend([
        int("columns", call.hd)?,
        int("columns of a window", call.window.unwrap_or(0))?,
        int("splits", splits)?,
        Arg::Float(call.heads.scale as f32),
    ]);
    let kernel = format!("attention_rows_{width}_{}", suffix(q.dtype)?);
    runner.launch(&attention.forward("attention_rows", kernel, width, splits, args)?)?;
    join_splits(runner, &attention, splits, [parts, part_lse, out, lse])?;
    Ok(result)
}
