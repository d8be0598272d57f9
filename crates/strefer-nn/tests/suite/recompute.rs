//! Layers that run again in the backward give the values and gradients of layers that keep everything.

use candle_core::{DType, Device, Module, Result, Tensor};
use strefer_nn::optim::Gradients;
use strefer_nn::{Linear, ParamStore, Recompute, linear, ops};

struct Net {
    layers: Vec<Linear>,
    head: Linear,
}

impl Net {
    fn loss(&self, xs: &Tensor, recompute: Option<&Recompute>) -> Result<Tensor> {
        let mut xs = xs.clone();
        for layer in &self.layers {
            let layer = layer.clone();
            let block = move |xs: &Tensor| xs + ops::gelu_tanh(&layer.forward(xs)?)?;
            xs = match recompute {
                Some(recompute) => recompute.run("block", &xs, block)?,
                None => block(&xs)?,
            };
        }
        self.head.forward(&xs)?.sqr()?.sum_all()
    }
}

#[test]
fn recomputed_layers_equal_kept_ones() -> Result<()> {
    let store = ParamStore::new(3, &Device::Cpu, DType::F32).trainable(|_| true);
    let vb = store.var_builder();
    let layers = (0..3).map(|at| linear(6, 6, vb.pp(at))).collect::<Result<Vec<_>>>()?;
    let net = Net { layers, head: linear(6, 2, vb.pp("head"))? };
    let vars = store.vars();
    let xs = Tensor::arange(0f32, 24.0, &Device::Cpu)?.reshape((4, 6))?.affine(0.1, -1.0)?;

    let kept = net.loss(&xs, None)?;
    let wanted = Gradients::collect(&vars, &kept.backward()?);
    let recompute = Recompute::default();
    // Twice: what one step found does not reach the next.
    for _ in 0..2 {
        let loss = net.loss(&xs, Some(&recompute))?;
        assert_eq!(loss.to_scalar::<f32>()?, kept.to_scalar::<f32>()?);
        let mut found = Gradients::collect(&vars, &loss.backward()?);
        assert!(found.get("0.weight").is_none(), "the layer's own history is gone");
        recompute.add_to(&mut found, &vars)?;
        for name in vars.keys() {
            let (found, wanted) = (found.get(name).unwrap(), wanted.get(name).unwrap());
            let largest = wanted.abs()?.max_all()?.to_scalar::<f32>()?;
            let error = (found - wanted)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(error <= 1e-5 * largest, "{name}: {error} of {largest}");
        }
    }
    Ok(())
}

#[test]
fn a_frozen_layer_has_no_history() -> Result<()> {
    let store = ParamStore::new(3, &Device::Cpu, DType::F32).trainable(|_| false);
    let layer = linear(6, 6, store.var_builder())?;
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&calls);
    let ys =
        Recompute::default().run("block", &Tensor::ones((2, 6), DType::F32, &Device::Cpu)?, move |xs| {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            layer.forward(xs)
        })?;
    assert!(!ys.track_op());
    assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 1);
    Ok(())
}
