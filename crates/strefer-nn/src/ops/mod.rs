//! The operations models are built from. Every one carries gradients to all its float inputs.
//!
//! Each function has a version composed of candle's differentiable operations, for any device and float type
//! ([`composed`]), and a fused one for f32 on the CPU, which is taken where it applies. Half types on the CPU are widened
//! for it, and the result narrowed. With the feature `cuda`, most have kernels for cards, of inputs that are all bf16, f16 or
//! f32, which no card has run yet.

mod cached;
pub mod composed;
#[cfg(feature = "cuda")]
mod cuda;
mod fused;
mod linear;
mod mask;
mod pooled;
mod quantised;
mod sequences;
mod tiles;

pub use cached::CachedRows;
use composed::wide;
#[cfg(feature = "cuda")]
pub use cuda::{Kernels, cudnn_runs, use_kernels};
#[cfg(feature = "cuda")]
pub(crate) use cuda::{Moved, Recorded, adamw, squares, takes_update};
pub(crate) use fused::simd;
pub(crate) use linear::apply_gelu;
pub use linear::{Gelu, linear, linear_gelu, linear_unread, linear_updated};
pub use mask::AttentionMask;
pub use pooled::Pooled;
pub use quantised::QuantisedWeight;
pub use sequences::Sequence;
pub use tiles::Tiling;

use candle_core::{DType, Device, Result, Tensor, bail};
use strefer_core::Rng;

/// Whether kernels of this crate move parameters like this one.
#[cfg(not(feature = "cuda"))]
pub(crate) fn takes_update(_: &Tensor) -> bool {
    false
}

/// Head counts and score scale of an attention layer over flattened heads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heads {
    /// Query heads.
    pub query: usize,
    /// Key and value heads; each serves `query / key` query heads.
    pub key: usize,
    /// What scores are multiplied with, usually one over the root of the head width.
    pub scale: f64,
}

/// Rotation angles of every position of a sequence.
#[derive(Debug, Clone)]
pub struct Rotary {
    /// `(b|1, s, hd/2)` or `(b|1, s, hd)` with equal halves.
    pub cos: Tensor,
    /// As `cos`.
    pub sin: Tensor,
}

impl Rotary {
    fn widened(&self) -> Result<Self> {
        Ok(Self { cos: wide(&self.cos)?, sin: wide(&self.sin)? })
    }
}

/// The type of the result when some of `tensors` are half floats on the CPU; nothing when all are f32 or elsewhere. The
/// first one decides.
fn narrow<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Option<DType> {
    let (mut result, mut any) = (None, false);
    for xs in tensors {
        let half = matches!(xs.dtype(), DType::F16 | DType::BF16);
        if !xs.device().is_cpu() || !(half || xs.dtype() == DType::F32) {
            return None;
        }
        result = result.or(Some(xs.dtype()));
        any |= half;
    }
    result.filter(|_| any)
}

/// What says by what operations on cards are done.
const KERNELS: &str = "STREFER_KERNELS";

/// Whether kernels of this crate are asked for on cards: `STREFER_KERNELS` is `fused` or `cudnn`. Programs without CUDA know it, too,
/// to plan for others.
///
/// # Errors
/// Another word than these and `composed`.
pub fn kernels_asked_for() -> Result<bool> {
    match std::env::var(KERNELS).as_deref() {
        Ok("composed") | Err(_) => Ok(false),
        Ok("fused" | "cudnn") => Ok(true),
        Ok(other) => bail!("{KERNELS}={other}: it is composed, fused or cudnn"),
    }
}

/// Whether kernels of this crate do what operations do on a device.
pub fn has_kernels(device: &Device) -> bool {
    #[cfg(feature = "cuda")]
    let used = cuda::are_used();
    #[cfg(not(feature = "cuda"))]
    let used = false;
    used && device.is_cuda()
}

/// `xs` with every number dropped for which a draw of `rng`, in their order, is less than `probability`, and the others scaled up
/// by as much.
pub(crate) fn dropout(xs: &Tensor, rng: &Rng, probability: f64) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if cuda::applies([xs]) {
        return cuda::dropout(xs, rng, probability);
    }
    let mut rng = rng.clone();
    let kept = (1.0 / (1.0 - probability)) as f32;
    let mask = (0..xs.elem_count()).map(|_| if rng.chance(probability) { 0.0 } else { kept });
    let mask = Tensor::from_vec(mask.collect::<Vec<f32>>(), xs.shape(), &Device::Cpu)?;
    xs * mask.to_dtype(xs.dtype())?.to_device(xs.device())?
}

