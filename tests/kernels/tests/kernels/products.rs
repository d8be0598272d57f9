//! Products of a few rows.

use candle_core::DType;
use strefer_kernel_tests::Processor;
use strefer_nn::kernels::{self, Runner};
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
