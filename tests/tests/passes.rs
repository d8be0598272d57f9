//! What one pass through a whole model computes and learns.

use candle_core::DType;
use strefer_core::mixture::Turns;
use strefer_core::placeholder::{Piece, render};
use strefer_core::sample::{Region, RegionMode, TimeRef, Turn};
use strefer_core::{Rng, Sample};
use strefer_model::{Checkpoint, Inputs, Processor, ProcessorOptions, Purpose, VideoLlm};
use strefer_nn::optim::Gradients;
use strefer_nn::testing::device;
use strefer_nn::{ParamStore, Recompute, Weights};
use strefer_tests::Lab;

/// The fresh model with every parameter trainable, and inputs of some samples.
fn model_and_inputs(lab: &Lab, count: usize) -> (ParamStore, VideoLlm, Vec<Inputs>) {
    let checkpoint = Checkpoint::open(lab.path("model")).unwrap();
    let store = ParamStore::new(0, device(), DType::F32)
        .with_weights(checkpoint.weights().unwrap())
        .trainable(|_| true);
    let model = VideoLlm::new(&checkpoint.config, store.var_builder()).unwrap();
    store.check_complete().unwrap();
    let options = ProcessorOptions { media_root: lab.path("world"), ..ProcessorOptions::default() };
    let processor = Processor::new(&checkpoint.config, checkpoint.tokenizer.clone(), options);
    let samples = lab.samples("data");
    let inputs = samples
        .iter()
        .filter(|sample| !sample.regions.is_empty())
        .take(count)
        .map(|sample| processor.process(sample, &Purpose::Train(Rng::new(1, "test"))).unwrap())
        .collect();
    (store, model, inputs)
}

#[test]
fn every_trainable_weight_of_the_whole_model_gets_a_gradient() {
    let lab = Lab::new(2);
    let (store, model, inputs) = model_and_inputs(&lab, 3);
    let (loss, count) = model.loss(&inputs).unwrap();
    assert!(count > 0);
    let grads = loss.backward().unwrap();
    for (name, var) in store.vars() {
        let grad = grads.get(&var).unwrap_or_else(|| panic!("{name} has no gradient"));
        let size = grad.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        // A bias on keys moves all scores of a query alike: its gradient is nothing but rounding.
        assert!(size.is_finite() && (size > 0.0 || name.ends_with("k_proj.bias")), "{name}: {size}");
    }
}

#[test]
fn layers_that_run_again_in_the_backward_give_the_same_gradients() {
    let lab = Lab::new(2);
    let (store, mut model, inputs) = model_and_inputs(&lab, 3);
    let vars = store.vars();
    let kept = Gradients::collect(&vars, &model.loss(&inputs).unwrap().0.backward().unwrap());
    let recompute = Recompute::default();
    model.set_recompute(Some(&recompute));
    let mut again = Gradients::collect(&vars, &model.loss(&inputs).unwrap().0.backward().unwrap());
    recompute.add_to(&mut again, &vars).unwrap();
    for name in vars.keys() {
        let (kept, again) = (kept.get(name).unwrap(), again.get(name).unwrap());
        let largest =
            |xs: &candle_core::Tensor| xs.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        let error = largest(&(kept - again).unwrap());
        assert!(error <= 1e-4 * largest(kept).max(1e-3), "{name}: {error} of {}", largest(kept));
    }
}

#[test]
fn a_padded_batch_equals_its_rows() {
    let lab = Lab::new(2);
    let (_, model, inputs) = model_and_inputs(&lab, 4);
    let lens: std::collections::BTreeSet<usize> = inputs.iter().map(|row| row.tokens.len()).collect();
    assert!(lens.len() > 1, "rows of one length prove nothing");
    let value = |rows: &[Inputs]| f64::from(model.loss(rows).unwrap().0.to_scalar::<f32>().unwrap());
    let alone: f64 = inputs.iter().map(|row| value(std::slice::from_ref(row))).sum();
    let together = value(&inputs);
    assert!((alone - together).abs() < 1e-5 * alone.abs(), "{alone} {together}");
}

/// Loss, supervised positions and gradients of a batch whose samples lie end to end in rows of so many positions.
fn packed(
    store: &ParamStore,
    model: &VideoLlm,
    inputs: &[Inputs],
    positions: usize,
) -> (f64, usize, Gradients) {
    let spliced = model.splice_encoded(inputs, &model.encode(inputs).unwrap(), positions).unwrap();
    let hidden = model.forward(&spliced).unwrap();
    let (sum, count) = model.language_model().loss(&hidden, &spliced.labels).unwrap();
    let gradients = Gradients::collect(&store.vars(), &sum.backward().unwrap());
    (f64::from(sum.to_scalar::<f32>().unwrap()), count, gradients)
}

