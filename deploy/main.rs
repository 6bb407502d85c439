//! The binary `nexus`: reads its arguments and calls the command they name.

mod commands;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    commands::run(commands::Arguments::parse())
}
