//! `chimed` as several processes: what they do together, and what becomes of them when one ends.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};
use truechimer_tests::chimed::{Chimed, Status, listen, server};
use truechimer_tests::fake::FakeServer;
use truechimer_tests::namespace::Namespace;
use truechimer_tests::process::{Process, children, finish};
use truechimer_tests::{binaries, free_port, scratch, wait_for, write};

use super::constraint::Bed;
use super::{SOON, chimectl, chimed};

const LIMIT: Duration = Duration::from_secs(30);
const NTP: &str = "chimed: ntp engine";
/// Whether there are filters for this processor.
pub(crate) const SECCOMP: bool =
    cfg!(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"));
const DNS: &str = "chimed: dns engine";
const CONSTRAINT: &str = "chimed: constraint";

/// A server with a name, asked at a fixed interval.
fn named(port: u16) -> String {
    server(port, -2).replace("127.0.0.1", "localhost")
}

/// The child of this title.
fn child(parent: u32, title: &str) -> Result<Pid> {
    let found = children(parent)?.into_iter().find(|(_, other)| other == title);
    Ok(found.with_context(|| format!("no {title}"))?.0)
}

/// A process that has ended may still be there for init to see.
fn is_gone(process: Pid) -> Result<bool> {
    Ok(match fs::read_to_string(format!("/proc/{process}/stat")) {
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")),
        Err(_) => true,
    })
}

fn are_gone(processes: &[(Pid, String)]) -> Result<()> {
    wait_for("the end of all processes", SOON, || {
        let gone: Result<Vec<bool>> = processes.iter().map(|(id, _)| is_gone(*id)).collect();
        Ok(gone?.iter().all(|gone| *gone).then_some(()))
    })
}

/// A name is looked up, its server followed, and time served.
pub(crate) fn together() -> Result<()> {
    let fake = FakeServer::honest()?;
    let chimed = Chimed::start_separated(&[], &named(fake.port))?;
    let titles: Vec<_> =
        children(chimed.process.id())?.into_iter().map(|(_, title)| title).collect();
    ensure!(titles.len() == 2, "{titles:?}");
    for title in [NTP, DNS] {
        ensure!(titles.iter().any(|other| other == title), "{titles:?}");
    }
    let status = chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
    ensure!(status.number("peers_valid")? == 1.0, "{status:?}");
    Ok(())
}

/// The parent reads the files: by a signal to it, and when the control socket is asked.
pub(crate) fn reloaded() -> Result<()> {
    let [first, second] = [FakeServer::honest()?, FakeServer::honest()?];
    let mut chimed = Chimed::start_separated(&[], &named(first.port))?;
    chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
    chimed.rewrite(&(named(first.port) + &named(second.port)))?;
    chimed.process.signal(Signal::SIGHUP)?;
    let line = "configuration reloaded: peers: 1 added, 0 removed, 0 changed, 1 as before";
    chimed.process.wait_for_line(line, SOON)?;
    ensure!(chimed.status()?.is_synced()?, "{:?}", chimed.status()?);
    chimed.wait_until("an answer of the other", LIMIT, |status| {
        Ok(status.number("peers_valid")? == 2.0)
    })?;

    chimed.rewrite(&named(second.port))?;
    let reload = || finish(chimectl()?.arg("-s").arg(chimed.control()).arg("reload"), SOON);
    let ended = reload()?;
    ensure!(ended.stdout == "peers: 0 added, 1 removed, 0 changed, 1 as before\n", "{ended:?}");
    let file = chimed.rewrite("colour = 1\n")?;
    let ended = reload()?;
    let told = format!("{file}:4:1: unknown key `colour`");
    ensure!(ended.code == Some(1) && ended.stderr.contains(&told), "{ended:?}");
    ensure!(chimed.peers()?.len() == 1, "{:?}", chimed.peers()?);
    Ok(())
}

/// A signal to the whole group, as from a terminal or `pkill`, is the parent's affair.
pub(crate) fn ended_in_order() -> Result<()> {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let fake = FakeServer::honest()?;
        let mut chimed = Chimed::start_separated(&[], &named(fake.port))?;
        chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
        let processes = children(chimed.process.id())?;
        for (process, _) in &processes {
            kill(*process, signal)?;
        }
        // They have had it, and go on.
        chimed.status()?;
        chimed.process.signal(signal)?;
        let status = chimed.process.wait(SOON)?;
        ensure!(status.code() == Some(0), "{signal}: {status}");
        are_gone(&processes)?;
        chimed.process.wait_for_line("Terminating", SOON)?;
        let lines = chimed.process.transcript.lines();
        let ends: Vec<_> = lines.iter().rev().take(2).collect();
        ensure!(ends[1].ends_with("ntp engine exiting"), "{ends:?}");
        let log = &chimed.process.transcript;
        for text in ["Lost child", "fatal", "closed", "Terminating"] {
            let times = usize::from(text == "Terminating");
            ensure!(log.count(text) == times, "`{text}`: {lines:?}");
        }
        ensure!(!chimed.control().exists(), "the control socket is left behind");
    }
    Ok(())
}

