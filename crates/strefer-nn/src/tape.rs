//! A tape of what operations did, for a backward without zeros: candle adds the first gradient of every tensor to zeros that it
//! makes for that, and keeps everything until the end; a tape hands gradients on as they are, and lets go of what it has
//! been through.
//!
//! What an operation on the tape gives is a variable to candle, so that candle's own operations keep a history between those on the
//! tape, and only there. It is gone through by candle's backward. Nothing gets lost whatever the two do to each other's results,
//! nor where a layer that runs again, which has a tape of its own, reads what the tape around it gave. Each of candle's results
//! that the tape reads is gone back from by itself: where one leads to the next, in a loop, [`crate::ops::once`] goes between.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;

#[cfg(feature = "cuda")]
use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, TensorId, Var, bail};

/// From an operation's inputs, its result and the result's gradient to the gradients of the inputs that want one.
pub(crate) type Backward = Box<dyn Fn(&[&Tensor], &Tensor, &Tensor) -> Result<Vec<Option<Tensor>>>>;

enum Entry {
    /// An operation on the tape.
    Done { inputs: Vec<Tensor>, result: Tensor, backward: Backward },
    /// What candle's operations gave, which one on the tape takes.
    Between(Tensor),
}

/// What becomes of operations in a thread.
enum Reel {
    Runs {
        entries: Vec<Entry>,
        /// Those of candle's results that have an entry.
        between: HashSet<TensorId>,
    },
    /// They leave no trace: it is a forward that nobody goes back through, or the backward of the operations that gave `results`.
    Stands {
        results: HashSet<TensorId>,
        /// Gradients of results that tapes of layers within found.
        handed: Vec<(TensorId, Tensor)>,
    },
}

impl Reel {
    fn stands() -> Self {
        Self::Stands { results: HashSet::new(), handed: Vec::new() }
    }
}

thread_local! {
    /// The last one is the one in use.
    static REELS: RefCell<Vec<Reel>> = const { RefCell::new(Vec::new()) };
}

/// Takes down what operations in this thread do from [`Tape::begin`] to [`Tape::backward`].
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use strefer_nn::Tape;
///
/// let weight = Var::ones(3, candle_core::DType::F32, &Device::Cpu)?;
/// let tape = Tape::begin(&Device::Cpu);
/// let loss = weight.sqr()?.sum_all()?;
/// assert!(tape.backward(&loss)?.get(&weight).is_some());
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Tape {
    /// Reels below its own; none where candle keeps the history.
    below: Option<usize>,
    /// It is this thread's.
    _here: PhantomData<*const ()>,
}

impl Tape {
    /// A tape of a forward on `device`. Where this crate's kernels are not used there, candle keeps the history.
    pub fn begin(device: &Device) -> Self {
        Self::begin_if(crate::ops::has_kernels(device))
    }

    pub(crate) fn begin_if(runs: bool) -> Self {
        let new = || Reel::Runs { entries: Vec::new(), between: HashSet::new() };
        Self { below: runs.then(|| push(new())), _here: PhantomData }
    }

    /// Gradients of all variables that `loss`, which the operations since the beginning gave, depends on.
    ///
    /// # Errors
    /// Those of the device; a tape that began within another one and is asked after that.
    pub fn backward(self, loss: &Tensor) -> Result<GradStore> {
        match self.below {
            None => loss.backward(),
            Some(below) => go_back(below, loss, loss.ones_like()?.detach()),
        }
    }

    /// As [`Tape::backward`], of something with this gradient. None of those found has a history.
    pub(crate) fn backward_from(self, ys: &Tensor, grad: &Tensor) -> Result<GradStore> {
        let grad = grad.detach();
        if let Some(below) = self.below {
            return go_back(below, ys, grad);
        }
        let mut store = (ys * &grad)?.sum_all()?.backward()?;
        let mut found = empty_store()?;
        // Candle keeps gradients of what nothing learns by, too: of masks, as large as scores. And gradients remember what they were
        // computed from, which is all of it.
        for var in ys.sorted_nodes().into_iter().filter(|node| node.is_variable()) {
            if let Some(grad) = store.remove(var) {
                found.insert_id(var.id(), grad.detach());
            }
        }
        Ok(found)
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        if let Some(below) = self.below {
            let gone = REELS.with_borrow_mut(|reels| reels.split_off(below.min(reels.len())));
            drop(gone);
        }
    }
}

