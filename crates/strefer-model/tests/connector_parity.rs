//! The connectors equal the references': Perceiver resampler and Grouped Token Turing Machine of BLIP-3-Strefer, the
//! spatial-temporal convolution of VideoRefer in both variants.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::{DType, Result, Tensor, Var};
use candle_nn::VarBuilder;
use serde_json::Value;
use strefer_core::golden;
use strefer_model::connector::{Gttm, GttmConfig, Perceiver, PerceiverConfig, Stc, StcConfig};
use strefer_nn::testing::{Golden, assert_all_grads, device, max_abs_diff, relative_diff};
use strefer_nn::{ParamStore, Weights};

/// One recorded call of a module.
struct Case {
    family: &'static str,
    name: String,
    golden: Golden,
    /// With the names that the module asks for.
    weights: Weights,
    /// What the names of recorded gradients have before those.
    prefix: &'static str,
    dtype: DType,
    build: Build,
    names: Names,
}

/// What a case calls its tensors.
#[derive(Clone, Copy)]
struct Names {
    input: &'static str,
    output: &'static str,
    coefficients: &'static str,
}

type Build = Box<dyn Fn(VarBuilder) -> Result<Box<dyn Fn(&Tensor) -> Result<Tensor>>>>;

const VISION_TOKENIZER: &str = "vision_tokenizer.";
const TEMPORAL_ENCODER: &str = "vision_tokenizer.temporal_encoder.";
const STREFER: Names = Names { input: "x", output: "output", coefficients: "loss_weight" };
const STC: Names = Names { input: "x", output: "y", coefficients: "coef" };

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn size(value: &Value) -> usize {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no size")) as usize
}

fn listed(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// Weights below `prefix`, without it.
fn below(weights: Weights, prefix: &str) -> Weights {
    weights.renamed(|name| name.strip_prefix(prefix).map(str::to_owned)).unwrap()
}

fn gttm_config(cfg: &Value) -> GttmConfig {
    GttmConfig {
        memory: size(&cfg["memory_size_per_group"]),
        layers: size(&cfg["num_layers"]),
        heads: size(&cfg["num_heads"]),
    }
}

fn perceiver_config(cfg: &Value, temporal: Option<GttmConfig>) -> PerceiverConfig {
    PerceiverConfig {
        layers: size(&cfg["depth"]),
        heads: size(&cfg["heads"]),
        head_dim: size(&cfg["dim_head"]),
        latents: size(&cfg["num_latents"]),
        temporal,
    }
}

/// Takes `x` as the references do, with an axis of one image a frame.
fn build_perceiver(cfg: PerceiverConfig, vision_dim: usize, text_dim: usize) -> Build {
    Box::new(move |vb| {
        let perceiver = Perceiver::new(&cfg, vision_dim, text_dim, vb)?;
        Ok(Box::new(move |x| perceiver.forward(&x.squeeze(2)?)?.unsqueeze(1)))
    })
}

fn perceiver_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dir in golden::dirs("perceiver") {
        let cfg = json(&dir.join("config.json"));
        for (temporal, key) in [(false, "cases"), (true, "gttm_cases")] {
            for name in listed(&cfg[key]) {
                let weights = below(Golden::open(&dir, "weights").weights(), VISION_TOKENIZER);
                let used = |name: &str| (temporal || !name.starts_with("temporal")).then(|| name.to_owned());
                let temporal = temporal.then(|| gttm_config(&cfg["gttm"]));
                cases.push(Case {
                    family: "perceiver",
                    golden: Golden::open(&dir, &format!("case_{name}")),
                    weights: weights.renamed(used).unwrap(),
                    prefix: VISION_TOKENIZER,
                    dtype: DType::F32,
                    build: build_perceiver(
                        perceiver_config(&cfg, temporal),
                        size(&cfg["dim"]),
                        size(&cfg["dim_out"]),
                    ),
                    names: STREFER,
                    name,
                });
            }
        }
    }
    cases.extend(strefer_cases());
    cases
}

/// The resampler with its temporal encoder inside the reference's whole model.
fn strefer_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dir in golden::find("strefer_e2e") {
        let cfg = json(&dir.join("config.json"));
        for name in ["batch", "batch_mixed"] {
            let perceiver = perceiver_config(&cfg["perceiver"], Some(gttm_config(&cfg["gttm"])));
            let vision_dim = size(&cfg["vision_config"]["hidden_size"]);
            let text_dim = size(&cfg["text_config"]["hidden_size"]);
            cases.push(Case {
                family: "strefer_e2e",
                name: name.to_owned(),
                golden: Golden::open(&dir, &format!("{name}_outputs")),
                weights: below(Golden::open(&dir, "weights").weights(), VISION_TOKENIZER),
                prefix: VISION_TOKENIZER,
                dtype: DType::F32,
                build: build_perceiver(perceiver, vision_dim, text_dim),
                names: Names { input: "vision_features", output: "vision_tokens", ..STREFER },
            });
        }
    }
    cases
}

