//! Cross-entropy of a linear layer, chunk by chunk: the gradients are made together with the loss, so at no time does
//! more than one chunk of logits exist.

use candle_core::{D, DType, Result, Tensor};

/// Summed loss over rows that all count, and each row's. See [`crate::ops::linear_cross_entropy`].
///
/// # Shapes
/// - `hidden`: `(n, d)`
/// - `weight`: `(v, d)`, `bias`: `(v)`
/// - `labels`: `(n)`, u32
/// - returns: `()` and `(n)`, the second without a history
pub fn linear_cross_entropy(
    hidden: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    labels: &Tensor,
    chunk: usize,
) -> Result<(Tensor, Tensor)> {
    by_chunks(hidden, weight, bias, labels, chunk, score)
}

/// Losses of rows of scores, and where wanted the scores' gradients, in their type.
fn score(scores: Tensor, labels: &Tensor, track: bool) -> Result<(Tensor, Option<Tensor>)> {
    let labels = labels.unsqueeze(1)?;
    let wide = scores.to_dtype(DType::F32)?;
    let shifted = wide.broadcast_sub(&wide.max_keepdim(D::Minus1)?)?;
    let exps = shifted.exp()?;
    let sums = exps.sum_keepdim(D::Minus1)?;
    let losses = (sums.log()? - shifted.gather(&labels, 1)?)?.squeeze(1)?;
    if !track {
        return Ok((losses, None));
    }
    let ones = Tensor::ones(labels.shape(), DType::F32, labels.device())?;
    let target = exps.zeros_like()?.scatter_add(&labels, &ones, 1)?;
    Ok((losses, Some((exps.broadcast_div(&sums)? - target)?.to_dtype(scores.dtype())?)))
}

/// [`linear_cross_entropy`] with `score` for each chunk's scores and labels.
pub(in crate::ops) fn by_chunks(
    hidden: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    labels: &Tensor,
    chunk: usize,
    score: impl Fn(Tensor, &Tensor, bool) -> Result<(Tensor, Option<Tensor>)>,
) -> Result<(Tensor, Tensor)> {
    let (n, _d) = hidden.dims2()?;
    let track = hidden.track_op() || weight.track_op() || bias.is_some_and(Tensor::track_op);
    let (h, w, b) = (hidden.detach(), weight.detach(), bias.map(Tensor::detach));
    let mut loss = Tensor::zeros((), DType::F32, hidden.device())?;
    let mut each = Vec::new();
    let mut d_hidden = Vec::new();
    let mut d_weight: Option<Tensor> = None;
    let mut d_bias: Option<Tensor> = None;
    let add = |sum: Option<Tensor>, more: Tensor| sum.map_or_else(|| Ok(more.clone()), |sum| sum + &more);
    for start in (0..n).step_by(chunk.max(1)) {
        let rows = chunk.max(1).min(n - start);
        let h = h.narrow(0, start, rows)?;
        let labels = labels.narrow(0, start, rows)?;
        let mut logits = h.matmul(&w.t()?)?;
        if let Some(b) = &b {
            logits = logits.broadcast_add(b)?;
        }
        let (losses, d_logits) = score(logits, &labels, track)?;
        loss = (loss + losses.sum_all()?)?;
        each.push(losses);
        if let Some(d_logits) = d_logits {
            d_hidden.push(d_logits.matmul(&w)?);
            d_weight = Some(add(d_weight, d_logits.t()?.contiguous()?.matmul(&h.contiguous()?)?)?);
            d_bias = Some(add(d_bias, d_logits.sum(0)?)?);
        }
    }
    if n == 0 {
        return Ok((loss, Tensor::zeros(0, DType::F32, hidden.device())?));
    }
    let each = Tensor::cat(&each, 0)?;
    if !track {
        return Ok((loss, each));
    }
    // A sum whose gradients are the ones just made, and whose value cancels.
    let product = |xs: &Tensor, dx: &Tensor| (xs * dx)?.sum_all()?.to_dtype(DType::F32);
    let mut carrier = product(hidden, &Tensor::cat(&d_hidden, 0)?)?;
    if let Some(d_weight) = d_weight {
        carrier = (carrier + product(weight, &d_weight)?)?;
    }
    if let (Some(bias), Some(d_bias)) = (bias, d_bias) {
        carrier = (carrier + product(bias, &d_bias)?)?;
    }
    Ok(((loss + (&carrier - carrier.detach())?)?, each))
}