fn push(reel: Reel) -> usize {
    REELS.with_borrow_mut(|reels| {
        reels.push(reel);
        reels.len() - 1
    })
}

/// Whether a tape of this thread is in use, be it that it stands.
pub(crate) fn is_on() -> bool {
    REELS.with_borrow(|reels| !reels.is_empty())
}

/// Does `work` without taking it down. What it gives wants gradients as usual.
pub(crate) fn aside<R>(work: impl FnOnce() -> R) -> R {
    let _stands = Tape { below: is_on().then(|| push(Reel::stands())), _here: PhantomData };
    work()
}

/// Takes down an operation whose result is a variable to candle.
pub(crate) fn take_down(inputs: Vec<Tensor>, result: &Tensor, backward: Backward) {
    REELS.with_borrow_mut(|reels| {
        let Some(Reel::Runs { entries, between }) = reels.last_mut() else { return };
        for input in &inputs {
            if input.track_op() && !input.is_variable() && between.insert(input.id()) {
                entries.push(Entry::Between(input.clone()));
            }
        }
        entries.push(Entry::Done { inputs, result: result.clone(), backward });
    });
}

/// A copy of `ys` as the result of an operation on the tape; no variable where none of the inputs wants a gradient.
pub(crate) fn known(inputs: Vec<Tensor>, ys: &Tensor, backward: Backward) -> Result<Tensor> {
    if !inputs.iter().any(Tensor::track_op) {
        return Ok(ys.detach());
    }
    let result = Var::from_tensor(&ys.detach())?.into_inner();
    take_down(inputs, &result, backward);
    Ok(result)
}

fn go_back(below: usize, from: &Tensor, grad: Tensor) -> Result<GradStore> {
    let own = REELS.with_borrow_mut(|reels| {
        reels.truncate(below + 1);
        reels.get_mut(below).map(|reel| std::mem::replace(reel, Reel::stands()))
    });
    let Some(Reel::Runs { mut entries, .. }) = own else {
        bail!("a tape whose operations another one, around it, has been back through");
    };
    let done = |entry: &Entry| match entry {
        Entry::Done { result, .. } => Some(result.id()),
        Entry::Between(_) => None,
    };
    let own: HashSet<TensorId> = entries.iter().filter_map(done).collect();
    with_standing(below, |results, _| *results = own);
    let mut grads = Grads::default();
    if from.is_variable() {
        grads.add(from.id(), grad)?;
    } else {
        grads.through(from, grad)?;
    }
    while let Some(entry) = entries.pop() {
        match entry {
            Entry::Between(xs) => {
                if let Some(grad) = grads.0.remove(&xs.id()) {
                    grads.through(&xs, grad)?;
                }
            }
            Entry::Done { inputs, result, backward } => {
                let Some(grad) = grads.0.remove(&result.id()) else { continue };
                let found = backward(&inputs.iter().collect::<Vec<_>>(), &result, &grad)?;
                for (input, grad) in inputs.iter().zip(found) {
                    if let Some(grad) = grad.filter(|_| input.track_op()) {
                        grads.add(input.id(), grad.detach())?;
                    }
                }
                for (id, grad) in with_standing(below, |_, handed| std::mem::take(handed)) {
                    grads.add(id, grad)?;
                }
            }
        }
    }
    let mut store = empty_store()?;
    for (id, grad) in grads.0 {
        // What a tape around this one gave is gone back through there.
        let around = (0..below).rev().find(|&reel| with_standing(reel, |results, _| results.contains(&id)));
        match around {
            Some(reel) => with_standing(reel, |_, handed| handed.push((id, grad))),
            None => {
                store.insert_id(id, grad);
            }
        }
    }
    Ok(store)
}

/// The results and gradients of a backward under way; none of any other reel.
fn with_standing<R: Default>(
    reel: usize,
    change: impl FnOnce(&mut HashSet<TensorId>, &mut Vec<(TensorId, Tensor)>) -> R,
) -> R {
    REELS.with_borrow_mut(|reels| match reels.get_mut(reel) {
        Some(Reel::Stands { results, handed }) => change(results, handed),
        _ => R::default(),
    })
}

/// Gradients that nobody has handed on yet.
#[derive(Default)]
struct Grads(HashMap<TensorId, Tensor>);