/// `xs` as it is. On a tape ([`crate::Tape`]) it is an operation of its own, so that what leads to it is gone back through once, however many
/// read it: where the turns of a loop hang on each other by candle's operations.
pub fn once(xs: &Tensor) -> Result<Tensor> {
    if !crate::tape::is_on() {
        return Ok(xs.clone());
    }
    crate::tape::known(vec![xs.clone()], xs, Box::new(|_, _, grad| Ok(vec![Some(grad.clone())])))
}

/// `xs + added`, of one shape.
pub fn sum(xs: &Tensor, added: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if crate::tape::is_on() && cuda::applies([xs, added]) {
        return cuda::sum(xs, added);
    }
    xs + added
}

/// `xs + added`, and that [`rms_norm`]ed: what goes on past a layer, and what goes into it.
///
/// # Shapes
/// - `xs`, `added`: `(.., d)`, `weight`: `(d)` → twice `(.., d)`
pub fn sum_rms_norm(xs: &Tensor, added: &Tensor, weight: &Tensor, eps: f64) -> Result<(Tensor, Tensor)> {
    #[cfg(feature = "cuda")]
    if cuda::applies([xs, added, weight]) && ![xs, added, weight].iter().any(|xs| xs.track_op()) {
        return cuda::sum_rms_norm(xs, added, weight, eps);
    }
    let sum = sum(xs, added)?;
    let normed = rms_norm(&sum, weight, eps)?;
    Ok((sum, normed))
}

/// Divides each vector by its root mean square, then multiplies by `weight`.
///
/// # Shapes
/// - `xs`: `(.., d)`, `weight`: `(d)` → `(.., d)`
pub fn rms_norm(xs: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if cuda::applies([xs, weight]) {
        return cuda::rms_norm(xs, weight, eps);
    }
    if let Some(dtype) = narrow([xs, weight]) {
        return rms_norm(&wide(xs)?, &wide(weight)?, eps)?.to_dtype(dtype);
    }
    if fused::applies([xs, weight]) {
        fused::rms_norm(xs, weight, eps)
    } else {
        composed::rms_norm(xs, weight, eps)
    }
}

/// Centres each vector, divides it by its standard deviation, then applies `weight` and `bias`.
///
/// # Shapes
/// - `xs`: `(.., d)`, `weight` and `bias`: `(d)` → `(.., d)`
pub fn layer_norm(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if cuda::applies([xs, weight].into_iter().chain(bias)) {
        return cuda::layer_norm(xs, weight, bias, eps);
    }
    if let Some(dtype) = narrow([xs, weight].into_iter().chain(bias)) {
        return layer_norm(&wide(xs)?, &wide(weight)?, bias.map(wide).transpose()?.as_ref(), eps)?
            .to_dtype(dtype);
    }
    if fused::applies([xs, weight].into_iter().chain(bias)) {
        fused::layer_norm(xs, weight, bias, eps)
    } else {
        composed::layer_norm(xs, weight, bias, eps)
    }
}

/// Softmax over the last dimension.
pub fn softmax_last(xs: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if cuda::applies([xs]) {
        return cuda::softmax_last(xs);
    }
    if let Some(dtype) = narrow([xs]) {
        return softmax_last(&wide(xs)?)?.to_dtype(dtype);
    }
    if fused::applies([xs]) { fused::softmax_last(xs) } else { composed::softmax_last(xs) }
}

/// `x Φ(x)` with the exact normal distribution.
pub fn gelu_erf(xs: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if cuda::applies([xs]) {
        return cuda::gelu_erf(xs);
    }
    if let Some(dtype) = narrow([xs]) {
        return gelu_erf(&wide(xs)?)?.to_dtype(dtype);
    }
    if fused::applies([xs]) { fused::gelu_erf(xs) } else { composed::gelu_erf(xs) }
}

/// The approximation of GELU by a hyperbolic tangent.
pub fn gelu_tanh(xs: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if cuda::applies([xs]) {
        return cuda::gelu_tanh(xs);
    }
    if let Some(dtype) = narrow([xs]) {
        return gelu_tanh(&wide(xs)?)?.to_dtype(dtype);
    }
    if fused::applies([xs]) { fused::gelu_tanh(xs) } else { composed::gelu_tanh(xs) }
}

