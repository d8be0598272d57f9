//! Attention as an operation of candle, over split heads or flat ones.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::attention_kernel::{HeadGrads, Heads, Problem};
use super::data::{stored, strided, with_slice, with_strided};
use super::rotary::{Angles, half_tables};
use crate::ops::{AttentionMask, Heads as HeadCounts, Rotary};

/// How heads lie in a tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Order {
    /// `(b, n, s, hd)`
    Split,
    /// `(b, s, n*hd)`
    Flat,
}

struct Attention {
    order: Order,
    heads: HeadCounts,
    mask: AttentionMask,
    /// Tables of half a head's width.
    rotary: Option<(Tensor, Tensor)>,
    /// Logarithms of the sums, `(b, nh, s)`.
    logs: OnceLock<Vec<f32>>,
}

/// Sizes of one call.
#[derive(Clone, Copy)]
struct Sizes {
    b: usize,
    s: usize,
    t: usize,
    hd: usize,
}

impl Attention {
    fn sizes(&self, q: &[usize], k: &[usize]) -> Result<Sizes> {
        let (b, s, t, hd) = match (self.order, q, k) {
            (Order::Split, &[b, _, s, hd], &[_, _, t, _]) => (b, s, t, hd),
            (Order::Flat, &[b, s, d], &[_, t, _]) => (b, s, t, d / self.heads.query.max(1)),
            _ => bail!("attention over {q:?} and {k:?}"),
        };
        Ok(Sizes { b, s, t, hd })
    }

    fn view<'a>(&self, values: &'a [f32], layout: &Layout, hd: usize) -> Heads<'a> {
        let stride = layout.stride();
        match self.order {
            Order::Split => Heads { values, batch: stride[0], head: stride[1], row: stride[2] },
            Order::Flat => Heads { values, batch: stride[0], head: hd, row: stride[1] },
        }
    }

    /// A view of contiguous values in the order of this operation.
    fn packed<'a>(&self, values: &'a [f32], n: usize, s: usize, hd: usize) -> Heads<'a> {
        match self.order {
            Order::Split => Heads { values, batch: n * s * hd, head: s * hd, row: hd },
            Order::Flat => Heads { values, batch: n * s * hd, head: hd, row: n * hd },
        }
    }

    fn problem<'a>(&'a self, sizes: Sizes, angles: Option<Angles<'a>>) -> Problem<'a> {
        Problem {
            s: sizes.s,
            t: sizes.t,
            hd: sizes.hd,
            group: self.heads.query / self.heads.key,
            scale: self.heads.scale as f32,
            mask: &self.mask,
            angles,
        }
    }

    fn with_problem<R>(&self, sizes: Sizes, f: impl FnOnce(Problem<'_>) -> Result<R>) -> Result<R> {
        let Some((cos, sin)) = &self.rotary else { return f(self.problem(sizes, None)) };
        let half = sizes.hd / 2;
        let batch = if cos.dim(0)? == 1 { 0 } else { sizes.s * half };
        with_slice(cos, |cos| {
            with_slice(sin, |sin| f(self.problem(sizes, Some(Angles { cos, sin, half, batch }))))
        })
    }
}

/// Memory that several threads write to, each its own places.
struct Shared {
    start: *mut f32,
    len: usize,
    /// Values written, counted where debug assertions are on.
    written: AtomicUsize,
}

// SAFETY: the pointer comes from a vector that outlives the threads, and every place is written by one of them only.
unsafe impl Sync for Shared {}

impl Shared {
    /// Room for `len` values in an empty vector that was allocated for so many.
    fn room(values: &mut Vec<f32>, len: usize) -> Self {
        assert!(len <= values.capacity(), "a vector too small for its tensor");
        Self { start: values.as_mut_ptr(), len, written: AtomicUsize::new(0) }
    }

