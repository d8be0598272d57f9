//! Steps of answers behind what each row of a batch has seen.

use candle_core::{DType, Device, Result, Tensor};
use strefer_kernel_tests::{Memory, Processor};
use strefer_nn::kernels::{self, Beside, Cached, Runner, Tables, Values};
use strefer_nn::ops::{self, AttentionMask, CachedRows, Heads, Rotary};

use super::compare::{FLOATS, assert_even_kernels, assert_kernels, assert_near, numbers, rounded};

/// A step: query heads, key heads, new positions, width of a head, how much each row holds, and a window.
#[derive(Debug, Clone, Copy)]
struct Step {
    heads: [usize; 2],
    positions: usize,
    hd: usize,
    held: &'static [usize],
    window: Option<usize>,
}

impl Step {
    fn call(&self) -> Cached {
        let [query, key] = self.heads;
        let heads = Heads { query, key, scale: (self.hd as f64).powf(-0.5) };
        // As far as answers reach, which is seldom all the way.
        let reach = (self.held.iter().max().unwrap() + self.positions).next_multiple_of(256);
        let Self { positions, hd, window, .. } = *self;
        Cached { batch: self.held.len(), positions, heads, hd, reach, window }
    }

    fn width(&self) -> usize {
        self.heads[1] * self.hd
    }

    /// Keys and values of each row, with some room behind that nobody reads.
    fn kept(&self, dtype: DType) -> Vec<[Tensor; 2]> {
        let buffer = |row: usize, seed: u64| {
            let held = self.held[row];
            let seen = numbers(seed + row as u64, &[1, held, self.width()], dtype);
            let room = Tensor::full(f32::NAN, (1, self.positions + row, self.width()), &Device::Cpu).unwrap();
            Tensor::cat(&[seen, rounded(&room, dtype)], 1).unwrap()
        };
        (0..self.held.len()).map(|row| [buffer(row, 100), buffer(row, 200)]).collect()
    }
}

/// Queries, keys and values side by side, as one product leaves them, and the rows' angles.
/// `shared`: those of a whole head, the same for all rows.
fn inputs(step: &Step, dtype: DType, tables_in: DType, shared: bool) -> (Tensor, Rotary) {
    let [query, key] = step.heads;
    let (b, s) = (step.held.len(), step.positions);
    let qkv = numbers(1, &[b, s, (query + 2 * key) * step.hd], dtype);
    let angles = numbers(2, &[if shared { 1 } else { b }, s, step.hd / 2], DType::F32);
    let angles = if shared { Tensor::cat(&[&angles, &angles], 2).unwrap() } else { angles };
    let table = |values: Tensor| rounded(&values, tables_in);
    (qkv, Rotary { cos: table(angles.cos().unwrap()), sin: table(angles.sin().unwrap()) })
}

fn tables(rotary: &Rotary, cos: Values, sin: Values) -> Tables {
    let (rows, _positions, entries) = rotary.cos.dims3().unwrap();
    Tables { cos, sin, entries, own: rows != 1 }
}

/// Where the three lie in their product.
fn beside(step: &Step, qkv: Values) -> [Beside; 3] {
    let [query, key] = step.heads.map(|heads| heads * step.hd);
    let position = query + 2 * key;
    [0, query, query + key].map(|start| Beside {
        values: Values {
            address: qkv.address + (start * qkv.dtype.size_in_bytes()) as u64,
            count: qkv.count - start,
            ..qkv
        },
        batch: step.positions * position,
        position,
    })
}

/// The caches in memory, and the list of where they are.
struct Kept {
    buffers: Vec<Memory>,
    places: Memory,
    held: Memory,
}

impl Kept {
    fn new(processor: &Processor, step: &Step, dtype: DType) -> Result<Self> {
        let kept = step.kept(dtype);
        let all = [0, 1].into_iter().flat_map(|which| kept.iter().map(move |both| &both[which]));
        let mut buffers = all.map(|buffer| processor.upload(buffer)).collect::<Result<Vec<_>>>()?;
        let places: Vec<i64> =
            buffers.iter_mut().map(|memory| processor.values(memory).address.cast_signed()).collect();
        let held: Vec<i64> = step.held.iter().map(|&held| held as i64).collect();
        let list = |values: Vec<i64>| processor.upload(&Tensor::new(values, &Device::Cpu)?);
        Ok(Self { buffers, places: list(places)?, held: list(held)? })
    }

    fn lists(&mut self, processor: &Processor) -> [Values; 2] {
        [processor.values(&mut self.places), processor.values(&mut self.held)]
    }
}

/// The same on this processor: queries turned, caches as they are then, and what the queries read.
fn wanted(step: &Step, qkv: &Tensor, rotary: &Rotary, dtype: DType) -> (Tensor, Vec<Tensor>, Tensor) {
    let wide = |xs: &Tensor| xs.to_dtype(DType::F32).unwrap();
    let [query, key] = step.heads.map(|heads| heads * step.hd);
    let part = |start: usize, width: usize| wide(&qkv.narrow(2, start, width).unwrap());
    let (q, k, v) = (part(0, query), part(query, key), part(query + key, key));
    let rotary = Rotary { cos: wide(&rotary.cos), sin: wide(&rotary.sin) };
    let turned = ops::rotary_side_by_side(&q, step.heads[0], &rotary).unwrap();
    let kept: Vec<[Tensor; 2]> = step.kept(dtype).iter().map(|both| both.each_ref().map(wide)).collect();
    let rows = CachedRows::new(step.held.to_vec(), kept.clone()).unwrap();
    let mask = AttentionMask::causal().with_window(step.window);
    let read = rows.attend(0, [&q, &k, &v], step.call().heads, &rotary, &mask).unwrap();
    let buffers = [0, 1].into_iter().flat_map(|which| kept.iter().map(move |both| both[which].clone()));
    (turned, buffers.collect(), read)
}

