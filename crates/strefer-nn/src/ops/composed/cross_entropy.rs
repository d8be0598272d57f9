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
    by_chunks(hidden, weight, bias, labels, chunk, score)?.with_history([Some(hidden), Some(weight), bias])
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

/// What [`by_chunks`] found, none of it with a history.
pub(in crate::ops) struct Chunked {
    /// The sum.
    pub loss: Tensor,
    /// Each row's.
    pub each: Tensor,
    /// Of the sum, for those of hidden states, weight and bias that want one.
    pub grads: [Option<Tensor>; 3],
}

impl Chunked {
    /// The sum and each row's, the sum with a history that gives these inputs their gradients.
    pub fn with_history(self, inputs: [Option<&Tensor>; 3]) -> Result<(Tensor, Tensor)> {
        let Self { loss, each, grads } = self;
        // A sum whose gradients are the ones just made, and whose value cancels.
        let mut carrier: Option<Tensor> = None;
        for (input, grad) in inputs.into_iter().zip(grads) {
            let (Some(input), Some(grad)) = (input, grad) else { continue };
            let product = (input * grad)?.sum_all()?.to_dtype(DType::F32)?;
            carrier = Some(match carrier {
                Some(carrier) => (carrier + product)?,
                None => product,
            });
        }
        match carrier {
            Some(carrier) => Ok(((loss + (&carrier - carrier.detach())?)?, each)),
            None => Ok((loss, each)),
        }
    }
}

/// [`linear_cross_entropy`] with `score` for each chunk's scores and labels.
pub(in crate::ops) fn by_chunks(
    hidden: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    labels: &Tensor,
    chunk: usize,
    score: impl Fn(Tensor, &Tensor, bool) -> Result<(Tensor, Option<Tensor>)>,
) -> Result<Chunked> {
    let (n, _d) = hidden.dims2()?;
    let wants = [hidden.track_op(), weight.track_op(), bias.is_some_and(Tensor::track_op)];
    let track = wants.contains(&true);
    let (h, w, b) = (hidden.detach(), weight.detach(), bias.map(Tensor::detach));
    let mut loss = Tensor::zeros((), DType::F32, hidden.device())?;
    let mut each = Vec::new();
    let mut of_hidden = Vec::new();
    let [mut of_weight, mut of_bias]: [Option<Tensor>; 2] = [None, None];
    let add = |sum: &mut Option<Tensor>, more: Tensor| -> Result<()> {
        *sum = Some(match sum.take() {
            Some(sum) => (sum + more)?,
            None => more,
        });
        Ok(())
    };
    for start in (0..n).step_by(chunk.max(1)) {
        let rows = chunk.max(1).min(n - start);
        let h = h.narrow(0, start, rows)?;
        let labels = labels.narrow(0, start, rows)?;
        let mut logits = h.matmul(&w.t()?)?;
        if let Some(b) = &b {
            logits = logits.broadcast_add(b)?;
        }
        let (losses, grads) = score(logits, &labels, track)?;
        loss = (loss + losses.sum_all()?)?;
        each.push(losses);
        let Some(grads) = grads else { continue };
        if wants[0] {
            of_hidden.push(grads.matmul(&w)?);
        }
        if wants[1] {
            add(&mut of_weight, grads.t()?.contiguous()?.matmul(&h.contiguous()?)?)?;
        }
        if wants[2] {
            add(&mut of_bias, grads.sum(0)?)?;
        }
    }
    let joined = |parts: &[Tensor]| if parts.is_empty() { Ok(None) } else { Tensor::cat(parts, 0).map(Some) };
    let each = match joined(&each)? {
        Some(each) => each,
        None => Tensor::zeros(0, DType::F32, hidden.device())?,
    };
    Ok(Chunked { loss, each, grads: [joined(&of_hidden)?, of_weight, of_bias] })
}