fn build_gttm(cfg: GttmConfig, groups: usize, dim: usize) -> Build {
    Box::new(move |vb| {
        let gttm = Gttm::new(&cfg, groups, dim, vb)?;
        Ok(Box::new(move |x| gttm.forward(x)?.unsqueeze(1)))
    })
}

fn gttm_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dir in golden::dirs("gttm") {
        let cfg = json(&dir.join("config.json"));
        for name in listed(&cfg["cases"]) {
            cases.push(Case {
                family: "gttm",
                golden: Golden::open(&dir, &format!("case_{name}")),
                weights: below(Golden::open(&dir, "weights").weights(), TEMPORAL_ENCODER),
                prefix: TEMPORAL_ENCODER,
                dtype: DType::F32,
                build: build_gttm(gttm_config(&cfg), size(&cfg["process_size"]), size(&cfg["dim"])),
                names: STREFER,
                name,
            });
        }
    }
    cases
}

/// Takes `x` on a grid or flattened, as the reference does.
fn build_stc(weights: &Weights, sampler_padding: usize) -> Build {
    let first = weights.shape("s1.b1.conv1.conv.weight").unwrap();
    let (text_dim, vision_dim) = (first[0], first[1]);
    let blocks: BTreeSet<&str> =
        weights.names().filter_map(|name| name.strip_prefix("s1.")?.split('.').next()).collect();
    let cfg = StcConfig { blocks: blocks.len(), sampler_padding };
    Box::new(move |vb| {
        let stc = Stc::new(&cfg, vision_dim, text_dim, vb)?;
        Ok(Box::new(move |x| match *x.dims() {
            [b, t, n, d] => stc.forward(&x.reshape((b, t, n.isqrt(), n.isqrt(), d))?),
            _ => stc.forward(x),
        }))
    })
}

fn stc_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let dirs = golden::dirs("stc").into_iter().chain(golden::find("videorefer"));
    for dir in dirs {
        let manifest = json(&dir.join("manifest.json"));
        for (variant, padding) in [("stc_v35", 0), ("stc", 1)] {
            for entry in manifest[variant].as_array().into_iter().flatten() {
                let weights = Golden::open(&dir, "stc_v35_weights").weights();
                let name = entry["name"].as_str().unwrap();
                let file = entry["file"].as_str().unwrap().trim_end_matches(".safetensors");
                cases.push(Case {
                    family: variant,
                    name: name.to_owned(),
                    golden: Golden::open(&dir, file),
                    prefix: "",
                    dtype: if name == "bf16" { DType::BF16 } else { DType::F32 },
                    build: build_stc(&weights, padding),
                    names: STC,
                    weights,
                });
            }
        }
        cases.extend(videorefer_case(&dir));
    }
    cases
}

/// The connector inside the reference's whole model.
fn videorefer_case(dir: &Path) -> Option<Case> {
    dir.join("e2e_weights.safetensors").is_file().then(|| {
        let weights = below(Golden::open(dir, "e2e_weights").weights(), "model.mm_projector.");
        Case {
            family: "videorefer",
            name: "e2e".to_owned(),
            golden: Golden::open(dir, "e2e_batch_outputs"),
            prefix: "",
            dtype: DType::F32,
            build: build_stc(&weights, 0),
            names: Names { input: "vision_features", output: "mm_features", ..STC },
            weights,
        }
    })
}

fn all_cases() -> Vec<Case> {
    let families = [perceiver_cases(), gttm_cases(), stc_cases()];
    assert!(families.iter().all(|cases| !cases.is_empty()));
    families.into_iter().flatten().collect()
}

impl Case {
    fn module(&self, weights: Weights) -> Result<(ParamStore, impl Fn(&Tensor) -> Result<Tensor>)> {
        let store = ParamStore::new(0, device(), self.dtype).with_weights(weights).trainable(|_| true);
        let module = (self.build)(store.var_builder())?;
        Ok((store, module))
    }

    fn input(&self) -> Tensor {
        self.golden.tensor(self.names.input)
    }

    fn output(&self) -> Tensor {
        self.golden.tensor(self.names.output)
    }

