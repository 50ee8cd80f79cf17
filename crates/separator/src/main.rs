//! The program; see [`separator::commands`].

fn main() -> std::process::ExitCode {
    separator::commands::main()
}
