//! Operations with a history whose two directions are kernels.

use candle_core::op::BackpropOp;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail,
};

use super::card::{Card, Reserved, finished, in_runs, tensor, with_tensors};
use crate::kernels::Values;
use crate::tape::{self, Backward};

/// Gradients of all inputs, as far as they are wanted.
pub(super) type Grads = Vec<Option<Tensor>>;

/// One operation: what its kernels make of the inputs' values, and the gradients of the inputs from these, the result and its
/// gradient.
pub(super) struct Fused<F, B> {
    name: &'static str,
    shape: Shape,
    forward: F,
    backward: B,
}

impl<F, B> Fused<F, B>
where
    F: Fn(&Card, &[Values]) -> Result<Reserved> + Send + Sync + 'static,
    B: Fn(&[&Tensor], &Tensor, &Tensor) -> Result<Grads> + Send + Sync + 'static,
{
    /// An operation whose result has this shape.
    pub(super) fn new(name: &'static str, shape: impl Into<Shape>, forward: F, backward: B) -> Self {
        Self { name, shape: shape.into(), forward, backward }
    }

    /// The operation at one to three inputs.
    pub(super) fn at(self, inputs: &[&Tensor]) -> Result<Tensor> {
        let inputs = in_runs(inputs)?;
        if !inputs.windows(2).all(|pair| pair[0].device().same_device(pair[1].device())) {
            bail!("{}: inputs on two cards", self.name);
        }
        let learns = inputs.iter().any(Tensor::track_op);
        if !learns || tape::is_on() {
            let Self { shape, forward, backward, .. } = self;
            let ys = with_tensors(&inputs.iter().collect::<Vec<_>>(), forward)?;
            if !learns {
                return tensor(ys, shape);
            }
            let ys = Storage::Cuda(finished(ys)?);
            return Ok(taped(ys, shape, inputs, Box::new(backward)));
        }
        match &inputs[..] {
            [a] => a.apply_op1(self),
            [a, b] => a.apply_op2(b, self),
            [a, b, c] => a.apply_op3(b, c, self),
            _ => bail!("{}: {} inputs", self.name, inputs.len()),
        }
    }

    fn run(&self, inputs: &[(&CudaStorage, &Layout)]) -> Result<(CudaStorage, Shape)> {
        let Some((first, _)) = inputs.first() else { bail!("{}: no inputs", self.name) };
        let card = Card::new(&first.device);
        let found = card.lend(inputs, &self.forward)?;
        Ok((finished(found)?, self.shape.clone()))
    }

    fn elsewhere<R>(&self) -> Result<R> {
        bail!("{}: this operation runs on a card", self.name)
    }
}

/// What an operation that is taken down gave: to candle, a variable where one of the inputs wants a gradient.
pub(super) fn taped(ys: Storage, shape: Shape, inputs: Vec<Tensor>, backward: Backward) -> Tensor {
    let tracked = inputs.iter().any(Tensor::track_op);
    let ys = Tensor::from_storage(ys, shape, BackpropOp::none(), tracked);
    if tracked {
        tape::take_down(inputs, &ys, backward);
    }
    ys
}

/// The next gradient, without a history: one that is made of what has one would keep all that it was made of, that of a weight until the
/// end of the backward.
fn next(grads: &mut impl Iterator<Item = Option<Tensor>>) -> Option<Tensor> {
    grads.next().flatten().map(|grad| grad.detach())
}

impl<F, B> CustomOp1 for Fused<F, B>
where
    F: Fn(&Card, &[Values]) -> Result<Reserved> + Send + Sync + 'static,
    B: Fn(&[&Tensor], &Tensor, &Tensor) -> Result<Grads> + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.elsewhere()
    }

    fn cuda_fwd(&self, a: &CudaStorage, a_layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.run(&[(a, a_layout)])
    }

    fn bwd(&self, a: &Tensor, ys: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let mut grads = (self.backward)(&[a], ys, grad)?.into_iter();
        Ok(next(&mut grads))
    }
}

impl<F, B> CustomOp2 for Fused<F, B>
where
    F: Fn(&Card, &[Values]) -> Result<Reserved> + Send + Sync + 'static,
    B: Fn(&[&Tensor], &Tensor, &Tensor) -> Result<Grads> + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.elsewhere()
    }

    fn cuda_fwd(
        &self,
        a: &CudaStorage,
        a_layout: &Layout,
        b: &CudaStorage,
        b_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.run(&[(a, a_layout), (b, b_layout)])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        ys: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut grads = (self.backward)(&[a, b], ys, grad)?.into_iter();
        Ok((next(&mut grads), next(&mut grads)))
    }
}

impl<F, B> CustomOp3 for Fused<F, B>
where
    F: Fn(&Card, &[Values]) -> Result<Reserved> + Send + Sync + 'static,
    B: Fn(&[&Tensor], &Tensor, &Tensor) -> Result<Grads> + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.elsewhere()
    }

    fn cuda_fwd(
        &self,
        a: &CudaStorage,
        a_layout: &Layout,
        b: &CudaStorage,
        b_layout: &Layout,
        c: &CudaStorage,
        c_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.run(&[(a, a_layout), (b, b_layout), (c, c_layout)])
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        ys: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut grads = (self.backward)(&[a, b, c], ys, grad)?.into_iter();
        Ok((next(&mut grads), next(&mut grads), next(&mut grads)))
    }
}
