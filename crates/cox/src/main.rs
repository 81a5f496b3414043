//! `cox`: the whole cluster or one component of it, chosen by the first word of the command line. Wiring only.

mod access;
mod apiserver;
mod cluster;
mod component;
mod controller_manager;
mod dns;
mod etcd;
mod failure;
mod kubelet;
mod logging;
mod pid_file;
mod proxy;
mod reset;
mod roles;
mod scheduler;
mod secure;
mod server;
mod signals;
mod version;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

/// Half of a write's time went into the C library's allocator (docs/decisions/0009-write-path.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Kubernetes as one small binary.
#[derive(Parser)]
#[command(name = "cox", disable_help_subcommand = true, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a whole cluster in this process.
    Server(server::Arguments),
    /// Run the API server alone.
    Apiserver(Box<apiserver::Arguments>),
    /// Run the scheduler alone.
    Scheduler(scheduler::Arguments),
    /// Run the controllers alone.
    ControllerManager(controller_manager::Arguments),
    /// Run the node agent alone.
    Kubelet(kubelet::Arguments),
    /// Run the service proxy alone.
    Proxy(proxy::Arguments),
    /// Run the cluster DNS alone.
    Dns(dns::Arguments),
    /// Stop a cluster of this machine and remove everything it made.
    Reset(reset::Arguments),
    /// Print the version.
    Version,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return failure::usage(&error),
    };
    let result = match arguments.command {
        Command::Server(arguments) => component::run(server::run(arguments)),
        Command::Apiserver(arguments) => component::run(apiserver::run(*arguments)),
        Command::Scheduler(arguments) => component::run(scheduler::run(arguments)),
        Command::ControllerManager(arguments) => component::run(controller_manager::run(arguments)),
        Command::Kubelet(arguments) => component::run(kubelet::run(arguments)),
        Command::Proxy(arguments) => component::run(proxy::run(arguments)),
        Command::Dns(arguments) => component::run(dns::run(arguments)),
        Command::Reset(arguments) => reset::run(&arguments),
        Command::Version => {
            println!("{}", version::text());
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}