    /// Fails unless the tensors agree, relative to the largest value recorded.
    fn compare(&self, what: &str, found: &Tensor, recorded: &Tensor, tolerance: f64) {
        let tolerance = if self.dtype == DType::BF16 { 5e-2 } else { tolerance };
        let diff = relative_diff(found, recorded);
        assert!(diff <= tolerance, "{} {}, {what}: differs by {diff:e}", self.family, self.name);
    }
}

#[test]
fn tokens_equal_the_recorded_ones() -> Result<()> {
    for case in all_cases() {
        let (store, module) = case.module(case.weights.clone())?;
        let output = module(&case.input().to_dtype(case.dtype)?)?;
        case.compare("output", &output.to_dtype(DType::F32)?, &case.output(), 1e-5);
        assert_eq!(store.missing(), Vec::<String>::new());
        // What checkpoints hold and no step uses.
        let unused = |name: &String| name.contains("read_layer.") || name.ends_with("pos_emb.inv_freq");
        let left: Vec<String> = store.unexpected().into_iter().filter(|name| !unused(name)).collect();
        assert_eq!(left, Vec::<String>::new());
    }
    Ok(())
}

#[test]
fn gradients_equal_the_recorded_ones() -> Result<()> {
    let mut compared = BTreeMap::new();
    for case in all_cases() {
        if !case.golden.contains(case.names.coefficients) {
            continue;
        }
        let (store, module) = case.module(case.weights.clone())?;
        let x = Var::from_tensor(&case.input())?;
        let loss = (module(&x)? * case.golden.tensor(case.names.coefficients))?.sum_all()?;
        let grads = loss.backward()?;
        assert_all_grads(&store.vars(), &grads);
        for (name, var) in store.vars() {
            let recorded = case.golden.tensor(&format!("grad.{}{name}", case.prefix));
            case.compare(&name, grads.get(&var).expect("checked above"), &recorded, 1e-4);
        }
        case.compare("x", grads.get(&x).expect("a variable"), &case.golden.tensor("grad.x"), 1e-4);
        *compared.entry(case.family).or_insert(0) += 1;
    }
    assert!(["perceiver", "gttm", "stc_v35", "stc"].iter().all(|family| compared.contains_key(family)));
    Ok(())
}

#[test]
fn the_memory_after_each_frame_equals_the_recorded_one() -> Result<()> {
    for case in gttm_cases() {
        let (_, module) = case.module(case.weights.clone())?;
        let (x, memories) = (case.input(), case.golden.tensor("memory_steps"));
        for frames in 1..=x.dim(1)? {
            let expected = memories.get(frames - 1)?.mean(2)?.unsqueeze(1)?; // (b, 1, n, d)
            let found = module(&x.narrow(1, 0, frames)?.contiguous()?)?;
            case.compare(&format!("frame {frames}"), &found, &expected, 1e-5);
        }
    }
    Ok(())
}

#[test]
fn one_disturbed_weight_does_not_agree() -> Result<()> {
    let of = |cases: Vec<Case>, weight: &'static str| (cases.into_iter().next().expect("a case"), weight);
    for (case, disturbed) in [
        of(perceiver_cases(), "layers.0.0.to_kv.weight"),
        of(gttm_cases(), "ttm_unit.write_layer.mlp.3.weight"),
        of(stc_cases(), "s1.b1.conv2.conv.weight"),
    ] {
        let mut tensors = BTreeMap::new();
        for name in case.weights.names() {
            let stored = case.weights.load(name, DType::F32, device());
            tensors.insert(name.to_owned(), stored.expect("a recorded weight"));
        }
        let weight = tensors.get_mut(disturbed).expect("a weight of the module");
        let mut values = weight.flatten_all()?.to_vec1::<f32>()?;
        values[0] += 1.0;
        *weight = Tensor::from_vec(values, weight.shape(), device())?;
        let (_, module) = case.module(Weights::from_tensors("disturbed", tensors))?;
        assert!(max_abs_diff(&module(&case.input())?, &case.output()) > 1e-3, "{disturbed}");
    }
    Ok(())
}

#[test]
fn a_batch_equals_its_rows() -> Result<()> {
    let mut compared = 0;
    for case in all_cases() {
        let x = case.input();
        if x.dim(0)? < 2 || case.dtype != DType::F32 {
            continue;
        }
        let (_, module) = case.module(case.weights.clone())?;
        let whole = module(&x)?;
        for row in 0..x.dim(0)? {
            let alone = module(&x.narrow(0, row, 1)?.contiguous()?)?;
            case.compare(&format!("row {row}"), &alone, &whole.narrow(0, row, 1)?, 1e-5);
        }
        compared += 1;
    }
    assert!(compared > 0);
    Ok(())
}