/// `x σ(x)`.
pub fn silu(xs: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if cuda::applies([xs]) {
        return cuda::silu(xs);
    }
    if let Some(dtype) = narrow([xs]) {
        return silu(&wide(xs)?)?.to_dtype(dtype);
    }
    if fused::applies([xs]) { fused::silu(xs) } else { composed::silu(xs) }
}

/// `silu(gate) * up`.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if cuda::applies([gate, up]) {
        return cuda::swiglu(gate, up);
    }
    if let Some(dtype) = narrow([gate, up]) {
        return swiglu(&wide(gate)?, &wide(up)?)?.to_dtype(dtype);
    }
    if fused::applies([gate, up]) { fused::swiglu(gate, up) } else { composed::swiglu(gate, up) }
}

/// [`swiglu`] of rows whose first half is the gate.
///
/// # Shapes
/// - `both`: `(.., 2 d)` → `(.., d)`
pub fn swiglu_joined(both: &Tensor) -> Result<Tensor> {
    let width = match both.dims().last() {
        Some(width) if *width > 0 && width.is_multiple_of(2) => width / 2,
        _ => bail!("rows of {:?} have no halves", both.shape()),
    };
    #[cfg(feature = "cuda")]
    if cuda::applies([both]) {
        return cuda::swiglu_joined(both, width);
    }
    if let Some(dtype) = narrow([both]) {
        return swiglu_joined(&wide(both)?)?.to_dtype(dtype);
    }
    if fused::applies([both]) { fused::swiglu_joined(both, width) } else { composed::swiglu_joined(both) }
}

/// Rotates the pair of entries `i` and `i + hd/2` of each head by its position's angle.
///
/// # Shapes
/// - `xs`: `(b, nh, s, hd)`
/// - `cos`, `sin`: `(b|1, s, hd/2)` or `(b|1, s, hd)` with equal halves
/// - returns: `(b, nh, s, hd)`
pub fn rotary(xs: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if cuda::turns(xs, [cos, sin]) {
        return cuda::rotary(xs, cos, sin);
    }
    if let Some(dtype) = narrow([xs, cos, sin]) {
        return rotary(&wide(xs)?, &wide(cos)?, &wide(sin)?)?.to_dtype(dtype);
    }
    // The fused rotation takes its angles for constants.
    let constant = !cos.track_op() && !sin.track_op();
    if constant && fused::applies([xs, cos, sin]) {
        fused::rotary(xs, cos, sin)
    } else {
        composed::rotary(xs, cos, sin)
    }
}

/// [`rotary`] of heads that lie side by side.
///
/// # Shapes
/// - `xs`: `(b, s, nh*hd)` → `(b, s, nh*hd)`
pub fn rotary_side_by_side(xs: &Tensor, heads: usize, rotary: &Rotary) -> Result<Tensor> {
    let (_b, _s, width) = xs.dims3()?;
    if heads == 0 || !width.is_multiple_of(heads) {
        bail!("{heads} heads do not fill {width}");
    }
    let Rotary { cos, sin } = rotary;
    #[cfg(feature = "cuda")]
    if cuda::turns(xs, [cos, sin]) {
        return cuda::rotary_side_by_side(xs, heads, rotary);
    }
    if let Some(dtype) = narrow([xs, cos, sin]) {
        return rotary_side_by_side(&wide(xs)?, heads, &rotary.widened()?)?.to_dtype(dtype);
    }
    if !cos.track_op() && !sin.track_op() && fused::applies([xs, cos, sin]) {
        fused::rotary_side_by_side(xs, heads, rotary)
    } else {
        composed::rotary_side_by_side(xs, heads, rotary)
    }
}

/// Attention with grouped heads. A query that sees no key gives zeros. With more keys than queries (a cache), the
/// queries are the last columns.
///
/// # Shapes
/// - `q`: `(b, nh, s, hd)`
/// - `k`, `v`: `(b, nkv, t, hd)`
/// - returns: `(b, nh, s, hd)`
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64, mask: &AttentionMask) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if cuda::applies([q, k, v]) && cuda::takes_heads(q, q.dims().last().copied().unwrap_or_default()) {
        return cuda::attention(q, k, v, scale, mask);
    }
    if let Some(dtype) = narrow([q, k, v]) {
        return attention(&wide(q)?, &wide(k)?, &wide(v)?, scale, mask)?.to_dtype(dtype);
    }
    if fused::applies([q, k, v]) {
        fused::attention(q, k, v, scale, mask)
    } else {
        composed::attention(q, k, v, scale, mask)
    }
}

