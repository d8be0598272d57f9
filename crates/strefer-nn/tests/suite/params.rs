//! Where parameters come from.

use std::collections::BTreeMap;

use candle_core::DType;
use strefer_nn::testing::{assert_close, device, randn, values};
use strefer_nn::{Declared, Error, ParamStore, Weights, linear};

fn weights() -> Weights {
    let names = [("a.weight", vec![3, 2]), ("a.bias", vec![3]), ("spare", vec![1])];
    let tensors = names.iter().map(|(name, dims)| (name.to_string(), randn(1, dims)));
    Weights::from_tensors("test weights", tensors.collect::<BTreeMap<_, _>>())
}

#[test]
fn fresh_values_depend_on_seed_and_name_but_not_on_the_order() {
    let build = |seed, names: &[&str]| {
        let store = ParamStore::new(seed, device(), DType::F32);
        for name in names {
            linear(4, 4, store.var_builder().pp(name)).unwrap();
        }
        store.tensors()
    };
    let (one, two) = (build(1, &["a", "b"]), build(1, &["b", "a"]));
    for (name, tensor) in &one {
        assert_close(tensor, &two[name], 0.0);
    }
    assert_ne!(values(&one["a.weight"]), values(&one["b.weight"]));
    assert_ne!(values(&one["a.weight"]), values(&build(2, &["a"])["a.weight"]));
}

#[test]
fn given_weights_are_taken_and_missing_and_unexpected_ones_are_named() {
    let store = ParamStore::new(1, device(), DType::F32).with_weights(weights());
    linear(2, 3, store.var_builder().pp("a")).unwrap();
    linear(2, 3, store.var_builder().pp("b")).unwrap();
    assert_close(&store.tensors()["a.weight"], &randn(1, &[3, 2]), 0.0);
    assert_eq!(store.missing(), ["b.weight", "b.bias"]);
    assert_eq!(store.unexpected(), ["spare"]);
    assert!(matches!(store.check_complete(), Err(Error::MissingTensors { .. })));
    assert!(store.check_missing(|name| name.starts_with("b.")).is_ok());
}

#[test]
fn a_weight_of_another_shape_is_an_error_that_names_it() {
    let store = ParamStore::new(1, device(), DType::F32).with_weights(weights());
    let error = linear(2, 4, store.var_builder().pp("a")).unwrap_err().to_string();
    assert!(error.contains("a.weight") && error.contains("[3, 2]") && error.contains("[4, 2]"), "{error}");
}

#[test]
fn only_chosen_names_become_variables_and_a_name_is_one_parameter() {
    let store = ParamStore::new(1, device(), DType::F32).trainable(|name| name.ends_with("bias"));
    let one = linear(2, 3, store.var_builder().pp("a")).unwrap();
    let same = linear(2, 3, store.var_builder().pp("a")).unwrap();
    assert_eq!(store.vars().keys().collect::<Vec<_>>(), ["a.bias"]);
    assert_eq!(store.tensors().len(), 2);
    store.vars()["a.bias"].set(&randn(4, &[3])).unwrap();
    assert_close(one.bias().unwrap(), same.bias().unwrap(), 0.0);
    assert!(!one.weight().track_op() && one.bias().unwrap().track_op());
}

#[test]
fn what_a_model_wants_is_compared_with_what_weights_hold_in_one_report() {
    let declared = Declared::default();
    let layer = |input, output, name: &str| linear(input, output, declared.var_builder().pp(name)).unwrap();
    // `a` is there with three rows; the other layer would fill a hundred gigabytes.
    layer(2, 4, "a");
    layer(1 << 17, 1 << 18, "b");
    let Err(Error::Mismatch(report)) = declared.check(&weights()) else { panic!("they do not fit") };
    assert_eq!(report.missing, ["b.bias", "b.weight"]);
    assert_eq!(report.unexpected, ["spare"]);
    let misshapen: Vec<&str> = report.misshapen.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(misshapen, ["a.bias", "a.weight"]);
    assert_eq!((&report.misshapen[1].found[..], &report.misshapen[1].wanted[..]), (&[3, 2][..], &[4, 2][..]));
    let text = report.to_string();
    assert!(
        ["test weights", "a.bias", "a.weight", "b.weight", "spare"].iter().all(|name| text.contains(name))
    );

    let fitting = Declared::default();
    linear(2, 3, fitting.var_builder().pp("a")).unwrap();
    let weights = weights().renamed(|name| (name != "spare").then(|| name.to_owned())).unwrap();
    fitting.check(&weights).unwrap();
}
