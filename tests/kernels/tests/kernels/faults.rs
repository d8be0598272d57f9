//! What the rendering on the processor finds wrong with kernels.

use candle_core::DType;
use strefer_kernel_tests::Processor;
use strefer_nn::kernels::{Arg, Launch, Runner};

use super::compare::numbers;

/// What is said about a kernel of the folder's `faults.cu`, over 64 threads.
fn said(kernel: &str, order: u32, args: impl Fn(&[Arg; 2]) -> Vec<Arg>) -> String {
    let processor = Processor { order, crooked: false };
    let mut x = processor.upload(&numbers(1, &[80], DType::F32)).unwrap();
    let mut y = processor.reserve(DType::F32, 64).unwrap();
    let pointers = [&mut x, &mut y].map(|memory| Arg::Pointer(processor.values(memory).address));
    let args = args(&pointers);
    let launch =
        Launch { module: "faults", kernel: kernel.to_string(), grid: (1, 1), block: 64, shared: 1024, args };
    processor.launch(&launch).expect_err("a fault").to_string()
}

#[test]
fn mistakes_in_kernels_are_found_in_any_order_of_threads() {
    for (kernel, wanted) in [
        ("fault_no_barrier", "shared memory is"),
        ("fault_one_barrier_less", "without a barrier"),
        ("fault_early_leave", "left before"),
        ("fault_half_a_warp", "left before its warp's exchange"),
        ("fault_outside_of_mask", "an exchange with a thread outside of the mask"),
        ("fault_two_writers", "two threads write one place"),
        ("fault_never_written", "before it is written"),
        ("fault_past_the_end", "outside of shared memory"),
        ("fault_crooked_pack", "does not lie on 16 bytes"),
        ("fault_copy_not_awaited", "before its copy came"),
        ("fault_copy_left_behind", "left before its copy came"),
        ("fault_copy_without_barrier", "shared memory is read"),
        ("fault_copy_over_readers", "without a barrier after its"),
        ("fault_more_than_asked_for", "more shared memory than the launch asks for"),
        ("fault_of_two_owners", "shared memory that is another's"),
    ] {
        for order in [0, 1, 5] {
            let said = said(kernel, order, |pointers| pointers.to_vec());
            assert!(said.contains(wanted), "{kernel} in order {order}: {said}");
        }
    }
}

#[test]
fn arguments_that_a_kernel_does_not_take_are_refused() {
    let more = said("fault_no_barrier", 0, |pointers| [&pointers[..], &[Arg::Int(3)]].concat());
    assert!(more.contains("takes pp, not ppi"), "{more}");
    let other = said("fault_no_barrier", 0, |pointers| vec![pointers[0], Arg::Long(3)]);
    assert!(other.contains("takes pp, not pl"), "{other}");
    let unknown = said("no_such_kernel", 0, |pointers| pointers.to_vec());
    assert!(unknown.contains("no kernel is named"), "{unknown}");
    let elsewhere = said("softmax_f32", 0, |pointers| pointers.to_vec());
    assert!(elsewhere.contains("not in faults.cu"), "{elsewhere}");
}
