//! Flags about who may enter and what is admitted, named as kube-apiserver's.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use apiserver::admission::Plugins;

/// The flags.
#[derive(clap::Args, Debug, Clone)]
#[group(id = "access")]
pub struct Arguments {
    /// Admission plugins to run besides those that run by default.
    #[arg(long, value_delimiter = ',')]
    enable_admission_plugins: Vec<String>,
    /// Admission plugins not to run.
    #[arg(long, value_delimiter = ',')]
    disable_admission_plugins: Vec<String>,
    /// A file with an AdmissionConfiguration: what admission plugins are told.
    #[arg(long)]
    admission_control_config_file: Option<PathBuf>,
    /// Whether secrets of type bootstrap.kubernetes.io/token let new nodes in.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub enable_bootstrap_token_auth: bool,
    /// Whether those who show no credentials are system:anonymous; otherwise they are refused.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub anonymous_auth: bool,
}

impl Arguments {
    /// The admission plugins that the flags choose.
    ///
    /// # Errors
    /// A plugin is not known, the file is broken.
    pub fn plugins(&self) -> Result<Plugins> {
        let plugins = Plugins::choose(&self.enable_admission_plugins, &self.disable_admission_plugins)?;
        let Some(path) = &self.admission_control_config_file else { return Ok(plugins) };
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        // Files that it names stand beside it.
        let folder = path.parent().unwrap_or(path).to_owned();
        let configured = plugins.configure(&text, |other| std::fs::read_to_string(folder.join(other)));
        configured.with_context(|| format!("reading {}", path.display()))
    }
}