/// Kills a child, and expects the end of the others with these messages.
fn kill_child(title: &str, messages: &[&str]) -> Result<()> {
    let (fake, bed) = (FakeServer::honest()?, Bed::right()?);
    let mut chimed = Chimed::start_separated(&[], &(named(fake.port) + &bed.table(0)))?;
    chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
    let processes = children(chimed.process.id())?;
    ensure!(processes.len() == 3, "{processes:?}");
    kill(child(chimed.process.id(), title)?, Signal::SIGKILL)?;
    let status = chimed.process.wait(SOON)?;
    ensure!(status.code() == Some(1), "{status}");
    are_gone(&processes)?;
    for message in messages.iter().chain(&["critical fatal: exiting", "info     Terminating"]) {
        chimed.process.wait_for_line(message, SOON)?;
        ensure!(chimed.process.transcript.count(message) == 1, "`{message}` more than once");
    }
    ensure!(!chimed.control().exists(), "the control socket is left behind");
    Ok(())
}

pub(crate) fn without_the_ntp_engine() -> Result<()> {
    kill_child(
        NTP,
        &[
            "debug    dispatch_imsg in main: pipe closed",
            "debug    Lost child: ntp engine terminated; signal 9 (SIGKILL)",
            "chimed: lost the ntp engine: signal: 9 (SIGKILL)",
        ],
    )
}

pub(crate) fn without_the_dns_engine() -> Result<()> {
    kill_child(
        DNS,
        &[
            "debug    Lost child: dns engine terminated; signal 9 (SIGKILL)",
            "debug    ntp engine exiting",
            "chimed: lost the dns engine: signal: 9 (SIGKILL)",
        ],
    )
}

pub(crate) fn without_the_constraint() -> Result<()> {
    kill_child(
        CONSTRAINT,
        &[
            "debug    Lost child: constraint terminated; signal 9 (SIGKILL)",
            "debug    ntp engine exiting",
            "chimed: lost the constraint: signal: 9 (SIGKILL)",
        ],
    )
}

/// Those whom it leaves behind end.
pub(crate) fn without_the_parent() -> Result<()> {
    let (fake, bed) = (FakeServer::honest()?, Bed::right()?);
    let mut chimed = Chimed::start_separated(&[], &(named(fake.port) + &bed.table(0)))?;
    chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
    let processes = children(chimed.process.id())?;
    chimed.process.signal(Signal::SIGKILL)?;
    are_gone(&processes)?;
    for message in ["ntp_dispatch_imsg in ntp engine: pipe closed", "fatal: exiting"] {
        chimed.process.wait_for_line(message, SOON)?;
    }
    Ok(())
}

