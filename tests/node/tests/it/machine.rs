//! What `cargo xtask test` prepared on this machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The binary, the tools and the images of a test run.
pub struct Machine {
    /// The binary under test.
    pub cox: PathBuf,
    /// The folder of the tools: kubectl, helm, the clients' libraries.
    pub tools: PathBuf,
    /// The real kubectl.
    pub kubectl: PathBuf,
    /// Archives of the images that pods run.
    pub images: Vec<PathBuf>,
    /// The root of the checkout.
    pub checkout: PathBuf,
    /// Where test runs keep their data directories.
    pub scratch: PathBuf,
}

impl Machine {
    /// # Errors
    /// When this was not started by `cargo xtask test`, or something that it names is not there.
    pub fn from_environment() -> Result<Self> {
        let tools = PathBuf::from(variable("COX_TOOLS")?);
        let machine = Self {
            cox: variable("COX")?.into(),
            kubectl: tools.join("kubectl"),
            images: variable("COX_IMAGES")?.split(':').map(PathBuf::from).collect(),
            tools,
            checkout: Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."),
            scratch: Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned(),
        };
        for file in machine.images.iter().chain([&machine.cox, &machine.kubectl]) {
            ensure!(file.exists(), "{} is not there: run this test with `cargo xtask test`", file.display());
        }
        Ok(machine)
    }
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| {
        format!("{name} is not set: this test needs a built cox, kubectl and images; run it with `cargo xtask test`")
    })
}
