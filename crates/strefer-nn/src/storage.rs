//! Weights that come and go: a tensor keeps its shape while its values are elsewhere.

use candle_core::{CpuStorage, Device, InplaceOp2, Layout, Result, Tensor, bail};

/// Gives back the memory of a contiguous tensor's values. All its clones lose them; whoever reads one before
/// [`refill`] fails or panics, and on a card, which does not look, reads what is not there.
pub fn let_go(tensor: &Tensor) -> Result<()> {
    // A card has no memory of no bytes.
    let left = usize::from(!tensor.device().is_cpu());
    tensor.inplace_op2(&Tensor::zeros(left, tensor.dtype(), tensor.device())?, &Replace)
}

/// A copy of a tensor's values in the host's memory: what is written later takes no room on a card until then.
pub fn host_copy(tensor: &Tensor) -> Result<Tensor> {
    let tensor = tensor.detach();
    if tensor.device().is_cpu() { tensor.copy() } else { tensor.to_device(&Device::Cpu) }
}

/// Puts the values of `with` into a contiguous tensor and all its clones, whether or not it has any.
pub fn refill(tensor: &Tensor, with: &Tensor) -> Result<()> {
    if tensor.elem_count() != with.elem_count() || tensor.dtype() != with.dtype() {
        bail!(
            "{:?} values {:?} cannot take the place of {:?} {:?}",
            with.dtype(),
            with.dims(),
            tensor.dtype(),
            tensor.dims()
        );
    }
    // A view is copied first: the whole of its storage would come along.
    let is_view = with.layout().start_offset() != 0 || !with.is_contiguous();
    let with = if is_view { with.force_contiguous()? } else { with.clone() };
    tensor.inplace_op2(&with, &Replace)
}

/// The first storage becomes a copy of the second.
struct Replace;

impl InplaceOp2 for Replace {
    fn name(&self) -> &'static str {
        "replace"
    }

    fn cpu_fwd(
        &self,
        values: &mut CpuStorage,
        layout: &Layout,
        with: &CpuStorage,
        with_layout: &Layout,
    ) -> Result<()> {
        use candle_core::backend::BackendStorage;
        check(layout)?;
        *values = with.try_clone(with_layout)?;
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        values: &mut candle_core::CudaStorage,
        layout: &Layout,
        with: &candle_core::CudaStorage,
        with_layout: &Layout,
    ) -> Result<()> {
        use candle_core::backend::BackendStorage;
        check(layout)?;
        *values = with.try_clone(with_layout)?;
        Ok(())
    }
}

/// A view of a larger tensor would take the rest of it along.
fn check(layout: &Layout) -> Result<()> {
    if layout.is_contiguous() && layout.start_offset() == 0 {
        Ok(())
    } else {
        bail!("replace: a tensor that is not the whole of its storage")
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;

    #[test]
    fn a_copy_in_the_host_keeps_what_it_has() {
        let tensor = Tensor::arange(0f32, 6.0, &Device::Cpu).unwrap();
        let copy = host_copy(&tensor.narrow(0, 2, 3).unwrap()).unwrap();
        refill(&tensor, &tensor.zeros_like().unwrap()).unwrap();
        assert_eq!(copy.to_vec1::<f32>().unwrap(), [2.0, 3.0, 4.0]);
    }

    #[test]
    fn values_go_and_come_back_for_all_clones() {
        let tensor = Tensor::arange(0f32, 6.0, &Device::Cpu).unwrap().reshape((2, 3)).unwrap();
        let clone = tensor.clone();
        let product =
            |tensor: &Tensor| tensor.matmul(&tensor.t().unwrap()).unwrap().to_vec2::<f32>().unwrap();
        let reads = |tensor: &Tensor| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| tensor.to_vec2::<f32>()))
        };
        let (before, values) = (product(&tensor), tensor.copy().unwrap());
        let_go(&tensor).unwrap();
        assert_eq!(clone.dims(), [2, 3]);
        assert!(reads(&clone).map_or(true, |values| values.is_err()));
        refill(&clone, &values).unwrap();
        assert_eq!(product(&tensor), before);
        let two = Tensor::cat(&[&values, &values], 0).unwrap();
        let_go(&tensor).unwrap();
        refill(&tensor, &two.narrow(0, 2, 2).unwrap()).unwrap();
        assert_eq!(product(&tensor), before);
        assert!(refill(&tensor, &values.narrow(0, 0, 1).unwrap()).is_err());
        assert!(refill(&tensor, &values.to_dtype(DType::F64).unwrap()).is_err());
        assert!(let_go(&tensor.narrow(0, 1, 1).unwrap()).is_err());
        assert!(let_go(&tensor.t().unwrap()).is_err());
    }
}