#[test]
fn samples_packed_into_rows_equal_padded_ones() {
    let lab = Lab::new(3);
    let (store, model, mut inputs) = model_and_inputs(&lab, 5);
    let checkpoint = Checkpoint::open(lab.path("model")).unwrap();
    let options = ProcessorOptions {
        media_root: lab.path("world"),
        turns: Turns::Independent,
        ..ProcessorOptions::default()
    };
    let processor = Processor::new(&checkpoint.config, checkpoint.tokenizer.clone(), options);
    let mut several = lab.samples("data");
    several.retain(|sample| sample.conversations.len() >= 4);
    let branched = |sample| processor.process(sample, &Purpose::Train(Rng::new(1, "test"))).unwrap();
    let lens: Vec<usize> = inputs.iter().map(|row| row.positions(&checkpoint.config)).collect();
    let (longest, all) = (*lens.iter().max().unwrap(), lens.iter().sum::<usize>());
    for with_turns in [false, true] {
        if with_turns {
            inputs.extend(several.iter().take(2).map(branched));
        }
        let (padded, count, gradients) = packed(&store, &model, &inputs, 0);
        for positions in [longest / 2, 2 * longest + 3, 4 * all] {
            let spliced = model.splice_encoded(&inputs, &model.encode(&inputs).unwrap(), positions).unwrap();
            let rows = spliced.embeds.dim(0).unwrap();
            assert!(rows < inputs.len() || positions < longest, "{rows} rows of {positions}");
            let (found, found_count, found_gradients) = packed(&store, &model, &inputs, positions);
            assert_eq!(found_count, count);
            assert!((found - padded).abs() < 1e-5 * padded, "{found} beside {padded}");
            for (name, expected) in gradients.iter() {
                let found = found_gradients.get(name).unwrap();
                let largest = |xs: &candle_core::Tensor| {
                    xs.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap()
                };
                let error = largest(&(found - expected).unwrap());
                assert!(error <= 1e-4 * largest(expected).max(1e-2), "{name}: {error}");
            }
        }
    }
}

#[test]
fn a_checkpoint_with_a_missing_or_misshapen_tensor_is_refused_by_name() {
    let lab = Lab::new(1);
    let checkpoint = Checkpoint::open(lab.path("model")).unwrap();
    let (store, _, _) = model_and_inputs(&lab, 1);
    let name = "region_encoder.feat_linear.0.weight";
    let refused =
        |folder: &str, change: &dyn Fn(&mut std::collections::BTreeMap<String, candle_core::Tensor>)| {
            let mut tensors = store.tensors();
            change(&mut tensors);
            let dir = lab.path(folder);
            let weights = Weights::from_tensors("changed", tensors);
            Checkpoint::save(&dir, &checkpoint.config, &checkpoint.tokenizer, &weights, None).unwrap();
            let loaded =
                Checkpoint::open(&dir).unwrap().load(device(), DType::F32, ProcessorOptions::default());
            let error = loaded.unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(folder), "{error}");
        };
    refused("missing", &|tensors| drop(tensors.remove(name)));
    refused("misshapen", &|tensors| {
        let narrow = tensors[name].narrow(0, 0, 3).unwrap();
        tensors.insert(name.to_owned(), narrow);
    });
}

