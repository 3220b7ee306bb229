//! Linux: capabilities, no_new_privs, Landlock and seccomp.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use caps::{CapSet, Capability, CapsHashSet};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope, path_beneath_rules,
};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{chdir, chroot, fchdir, mkdtemp};

use super::{Protection, SandboxError, User, Work, calls, forbidden, needed};

/// The newest that is known here; a kernel that knows less enforces less.
const LANDLOCK: ABI = ABI::V6;
/// Where the parent's directory for an empty root may be made, the first that can.
const TEMPORARY: [&str; 3] =
    ["/run/chimed/empty.XXXXXX", "/run/chimed.XXXXXX", "/tmp/chimed.XXXXXX"];
/// Where the system's resolver, its modules and their configuration are.
const RESOLVER: [&str; 6] = ["/etc", "/usr", "/lib", "/lib64", "/run", "/var/run"];

pub(super) fn confine(work: &Work, user: Option<&User>) -> Result<Vec<Protection>, SandboxError> {
    use Protection::{Capabilities, Chroot, Landlock, NoNewPrivileges, Seccomp};
    let mut active = Vec::new();
    if matches!(work, Work::Ntp | Work::Constraint(_))
        && has(CapSet::Effective, Capability::CAP_SYS_CHROOT)
    {
        needed(Chroot, empty_root())?;
        forbidden(Chroot, fs::metadata("/etc"))?;
        active.push(Chroot);
    }
    let kept = kept(work);
    drop_bounding(&kept)?;
    if let (Some(user), Work::Ntp | Work::Dns | Work::Constraint(_)) = (user, work) {
        user.become_it()?;
        active.push(Protection::User);
    }
    drop_capabilities(&kept)?;
    active.push(Capabilities);
    needed(NoNewPrivileges, prctl::set_no_new_privs())?;
    // What it forbids is in programs that are run, of which there will be none.
    if prctl::get_no_new_privs() != Ok(true) {
        return Err(SandboxError::Useless(NoNewPrivileges));
    }
    active.push(NoNewPrivileges);
    if let Work::Dns | Work::Constraint(_) = work {
        // It may be in the midst of a question then. Nothing is lost where this does not work.
        let _ = prctl::set_pdeathsig(Signal::SIGKILL);
    }
    if needed(Landlock, restrict_access(work))? {
        active.push(Landlock);
        let opened = match work {
            Work::Parent(_) => OpenOptions::new().write(true).open("/dev/null"),
            Work::Ntp | Work::Dns | Work::Constraint(_) | Work::Exporter => File::open("/"),
        };
        forbidden(Landlock, opened)?;
    }
    if needed(Seccomp, calls::restrict(work))? {
        active.push(Seccomp);
        // It changes nothing, and anybody may do it otherwise.
        forbidden(Seccomp, unshare(CloneFlags::empty()))?;
    }
    Ok(active)
}

/// A root directory that is empty and stays so: it has no name any more.
fn empty_root() -> io::Result<()> {
    let made = TEMPORARY.iter().map(|template| mkdtemp(*template));
    let path = made.reduce(Result::or).unwrap_or(Err(nix::errno::Errno::ENOENT))?;
    let opened = File::open(&path);
    fs::remove_dir(&path)?;
    fchdir(opened?)?;
    chroot(".")?;
    Ok(chdir("/")?)
}

/// The capabilities that a process needs.
fn kept(work: &Work) -> CapsHashSet {
    match work {
        // To end a child that has another user.
        Work::Parent(_) => [Capability::CAP_SYS_TIME, Capability::CAP_KILL].into_iter().collect(),
        Work::Ntp | Work::Dns | Work::Constraint(_) | Work::Exporter => CapsHashSet::new(),
    }
}

fn has(set: CapSet, capability: Capability) -> bool {
    caps::has_cap(None, set, capability).unwrap_or(false)
}

/// Who may not has nothing that he could get back by it either: no_new_privs is for that.
fn drop_bounding(kept: &CapsHashSet) -> Result<(), SandboxError> {
    if !has(CapSet::Effective, Capability::CAP_SETPCAP) {
        return Ok(());
    }
    for capability in caps::runtime::thread_all_supported().difference(kept) {
        let dropped = caps::drop(None, CapSet::Bounding, *capability);
        needed(Protection::Capabilities, dropped)?;
    }
    Ok(())
}

fn drop_capabilities(kept: &CapsHashSet) -> Result<(), SandboxError> {
    let set =
        |set, value: &CapsHashSet| needed(Protection::Capabilities, caps::set(None, set, value));
    if caps::runtime::ambient_set_supported().is_ok() {
        needed(Protection::Capabilities, caps::clear(None, CapSet::Ambient))?;
    }
    let had = needed(Protection::Capabilities, caps::read(None, CapSet::Permitted))?;
    let left: CapsHashSet = had.intersection(kept).copied().collect();
    set(CapSet::Inheritable, &CapsHashSet::new())?;
    set(CapSet::Effective, &left)?;
    set(CapSet::Permitted, &left)?;
    forbidden(Protection::Capabilities, chroot("/"))
}

/// Which files there are, and which ports of TCP. Whether the kernel can.
fn restrict_access(work: &Work) -> Result<bool, landlock::RulesetError> {
    let (read, write) = (AccessFs::from_read(LANDLOCK), AccessFs::from_write(LANDLOCK));
    let all = read | write;
    // The clock that runs without power is set by an ioctl(2).
    let write = write & !BitFlags::from(AccessFs::IoctlDev);
    let ruleset = match work {
        // It reads what the configuration names, and looks at it again when that changes.
        Work::Parent(folders) => Ruleset::default()
            .handle_access(write)?
            .handle_access(AccessNet::from_all(LANDLOCK))?
            .create()?
            .add_rules(path_beneath_rules(folders, write))?,
        Work::Dns => Ruleset::default()
            .handle_access(all)?
            .scope(Scope::from_all(LANDLOCK))?
            .create()?
            .add_rules(path_beneath_rules(RESOLVER.iter().map(Path::new), read))?,
        Work::Ntp | Work::Exporter => Ruleset::default()
            .handle_access(all)?
            .handle_access(AccessNet::from_all(LANDLOCK))?
            .scope(Scope::from_all(LANDLOCK))?
            .create()?,
        Work::Constraint(ports) => Ruleset::default()
            .handle_access(all)?
            .handle_access(AccessNet::from_all(LANDLOCK))?
            .scope(Scope::from_all(LANDLOCK))?
            .create()?
            .add_rules(ports.iter().map(|port| {
                Ok::<_, landlock::RulesetError>(NetPort::new(*port, AccessNet::ConnectTcp))
            }))?,
    };
    Ok(ruleset.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}
