//! Has the linker of a release fold functions that came out alike: the typed objects' codecs do, once for each crate
//! that uses them. A linker that cannot (only LLD, Rust's own on x86-64, and gold can) links as ever.

use std::path::Path;
use std::process::Command;

const FOLD: &str = "link-arg=-Wl,--icf=all";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let of = |name| std::env::var(name).unwrap_or_default();
    if of("PROFILE") == "release" && of("HOST") == of("TARGET") && folds(&of("RUSTC"), Path::new(&of("OUT_DIR"))) {
        println!("cargo:rustc-link-arg-bins={}", FOLD.trim_start_matches("link-arg="));
    }
}

/// Whether the linker knows how, asked by an example.
fn folds(rustc: &str, folder: &Path) -> bool {
    let (source, program) = (folder.join("fold.rs"), folder.join("fold"));
    std::fs::write(&source, "fn main() {}").is_ok()
        && Command::new(rustc)
            .args(["-C", FOLD, "-o"])
            .args([&program, &source])
            .output()
            .is_ok_and(|output| output.status.success())
}