#[test]
fn a_still_is_shown_once_and_frames_are_computed_once() {
    let lab = Lab::new(2);
    let checkpoint = Checkpoint::open(lab.path("model")).unwrap();
    let options = ProcessorOptions { media_root: lab.path("world"), ..ProcessorOptions::default() };
    let processor = Processor::new(&checkpoint.config, checkpoint.tokenizer.clone(), options.clone());
    let mut repeating = checkpoint.config.clone();
    repeating.frames.stills_once = false;
    let repeating = Processor::new(&repeating, checkpoint.tokenizer.clone(), options);
    let mut sample = lab.samples("data").remove(0);
    sample.regions.clear();
    sample.times.clear();
    sample.conversations.truncate(2);
    sample.conversations[0].text = "<video>\nWhat is there?".to_owned();
    sample.conversations[1].text = "A ball.".to_owned();
    let whole = processor.process(&sample, &Purpose::Infer).unwrap();
    assert_eq!((whole.frames.dim(0).unwrap(), whole.shown.len()), (8, 8));
    sample.media[0].segment = Some(strefer_core::sample::Segment { start_s: 1.01, end_s: Some(1.02) });
    let once = processor.process(&sample, &Purpose::Infer).unwrap();
    assert_eq!((once.frames.dim(0).unwrap(), once.shown), (1, vec![0]));
    let repeated = repeating.process(&sample, &Purpose::Infer).unwrap();
    assert_eq!((repeated.frames.dim(0).unwrap(), repeated.shown.as_slice()), (1, &[0; 8][..]));

    // A still beside a video: each row takes its own number of tokens.
    let (_, model, mut batch) = model_and_inputs(&lab, 1);
    batch.push(processor.process(&sample, &Purpose::Train(Rng::new(1, "test"))).unwrap());
    let value = |rows: &[Inputs]| f64::from(model.loss(rows).unwrap().0.to_scalar::<f32>().unwrap());
    let alone: f64 = batch.iter().map(|row| value(std::slice::from_ref(row))).sum();
    assert!((alone - value(&batch)).abs() < 1e-5 * alone.abs());
}

/// An exchange of a conversation as a sample of its own, with the regions and times that it speaks of.
fn alone(sample: &Sample, exchange: &[Turn]) -> Sample {
    let (mut regions, mut times) = (Vec::new(), Vec::new());
    let number = |known: &mut Vec<usize>, index: usize| {
        known.iter().position(|&other| other == index).unwrap_or_else(|| {
            known.push(index);
            known.len() - 1
        })
    };
    let mut conversations = exchange.to_vec();
    for turn in &mut conversations {
        turn.text = render(&turn.text, |piece| match piece {
            Piece::Visual => "<video>".to_owned(),
            Piece::Region(index) => format!("<region:{}>", number(&mut regions, index.unwrap())),
            Piece::Time(index) => format!("<time:{}>", number(&mut times, *index)),
            Piece::Text(text) | Piece::Unknown(text) => (*text).to_owned(),
        });
    }
    if !conversations[0].text.starts_with("<video>") {
        conversations[0].text.insert_str(0, "<video>\n");
    }
    let regions = (0..).zip(regions).map(|(rid, index)| Region { rid, ..sample.regions[index].clone() });
    let times = (0..).zip(times).map(|(tid, index)| TimeRef { tid, ..sample.times[index].clone() });
    Sample { conversations, regions: regions.collect(), times: times.collect(), ..sample.clone() }
}

#[test]
fn independent_turns_are_learnt_as_if_each_were_asked_alone() {
    let lab = Lab::new(4);
    let (_, model, _) = model_and_inputs(&lab, 1);
    let checkpoint = Checkpoint::open(lab.path("model")).unwrap();
    let options = ProcessorOptions {
        media_root: lab.path("world"),
        turns: Turns::Independent,
        ..ProcessorOptions::default()
    };
    let processor = Processor::new(&checkpoint.config, checkpoint.tokenizer.clone(), options);
    let learn = Purpose::Train(Rng::new(1, "test"));
    let mut samples = lab.samples("data");
    // Which one of several masks is shown is drawn by the number of its region, and that is another one alone.
    let is_fixed = |region: &Region| region.mode == RegionMode::Multi;
    samples.retain(|sample| sample.conversations.len() >= 6 && !sample.regions.is_empty());
    samples.retain(|sample| sample.regions.iter().all(is_fixed));
    assert!(samples.len() >= 2);
    let loss = |inputs: &[Inputs]| -> (f32, usize) {
        let (sum, count) = model.loss(inputs).unwrap();
        (sum.to_scalar().unwrap(), count)
    };
    let together: Vec<Inputs> =
        samples.iter().map(|sample| processor.process(sample, &learn).unwrap()).collect();
    let (mut sum, mut count) = (0.0, 0);
    for sample in &samples {
        for exchange in sample.conversations.chunks_exact(2) {
            let one = loss(&[processor.process(&alone(sample, exchange), &learn).unwrap()]);
            (sum, count) = (sum + one.0, count + one.1);
        }
    }
    let (found, found_count) = loss(&together);
    assert_eq!(found_count, count);
    assert!((found - sum).abs() < 1e-5 * sum, "{found} {sum}");

    // A conversation tells a later answer more.
    let conversation = processor
        .with_options(ProcessorOptions { turns: Turns::Conversation, ..processor.options().clone() });
    let (other, _) = loss(&[conversation.process(&samples[0], &learn).unwrap()]);
    assert!((other - loss(&together[..1]).0).abs() > 1e-4 * other);
}