/// What the kernel says of each process, and what the daemon says.
pub(crate) fn confined() -> Result<()> {
    let (fake, bed) = (FakeServer::honest()?, Bed::right()?);
    let configuration = format!("{}{}{}", named(fake.port), listen(free_port()?), bed.table(0));
    let chimed = Chimed::start_separated(&[], &configuration)?;
    chimed.wait_until("a synchronised clock", LIMIT, Status::is_synced)?;
    let parent = chimed.process.id();
    let (ntp, dns) = (child(parent, NTP)?, child(parent, DNS)?);
    let constraint = child(parent, CONSTRAINT)?;
    let nobody = User::from_name("nobody")?.context("no nobody")?;
    let own = |id: u32| format!("{id}\t{id}\t{id}\t{id}");
    // CAP_KILL and CAP_SYS_TIME.
    let some = format!("{:016x}", 1_u64 << 5 | 1 << 25);
    let none = format!("{:016x}", 0);
    for (id, uid, gid, capabilities) in [
        (Pid::from_raw(parent.cast_signed()), 0, 0, &some),
        (ntp, nobody.uid.as_raw(), nobody.gid.as_raw(), &none),
        (dns, nobody.uid.as_raw(), nobody.gid.as_raw(), &none),
        (constraint, nobody.uid.as_raw(), nobody.gid.as_raw(), &none),
    ] {
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let seccomp = if SECCOMP { "2" } else { "0" };
        for (field, expected) in [
            ("Uid", own(uid).as_str()),
            ("Gid", own(gid).as_str()),
            ("CapInh", &none),
            ("CapPrm", capabilities),
            ("CapEff", capabilities),
            ("CapBnd", capabilities),
            ("CapAmb", &none),
            ("NoNewPrivs", "1"),
            ("Seccomp", seccomp),
        ] {
            let line = format!("{field}:\t{expected}\n");
            ensure!(status.contains(&line), "{id}: no {line} in {status}");
        }
        for task in fs::read_dir(format!("/proc/{id}/task"))? {
            let status = fs::read_to_string(task?.path().join("status"))?;
            let alike = status.contains(&format!("Seccomp:\t{seccomp}\n"));
            ensure!(alike && status.contains("NoNewPrivs:\t1\n"), "{id}: {status}");
        }
    }
    for id in [ntp, constraint] {
        let groups = fs::read_to_string(format!("/proc/{id}/status"))?;
        ensure!(groups.contains(&format!("Groups:\t{} \n", nobody.gid)), "{groups}");
        let root = fs::read_link(format!("/proc/{id}/root"))?;
        let there = fs::read_dir(format!("/proc/{id}/root"))?.count();
        ensure!(there == 0 && root.to_string_lossy().ends_with(" (deleted)"), "{}", root.display());
    }

    let status = chimed.status()?;
    let told = |process: &str| {
        let active = status.protections(process).into_iter();
        // Not every kernel has it.
        active.filter(|name| *name != "landlock").collect::<Vec<_>>()
    };
    let all = ["capabilities", "no-new-privileges"].into_iter().chain(SECCOMP.then_some("seccomp"));
    let all: Vec<_> = all.collect();
    ensure!(told("parent") == all, "{status:?}");
    ensure!(told("dns engine") == [&["user"], &all[..]].concat(), "{status:?}");
    for process in ["ntp engine", "constraint"] {
        ensure!(told(process) == [&["chroot", "user"], &all[..]].concat(), "{status:?}");
    }
    let table = finish(chimectl()?.arg("-s").arg(chimed.control()).arg("status"), SOON)?;
    ensure!(table.stdout.contains("ntp engine       chroot, user, capabilities, "), "{table:?}");
    Ok(())
}

