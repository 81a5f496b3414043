//! What a person reads when `cox` cannot do what was asked: one clear sentence, exit code 1.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Says why the command line is not understood. Help and version are no failure.
pub fn usage(error: &clap::Error) -> ExitCode {
    let flag = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => flag.clone(),
        _ => String::new(),
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print!("{error}");
            return ExitCode::SUCCESS;
        }
        ErrorKind::UnknownArgument if flag.starts_with('-') => {
            eprintln!("cox: unknown flag: {flag}: cox does not have it, and ignores none");
        }
        _ => eprint!("{error}"),
    }
    ExitCode::FAILURE
}

/// Says what went wrong, causes included, on one line.
pub fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("cox: {error:#}");
    ExitCode::FAILURE
}