const STEPS: [Step; 5] = [
    Step { heads: [1, 1], positions: 1, hd: 2, held: &[0], window: None },
    Step { heads: [4, 2], positions: 1, hd: 16, held: &[3, 0, 7], window: None },
    Step { heads: [3, 1], positions: 3, hd: 6, held: &[2, 5], window: None },
    Step { heads: [14, 2], positions: 1, hd: 64, held: &[70], window: None },
    Step { heads: [2, 2], positions: 5, hd: 96, held: &[1, 9, 4, 4], window: None },
];

#[test]
fn heads_are_turned_and_kept_as_on_the_processor() {
    for dtype in FLOATS {
        for (at, step) in STEPS.into_iter().enumerate() {
            let tables_in = if at % 2 == 0 { DType::F32 } else { dtype };
            let (qkv, rotary) = inputs(&step, dtype, tables_in, at % 4 > 1);
            let (turned, buffers, _) = wanted(&step, &qkv, &rotary, dtype);
            let wanted: Vec<Tensor> = std::iter::once(turned).chain(buffers).collect();
            let what = format!("{step:?} in {dtype:?} by {tables_in:?}");
            assert_kernels(&what, 1e-6, &wanted, |processor| {
                let mut all = [&qkv, &rotary.cos, &rotary.sin].map(|xs| processor.upload(xs).unwrap());
                let [qkv, cos, sin] = all.each_mut().map(|memory| processor.values(memory));
                let mut kept = Kept::new(processor, &step, dtype)?;
                let lists = kept.lists(processor);
                let turned = kernels::cached(
                    processor,
                    beside(&step, qkv),
                    tables(&rotary, cos, sin),
                    lists,
                    step.call(),
                )?;
                Ok(std::iter::once(turned).chain(kept.buffers).collect())
            });
        }
    }
}

#[test]
fn a_step_reads_what_each_row_holds() {
    for (dtype, tolerance) in [(DType::BF16, 6e-3), (DType::F16, 8e-4)] {
        for step in [
            Step { heads: [1, 1], positions: 1, hd: 8, held: &[0], window: None },
            Step { heads: [4, 2], positions: 1, hd: 32, held: &[130, 0, 63, 64], window: None },
            // Split among blocks, of which the short row's have nothing to do.
            Step { heads: [7, 1], positions: 1, hd: 64, held: &[700, 3], window: None },
            Step { heads: [14, 2], positions: 4, hd: 72, held: &[61, 200], window: None },
            Step { heads: [2, 1], positions: 3, hd: 32, held: &[300, 140, 2], window: Some(70) },
            Step { heads: [2, 2], positions: 1, hd: 128, held: &[200], window: Some(64) },
            Step { heads: [2, 2], positions: 2, hd: 144, held: &[127, 126], window: Some(1) },
        ] {
            let (qkv, rotary) = inputs(&step, dtype, DType::F32, false);
            let what = format!("{step:?} in {dtype:?}");
            let (turned, _, read) = wanted(&step, &qkv, &rotary, dtype);
            let q = rounded(&turned, dtype);
            assert_even_kernels(&what, tolerance, &[read], |processor| {
                let mut all = [&qkv, &rotary.cos, &rotary.sin].map(|xs| processor.upload(xs).unwrap());
                let [qkv, cos, sin] = all.each_mut().map(|memory| processor.values(memory));
                let mut kept = Kept::new(processor, &step, dtype)?;
                let lists = kept.lists(processor);
                let call = step.call();
                assert!(call.takes(dtype), "{what}");
                let mut turned =
                    kernels::cached(processor, beside(&step, qkv), tables(&rotary, cos, sin), lists, call)?;
                assert_near(&what, &processor.download(&turned)?, &q, 1e-6);
                let turned = processor.values(&mut turned);
                Ok(vec![kernels::attention_rows(processor, turned, lists, call)?])
            });
        }
    }
}

#[test]
fn steps_that_no_kernel_takes_are_refused() {
    let step = STEPS[1];
    let processor = Processor::default();
    let (qkv, rotary) = inputs(&step, DType::F16, DType::F32, false);
    let mut all = [&qkv, &rotary.cos, &rotary.sin].map(|xs| processor.upload(xs).unwrap());
    let [qkv, cos, sin] = all.each_mut().map(|memory| processor.values(memory));
    let mut kept = Kept::new(&processor, &step, DType::F16).unwrap();
    let [places, held] = kept.lists(&processor);
    let call = step.call();
    let heads = beside(&step, qkv);
    let said = |found: Result<Memory>| found.expect_err("an error").to_string();
    let angles = tables(&rotary, cos, sin);
    let more = Cached { batch: 4, ..call };
    assert!(said(kernels::cached(&processor, heads, angles, [places, held], more)).contains("places"));
    let long = Cached { positions: 2, ..call };
    assert!(said(kernels::cached(&processor, heads, angles, [places, held], long)).contains("reach to"));
    let short = Tables { cos: Values { count: cos.count - 1, ..cos }, ..angles };
    assert!(said(kernels::cached(&processor, heads, short, [places, held], call)).contains("tables"));
    // Too many queries for one tile.
    let many = Cached { positions: 40, ..call };
    assert!(!many.takes(DType::F16) && !call.takes(DType::F32));
    assert!(said(kernels::attention_rows(&processor, qkv, [places, held], many)).contains("no kernel takes"));
    let other = said(kernels::attention_rows(&processor, qkv, [places, held], call));
    assert!(other.contains("attention's queries"), "{other}");
}
