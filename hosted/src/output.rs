//! Results on standard output, and errors on standard error.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use anstyle::AnsiColor;

/// Writes a result whole. That its reader wants no more of it is no error.
///
/// # Errors
/// It cannot be written.
pub fn print(text: &str) -> io::Result<()> {
    print_on(text).map(drop)
}

/// As [`print()`]; says whether its reader wants more.
///
/// # Errors
/// It cannot be written.
pub fn print_on(text: &str) -> io::Result<bool> {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            Err(io::Error::new(error.kind(), format!("cannot write to standard output: {error}")))
        }
    }
}

/// Says what `program` left out.
pub fn warn(program: &str, warning: &impl Display) {
    let style = AnsiColor::Yellow.on_default().bold();
    let line = format!("{style}{program}: warning:{style:#} {warning}\n");
    let _ = anstream::stderr().write_all(line.as_bytes());
}

/// Says why `program` failed. There is nowhere to tell that this cannot be written.
pub fn fail(program: &str, error: &impl Display) {
    let style = AnsiColor::Red.on_default().bold();
    let line = format!("{style}{program}:{style:#} {error}\n");
    let _ = anstream::stderr().write_all(line.as_bytes());
}
