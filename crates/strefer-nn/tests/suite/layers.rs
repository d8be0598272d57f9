//! Layers built from parameters.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Module, Tensor, Var};
use strefer_nn::testing::{assert_all_grads, assert_close, device, randn};
use strefer_nn::{Embedding, LayerNorm, Linear, LoraConfig, ParamStore, RmsNorm, Weights, linear};

fn store() -> ParamStore {
    ParamStore::new(1, device(), DType::F32).trainable(|_| true)
}

#[test]
fn every_parameter_of_every_layer_gets_a_gradient() {
    let store = store();
    let vb = store.var_builder();
    let embedding = Embedding::new(10, 8, vb.pp("embedding")).unwrap();
    let rms = RmsNorm::new(8, 1e-6, vb.pp("rms")).unwrap();
    let norm = LayerNorm::new(8, 1e-6, vb.pp("norm")).unwrap();
    let head = linear(8, 5, vb.pp("head")).unwrap();
    let ids = Tensor::new(&[[1u32, 2, 9], [0, 1, 1]], device()).unwrap();
    let xs = embedding.forward(&ids).unwrap();
    assert_eq!(xs.dims(), [2, 3, 8]);
    let ys = xs.apply(&rms).unwrap().apply(&norm).unwrap().apply(&head).unwrap();
    let grads = (ys * randn(3, &[2, 3, 5])).unwrap().sum_all().unwrap().backward().unwrap();
    assert_all_grads(&store.vars(), &grads);
}

#[test]
fn a_fresh_lora_changes_nothing_and_a_merged_one_equals_the_update() {
    let (weight, xs) = (randn(1, &[6, 4]), randn(2, &[3, 4]));
    let plain = Linear::new(weight.clone(), Some(randn(3, &[6])));
    let cfg = LoraConfig { rank: 2, alpha: 4.0 };
    let fresh = plain.clone().with_lora(&cfg, store().var_builder()).unwrap();
    assert_close(&fresh.forward(&xs).unwrap(), &plain.forward(&xs).unwrap(), 0.0);

    let trained = [("lora_A.weight", randn(4, &[2, 4])), ("lora_B.weight", randn(5, &[6, 2]))];
    let tensors = trained.iter().map(|(name, xs)| (name.to_string(), xs.clone())).collect();
    let store = store().with_weights(Weights::from_tensors("lora", tensors));
    let lora = plain.with_lora(&cfg, store.var_builder()).unwrap();
    let merged = lora.merge().unwrap();
    assert_close(&merged.forward(&xs).unwrap(), &lora.forward(&xs).unwrap(), 1e-6);
    let update = trained[1].1.matmul(&trained[0].1).unwrap();
    assert_close(merged.weight(), &(weight + (update * 2.0).unwrap()).unwrap(), 1e-6);
    let grads = lora.forward(&xs).unwrap().sqr().unwrap().sum_all().unwrap().backward().unwrap();
    assert_eq!(store.vars().len(), 2, "the weight itself stays frozen");
    assert_all_grads(&store.vars(), &grads);
}

#[test]
fn saved_updates_fold_into_their_weights() {
    let names = [("x.q.weight", vec![6, 4]), ("x.q.bias", vec![6]), ("x.norm.weight", vec![4])];
    let updates = [("x.q.lora_A.weight", vec![2, 4]), ("x.q.lora_B.weight", vec![6, 2])];
    let tensors = (0..).zip(names.iter().chain(&updates));
    let tensors: std::collections::BTreeMap<String, Tensor> =
        tensors.map(|(seed, (name, dims))| (name.to_string(), randn(seed, dims))).collect();
    let merged = Weights::from_tensors("memory", tensors.clone()).merge_lora(6.0).unwrap();
    assert_eq!(merged.names().collect::<Vec<_>>(), ["x.norm.weight", "x.q.bias", "x.q.weight"]);
    let load = |name: &str| merged.load(name, DType::F32, device()).unwrap();
    let update = tensors["x.q.lora_B.weight"].matmul(&tensors["x.q.lora_A.weight"]).unwrap();
    let wanted = (&tensors["x.q.weight"] + (update * 3.0).unwrap()).unwrap();
    assert_close(&load("x.q.weight"), &wanted, 1e-6);
    assert_close(&load("x.q.bias"), &tensors["x.q.bias"], 0.0);
    let mut half = tensors.clone();
    half.remove("x.q.lora_B.weight");
    let error = Weights::from_tensors("memory", half).merge_lora(6.0).unwrap_err().to_string();
    assert!(error.contains("x.q.lora_B.weight"), "{error}");
}

#[test]
fn gradients_go_through_a_quantised_weight_as_through_what_it_stands_for() {
    let (weight, xs) = (randn(1, &[6, 64]), Var::from_tensor(&randn(2, &[2, 3, 64])).unwrap());
    for dtype in [GgmlDType::Q8_0, GgmlDType::Q4_0] {
        let blocks = Arc::new(QTensor::quantize(&weight, dtype).unwrap());
        let unpacked = blocks.dequantize(device()).unwrap();
        let mut layer = Linear::new(weight.clone(), Some(randn(3, &[6])));
        layer.quantise(blocks).unwrap();
        let cfg = LoraConfig { rank: 2, alpha: 4.0 };
        let updates = [("lora_A.weight", randn(5, &[2, 64])), ("lora_B.weight", randn(6, &[6, 2]))];
        let updates = updates.map(|(name, values)| (name.to_owned(), values)).into();
        let store = store().with_weights(Weights::from_tensors("lora", updates));
        let layer = layer.with_lora(&cfg, store.var_builder()).unwrap();
        let plain = Linear::new(unpacked, Some(randn(3, &[6]))).with_lora(&cfg, store.var_builder()).unwrap();
        let seed = randn(4, &[2, 3, 6]);
        let run = |layer: &Linear| {
            let ys = layer.forward(xs.as_tensor()).unwrap();
            let grads = (&ys * &seed).unwrap().sum_all().unwrap().backward().unwrap();
            (ys, grads)
        };
        let ((ys, grads), (wanted, wanted_grads)) = (run(&layer), run(&plain));
        // The product rounds what it is applied to, to 8 bits; the backward does not.
        assert_close(&ys, &wanted, 0.1);
        assert_close(grads.get(xs.as_tensor()).unwrap(), wanted_grads.get(xs.as_tensor()).unwrap(), 1e-5);
        assert_all_grads(&store.vars(), &grads);
    }
}
