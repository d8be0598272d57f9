//! Products of a few rows, and what is done on the way of others.

use candle_core::{DType, Result, Tensor};
use strefer_kernel_tests::Processor;
use strefer_nn::kernels::{self, Finish, Runner, Update, Values};
use strefer_nn::ops;

use super::compare::{assert_even_kernels, numbers, rounded};

#[test]
fn products_of_few_rows_equal_those_on_the_processor() {
    for dtype in [DType::BF16, DType::F16] {
        for (rows, d, o) in [
            (1, 8, 1),
            (1, 40, 17),
            (2, 128, 16),
            (5, 1040, 50),
            (8, 136, 33),
            (9, 8, 40),
            (13, 1200, 31),
            (16, 256, 64),
            (1, 2048, 3),
        ] {
            let (xs, weight, bias) =
                (numbers(1, &[rows, d], dtype), numbers(2, &[o, d], dtype), numbers(3, &[o], dtype));
            let wide = [&xs, &weight, &bias].map(|xs| rounded(xs, DType::F32));
            for with in [true, false] {
                let wanted = ops::linear(&wide[0], &wide[1], with.then_some(&wide[2])).unwrap();
                let what = format!("{rows} rows of {d} to {o} in {dtype:?}, bias {with}");
                assert_even_kernels(&what, 2e-6, &[wanted], |processor| {
                    let mut all = [&xs, &weight, &bias].map(|xs| processor.upload(xs).unwrap());
                    let [xs, weight, bias] = all.each_mut().map(|memory| processor.values(memory));
                    Ok(vec![kernels::few_rows(processor, xs, weight, with.then_some(bias), d)?])
                });
            }
        }
    }
}

#[test]
fn products_that_no_kernel_takes_are_refused() {
    let said = |processor: &Processor, dims: [usize; 2], o: usize, dtype: DType| {
        let mut all = [dims, [o, dims[1]]].map(|dims| processor.upload(&numbers(1, &dims, dtype)).unwrap());
        let [xs, weight] = all.each_mut().map(|memory| processor.values(memory));
        kernels::few_rows(processor, xs, weight, None, dims[1]).expect_err("an error").to_string()
    };
    let even = Processor::default();
    let many = said(&even, [17, 8], 4, DType::F16);
    assert!(many.contains("no kernel takes 17 rows of 8"), "{many}");
    assert!(said(&even, [2, 12], 4, DType::F16).contains("rows of 12"));
    assert!(said(&even, [2, 8], 4, DType::F32).contains("in F32"));
    let crooked = said(&Processor { crooked: true, ..even }, [2, 8], 4, DType::BF16);
    assert!(crooked.contains("lie on 16 bytes"), "{crooked}");
}

#[test]
fn layers_with_what_is_done_on_their_way_equal_those_on_the_processor() {
    for (dtype, once, twice) in [(DType::BF16, 2e-6, 1e-2), (DType::F16, 2e-6, 2e-3)] {
        for (rows, d, o, rank) in [(1, 8, 5, 2), (7, 40, 24, 8), (30, 16, 9, 1)] {
            let shapes = [vec![rows, d], vec![o, d], vec![o], vec![rows, rank], vec![o, rank]];
            let inputs: Vec<Tensor> =
                (1..).zip(&shapes).map(|(seed, dims)| numbers(seed, dims, dtype)).collect();
            let wide: Vec<Tensor> = inputs.iter().map(|xs| rounded(xs, DType::F32)).collect();
            let [xs, weight, bias, low, b] = [0, 1, 2, 3, 4].map(|at: usize| &wide[at]);
            let plain = ops::linear(xs, weight, None).unwrap();
            let with = ops::linear(xs, weight, Some(bias)).unwrap();
            let gelu = ops::linear_gelu(xs, weight, Some(bias), ops::Gelu::Tanh).unwrap();
            let updated = ops::linear_updated(xs, weight, Some(bias), low, b).unwrap();
            let without = ops::linear_updated(xs, weight, None, low, b).unwrap();
            let wanted = [&plain, &with, &gelu];
            let what = format!("{rows} rows of {d} to {o} by {rank} in {dtype:?}");
            for (tolerance, wanted) in
                [(once, wanted.map(Clone::clone).to_vec()), (twice, vec![updated, without])]
            {
                assert_even_kernels(&what, tolerance, &wanted, |processor| {
                    let mut held =
                        inputs.iter().map(|xs| processor.upload(xs)).collect::<Result<Vec<_>>>()?;
                    let v: Vec<Values> = held.iter_mut().map(|memory| processor.values(memory)).collect();
                    let layer = |finish: Finish| kernels::linear(processor, v[0], v[1], finish, d);
                    let update = Update { low: v[3], weight: v[4], rank };
                    let updated =
                        |finish: Finish| kernels::linear_updated(processor, v[0], v[1], finish, d, update);
                    if tolerance == once {
                        return [Finish::Plain, Finish::Bias(v[2]), Finish::BiasGelu(v[2])]
                            .map(layer)
                            .into_iter()
                            .collect();
                    }
                    [Finish::Bias(v[2]), Finish::Plain].map(updated).into_iter().collect()
                });
            }
        }
    }
}

#[test]
fn layers_of_other_sizes_are_refused() {
    let processor = Processor::default();
    let said = |dims: [&[usize]; 3], dtype: DType| {
        let mut held = dims.map(|dims| processor.upload(&numbers(1, dims, dtype)).unwrap());
        let [xs, weight, bias] = held.each_mut().map(|memory| processor.values(memory));
        kernels::linear(&processor, xs, weight, Finish::Bias(bias), 4).expect_err("an error").to_string()
    };
    assert!(said([&[2, 4], &[3, 4], &[2]], DType::F16).contains("bias"));
    assert!(said([&[2, 3], &[3, 4], &[3]], DType::F16).contains("rows"));
    assert!(said([&[2, 4], &[3, 4], &[3]], DType::F32).contains("F32"));
}
