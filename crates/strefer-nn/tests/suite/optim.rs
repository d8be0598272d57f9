//! AdamW against its formula, gradients, and continuing from a saved state.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor, Var};
use strefer_nn::optim::{AdamW, AdamWConfig, Gradients, Group, MomentType};
use strefer_nn::testing::{assert_close, max_abs_diff, randn, values};

fn vars(dtype: DType) -> BTreeMap<String, Var> {
    let var = |seed, dims: &[usize]| Var::from_tensor(&randn(seed, dims).to_dtype(dtype).unwrap()).unwrap();
    BTreeMap::from([("a.weight".into(), var(1, &[40, 3])), ("b.bias".into(), var(2, &[5]))])
}

fn grads(step: u64) -> Gradients {
    let mut grads = Gradients::default();
    grads.insert("a.weight", randn(100 + step, &[40, 3]));
    grads.insert("b.bias", randn(200 + step, &[5]));
    grads
}

fn groups() -> Vec<Group> {
    vec![Group { matches: Box::new(|name| name.ends_with("bias")), lr_scale: 0.5, weight_decay: 0.0 }]
}

const CFG: AdamWConfig = AdamWConfig {
    beta1: 0.9,
    beta2: 0.98,
    eps: 1e-8,
    weight_decay: 0.1,
    moments: MomentType::F32,
    offload: false,
};

/// The published update, in double precision.
fn by_formula(start: &Tensor, grads: &[Tensor], lr: f64, decay: f64) -> Vec<f64> {
    let mut xs = values(start);
    let (mut m, mut v) = (vec![0.0; xs.len()], vec![0.0; xs.len()]);
    for (at, grad) in grads.iter().enumerate() {
        let t = at as i32 + 1;
        for (i, g) in values(grad).into_iter().enumerate() {
            m[i] = CFG.beta1 * m[i] + (1.0 - CFG.beta1) * g;
            v[i] = CFG.beta2 * v[i] + (1.0 - CFG.beta2) * g * g;
            let (mh, vh) = (m[i] / (1.0 - CFG.beta1.powi(t)), v[i] / (1.0 - CFG.beta2.powi(t)));
            xs[i] = xs[i] * (1.0 - lr * decay) - lr * mh / (vh.sqrt() + CFG.eps);
        }
    }
    xs
}

#[test]
fn updates_follow_the_formula_with_groups() {
    let vars = vars(DType::F32);
    let start: BTreeMap<_, _> = vars.iter().map(|(name, var)| (name.clone(), var.copy().unwrap())).collect();
    let mut adam = AdamW::new(&vars, CFG, &groups()).unwrap();
    for step in 0..5 {
        adam.step(&grads(step), 0.01).unwrap();
    }
    for (name, lr, decay) in [("a.weight", 0.01, 0.1), ("b.bias", 0.005, 0.0)] {
        let seen: Vec<Tensor> = (0..5).map(|step| grads(step).get(name).unwrap().clone()).collect();
        for (found, wanted) in values(&vars[name]).into_iter().zip(by_formula(&start[name], &seen, lr, decay))
        {
            assert!((found - wanted).abs() < 1e-6, "{name}: {found} instead of {wanted}");
        }
    }
}

#[test]
fn the_tensor_path_equals_the_slice_path_and_keeps_f32_masters() {
    let (wide, narrow) = (vars(DType::F32), vars(DType::BF16));
    for (name, var) in &wide {
        var.set(&narrow[name].to_dtype(DType::F32).unwrap()).unwrap();
    }
    let mut host = AdamW::new(&wide, CFG, &[]).unwrap();
    let offloaded = vars(DType::BF16);
    let mut other = AdamW::new(&narrow, CFG, &[]).unwrap();
    let mut away = AdamW::new(&offloaded, AdamWConfig { offload: true, ..CFG }, &[]).unwrap();
    for step in 0..20 {
        host.step(&grads(step), 1e-4).unwrap();
        other.step(&grads(step), 1e-4).unwrap();
        away.step(&grads(step), 1e-4).unwrap();
    }
    let (state, away) = (other.state_dict().unwrap(), away.state_dict().unwrap());
    for (name, var) in &wide {
        assert_close(&state[&format!("{name}.master")], var, 1e-6);
        assert_eq!(max_abs_diff(&away[&format!("{name}.master")], var), 0.0);
        assert_eq!(narrow[name].dtype(), DType::BF16);
        assert_eq!(values(&offloaded[name]), values(&var.to_dtype(DType::BF16).unwrap()));
    }
}

