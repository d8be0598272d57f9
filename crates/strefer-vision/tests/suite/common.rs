//! Recorded cases, and what all parity tests do with them.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::path::{Path, PathBuf};

use candle_core::{Result, Tensor, Var};
use strefer_nn::testing::{Golden, max_abs_diff, relative_diff};
use strefer_nn::{ParamStore, Weights};

/// The folders of all cases of a name; there is one at least.
pub fn cases(name: &str) -> Vec<PathBuf> {
    let dirs = strefer_core::golden::dirs(name);
    assert!(!dirs.is_empty());
    dirs
}

/// All files of weights of a case, which may be in shards.
pub fn weights(dir: &Path) -> Weights {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| {
        let name = file.file_name().unwrap().to_str().unwrap();
        name.starts_with("weights") && name.ends_with(".safetensors")
    });
    let parts = files.into_iter().map(|file| Weights::open(file).unwrap());
    parts.reduce(|all, part| all.joined(part).unwrap()).unwrap()
}

/// The gradients of a tower's selected states in `gradients_select_layer_-2` are those of the pixels and of all weights that
/// have one.
pub fn check_gradients(dir: &Path, store: &ParamStore, forward: impl Fn(&Tensor) -> Result<Tensor>) {
    let golden = Golden::open(dir, "gradients_select_layer_-2");
    let pixels = Var::from_tensor(&golden.tensor("in.pixel_values")).unwrap();
    let selected = forward(&pixels).unwrap();
    let loss = (selected * golden.tensor("in.coef")).unwrap().sum_all().unwrap();
    assert!(max_abs_diff(&loss, &golden.tensor("loss")) < 1e-3);
    let grads = loss.backward().unwrap();
    let vars = store.vars();
    let mut compared = 0;
    for name in golden.names() {
        let Some(weight) = name.strip_prefix("grad.") else { continue };
        let var = if weight == "pixel_values" { &pixels } else { &vars[weight] };
        let wanted = golden.tensor(&name);
        // A key's bias shifts all scores alike: its gradient is zero but for rounding.
        if weight.ends_with("k_proj.bias") {
            assert!(max_abs_diff(grads.get(var).unwrap(), &wanted) < 1e-4, "{name}");
        } else {
            let diff = relative_diff(grads.get(var).unwrap(), &wanted);
            assert!(diff < 1e-4, "{name}: {diff:e}");
        }
        compared += 1;
    }
    let with_gradient = vars.values().filter(|var| grads.get(var).is_some()).count() + 1;
    assert_eq!(compared, with_gradient, "the reference has as many gradients as we");
}