impl Grads {
    fn add(&mut self, id: TensorId, grad: Tensor) -> Result<()> {
        let sum = match self.0.remove(&id) {
            Some(other) => (other + grad)?,
            None => grad,
        };
        self.0.insert(id, sum);
        Ok(())
    }

    /// Goes back from `xs` through candle's history, to the variables at its beginning.
    fn through(&mut self, xs: &Tensor, grad: Tensor) -> Result<()> {
        let from = xs.apply_op1(From(grad))?;
        let mut store = from.backward()?;
        for node in from.sorted_nodes().into_iter().filter(|node| node.is_variable()) {
            if let Some(grad) = store.remove(node) {
                self.add(node.id(), grad.detach())?;
            }
        }
        Ok(())
    }
}

/// Candle has no other way to one.
fn empty_store() -> Result<GradStore> {
    let one = Tensor::new(1f32, &Device::Cpu)?;
    let mut store = one.backward()?;
    store.remove(&one);
    Ok(store)
}

/// A number whose backward begins with a gradient that is known.
struct From(Tensor);

impl CustomOp1 for From {
    fn name(&self) -> &'static str {
        "from"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(1)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        xs: &candle_core::CudaStorage,
        _: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        let one = Shape::from(1);
        Ok((xs.device().zeros_impl(&one, candle_core::DType::F32)?, one))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(self.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Recompute;
    use crate::known::with_backward;
    use crate::testing::{max_abs_diff, randn, relative_diff};

    /// An operation that a tape takes down.
    fn squared(xs: &Tensor) -> Result<Tensor> {
        with_backward("squared", xs, &xs.detach().sqr()?, |xs, grad| Ok(Some(((xs * grad)? * 2.0)?)))
    }

    /// Candle's, and counts how often it is gone back through.
    struct Counted(std::sync::Arc<std::sync::atomic::AtomicUsize>);

    impl CustomOp1 for Counted {
        fn name(&self) -> &'static str {
            "counted"
        }

        fn cpu_fwd(&self, xs: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
            Ok((xs.clone(), layout.shape().clone()))
        }

        fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(Some(grad.clone()))
        }
    }

    #[test]
    fn turns_of_a_loop_are_gone_back_through_once() {
        let back = |taped: bool| {
            let count = std::sync::Arc::default();
            let xs = Var::from_tensor(&randn(1, &[3])).unwrap();
            let tape = Tape::begin_if(taped);
            let mut memory = xs.as_tensor().clone();
            let mut seen = Tensor::zeros(3, candle_core::DType::F32, &Device::Cpu).unwrap();
            for _ in 0..6 {
                memory = crate::ops::once(&memory.apply_op1(Counted(Clone::clone(&count))).unwrap()).unwrap();
                seen = (seen + squared(&memory).unwrap()).unwrap();
            }
            let store = tape.backward(&seen.sum_all().unwrap()).unwrap();
            (store.get(&xs).unwrap().clone(), count.load(std::sync::atomic::Ordering::Relaxed))
        };
        let ((found, often), (wanted, turns)) = (back(true), back(false));
        assert_eq!((often, turns), (6, 6));
        assert!(max_abs_diff(&found, &wanted) < 1e-5);
    }

    #[test]
    fn layers_that_run_again_may_read_what_the_tape_around_them_gave() {
        let again = |taped| {
            let [xs, weight] = [1, 2].map(|seed| Var::from_tensor(&randn(seed, &[3, 3])).unwrap());
            let recompute = Recompute::default();
            let tape = Tape::begin_if(taped);
            // One result of the tape, and one of candle's that hangs on it.
            let around = squared(&weight).unwrap();
            let beside = (&around * 0.5).unwrap();
            let layer = move |xs: &Tensor, _| squared(&((squared(xs)? * &around)? + &beside)?);
            let hidden = recompute.run("layer", &(xs.as_tensor() * 0.5).unwrap(), layer).unwrap();
            let store = tape.backward(&hidden.sum_all().unwrap()).unwrap();
            assert!(!is_on());
            let vars = std::collections::BTreeMap::from([("weight".to_owned(), weight.clone())]);
            let mut grads = crate::optim::Gradients::default();
            recompute.add_to(&mut grads, &vars).unwrap();
            // Candle's history leads to the weight from within the layer.
            let of_weight = store.get(&weight).or_else(|| grads.get("weight")).unwrap();
            [store.get(&xs).unwrap().clone(), of_weight.clone()]
        };
        for (found, wanted) in again(true).iter().zip(again(false)) {
            assert!(max_abs_diff(found, &wanted) < 1e-5, "{found} instead of {wanted}");
        }
    }

    #[test]
    fn a_tape_that_another_has_been_through_says_so() {
        let xs = Var::from_tensor(&randn(1, &[3])).unwrap();
        let (outer, before) = (Tape::begin_if(true), squared(&xs).unwrap());
        let inner = Tape::begin_if(true);
        let within = squared(&xs).unwrap().sum_all().unwrap();
        outer.backward(&before.sum_all().unwrap()).unwrap();
        let error = inner.backward(&within).unwrap_err();
        assert!(error.to_string().contains("another one"), "{error}");
        assert!(!is_on());
        // An operation whose backward fails leaves nothing behind either.
        let tape = Tape::begin_if(true);
        let fails = with_backward("fails", &xs, &xs.detach(), |_, _| bail!("it fails")).unwrap();
        assert!(tape.backward(&fails.sum_all().unwrap()).is_err() && !is_on());
    }

    /// Both kinds of operations, one after the other, beside each other and over each other's results; one leads nowhere.
    fn net(xs: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let hidden = squared(&(xs * weight)?)?;
        let beside = (&hidden + xs)?;
        let ys = squared(&beside)?;
        squared(&ys)?;
        let both = Tensor::cat(
            &[&ys.narrow(0, 0, 2)?, &squared(&beside.t()?.contiguous()?)?.t()?.narrow(0, 1, 1)?],
            0,
        )?;
        squared(&(both.sum_all()? * ys.mean_all()?)?)?.sqrt()? + hidden.sum_all()?
    }

    fn grads_of(taped: bool, layer: impl Fn(&Tensor, &Tensor) -> Result<Tensor>) -> [Tensor; 2] {
        let [xs, weight] = [1, 2].map(|seed| Var::from_tensor(&randn(seed, &[3, 3])).unwrap());
        let tape = Tape::begin_if(taped);
        let loss = layer(&xs, &weight).unwrap();
        let store = tape.backward(&loss).unwrap();
        assert!(!is_on());
        [xs, weight].map(|var| store.get(&var).unwrap().clone())
    }

    #[test]
    fn gradients_of_a_tape_are_those_of_candle() {
        for (found, wanted) in grads_of(true, net).iter().zip(grads_of(false, net)) {
            assert!(relative_diff(found, &wanted) < 1e-6);
            assert!(!found.track_op());
        }
    }

    #[test]
    fn layers_that_run_again_have_a_tape_of_their_own() {
        let again = |taped| {
            let [xs, weight] = [1, 2].map(|seed| Var::from_tensor(&randn(seed, &[3, 3])).unwrap());
            let vars = std::collections::BTreeMap::from([("weight".to_owned(), weight.clone())]);
            let recompute = Recompute::default();
            let tape = Tape::begin_if(taped);
            let own = weight.as_tensor().clone();
            let layer = move |xs: &Tensor, _| squared(&(squared(xs)? * &own)?);
            let hidden =
                recompute.run("layer", &squared(&(xs.as_tensor() * 0.5).unwrap()).unwrap(), layer).unwrap();
            let store = tape.backward(&hidden.sum_all().unwrap()).unwrap();
            let mut grads = crate::optim::Gradients::default();
            recompute.add_to(&mut grads, &vars).unwrap();
            [store.get(&xs).unwrap().clone(), grads.get("weight").unwrap().clone()]
        };
        for (found, wanted) in again(true).iter().zip(again(false)) {
            assert!(max_abs_diff(found, &wanted) < 1e-5, "{found} instead of {wanted}");
        }
    }

    #[test]
    fn a_tape_that_nobody_goes_back_through_leaves_nothing() {
        let xs = Var::from_tensor(&randn(1, &[3])).unwrap();
        let tape = Tape::begin_if(true);
        squared(&xs).unwrap();
        assert!(is_on());
        let inner = Tape::begin_if(true);
        squared(&xs).unwrap();
        drop(inner);
        drop(tape);
        assert!(!is_on());
        let failed = std::panic::catch_unwind(|| {
            let _tape = Tape::begin_if(true);
            panic!("on the way");
        });
        assert!(failed.is_err() && !is_on());
    }
}
