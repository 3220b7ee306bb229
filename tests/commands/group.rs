//! Who may ask, where the control socket has a group of its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::unistd::{Group, getegid, geteuid};
use truechimer_tests::chimed::Chimed;
use truechimer_tests::namespace::command_of_nobody;
use truechimer_tests::process::{Ended, Process, finish};
use truechimer_tests::{binaries, scratch, write};

use super::{SOON, chimed, neutral};

/// A group that is on every system, and in which nobody is.
const GROUP: &str = "daemon";

fn start(separated: bool, configuration: &str) -> Result<Chimed> {
    match separated {
        true => Chimed::start_separated(&[], configuration),
        false => Chimed::start(configuration),
    }
}

/// The socket is the group's, whose members may ask, and nobody else but its owner.
pub(crate) fn members_may_ask() -> Result<()> {
    let group = Group::from_name(GROUP)?.context("no such group")?.gid;
    ensure!(group != getegid(), "the tests are run by {GROUP}");
    let folder = scratch()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    let chimectl = binaries::copied(&binaries::chimectl()?, folder.path())?;
    for separated in [false, true] {
        let chimed = start(separated, &format!("control_group = {GROUP:?}\n"))?;
        let socket = chimed.control();
        let file = fs::symlink_metadata(socket)?;
        let owner = (file.uid(), file.gid(), file.mode() & 0o7777);
        ensure!(file.file_type().is_socket(), "{file:?}");
        ensure!(owner == (geteuid().as_raw(), group.as_raw(), 0o660), "{owner:?}");

        let directory = socket.parent().context("no folder")?;
        fs::set_permissions(directory, Permissions::from_mode(0o711))?;
        let asked = ask_as_nobody(&chimectl, &["--groups", &group.to_string()], socket)?;
        ensure!(asked.code == Some(0) && asked.stdout.contains("stratum"), "{asked:?}");
        let refused = ask_as_nobody(&chimectl, &["--clear-groups"], socket)?;
        let message = "Permission denied (os error 13); its owner and group may ask\n";
        ensure!(refused.code == Some(1) && refused.stderr.ends_with(message), "{refused:?}");
    }
    // Without the key it is that of the daemon, as before.
    let plain = Chimed::start("")?;
    ensure!(fs::symlink_metadata(plain.control())?.gid() == getegid().as_raw());
    Ok(())
}

/// By a user to whom nothing belongs, in such groups besides his own.
fn ask_as_nobody(chimectl: &Path, groups: &[&str], socket: &Path) -> Result<Ended> {
    let mut command = neutral(Command::new("setpriv"));
    command.args(["--reuid=65534", "--regid=65534"]).args(groups).arg("--");
    finish(command.arg(chimectl).arg("-s").arg(socket).arg("status"), SOON)
}

/// One that is not there is told with what is allowed, before anything is started.
pub(crate) fn unknown() -> Result<()> {
    let folder = scratch()?;
    let socket = folder.path().join("chimed.sock");
    let text = format!(
        "clock = \"software\"\nuser = \"\"\ncontrol = {socket:?}\ncontrol_group = \"nowhere to be found\"\n"
    );
    let file = write(folder.path(), "chimed.toml", &text)?;
    let problem = "control_group = \"nowhere to be found\": there is no such group: make it (as root: \
                   groupadd --system nowhere to be found), or set `control_group` to one that is there, \
                   or to \"\" for that of chimed itself\n";
    for (arguments, begin) in [
        (&["check", &file][..], format!("chimed: {file}: ")),
        (&["-d", "-f", &file], "chimed: cannot start: ".to_owned()),
        (&["-f", &file], "chimed: cannot start: ".to_owned()),
    ] {
        let ended = finish(chimed()?.args(arguments), SOON)?;
        let told = ended.stderr.contains(&(begin.clone() + problem));
        ensure!(ended.code == Some(1) && ended.stdout.is_empty() && told, "{ended:?}, not {begin}");
        ensure!(!socket.exists(), "there is a socket");
    }
    Ok(())
}

/// Who may not give it away does without a socket, rather than with another group's.
pub(crate) fn not_permitted() -> Result<()> {
    let folder = scratch()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777))?;
    let program = binaries::copied(&binaries::chimed()?, folder.path())?;
    let socket = folder.path().join("chimed.sock");
    let text = format!("clock = \"software\"\ncontrol = {socket:?}\ncontrol_group = {GROUP:?}\n");
    let file = write(folder.path(), "chimed.toml", &text)?;
    let mut command = neutral(command_of_nobody(&program));
    let mut daemon = Process::start(command.args(["-d", "-f", &file, "-v"]))?;
    let problem = format!(
        "{}: cannot be given to the group {GROUP:?}: Operation not permitted (os error 1)",
        socket.display()
    );
    daemon.wait_for_line(&problem, SOON)?;
    daemon.wait_for_line("ntp engine ready", SOON)?;
    ensure!(!socket.exists(), "there is a socket");
    Ok(())
}
