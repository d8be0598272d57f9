//! Compiles the kernels for the processor.

fn main() {
    for watched in ["host.cpp", "faults.cu", "../../crates/strefer-nn/kernels"] {
        println!("cargo:rerun-if-changed={watched}");
    }
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .opt_level(1)
        // A card has no guesses either: what overflows, wraps.
        .flag("-fwrapv")
        // Fibres jump between stacks, which its checks take for a mistake.
        .flag("-U_FORTIFY_SOURCE")
        .flag_if_supported("-Wno-unknown-pragmas")
        .file("host.cpp")
        .compile("strefer_kernels");
}
