//! Deformable attention (arXiv 2010.04159) over maps of several sizes: each query reads a few places between cells, which
//! it chose itself. One pass on the CPU and on cards with kernels; elsewhere it is composed of
//! candle's operations.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// Sizes of a call.
#[derive(Debug, Clone)]
struct Deformable {
    /// Height and width of each map.
    levels: Vec<(usize, usize)>,
    heads: usize,
    hd: usize,
    points: usize,
    /// Queries of one row of the batch.
    queries: usize,
    /// Cells of all maps.
    cells: usize,
}

/// The up to four cells round a place, and the share of each. Cells outside have none.
fn corners(x: f32, y: f32, h: usize, w: usize) -> [(usize, f32); 4] {
    let (left, top) = (x.floor(), y.floor());
    let (tx, ty) = (x - left, y - top);
    let corner = |dx: f32, dy: f32, share: f32| {
        let (column, row) = (left + dx, top + dy);
        let inside = column >= 0.0 && row >= 0.0 && column < w as f32 && row < h as f32;
        if inside { (row as usize * w + column as usize, share) } else { (0, 0.0) }
    };
    [
        corner(0.0, 0.0, (1.0 - tx) * (1.0 - ty)),
        corner(1.0, 0.0, tx * (1.0 - ty)),
        corner(0.0, 1.0, (1.0 - tx) * ty),
        corner(1.0, 1.0, tx * ty),
    ]
}

impl Deformable {
    /// What one query reads: `places` are `(nh, levels, points, 2)`, `weights` `(nh, levels, points)`, `values` the
    /// `(cells, nh, hd)` of its row of the batch.
    fn read(&self, values: &[f32], places: &[f32], weights: &[f32], out: &mut [f32]) {
        let width = self.heads * self.hd;
        let chosen = self.levels.len() * self.points;
        for (head, out) in out.chunks_exact_mut(self.hd).enumerate() {
            let mut start = 0;
            for (level, &(h, w)) in self.levels.iter().enumerate() {
                let first = head * chosen + level * self.points;
                for point in first..first + self.points {
                    let (x, y) = (places[2 * point] * w as f32 - 0.5, places[2 * point + 1] * h as f32 - 0.5);
                    for (cell, share) in corners(x, y, h, w) {
                        let share = share * weights[point];
                        if share == 0.0 {
                            continue;
                        }
                        let row = &values[(start + cell) * width + head * self.hd..][..self.hd];
                        out.iter_mut().zip(row).for_each(|(out, value)| *out += share * value);
                    }
                }
                start += h * w;
            }
        }
    }
}

fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => bail!("deformable attention needs contiguous f32"),
    }
}

impl CustomOp3 for Deformable {
    fn name(&self) -> &'static str {
        "deformable-attention"
    }

    fn cpu_fwd(
        &self,
        values: &CpuStorage,
        values_layout: &Layout,
        places: &CpuStorage,
        places_layout: &Layout,
        weights: &CpuStorage,
        weights_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (values, places) = (slice(values, values_layout)?, slice(places, places_layout)?);
        let weights = slice(weights, weights_layout)?;
        let width = self.heads * self.hd;
        let chosen = self.heads * self.levels.len() * self.points;
        let rows = weights.len() / chosen.max(1);
        let mut ys = vec![0f32; rows * width];
        ys.par_chunks_mut(width.max(1)).enumerate().for_each(|(row, out)| {
            let start = row / self.queries * self.cells * width;
            let values = &values[start..start + self.cells * width];
            let places = &places[row * chosen * 2..][..chosen * 2];
            self.read(values, places, &weights[row * chosen..][..chosen], out);
        });
        let b = rows / self.queries.max(1);
        Ok((CpuStorage::F32(ys), Shape::from((b, self.queries, width))))
    }
}

/// Reads the values of several maps at the places that each query chose. Places outside a map are zero. No gradient is kept.
///
/// # Shapes
/// - `values`: `(b, n, nh, hd)`, the cells of all maps, whose sizes are `levels`, one map after the other
/// - `places`: `(b, q, nh, levels, points, 2)`, column and row, where 0 to 1 spans the map
/// - `weights`: `(b, q, nh, levels, points)`
/// - returns: `(b, q, nh*hd)`
pub(crate) fn deformable(
    values: &Tensor,
    levels: &[(usize, usize)],
    places: &Tensor,
    weights: &Tensor,
) -> Result<Tensor> {
    let (b, cells, heads, hd) = values.dims4()?;
    let (b_queries, queries, of_heads, of_levels, points) = weights.dims5()?;
    let all: usize = levels.iter().map(|(h, w)| h * w).sum();
    if all != cells || (b_queries, of_heads, of_levels) != (b, heads, levels.len()) {
        bail!("deformable attention over {:?} with weights of {:?}", values.shape(), weights.shape());
    }
    if places.dims() != [b, queries, heads, levels.len(), points, 2] {
        bail!("deformable attention with weights of {:?} at places of {:?}", weights.shape(), places.shape());
    }
    let op = Deformable { levels: levels.to_vec(), heads, hd, points, queries, cells };
    if values.device().is_cpu() {
        let dtype = values.dtype();
        let wide = |xs: &Tensor| xs.to_dtype(DType::F32)?.contiguous();
        return wide(values)?.apply_op3_no_bwd(&wide(places)?, &wide(weights)?, &op)?.to_dtype(dtype);
    }
    if let Some(found) = strefer_nn::ops::deformable_on_card(values, levels, places, weights)? {
        return Ok(found);
    }
    composed(&op, values, places, weights)
}