#[test]
fn moments_in_eight_bits_learn_nearly_the_same_and_continue_with_the_same_bits() {
    let start = || BTreeMap::from([("w".to_owned(), Var::from_tensor(&randn(1, &[90, 100])).unwrap())]);
    // Towards zero, with noise of its own size.
    let grad = |vars: &BTreeMap<String, Var>, step: u64| {
        let mut grads = Gradients::default();
        let noise = (randn(step, &[90, 100]) * 0.3).unwrap();
        grads.insert("w", (vars["w"].as_tensor() + noise).unwrap());
        grads
    };
    let size = |vars: &BTreeMap<String, Var>| {
        vars["w"].sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap()
    };
    for dtype in [DType::F32, DType::BF16] {
        let eight = AdamWConfig { moments: MomentType::EightBit, weight_decay: 0.0, ..CFG };
        let cast = |vars: BTreeMap<String, Var>| -> BTreeMap<String, Var> {
            vars.into_iter()
                .map(|(n, v)| (n, Var::from_tensor(&v.to_dtype(dtype).unwrap()).unwrap()))
                .collect()
        };
        let (wide, packed, stopped) = (start(), cast(start()), cast(start()));
        let run = |vars: &BTreeMap<String, Var>, adam: &mut AdamW, steps: std::ops::Range<u64>| {
            for step in steps {
                let wide: BTreeMap<String, Var> = vars
                    .iter()
                    .map(|(n, v)| (n.clone(), Var::from_tensor(&v.to_dtype(DType::F32).unwrap()).unwrap()))
                    .collect();
                adam.step(&grad(&wide, step), 0.02).unwrap();
            }
        };
        let cfg = AdamWConfig { weight_decay: 0.0, ..CFG };
        run(&wide, &mut AdamW::new(&wide, cfg, &[]).unwrap(), 0..100);
        let mut adam = AdamW::new(&packed, eight, &[]).unwrap();
        run(&packed, &mut adam, 0..100);
        let packed_f32 = BTreeMap::from([(
            "w".to_owned(),
            Var::from_tensor(&packed["w"].to_dtype(DType::F32).unwrap()).unwrap(),
        )]);
        let (before, exact, found) = (size(&start()), size(&wide), size(&packed_f32));
        assert!(
            exact < 0.05 * before && found < 1.2 * exact + 1e-3,
            "{dtype:?}: {before} to {exact}, {found} in 8 bits"
        );

        let mut first = AdamW::new(&stopped, eight, &[]).unwrap();
        run(&stopped, &mut first, 0..40);
        let mut second = AdamW::new(&stopped, eight, &[]).unwrap();
        let state = first.state_dict().unwrap();
        assert_eq!(state["w.exp_avg"].dtype(), DType::U8);
        second.load_state_dict(&state).unwrap();
        run(&stopped, &mut second, 40..100);
        assert_eq!(
            values(&packed["w"].to_dtype(DType::F32).unwrap()),
            values(&stopped["w"].to_dtype(DType::F32).unwrap())
        );
    }
}

#[test]
fn continuing_from_a_saved_state_gives_the_same_bits() {
    let (through, stopped) = (vars(DType::F32), vars(DType::F32));
    let mut adam = AdamW::new(&through, CFG, &groups()).unwrap();
    let mut first = AdamW::new(&stopped, CFG, &groups()).unwrap();
    for step in 0..3 {
        adam.step(&grads(step), 0.01).unwrap();
        first.step(&grads(step), 0.01).unwrap();
    }
    let state = first.state_dict().unwrap();
    let mut second = AdamW::new(&stopped, CFG, &groups()).unwrap();
    second.load_state_dict(&state).unwrap();
    for step in 3..6 {
        adam.step(&grads(step), 0.01).unwrap();
        second.step(&grads(step), 0.01).unwrap();
    }
    for (name, var) in &through {
        assert_eq!(max_abs_diff(var, &stopped[name]), 0.0, "{name}");
    }
    let mut incomplete = state;
    incomplete.remove("b.bias.exp_avg_sq");
    let error = second.load_state_dict(&incomplete).unwrap_err().to_string();
    assert!(error.contains("b.bias.exp_avg_sq"), "{error}");
}

#[test]
fn a_parameter_without_gradient_stays_and_a_misshapen_gradient_is_refused() {
    let vars = vars(DType::F32);
    let before = vars["b.bias"].copy().unwrap();
    let mut adam = AdamW::new(&vars, CFG, &[]).unwrap();
    let mut only = Gradients::default();
    only.insert("a.weight", randn(1, &[40, 3]));
    adam.step(&only, 0.1).unwrap();
    assert_eq!(max_abs_diff(&vars["b.bias"], &before), 0.0);
    only.insert("a.weight", randn(1, &[3, 40]));
    assert!(adam.step(&only, 0.1).is_err());
}

#[test]
fn clipping_shrinks_to_the_norm_and_returns_the_old_one() {
    let mut clipped = grads(0);
    let norm = clipped.clip(0.5).unwrap();
    let by_hand: f64 = grads(0).iter().flat_map(|(_, g)| values(g)).map(|x| x * x).sum();
    assert!((norm - by_hand.sqrt()).abs() < 1e-4);
    assert!((clipped.norm().unwrap() - 0.5).abs() < 1e-4);
    let mut left = grads(0);
    left.clip(1e9).unwrap();
    assert_eq!(max_abs_diff(left.get("b.bias").unwrap(), grads(0).get("b.bias").unwrap()), 0.0);
}

#[test]
fn accumulated_gradients_are_sums() {
    let mut sum = grads(0);
    sum.add(grads(1)).unwrap();
    let wanted = (grads(0).get("b.bias").unwrap() + grads(1).get("b.bias").unwrap()).unwrap();
    assert_close(sum.get("b.bias").unwrap(), &wanted, 1e-7);
}

#[test]
fn state_of_another_type_of_moments_is_refused() {
    let var = Var::from_tensor(&randn(1, &[5000])).unwrap();
    let vars = BTreeMap::from([("w".to_owned(), var)]);
    let of = |moments| AdamW::new(&vars, AdamWConfig { moments, ..AdamWConfig::default() }, &[]).unwrap();
    for (from, to) in [(MomentType::EightBit, MomentType::F32), (MomentType::F32, MomentType::EightBit)] {
        let error = of(to).load_state_dict(&of(from).state_dict().unwrap()).unwrap_err();
        assert!(error.to_string().contains("w.exp_avg"), "{error}");
    }
}
