//! Which system calls the released program makes once it has started.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use truechimer_tests::chimed::{Chimed, listen, server};
use truechimer_tests::fake::FakeServer;
use truechimer_tests::namespace::Namespace;
use truechimer_tests::process::{Process, run};
use truechimer_tests::{binaries, free_port, scratch, write};

/// How long it is watched: queries, answers, and several turns of the clock's control.
const WATCHED: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(20);

/// What it may do after start-up.
const ALLOWED: [&str; 24] = [
    // The clock: adjtimex, and clock_gettime where the kernel lends no page for it.
    "adjtimex",
    "clock_gettime",
    // A socket of its own for each query.
    "socket",
    "fcntl",
    "setsockopt",
    "getsockopt",
    "bind",
    "connect",
    "close",
    "sendmsg",
    "recvmsg",
    // The only wait, and its continuation after strace stopped it.
    "poll",
    "restart_syscall",
    // The log: is it a terminal, for colours?
    "ioctl",
    "write",
    // Memory.
    "brk",
    "mmap",
    "mremap",
    "munmap",
    "madvise",
    // The seeds of hash tables.
    "getrandom",
    // The end, by SIGTERM.
    "rt_sigreturn",
    "sigaltstack",
    "exit_group",
];

/// What it must have done, or the trial saw nothing.
const EXPECTED: [&str; 8] =
    ["poll", "socket", "setsockopt", "connect", "sendmsg", "recvmsg", "close", "write"];

/// What the dynamic linker, libc and Rust do before is their own, except for this: nothing may be
/// left behind that another thread, process or descriptor waits for.
const NEVER: [&str; 16] = [
    "clone",
    "clone3",
    "fork",
    "vfork",
    "futex",
    "epoll_create",
    "epoll_create1",
    "timerfd_create",
    "eventfd",
    "eventfd2",
    "signalfd4",
    "pipe",
    "pipe2",
    "socketpair",
    "io_uring_setup",
    "nanosleep",
];

pub fn software_clock() -> Result<()> {
    let fake = FakeServer::honest()?;
    watch(Command::new, "clock = \"software\"\n[software_clock]\noffset = 1.5\n", fake.port)
}

/// Without the privilege to change the clock, which is then only watched.
pub fn kernel_clock() -> Result<()> {
    let namespace = Namespace::new()?;
    let port = free_port()?;
    let source = format!("{}[local]\nstratum = 3\n", listen(port));
    let _source = Chimed::start_in(&namespace, &source)?;
    watch(|program| namespace.command(program), "clock = \"kernel\"\n", port)
}

/// Runs it under strace between a server and a client, both by numbers.
fn watch(command: impl Fn(&'static str) -> Command, clock: &str, port: u16) -> Result<()> {
    let directory = scratch()?;
    let trace = directory.path().join("trace");
    let served = free_port()?;
    let text = format!("control = \"\"\n{clock}{}{}", server(port, 0), listen(served));
    let file = write(directory.path(), "chimed.toml", &text)?;
    let mut strace = command("strace");
    strace.args(["-f", "-qq", "-s", "256", "-o"]).arg(&trace);
    strace.arg(binaries::released_chimed()?).args(["-d", "-f", &file]);
    let mut process = Process::start(&mut strace)?;
    process.wait_for_line("ntp engine ready", LIMIT)?;

    std::thread::sleep(WATCHED);
    ask(&command, served)?;
    end(&trace)?;
    let status = process.wait(LIMIT)?;
    ensure!(status.success(), "{status}");
    check(&fs::read_to_string(&trace)?)
}

/// Asks it for the time, which it may not know yet.
fn ask(command: impl Fn(&'static str) -> Command, port: u16) -> Result<()> {
    let mut query = command("env");
    query.arg(binaries::released_chimed()?).args(["query", &format!("127.0.0.1:{port}")]);
    let (_, lines) = run(&mut query, LIMIT)?;
    ensure!(lines.iter().any(|line| line.contains("127.0.0.1")), "it answers with {lines:?}");
    Ok(())
}

/// Sends SIGTERM to the traced process, whose id begins each line.
fn end(trace: &Path) -> Result<()> {
    let id = fs::read_to_string(trace)?.split_whitespace().next().context("no trace")?.parse()?;
    Ok(kill(Pid::from_raw(id), Signal::SIGTERM)?)
}

fn check(trace: &str) -> Result<()> {
    let lines: Vec<_> = trace.lines().filter_map(|line| line.split_once(' ')).collect();
    let processes: BTreeSet<_> = lines.iter().map(|(id, _)| id).collect();
    ensure!(processes.len() == 1, "more than one process or thread: {processes:?}");
    let ready = lines.iter().position(|(_, text)| text.contains("ntp engine ready"));
    let (before, after) = lines.split_at(ready.context("it never got ready")?);

    let before: BTreeSet<_> = before.iter().filter_map(|(_, text)| call(text)).collect();
    let never: Vec<_> = NEVER.iter().filter(|name| before.contains(*name)).collect();
    ensure!(never.is_empty(), "at start-up: {never:?}");

    let after_names: BTreeSet<_> = after.iter().filter_map(|(_, text)| call(text)).collect();
    println!("after start-up: {after_names:?}");
    if let Some(name) = after_names.iter().find(|name| !ALLOWED.contains(name)) {
        let line = after.iter().find(|(_, text)| call(text) == Some(name));
        bail!("after start-up: {name}, as in {line:?}");
    }
    if let Some(name) = EXPECTED.iter().find(|name| !after_names.contains(*name)) {
        bail!("after start-up it makes no {name}, only {after_names:?}");
    }
    Ok(())
}

/// The name of a line's call; `None` for a signal's or the end's line.
fn call(line: &str) -> Option<&str> {
    let (name, _) = line.trim_start().split_once('(')?;
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then_some(name)
}