/// The same out of gathered rows, map by map.
fn composed(op: &Deformable, values: &Tensor, places: &Tensor, weights: &Tensor) -> Result<Tensor> {
    let Deformable { heads, hd, points, queries, .. } = *op;
    let b = values.dim(0)?;
    let dtype = values.dtype();
    let mut sum: Option<Tensor> = None;
    let mut start = 0;
    for (level, &(h, w)) in op.levels.iter().enumerate() {
        let cells = values.narrow(1, start, h * w)?.transpose(1, 2)?.contiguous()?;
        let cells = cells.reshape((b * heads, h * w, hd))?;
        let split = |xs: &Tensor| -> Result<Tensor> {
            xs.squeeze(3)?.transpose(1, 2)?.contiguous()?.reshape((b * heads, queries * points))
        };
        let weights = split(&weights.narrow(3, level, 1)?)?;
        let place = |axis: usize, size: usize| -> Result<Tensor> {
            let places = places.narrow(5, axis, 1)?.squeeze(5)?.narrow(3, level, 1)?;
            (split(&places)?.to_dtype(DType::F32)? * size as f64)? - 0.5
        };
        let (x, y) = (place(0, w)?, place(1, h)?);
        let (left, top) = (x.floor()?, y.floor()?);
        let (tx, ty) = ((&x - &left)?, (&y - &top)?);
        for (dx, dy) in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)] {
            let (column, row) = ((&left + dx)?, (&top + dy)?);
            let along = |t: &Tensor, d: f64| if d > 0.0 { Ok(t.clone()) } else { 1.0 - t };
            let share = (along(&tx, dx)? * along(&ty, dy)?)?;
            let within = |at: &Tensor, size: usize| -> Result<Tensor> {
                let inside =
                    (at.ge(0f32)?.to_dtype(DType::F32)? * at.lt(size as f32)?.to_dtype(DType::F32)?)?;
                Ok(inside)
            };
            let share = ((share * within(&column, w)?)? * within(&row, h)?)?.to_dtype(dtype)?;
            let column = column.clamp(0.0, (w - 1) as f64)?;
            let row = row.clamp(0.0, (h - 1) as f64)?;
            let cell = ((row * w as f64)? + column)?.to_dtype(DType::U32)?; // (b*nh, q*points)
            let index = cell.unsqueeze(2)?.broadcast_as((b * heads, queries * points, hd))?.contiguous()?;
            let read = cells.gather(&index, 1)?.broadcast_mul(&(share * &weights)?.unsqueeze(2)?)?;
            let read = read.reshape((b * heads, queries, points, hd))?.sum(2)?;
            sum = Some(match sum {
                Some(sum) => (sum + read)?,
                None => read,
            });
        }
        start += h * w;
    }
    let Some(sum) = sum else { bail!("deformable attention over no maps") };
    sum.reshape((b, heads, queries, hd))?.transpose(1, 2)?.contiguous()?.reshape((b, queries, heads * hd))
}

#[cfg(test)]
mod tests {
    use strefer_nn::testing::{Golden, assert_close, max_abs_diff, randn, values};

    use super::*;

    const LEVELS: [(usize, usize); 2] = [(3, 4), (2, 2)];

    fn inputs() -> [Tensor; 3] {
        let places = ((randn(2, &[2, 7, 3, 2, 4, 2]) * 0.6).unwrap() + 0.5).unwrap();
        [randn(1, &[2, 16, 3, 5]), places, randn(3, &[2, 7, 3, 2, 4])]
    }

    #[test]
    fn one_pass_equals_gathered_rows() {
        let [cells, places, weights] = inputs();
        let found = deformable(&cells, &LEVELS, &places, &weights).unwrap();
        let op = Deformable { levels: LEVELS.to_vec(), heads: 3, hd: 5, points: 4, queries: 7, cells: 16 };
        assert_close(&found, &composed(&op, &cells, &places, &weights).unwrap(), 1e-6);
    }

    #[test]
    fn threads_change_no_bit() {
        let [cells, places, weights] = inputs();
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| deformable(&cells, &LEVELS, &places, &weights).unwrap())
        };
        assert_eq!(max_abs_diff(&with(1), &with(3)), 0.0);
    }

    #[test]
    fn it_matches_the_reference_outside_maps_too() {
        for dir in strefer_core::golden::dirs("grounding_dino") {
            let golden = Golden::open(&dir, "deformable_core");
            let sizes = values(&golden.tensor("in.spatial_shapes"));
            let levels: Vec<(usize, usize)> =
                sizes.chunks(2).map(|size| (size[0] as usize, size[1] as usize)).collect();
            let (places, weights) =
                (golden.tensor("in.sampling_locations"), golden.tensor("in.attention_weights"));
            assert!(values(&places).iter().any(|x| *x < 0.0) && values(&places).iter().any(|x| *x > 1.0));
            let found = deformable(&golden.tensor("in.value"), &levels, &places, &weights).unwrap();
            assert_close(&found, &golden.tensor("out"), 1e-6);
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let [cells, places, weights] = inputs();
        assert!(deformable(&cells, &LEVELS[..1], &places, &weights).is_err());
        let fewer = places.narrow(1, 0, 6).unwrap();
        assert!(deformable(&cells, &LEVELS, &fewer, &weights).is_err());
    }
}
