//! What people see: results on standard output, progress on standard error.

/// Says how far we are.
#[expect(clippy::print_stderr, reason = "progress is for whoever watches, and stays out of what is piped")]
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}

/// Says what was found.
#[expect(clippy::print_stdout, reason = "a command line program prints its result")]
pub(crate) fn result(text: &str) {
    println!("{text}");
}
