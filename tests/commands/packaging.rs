//! What a package has besides the programs: manual pages, completions, and what starts the daemon.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use truechimer_tests::process::{Ended, finish};
use truechimer_tests::{binaries, scratch, write};

use super::{SOON, chimectl, chimed};

const DIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../hosted/dist");
const CONFIGURATION: &str = include_str!("../../hosted/man/chimed.toml.5");

/// One for each command, and none of them with an error.
pub(crate) fn pages() -> Result<()> {
    let folder = written()?;
    let man = folder.path().join("man");
    for page in ["man8/chimed-query.8", "man8/chimectl-kernel-set.8", "man8/chimectl-watch.8"] {
        ensure!(man.join(page).exists(), "no {page}");
    }
    let mut count = 0;
    for section in ["man5", "man8"] {
        for page in fs::read_dir(man.join(section))? {
            let mut groff = Command::new("groff");
            let ended = finish(groff.args(["-mandoc", "-ww", "-z"]).arg(page?.path()), SOON)?;
            ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{ended:?}");
            count += 1;
        }
    }
    ensure!(count > 10, "only {count} pages");
    let page = fs::read_to_string(man.join("man8/chimed.8"))?;
    for text in ["\\-\\-log\\-profile", "/etc/chimed.toml", ".SH SEE ALSO\n"] {
        ensure!(page.contains(text), "no {text} in\n{page}");
    }
    Ok(())
}

/// In its place, and no other, by what the daemon says when it finds a key that it does not know.
pub(crate) fn every_key_is_documented() -> Result<()> {
    let top = known_keys("")?.context("any key is allowed")?;
    let mut known: BTreeSet<(String, String)> = BTreeSet::new();
    for key in top {
        let forms = [format!("[[{key}]]"), format!("[{key}]")];
        let mut keys = Vec::new();
        for form in forms {
            let of_form = known_keys(&form)?.unwrap_or_default();
            keys.extend(of_form.into_iter().map(|key| (form.clone(), key)));
        }
        if keys.is_empty() {
            keys.push(("before".into(), key));
        }
        known.extend(keys);
    }
    ensure!(known.len() > 20, "{known:?}");

    let mut documented = BTreeSet::new();
    for section in CONFIGURATION.split("\n.Ss ").skip(1) {
        let (heading, text) = section.split_once('\n').context("an empty section")?;
        let text = text.split("\n.Sh ").next().unwrap_or_default();
        let tables: Vec<_> = heading.split(' ').filter(|word| word.starts_with('[')).collect();
        let tables = if tables.is_empty() { vec!["before"] } else { tables };
        for item in text.lines().filter_map(|line| line.strip_prefix(".It Ic ")) {
            let keys = item.split(" No ").next().unwrap_or_default();
            for key in keys.split(" , ") {
                documented.extend(tables.iter().map(|table| ((*table).to_owned(), key.to_owned())));
            }
        }
    }
    // One section for both tables.
    documented.remove(&("[[server]]".into(), "count".into()));
    let missing: Vec<_> = known.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&known).collect();
    ensure!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
    Ok(())
}

/// The keys that there are in a table, if it is one of that form.
fn known_keys(table: &str) -> Result<Option<Vec<String>>> {
    let directory = scratch()?;
    let path = write(directory.path(), "chimed.toml", &format!("{table}\nno_such_key = 1\n"))?;
    let ended = finish(chimed()?.args(["-d", "-f", &path]), SOON)?;
    ensure!(ended.code == Some(1), "{ended:?}");
    let Some((_, keys)) = ended.stderr.split_once("unknown key `no_such_key`, expected ") else {
        return Ok(None);
    };
    let keys = keys.lines().next().unwrap_or_default();
    Ok(Some(keys.split('`').skip(1).step_by(2).map(str::to_owned).collect()))
}

/// The shells take them, and bash completes a command.
pub(crate) fn completions() -> Result<()> {
    let folder = written()?;
    let bash = folder.path().join("bash-completion/completions/chimectl.bash");
    let script = format!(
        "set -u; source {}; COMP_WORDS=(chimectl tr) COMP_CWORD=1; _chimectl chimectl tr chimectl; \
         echo \"${{COMPREPLY[@]}}\"",
        bash.display()
    );
    let ended = finish(Command::new("bash").args(["-c", &script]), SOON)?;
    ensure!(ended.stdout == "tracking\n" && ended.stderr.is_empty(), "{ended:?}");
    for file in ["zsh/site-functions/_chimectl", "fish/vendor_completions.d/chimectl.fish"] {
        let text = fs::read_to_string(folder.path().join(file))?;
        ensure!(text.contains("tracking") && text.contains("reachable"), "{file}: {text}");
    }
    Ok(())
}

