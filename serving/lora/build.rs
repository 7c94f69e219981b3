//! With the feature `cuda`, compiles the kernels to PTX with the `nvcc` of `NVCC`, of `CUDA_ROOT` or of the path, for `CUDA_COMPUTE_CAP` (default 90).

use std::path::PathBuf;
use std::process::Command;

fn main() -> Result<(), String> {
    let out = PathBuf::from(std::env::var("OUT_DIR").map_err(|error| error.to_string())?);
    let nvcc = std::env::var("NVCC")
        .or_else(|_| std::env::var("CUDA_ROOT").map(|root| format!("{root}/bin/nvcc")))
        .unwrap_or_else(|_| "nvcc".to_owned());
    let capability = std::env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| "90".to_owned());
    for variable in ["NVCC", "CUDA_ROOT", "CUDA_COMPUTE_CAP"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    println!("cargo::rerun-if-changed=kernels");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return Ok(());
    }
    for kernel in ["adapters", "attend"] {
        let status = Command::new(&nvcc)
            .args(["-ptx", "-O3", &format!("-arch=sm_{capability}"), &format!("kernels/{kernel}.cu"), "-o"])
            .arg(out.join(format!("{kernel}.ptx")))
            .status()
            .map_err(|error| format!("cannot run {nvcc}: {error}; set NVCC or CUDA_ROOT"))?;
        if !status.success() {
            return Err(format!("{nvcc} did not compile kernels/{kernel}.cu"));
        }
    }
    Ok(())
}