/// Of the calls that a process makes once it is confined none fails but those that try that out.
pub(crate) fn calls() -> Result<()> {
    let (fake, directory, port) = (FakeServer::honest()?, scratch()?, free_port()?);
    let bed = Bed::right()?;
    let traces = scratch()?;
    let (trace, socket) = (traces.path().join("trace"), directory.path().join("control"));
    let configure = |workers: u8| {
        let text = format!(
            "clock = \"software\"\nuser = \"nobody\"\ncontrol = \"{}\"\n[serve]\nworkers = \
             {workers}\n{}{}{}",
            socket.display(),
            named(fake.port),
            listen(port),
            bed.table(0)
        );
        write(directory.path(), "chimed.toml", &text)
    };
    let file = configure(1)?;
    let mut strace = Command::new("strace");
    // A file for each process, so that lines stay whole.
    strace.args(["-ff", "-qq", "-o"]).arg(&trace).arg(binaries::chimed()?);
    let mut process = Process::start(strace.args(["-v", "-f", &file]))?;
    process.wait_for_line("clock is now synced", LIMIT)?;
    configure(2)?;
    for question in [&["reload"][..], &["status"], &["server"], &["remove", "localhost:1"]] {
        finish(chimectl()?.arg("-s").arg(&socket).args(question), SOON)?;
    }
    let ended = finish(chimed()?.args(["query", &format!("127.0.0.1:{port}")]), SOON)?;
    ensure!(ended.code == Some(1) || ended.code == Some(0), "{ended:?}");
    let (parent, _) = children(process.id())?.pop().context("strace runs nothing")?;
    kill(parent, Signal::SIGTERM)?;
    ensure!(process.wait(SOON)?.success());

    let mut trace = String::new();
    for file in fs::read_dir(traces.path())? {
        trace += &fs::read_to_string(file?.path())?;
    }
    let refusals = ["(Operation not permitted)", "(Permission denied)"];
    let refused = |line: &&str| refusals.iter().any(|refusal| line.ends_with(refusal));
    let mut refused: Vec<_> = trace.lines().filter(refused).collect();
    let engines = 3;
    for (call, times) in [
        ("setuid(0)", engines..=engines),
        ("setgroups(1, [0])", engines..=engines),
        ("chroot(\"/\")", engines + 1..=engines + 1),
        ("unshare(0)", if SECCOMP { engines + 1..=engines + 1 } else { 0..=0 }),
        // The parent has the control socket removed.
        ("unlink", 1..=1),
        // Without Landlock nothing of it is tried out.
        ("openat(AT_FDCWD, \"/\", ", 0..=engines),
        ("openat(AT_FDCWD, \"/dev/null\", ", 0..=1),
    ] {
        let tried = refused.extract_if(.., |line| line.contains(call)).count();
        ensure!(times.contains(&tried), "{tried} times {call}");
    }
    ensure!(refused.is_empty(), "{refused:#?}");
    ensure!(trace.contains("ENOSYS") == SECCOMP, "a thread was made without being asked about");
    Ok(())
}

/// Ports that only root binds are bound at the start and stay so; others come when they are wanted.
pub(crate) fn ports_of_root() -> Result<()> {
    let namespace = Namespace::new()?;
    let serving = |workers: u8, ports: &[u16]| {
        let tables: String = ports.iter().map(|port| listen(*port)).collect();
        format!("[local]\n[serve]\nworkers = {workers}\n{tables}")
    };
    let chimed = Chimed::start_separated_in(&namespace, &serving(1, &[123]))?;
    ensure!(chimed.status()?.texts("listening")? == ["127.0.0.1:123"], "{:?}", chimed.status()?);
    chimed.rewrite(&serving(2, &[123, 124, 1_123]))?;
    let ended = finish(chimectl()?.arg("-s").arg(chimed.control()).arg("reload"), SOON)?;
    for told in [
        "serve.workers stays as it is until chimed is started again\n",
        "cannot serve on 127.0.0.1:124 until chimed is started again, as root: ",
    ] {
        ensure!(ended.stderr.matches(told).count() == 1, "{ended:?}");
    }
    let status = chimed.status()?;
    ensure!(status.texts("listening")? == ["127.0.0.1:123", "127.0.0.1:1123"], "{status:?}");
    Ok(())
}

/// A user that there is not is named, before anything has started.
pub(crate) fn nobody_to_be() -> Result<()> {
    let directory = scratch()?;
    let text = "clock = \"software\"\ncontrol = \"\"\nuser = \"no such user\"\n";
    let file = write(directory.path(), "chimed.toml", text)?;
    let ended = finish(chimed()?.args(["-f", &file]), SOON)?;
    let told = "chimed: there is no user \"no such user\" for the engines to run as: ";
    ensure!(ended.code == Some(1) && ended.stderr.starts_with(told), "{ended:?}");
    Ok(())
}

/// Nobody but the parent can start a child.
pub(crate) fn by_hand() -> Result<()> {
    for title in [NTP, DNS, CONSTRAINT] {
        let ended = finish(chimed()?.arg0(title), SOON)?;
        ensure!(ended.code == Some(1) && ended.stdout.is_empty(), "{title}: {ended:?}");
        let message = format!("chimed: the {} is started by chimed only\n", &title[8..]);
        ensure!(ended.stderr == message, "{title}: {ended:?}");
    }
    Ok(())
}
