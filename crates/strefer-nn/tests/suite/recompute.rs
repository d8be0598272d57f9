//! Layers that run again in the backward give the values and gradients of layers that keep everything.

use candle_core::{DType, Module, Result, Tensor, Var};
use strefer_nn::optim::Gradients;
use strefer_nn::testing::{device, randn, values};
use strefer_nn::{Linear, LoraConfig, ParamStore, Pass, Recompute, linear, ops};

struct Net {
    layers: Vec<(Linear, Linear)>,
    head: Linear,
}

impl Net {
    fn loss(&self, xs: &Tensor, recompute: Option<&Recompute>) -> Result<Tensor> {
        let mut xs = xs.clone();
        for layer in &self.layers {
            let layer = layer.clone();
            let (inner, last) = layer;
            let block = move |xs: &Tensor, pass: Pass| {
                xs + last.forward_last(&ops::gelu_tanh(&inner.forward(xs)?)?, pass)?
            };
            xs = match recompute {
                Some(recompute) => recompute.run("block", &xs, block)?,
                None => block(&xs, Pass::Forward)?,
            };
        }
        self.head.forward(&xs)?.sqr()?.sum_all()
    }
}

#[test]
fn recomputed_layers_equal_kept_ones() -> Result<()> {
    let store = ParamStore::new(3, device(), DType::F32).trainable(|_| true);
    let vb = store.var_builder();
    let lora = LoraConfig { rank: 2, alpha: 3.0 };
    let layer = |at: usize| {
        let last = linear(6, 6, vb.pp(at).pp("last"))?.with_lora(&lora, vb.pp(at).pp("last"))?;
        Ok((linear(6, 6, vb.pp(at))?, last))
    };
    let layers = (0..3).map(layer).collect::<Result<Vec<_>>>()?;
    let net = Net { layers, head: linear(6, 2, vb.pp("head"))? };
    let vars = store.vars();
    let xs = Tensor::arange(0f32, 24.0, device())?.reshape((4, 6))?.affine(0.1, -1.0)?;

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
    let store = ParamStore::new(3, device(), DType::F32).trainable(|_| false);
    let layer = linear(6, 6, store.var_builder())?;
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&calls);
    let ys =
        Recompute::default().run("block", &Tensor::ones((2, 6), DType::F32, device())?, move |xs, _| {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            layer.forward(xs)
        })?;
    assert!(!ys.track_op());
    assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 1);
    Ok(())
}

#[test]
fn a_product_that_nobody_reads_leads_the_gradients_of_one_that_is_read() -> Result<()> {
    let draw =
        |seed: u64, dims: &[usize], dtype: DType| Var::from_tensor(&randn(seed, dims).to_dtype(dtype)?);
    let mut types = vec![(DType::F32, DType::F32), (DType::F64, DType::F64)];
    // A card multiplies what is of one type.
    if device().is_cpu() {
        types.push((DType::F32, DType::BF16));
    }
    for (of_xs, of_weight) in types {
        for bias in [true, false] {
            let (xs, weight) = (draw(1, &[2, 5, 7], of_xs)?, draw(2, &[4, 7], of_weight)?);
            let bias = if bias { Some(draw(3, &[4], of_weight)?) } else { None };
            let coefficients = randn(4, &[2, 5, 4]).to_dtype(of_xs)?;
            let bias_tensor = bias.as_ref().map(|bias| bias.as_tensor());
            let gradients = |ys: Tensor| (ys * &coefficients)?.sum_all()?.backward();
            let wanted = gradients(ops::linear(&xs, &weight, bias_tensor)?)?;
            let found = gradients(ops::linear_unread(&xs, &weight, bias_tensor)?)?;
            for var in [&xs, &weight].into_iter().chain(&bias) {
                let (found, wanted) =
                    (found.get(var).expect("a gradient"), wanted.get(var).expect("a gradient"));
                assert_eq!(values(found), values(wanted), "{of_xs:?} by {of_weight:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn layers_may_give_views() {
    let views: [fn(&Tensor) -> Result<Tensor>; 2] = [|xs| xs.t(), |xs| xs.narrow(0, 2, 2)];
    for view in views {
        let xs = Var::from_tensor(&randn(1, &[4, 3])).unwrap();
        let ys = Recompute::default().run("layer", xs.as_tensor(), move |xs, _| view(&(xs * 2.0)?)).unwrap();
        let wanted = view(&(xs.as_tensor() * 2.0).unwrap()).unwrap();
        assert_eq!(values(&ys), values(&wanted));
    }
}