    /// Lets `values`, whose room this was, have them all.
    ///
    /// # Safety
    /// Every place has been written.
    unsafe fn fill(self, values: &mut Vec<f32>) {
        debug_assert_eq!(self.written.into_inner(), self.len, "not every value was written");
        // SAFETY: by the caller's promise all `len` values are there, and they fit.
        unsafe { values.set_len(self.len) }
    }

    /// Copies `row` to the places from `at` on.
    ///
    /// # Safety
    /// No other thread may write or read these places while this runs.
    unsafe fn write(&self, at: usize, row: &[f32]) {
        assert!(at + row.len() <= self.len, "a row outside its tensor");
        if cfg!(debug_assertions) {
            self.written.fetch_add(row.len(), Ordering::Relaxed);
        }
        // SAFETY: the places lie inside, and by the caller's promise nobody else uses them.
        unsafe { std::ptr::copy_nonoverlapping(row.as_ptr(), self.start.add(at), row.len()) }
    }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes = self.sizes(q_layout.dims(), k_layout.dims())?;
        let Sizes { b, s, hd, .. } = sizes;
        let (nh, nkv) = (self.heads.query, self.heads.key);
        let group = nh / nkv;
        let views = [
            self.view(strided(q, q_layout)?, q_layout, hd),
            self.view(strided(k, k_layout)?, k_layout, hd),
            self.view(strided(v, v_layout)?, v_layout, hd),
        ];
        let (count, log_count) = (b * nh * s * hd, b * nh * s);
        let (mut ys, mut logs) = (Vec::with_capacity(count), Vec::with_capacity(log_count));
        let place = self.packed(&[], nh, s, hd);
        let (shared_ys, shared_logs) = (Shared::room(&mut ys, count), Shared::room(&mut logs, log_count));
        self.with_problem(sizes, |problem| {
            (0..b * nkv).into_par_iter().try_for_each(|task| {
                let (row, kv) = (task / nkv, task % nkv);
                problem.forward(views, row, kv, |head, from, out, sums| {
                    let head = kv * group + head;
                    let start = row * place.batch + head * place.head;
                    for (at, out) in (from..).zip(out.chunks_exact(hd)) {
                        // SAFETY: batch row, head and query belong to this task alone.
                        unsafe { shared_ys.write(start + at * place.row, out) }
                    }
                    // SAFETY: as above.
                    unsafe { shared_logs.write((row * nh + head) * s + from, sums) }
                })
            })
        })?;
        // SAFETY: `Problem::forward` has given every query of every head once.
        unsafe {
            shared_ys.fill(&mut ys);
            shared_logs.fill(&mut logs);
        }
        // An operation runs once; were it run again, the values would be the same.
        let _ = self.logs.set(logs);
        Ok(stored(ys, q_layout.shape()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        ys: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let sizes = self.sizes(q.dims(), k.dims())?;
        let Sizes { b, s, t, hd } = sizes;
        let (nh, nkv) = (self.heads.query, self.heads.key);
        let group = nh / nkv;
        let Some(logs) = self.logs.get() else { bail!("attention: backward before forward") };
        let (q_count, k_count) = (b * nh * s * hd, b * nkv * t * hd);
        let (mut dq, mut dk, mut dv) =
            (Vec::with_capacity(q_count), Vec::with_capacity(k_count), Vec::with_capacity(k_count));
        let (q_place, k_place) = (self.packed(&[], nh, s, hd), self.packed(&[], nkv, t, hd));
        let shared =
            [Shared::room(&mut dq, q_count), Shared::room(&mut dk, k_count), Shared::room(&mut dv, k_count)];
        let scatter = |row: usize, kv: usize, grads: HeadGrads| {
            let put = |into: &Shared, place: Heads<'_>, head: usize, values: &[f32]| {
                let start = row * place.batch + head * place.head;
                for (at, values) in values.chunks_exact(hd).enumerate() {
                    // SAFETY: batch row and head belong to one task alone.
                    unsafe { into.write(start + at * place.row, values) }
                }
            };
            for (head, values) in grads.q.chunks_exact(s * hd).enumerate() {
                put(&shared[0], q_place, kv * group + head, values);
            }
            put(&shared[1], k_place, kv, &grads.k);
            put(&shared[2], k_place, kv, &grads.v);
        };
        let run = |problem: Problem<'_>, inputs: [Heads<'_>; 3], outputs: [Heads<'_>; 2]| {
            (0..b * nkv).into_par_iter().try_for_each(|task| {
                let (row, kv) = (task / nkv, task % nkv);
                let logs = &logs[(row * nh + kv * group) * s..][..group * s];
                scatter(row, kv, problem.backward(inputs, outputs, logs, row, kv)?);
                Ok(())
            })
        };
        let grad = grad.contiguous()?;
        with_strided(q, |q, q_layout| {
            with_strided(k, |k, k_layout| {
                with_strided(v, |v, v_layout| {
                    with_slice(ys, |ys| {
                        with_slice(&grad, |grad| {
                            let inputs = [
                                self.view(q, q_layout, hd),
                                self.view(k, k_layout, hd),
                                self.view(v, v_layout, hd),
                            ];
                            let outputs = [self.packed(ys, nh, s, hd), self.packed(grad, nh, s, hd)];
                            self.with_problem(sizes, |problem| run(problem, inputs, outputs))
                        })
                    })
                })
            })
        })?;
        let [shared_q, shared_k, shared_v] = shared;
        // SAFETY: `Problem::backward` gives whole heads, and every head was scattered once.
        unsafe {
            shared_q.fill(&mut dq);
            shared_k.fill(&mut dk);
            shared_v.fill(&mut dv);
        }
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), &Device::Cpu).map(Some);
        Ok((tensor(dq, q)?, tensor(dk, k)?, tensor(dv, v)?))
    }
}

