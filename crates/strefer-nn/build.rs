//! With the feature `cuda`, compiles the kernels to PTX, which the driver compiles for its card. `nvcc` is `$NVCC`, or lies in
//! `$CUDA_HOME/bin`, or on the path; `$CUDA_COMPUTE_CAP` is the oldest card it serves (90 when not said).

use std::env;
use std::path::PathBuf;
use std::process::{Command, exit};

const MODULES: [&str; 17] = [
    "activation",
    "adamw",
    "attention",
    "attention_back",
    "attention_rows",
    "cast",
    "cross_entropy",
    "deformable",
    "depthwise",
    "dropout",
    "few_rows",
    "mask_pool",
    "norm",
    "parts",
    "rotary",
    "softmax",
    "squares",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    println!("cargo:rerun-if-changed=kernels");
    for name in ["NVCC", "CUDA_HOME", "CUDA_COMPUTE_CAP"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let in_home = || env::var_os("CUDA_HOME").map(|home| PathBuf::from(home).join("bin/nvcc"));
    let nvcc = env::var_os("NVCC").map(PathBuf::from).or_else(in_home).unwrap_or_else(|| "nvcc".into());
    // 90a and the like name instructions that kernels here do without.
    let card = env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| "90".to_string());
    let card: String = card.chars().filter(char::is_ascii_digit).collect();
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    for module in MODULES {
        let mut command = Command::new(&nvcc);
        command
            .args(["--ptx", "-O3", "-std=c++17", &format!("-arch=compute_{card}"), "-o"])
            .arg(out.join(module).with_extension("ptx"))
            .arg(PathBuf::from("kernels").join(module).with_extension("cu"));
        let error = match command.status() {
            Ok(status) if status.success() => continue,
            Ok(status) => format!("{status}"),
            Err(error) => format!("{error}"),
        };
        fail(&format!("{command:?}: {error}; scripts/cuda-toolkit gets nvcc"));
    }
    // By name, for the launcher to find them.
    let program =
        |module: &str| format!("({module:?}, include_str!({:?})),", out.join(module).with_extension("ptx"));
    let programs: String = MODULES.iter().map(|module| program(module)).collect();
    let list = out.join("programs.rs");
    if let Err(error) = std::fs::write(&list, format!("[{programs}]")) {
        fail(&format!("{}: {error}", list.display()));
    }
}

fn fail(why: &str) -> ! {
    println!("cargo:warning={why}");
    exit(1)
}
