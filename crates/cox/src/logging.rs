//! Where components write what they do: standard error, filtered by `COX_LOG` (`info` unless set).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts writing logs; a second call changes nothing.
pub fn start() {
    let filter = EnvFilter::try_from_env("COX_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let color = std::io::stderr().is_terminal();
    // It fails only when a log is written already.
    drop(tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(color).try_init());
}