/// The last dimension in one run, copied if need be.
fn rows_in_runs(xs: &Tensor) -> Result<Tensor> {
    if xs.stride().last() == Some(&1) { Ok(xs.clone()) } else { xs.contiguous() }
}

fn run(op: Attention, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let Sizes { b, s, t, hd } = op.sizes(q.dims(), k.dims())?;
    let HeadCounts { query, key, .. } = op.heads;
    if key == 0 || !query.is_multiple_of(key) {
        bail!("{query} query heads cannot share {key} key heads");
    }
    let keys = match op.order {
        Order::Split => vec![b, key, t, hd],
        Order::Flat => vec![b, t, key * hd],
    };
    if k.dims() != keys || v.dims() != keys || (op.order == Order::Flat && q.dim(2)? != query * hd) {
        bail!("attention of queries {:?} over keys {:?} and values {:?}", q.shape(), k.shape(), v.shape());
    }
    op.mask.check(b, s, t)?;
    rows_in_runs(q)?.apply_op3(&rows_in_runs(k)?, &rows_in_runs(v)?, op)
}

/// See [`crate::ops::attention`].
pub(crate) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    scale: f64,
    mask: &AttentionMask,
) -> Result<Tensor> {
    let heads = HeadCounts { query: q.dims4()?.1, key: k.dims4()?.1, scale };
    let op =
        Attention { order: Order::Split, heads, mask: mask.clone(), rotary: None, logs: OnceLock::new() };
    run(op, q, k, v)
}

/// See [`crate::ops::multi_head_attention`].
pub(crate) fn multi_head_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: HeadCounts,
    rotary: Option<&Rotary>,
    mask: &AttentionMask,
) -> Result<Tensor> {
    let (b, s, d) = q.dims3()?;
    let rotary = match rotary {
        Some(Rotary { cos, sin }) => {
            if k.dim(1)? != s {
                bail!("rotation of {s} queries and {} keys needs as many of both", k.dim(1)?);
            }
            Some(half_tables(cos, sin, b, s, d / heads.query.max(1))?)
        }
        None => None,
    };
    let op = Attention { order: Order::Flat, heads, mask: mask.clone(), rotary, logs: OnceLock::new() };
    run(op, q, k, v)
}
