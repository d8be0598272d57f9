//! A step of answers that are written side by side.

use candle_core::{DType, Result, Tensor, bail};

use super::card::{address, tensor, with_tensors, with_views};
use super::{applies, recorded, turns};
use crate::kernels::{self, Attention, Beside, Cached, Runner, Tables};
use crate::ops::{AttentionMask, CachedRows, Heads, Rotary, multi_head_attention};

/// Where kernels find the rows' caches, on one card.
#[derive(Debug)]
pub(in crate::ops) struct Table {
    /// Addresses of all layers, `(layers, 2 * rows)`, i64: keys of each row, then values of each.
    places: Tensor,
    /// How much each row holds, i64.
    held: Tensor,
}

impl Table {
    /// The caches of `rows` as kernels on the card of `like` find them. Each layer's are all rows' in order.
    pub(in crate::ops) fn new(rows: &CachedRows, like: &Tensor) -> Result<Self> {
        let mut places = Vec::new();
        for layer in 0..rows.layers() {
            for which in 0..2 {
                for (buffers, _) in rows.of_layer(layer) {
                    let buffer = &buffers[which];
                    let (b, capacity, width) = buffer.dims3()?;
                    let here = buffer.device().same_device(like.device());
                    // Layers of other devices are not for this table.
                    let first = if here { address(buffer)? } else { 0 };
                    let bytes = buffer.dtype().size_in_bytes();
                    let of_row = |row: usize| (first + (row * capacity * width * bytes) as u64).cast_signed();
                    places.extend((0..b).map(of_row));
                }
            }
        }
        let held: Vec<i64> = rows
            .of_layer(0)
            .flat_map(|(buffers, held)| {
                let b = buffers[0].dims().first().copied().unwrap_or_default();
                std::iter::repeat_n(held as i64, b)
            })
            .collect();
        let (layers, device) = (rows.layers(), like.device());
        let of_layer = places.len() / layers.max(1);
        let count = held.len();
        Ok(Self {
            places: Tensor::from_vec(places, (layers, of_layer), device)?,
            held: Tensor::from_vec(held, count, device)?,
        })
    }

    /// All that kernels look up.
    pub(in crate::ops) fn looked_up(&self) -> [&Tensor; 2] {
        [&self.places, &self.held]
    }

    /// Copies take its place.
    pub(in crate::ops) fn look_up(&mut self, [places, held]: [&Tensor; 2]) {
        *self = Self { places: places.clone(), held: held.clone() };
    }

    /// Whether it is for the card of `xs`.
    pub(in crate::ops) fn serves(&self, xs: &Tensor) -> bool {
        self.places.device().same_device(xs.device())
    }
}

/// See [`CachedRows::attend`]; nothing where there are no kernels for it.
pub(in crate::ops) fn attend_cached(
    [q, k, v]: [&Tensor; 3],
    heads: Heads,
    rotary: &Rotary,
    mask: &AttentionMask,
    rows: &CachedRows,
    layer: usize,
) -> Result<Option<Tensor>> {
    let (batch, positions, width) = q.dims3()?;
    let hd = width / heads.query.max(1);
    let (of_tables, of_positions, _entries) = rotary.cos.dims3()?;
    if rotary.cos.dims() != rotary.sin.dims() || ![1, batch].contains(&of_tables) || of_positions != positions
    {
        bail!("rotation tables {:?} do not fit {batch} rows of {positions}", rotary.cos.shape());
    }
    let kernels_take = applies([q, k, v])
        && turns(q, [&rotary.cos, &rotary.sin])
        && Attention::takes(q.dtype(), hd)
        && rows.of_layer(layer).all(|(buffers, _)| buffers[0].dtype() == q.dtype());
    let Some(table) = rows.table(q).filter(|_| kernels_take && mask.is_causal() && mask.ids().is_none())
    else {
        return Ok(None);
    };
    let call = Cached { batch, positions, heads, hd, reach: rows.reach(positions), window: mask.window() };
    let own = of_tables != 1;
    let found = step([q, k, v], rotary, own, [&table.places.get(layer)?, &table.held], call)?;
    if call.takes(q.dtype()) {
        return Ok(Some(found));
    }
    // How much is held, and where, is part of what is launched from here on.
    recorded::cannot();
    // A prompt: its queries are turned, its keys and values are kept, and each group reads its own.
    let mut start = 0;
    let read = rows.of_layer(layer).map(|([keys, values], held)| {
        let b = keys.dim(0)?;
        let of = |xs: &Tensor| xs.narrow(1, 0, held + positions);
        let queries = found.narrow(0, start, b)?;
        start += b;
        multi_head_attention(&queries, &of(keys)?, &of(values)?, heads, None, mask)
    });
    Tensor::cat(&read.collect::<Result<Vec<_>>>()?, 0).map(Some)
}

/// What the queries read, where they are few enough for one kernel; else they themselves, turned.
fn step(
    heads: [&Tensor; 3],
    rotary: &Rotary,
    own: bool,
    [places, held]: [&Tensor; 2],
    call: Cached,
) -> Result<Tensor> {
    let in_runs = |xs: &Tensor| if xs.stride().last() == Some(&1) { Ok(xs.clone()) } else { xs.contiguous() };
    let [q, k, v] = heads.map(in_runs);
    let views = [q?, k?, v?];
    let dtype = views[0].dtype();
    let table =
        |table: &Tensor| if table.dtype() == DType::F32 { Ok(table.clone()) } else { table.to_dtype(dtype) };
    let (cos, sin) = (table(&rotary.cos)?, table(&rotary.sin)?);
    let entries = cos.dim(2)?;
    let found = with_views(&views.each_ref(), |card, values| {
        let beside = |at: usize| {
            let steps = views[at].stride();
            Beside { values: values[at], batch: steps[0], position: steps[1] }
        };
        let heads = [beside(0), beside(1), beside(2)];
        with_tensors(&[&cos, &sin, places, held], |_, values| {
            let where_kept = [values[2], values[3]];
            let tables = Tables { cos: values[0], sin: values[1], entries, own };
            let mut turned = kernels::cached(card, heads, tables, where_kept, call)?;
            if !call.takes(dtype) {
                return Ok(turned);
            }
            let queries = card.values(&mut turned);
            kernels::attention_rows(card, queries, where_kept, call)
        })
    })?;
    tensor(found, views[0].shape())
}
