//! Where parity tests find recorded reference numbers. Compiled for tests only (feature `testing`).

use std::path::{Path, PathBuf};

/// The folders that hold cases of `family`: the project's own goldens (in `$STREFER_GOLDENS` where a test runs elsewhere than it
/// was built), and besides them `$STREFER_FIXTURES` or the fixtures that lie beside the project.
///
/// # Panics
/// When no folder is found: a parity test without a case must fail.
pub fn dirs(family: &str) -> Vec<PathBuf> {
    let dirs = find(family);
    assert!(!dirs.is_empty(), "no golden folder of family {family:?}");
    dirs
}

/// As [`dirs`], but there may be none: for a family that only adds cases to another.
pub fn find(family: &str) -> Vec<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let named =
        |variable: &str, or: &str| std::env::var_os(variable).map_or_else(|| project.join(or), PathBuf::from);
    [named("STREFER_GOLDENS", "tests/goldens"), named("STREFER_FIXTURES", "../shared/fixtures")]
        .into_iter()
        .map(|root| root.join(family))
        .filter(|dir| dir.is_dir())
        .collect()
}
