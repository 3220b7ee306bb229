//! The first and only process of a guest: makes the calls of `/script` on the guest's kernel and
//! writes the trace of them to the debug port.

#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod scripts;
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod sys;

#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
fn main() -> std::io::Result<()> {
    sys::use_ports()?;
    let code = match scripts::run() {
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