/// The programs take the options that they are started with, and the scripts are ones.
pub(crate) fn command_lines() -> Result<()> {
    for (file, start) in [
        ("systemd/chimed.service", "ExecStart=/usr/sbin/chimed "),
        ("systemd/chimed-wait-sync.service", "ExecStart=/usr/bin/chimectl "),
        ("systemd/chimed-exporter.service", "ExecStart=/usr/bin/chimectl "),
        ("freebsd/chimed", "/usr/local/sbin/chimed "),
        ("openbsd/chimed", "daemon_flags=\""),
    ] {
        let text = fs::read_to_string(Path::new(DIST).join(file))?;
        let (_, rest) = text.split_once(start).with_context(|| format!("no {start} in {file}"))?;
        let options = rest.lines().next().unwrap_or_default().trim_end_matches('"');
        let mut command = if start.contains("chimectl") { chimectl()? } else { chimed()? };
        // It looks for help once it has understood the rest.
        let ended = finish(command.args(options.split(' ')).arg("--help"), SOON)?;
        ensure!(ended.code == Some(0) && options.contains(' '), "{file}: {options}: {ended:?}");
    }
    for script in ["freebsd/chimed", "openbsd/chimed"] {
        let path = Path::new(DIST).join(script);
        let ended = finish(Command::new("sh").arg("-n").arg(path), SOON)?;
        ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{ended:?}");
    }
    Ok(())
}

/// systemd knows every key and value in them, as far as it tells without starting anything.
pub(crate) fn units() -> Result<()> {
    let directory = scratch()?;
    let mut units = Vec::new();
    for unit in ["chimed.service", "chimed-wait-sync.service", "chimed-exporter.service"] {
        let text = fs::read_to_string(Path::new(DIST).join("systemd").join(unit))?;
        let there = |program: PathBuf| program.display().to_string();
        let text = text
            .replace("=/usr/sbin/chimed", &format!("={}", there(binaries::chimed()?)))
            .replace("=/usr/bin/chimectl", &format!("={}", there(binaries::chimectl()?)));
        units.push(write(directory.path(), unit, &text)?);
    }
    let ended = verify(&units)?;
    ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{ended:?}");
    let wrong = fs::read_to_string(&units[0])?.replace("\nUMask=", "\nUMusk=");
    write(directory.path(), "chimed.service", &wrong)?;
    let ended = verify(&units)?;
    ensure!(ended.stderr.contains("UMusk"), "a wrong unit passes: {ended:?}");
    Ok(())
}

/// The user that the engines become unless the configuration says otherwise, and the groups of the
/// units.
pub(crate) fn user() -> Result<()> {
    let root = scratch()?;
    let folder = root.path().join("usr/lib/sysusers.d");
    fs::create_dir_all(&folder)?;
    fs::create_dir(root.path().join("etc"))?;
    fs::copy(Path::new(DIST).join("systemd/chimed.sysusers"), folder.join("chimed.conf"))?;
    let mut sysusers = Command::new("systemd-sysusers");
    let ended = finish(sysusers.arg(format!("--root={}", root.path().display())), SOON)?;
    ensure!(ended.code == Some(0), "{ended:?}");
    let users = fs::read_to_string(root.path().join("etc/passwd"))?;
    let ended = finish(chimed()?.args(["check", "--listen", "127.0.0.1"]), SOON)?;
    let default = ended.stdout.lines().find_map(|line| line.strip_prefix("user = "));
    let default = default.context("no user")?.trim_matches('"');
    let line = users.lines().find(|line| line.starts_with(&format!("{default}:")));
    ensure!(line.is_some_and(|line| line.ends_with(":/usr/sbin/nologin")), "{users}");
    let groups = fs::read_to_string(root.path().join("etc/group"))?;
    for (unit, key) in [("chimed", "Group"), ("chimed-exporter", "SupplementaryGroups")] {
        let unit = fs::read_to_string(Path::new(DIST).join(format!("systemd/{unit}.service")))?;
        let group = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let group = group.with_context(|| format!("no {key}"))?;
        ensure!(groups.lines().any(|line| line.starts_with(&format!("{group}:"))), "{groups}");
    }
    Ok(())
}

fn verify(units: &[String]) -> Result<Ended> {
    let mut analyze = Command::new("systemd-analyze");
    let folder = Path::new(&units[0]).parent().context("no folder")?;
    // The machine's own units after these.
    analyze.env("SYSTEMD_UNIT_PATH", format!("{}:", folder.display()));
    finish(analyze.args(["--man=no", "verify"]).args(units), SOON)
}

fn written() -> Result<TempDir> {
    let folder = scratch()?;
    let ended = finish(Command::new(binaries::manual()?).arg(folder.path()), SOON)?;
    ensure!(ended.code == Some(0) && ended.stdout.is_empty(), "{ended:?}");
    Ok(folder)
}
