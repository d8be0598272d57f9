//! A result that is known already, with a backward of its own.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use crate::tape;

/// From the input and the result's gradient to the input's gradient.
type Backward = dyn Fn(&Tensor, &Tensor) -> Result<Option<Tensor>> + Send + Sync;

/// `ys`, which was computed from `xs` without history, as a function of `xs` whose backward is `backward`: that gets `xs`
/// and the gradient of `ys`, and gives the gradient of `xs`. `ys` is copied once.
pub(crate) fn with_backward(
    name: &'static str,
    xs: &Tensor,
    ys: &Tensor,
    backward: impl Fn(&Tensor, &Tensor) -> Result<Option<Tensor>> + Send + Sync + 'static,
) -> Result<Tensor> {
    if tape::is_on() {
        let backward =
            move |inputs: &[&Tensor], _: &Tensor, grad: &Tensor| Ok(vec![backward(inputs[0], grad)?]);
        return tape::known(vec![xs.clone()], ys, Box::new(backward));
    }
    // A view is copied as it lies, and read as if it lay in one run.
    let ys = match ys.layout() {
        layout if layout.is_contiguous() && layout.start_offset() == 0 => ys.detach(),
        _ => ys.detach().force_contiguous()?,
    };
    xs.apply_op2(&ys, Known { name, backward: Box::new(backward) })
}

/// Gives its second input.
struct Known {
    name: &'static str,
    backward: Box<Backward>,
}

impl CustomOp2 for Known {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        _xs: &CpuStorage,
        _xs_layout: &Layout,
        ys: &CpuStorage,
        ys_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((ys.try_clone(ys_layout)?, ys_layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        _xs: &candle_core::CudaStorage,
        _xs_layout: &Layout,
        ys: &candle_core::CudaStorage,
        ys_layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        Ok((ys.try_clone(ys_layout)?, ys_layout.shape().clone()))
    }

    fn bwd(
        &self,
        xs: &Tensor,
        _ys: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok(((self.backward)(xs, grad)?.map(|grad| grad.detach()), None))
    }
}