/// [`attention`] on heads that lie side by side, as linear layers leave them, with an optional rotation of queries and
/// keys. Saves the copies between the two layouts.
///
/// # Shapes
/// - `q`: `(b, s, nh*hd)`
/// - `k`, `v`: `(b, t, nkv*hd)`
/// - returns: `(b, s, nh*hd)`
pub fn multi_head_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: Heads,
    rotary: Option<&Rotary>,
    mask: &AttentionMask,
) -> Result<Tensor> {
    // Heads turn where they lie side by side.
    #[cfg(feature = "cuda")]
    if let Some(tables) = rotary
        && cuda::turns(q, [&tables.cos, &tables.sin])
        && cuda::applies([q, k])
    {
        let q = cuda::rotary_side_by_side(q, heads.query, tables)?;
        let k = cuda::rotary_side_by_side(k, heads.key, tables)?;
        return multi_head_attention(&q, &k, v, heads, None, mask);
    }
    #[cfg(feature = "cuda")]
    if rotary.is_none()
        && cuda::applies([q, k, v])
        && cuda::takes_heads(q, q.dims().last().map_or(0, |width| width / heads.query.max(1)))
    {
        return cuda::multi_head_attention(q, k, v, heads, mask);
    }
    let tables = rotary.map_or(&[][..], |rotary| std::slice::from_ref(rotary));
    let tables: Vec<&Tensor> = tables.iter().flat_map(|rotary| [&rotary.cos, &rotary.sin]).collect();
    if let Some(dtype) = narrow([q, k, v].into_iter().chain(tables.iter().copied())) {
        let rotary = rotary.map(Rotary::widened).transpose()?;
        let ys = multi_head_attention(&wide(q)?, &wide(k)?, &wide(v)?, heads, rotary.as_ref(), mask)?;
        return ys.to_dtype(dtype);
    }
    let constant = !tables.iter().any(|table| table.track_op());
    if constant && fused::applies([q, k, v].into_iter().chain(tables)) {
        fused::multi_head_attention(q, k, v, heads, rotary, mask)
    } else {
        composed::multi_head_attention(q, k, v, heads, rotary, mask)
    }
}

/// The same values, in the order of their shape.
pub fn contiguous(xs: &Tensor) -> Result<Tensor> {
    if fused::applies([xs]) { fused::contiguous(xs) } else { xs.contiguous() }
}

/// What [`linear_cross_entropy`] found.
#[derive(Debug, Clone)]
pub struct CrossEntropy {
    /// The sum over the labels that counted, a number in f32.
    pub sum: Tensor,
    /// How many counted.
    pub count: usize,
    /// That of each label that counted, `(count)` in f32, without a history.
    pub each: Tensor,
}

/// Cross-entropy of `hidden · weightᵀ + bias` against `labels`.
/// Never more than `chunk` rows of logits exist at a time; rows with `ignore_index` are skipped altogether. On the CPU a
/// weight in bf16 is read as it lies, and sums are f32.
///
/// # Shapes
/// - `hidden`: `(n, d)`
/// - `weight`: `(v, d)`, `bias`: `(v)`
/// - `labels`: `(n)`, i64; best on the processor, where they are looked through
pub fn linear_cross_entropy(
    hidden: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    labels: &Tensor,
    ignore_index: i64,
    chunk: usize,
) -> Result<CrossEntropy> {
    let (n, _d) = hidden.dims2()?;
    let vocabulary = weight.dim(0)?;
    let labels = labels.to_dtype(DType::I64)?.to_vec1::<i64>()?;
    if labels.len() != n {
        bail!("{} labels for {n} rows", labels.len());
    }
    let mut rows = Vec::new();
    let mut kept = Vec::new();
    for (row, &label) in labels.iter().enumerate() {
        if label == ignore_index {
            continue;
        }
        match u32::try_from(label) {
            Ok(label) if (label as usize) < vocabulary => kept.push(label),
            _ => bail!("label {label} of row {row} is outside the vocabulary of {vocabulary}"),
        }
        rows.push(row as u32);
    }
    let count = rows.len();
    if count == 0 {
        let sum = Tensor::zeros((), DType::F32, hidden.device())?;
        let each = sum.reshape(1)?.narrow(0, 0, 0)?; // a view: a card has no memory of no bytes
        return Ok(CrossEntropy { sum, count, each });
    }
    let hidden = if count == n {
        hidden.clone()
    } else {
        hidden.contiguous()?.index_select(&Tensor::from_vec(rows, count, hidden.device())?, 0)?
    };
    let inputs = || [&hidden, weight].into_iter().chain(bias);
    let (sum, each) = if fused::applies(inputs()) || fused::applies_bf16(&hidden, weight, bias) {
        fused::linear_cross_entropy(&hidden, weight, bias, kept, chunk)?
    } else if narrow(inputs()).is_some() {
        let bias = bias.map(wide).transpose()?;
        fused::linear_cross_entropy(&wide(&hidden)?, &wide(weight)?, bias.as_ref(), kept, chunk)?
    } else {
        let labels = Tensor::from_vec(kept, count, hidden.device())?;
        #[cfg(feature = "cuda")]
        if cuda::applies(inputs()) {
            let (sum, each) = cuda::linear_cross_entropy(&hidden, weight, bias, &labels, chunk)?;
            return Ok(CrossEntropy { sum, count, each });
        }
        composed::linear_cross_entropy(&hidden, weight, bias, &labels, chunk)?
    };
    Ok(CrossEntropy { sum, count, each })
}

