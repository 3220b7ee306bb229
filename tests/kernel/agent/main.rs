//! The first process of a guest: makes the calls of `/script` on the guest's kernel and writes the
//! trace of them to the debug port, runs `/program` and writes what that did, or lets it discipline
//! the kernel's clock in `/scenarios` and writes how far that was off.

#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod daemon;
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod programs;
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod scripts;
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod sys;

#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
fn main() -> std::io::Result<()> {
    sys::use_ports()?;
    let done = match (programs::arguments(), daemon::scenarios()) {
        (Some(arguments), _) => programs::run(&arguments),
        (None, Some(scenarios)) => daemon::run(&scenarios),
        (None, None) => scripts::run(),
    };
    let code = match done {
        Ok(()) => truechimer_tests::guest::DONE,
        Err(error) => {
            sys::write_line(&format!("error: {error:#}"));
            truechimer_tests::guest::DONE + 1
        }
    };
    sys::exit(code);
    Ok(())
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")))]
fn main() {}