/// Averages features under masks: `sum(feat * mask / (sum(mask) + 1e-8))` over the patches of each mask's frame. An
/// empty mask pools to zeros. Masks are constants.
///
/// # Shapes
/// - `feats`: `(f, n, d)`
/// - `pooled`: `k` masks of `n` patches in any of the `f` frames
/// - returns: `(k, d)`
pub fn mask_pool(feats: &Tensor, pooled: Pooled) -> Result<Tensor> {
    let (f, n, _d) = feats.dims3()?;
    pooled.check(f, n)?;
    if pooled.rows.is_empty() {
        return feats.detach().flatten(0, 1)?.narrow(0, 0, 0);
    }
    #[cfg(feature = "cuda")]
    if cuda::applies([feats]) {
        return cuda::mask_pool(feats, &pooled);
    }
    if let Some(dtype) = narrow([feats]) {
        return mask_pool(&wide(feats)?, pooled)?.to_dtype(dtype);
    }
    if fused::applies([feats]) {
        fused::mask_pool(feats, pooled)
    } else {
        composed::mask_pool(feats, &pooled)
    }
}

/// Each channel under its own `k`×`k` filter, `k` odd: stride one, zeros around the map.
///
/// # Shapes
/// - `xs`: `(b, h, w, c)`
/// - `weight`: `(c, 1, k, k)`
/// - returns: `(b, h, w, c)`
pub fn depthwise(xs: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let k = match weight.dims() {
        &[_, 1, k, across] if k == across && k % 2 == 1 => k,
        dims => bail!("depthwise filters of {dims:?} are not square with an odd side"),
    };
    #[cfg(feature = "cuda")]
    if cuda::applies([xs, weight]) {
        return cuda::depthwise(xs, weight, k);
    }
    if let Some(dtype) = narrow([xs, weight]) {
        return depthwise(&wide(xs)?, &wide(weight)?)?.to_dtype(dtype);
    }
    if fused::applies([xs, weight]) {
        fused::depthwise(xs, weight, k)
    } else {
        composed::depthwise(xs, weight, k)
    }
}

/// `xs * factor` as `dtype`, rounded once.
pub fn scaled(xs: &Tensor, dtype: DType, factor: f64) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if cuda::applies([xs]) && matches!(dtype, DType::F32 | DType::BF16 | DType::F16) {
        return cuda::scaled(xs, dtype, factor);
    }
    composed::scaled(xs, dtype, factor)
}

/// Deformable attention (arXiv 2010.04159) by its kernel: without a history, and nothing where the kernel does not apply. Places
/// outside of a map are zero.
///
/// # Shapes
/// - `values`: `(b, n, nh, hd)`, the cells of all maps, whose sizes are `levels`, one map after the other
/// - `places`: `(b, q, nh, levels, points, 2)`, column and row, where 0 to 1 spans the map
/// - `weights`: `(b, q, nh, levels, points)`
/// - returns: `(b, q, nh*hd)`
pub fn deformable_on_card(
    values: &Tensor,
    levels: &[(usize, usize)],
    places: &Tensor,
    weights: &Tensor,
) -> Result<Option<Tensor>> {
    #[cfg(feature = "cuda")]
    if cuda::applies([values]) && ![values, places, weights].iter().any(|xs| xs.track_op()) {
        return cuda::deformable(values, levels, places, weights).map(Some);
    }
    let _ = (values, levels, places, weights);
    Ok(None)
}
