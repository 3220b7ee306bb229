//! `chimed check` and `chimectl convert`, and what goes before the file.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use truechimer_tests::process::{Ended, Process, finish};
use truechimer_tests::{free_port, scratch, write};

use super::{SOON, chimectl, chimed};

const NTPD_CONF: &str = "# as it stands\nservers pool.example\nserver 192.0.2.1 weight 3 trusted\n\
                         listen on *\nsensor nmea0\n";
const WARNINGS: [&str; 2] = [
    ":3:18: weight 3 is ignored: sources are weighted by how good they are, see `prefer`",
    ":5:1: sensor nmea0 is ignored: there are no sensors of the time here",
];

fn check(arguments: &[&str]) -> Result<Ended> {
    finish(chimed()?.arg("check").args(arguments), SOON)
}

/// All of it, which says the same when it is read.
pub(crate) fn effective() -> Result<()> {
    let directory = scratch()?;
    let text = "clock = \"software\"\nstep = 3\n[[server]]\naddress = \"A.example\"\nmaxpoll = 4\n";
    let path = write(directory.path(), "a.toml", text)?;
    let expected = "clock = \"software\"\ndiscipline = \"native\"\nleap = \"step\"\nleap_list = \"/usr/share/zoneinfo/leap-seconds.list\"\nstate = \"\"\nrtc = \"/sys/class/rtc/rtc0/since_epoch\"\ncontrol = \"/run/chimed/chimed.sock\"\ncontrol_group = \"\"\nuser = \"_ntp\"\nstep_threshold = 0.1\n\
                    step = 3\npanic_threshold = 1000.0\nmax_slew = 500.0\npackets = 1.0\n\
                    minsources = 1\n\n[[server]]\naddress = \"a.example\"\nport = 123\n\
                    minpoll = 4\nmaxpoll = 4\niburst = true\nprefer = false\ntrust = false\n\
                    noselect = false\n\n[serve]\nclients = 65536\ninterleaved = true\n\
                    rate = \"off\"\nkiss_one_in = 16\nmax_error = 1.5\n\
                    beyond = \"unsynchronised\"\n\n[timestamps]\nhardware = []\n\n[software_clock]\noffset = 0.0\nfrequency = 0.0\n\n[log]\n\
                    destination = \"auto\"\nlevel = \"info\"\nprofile = \"unix\"\n";
    for arguments in [&[path.as_str()][..], &["-f", &path]] {
        let ended = check(arguments)?;
        ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{ended:?}");
        ensure!(ended.stdout == expected, "{}", ended.stdout);
    }
    let again = write(directory.path(), "b.toml", expected)?;
    let ended = check(&[&path, &again])?;
    let both = format!("# {path}\n{expected}# {again}\n{expected}");
    ensure!(ended.code == Some(0) && ended.stdout == both, "{ended:?}");
    Ok(())
}

/// The command line goes before the environment, that before the file.
pub(crate) fn precedence() -> Result<()> {
    let directory = scratch()?;
    let text = "control = \"/file\"\n[[pool]]\naddress = \"pool\"\n[[listen]]\naddress = \"::1\"\n";
    let path = write(directory.path(), "chimed.toml", text)?;
    let run = |environment: &[(&str, &str)], arguments: &[&str]| -> Result<Ended> {
        let mut command = chimed()?;
        command.envs(environment.iter().copied()).arg("check").args(arguments);
        finish(&mut command, SOON)
    };
    let file = [("CHIMED_CONFIG", path.as_str())];
    let all = [file[0], ("CHIMED_CLOCK", "software"), ("CHIMED_CONTROL", "/environment")];
    for (environment, arguments, expected) in [
        (
            &file[..],
            &[][..],
            &["clock = \"kernel\"", "control = \"/file\"", "\"pool\"", "\"::1\""][..],
        ),
        (&all, &[], &["clock = \"software\"", "control = \"/environment\"", "\"pool\""]),
        (
            &all,
            &["--clock", "kernel", "--control", "", "--server", "a:7", "--listen", "*:8"],
            &["clock = \"kernel\"", "control = \"\"", "\"a\"\nport = 7\n", "\"*\"\nport = 8\n"],
        ),
        (&[], &["--server", "a"], &["control = \"/run/chimed/chimed.sock\"", "address = \"a\""]),
    ] {
        let ended = run(environment, arguments)?;
        let found = expected.iter().all(|text| ended.stdout.contains(text));
        ensure!(ended.code == Some(0) && found, "{arguments:?}: {ended:?}, not {expected:?}");
        let replaced = arguments.contains(&"--server") && ended.stdout.contains("pool");
        ensure!(!replaced, "the file's pool is asked: {ended:?}");
    }
    let ended = run(&[("CHIMED_CLOCK", "sundial")], &["--server", "a"])?;
    ensure!(ended.code == Some(2) && ended.stderr.contains("[possible values: kernel, software]"));
    Ok(())
}

/// The wrong ones are told, the others printed.
pub(crate) fn wrong() -> Result<()> {
    let directory = scratch()?;
    let good = write(directory.path(), "good.toml", "packets = 2\n")?;
    let bad = write(directory.path(), "bad.toml", "packets = 17\n")?;
    let old = write(directory.path(), "ntpd.conf", "server a weight 11\n")?;
    let many = "[[pool]]\naddress = \"a\"\ncount = 16\n[[pool]]\naddress = \"b\"\ncount = 16\n\
                [[pool]]\naddress = \"c\"\ncount = 16\n[[pool]]\naddress = \"d\"\ncount = 16\n\
                [[server]]\naddress = \"e\"\n";
    let many = write(directory.path(), "many.toml", many)?;
    let ended = check(&[&bad, &good, &old, &many])?;
    ensure!(ended.code == Some(1), "{ended:?}");
    ensure!(ended.stdout.starts_with(&format!("# {good}\nclock = ")), "{ended:?}");
    let expected = format!(
        "chimed: {bad}:1:11: packets = 17 is out of range: 0.1 to 16 are allowed\n  |\n\
         1 | packets = 17\n  |           ^^\n\
         chimed: {old}:1:17: weight 11 is not allowed: 1 to 10 are\n  |\n\
         1 | server a weight 11\n  |                 ^^\n\
         chimed: 65 servers and pool members are configured; 64 are allowed\n"
    );
    ensure!(ended.stderr == expected, "{}", ended.stderr);
    Ok(())
}

pub(crate) fn include() -> Result<()> {
    let directory = scratch()?;
    fs::create_dir(directory.path().join("parts"))?;
    let main = "include = \"parts/*.toml\"\n[[server]]\naddress = \"a\"\n";
    let main = write(directory.path(), "chimed.toml", main)?;
    write(directory.path(), "parts/1.toml", "[[server]]\naddress = \"b\"\n")?;
    let ended = check(&[&main])?;
    let places = ["\"a\"", "\"b\""].map(|name| ended.stdout.find(name));
    ensure!(ended.code == Some(0) && places[0].is_some() && places[0] < places[1], "{ended:?}");
    ensure!(!ended.stdout.contains("include"), "{ended:?}");
    let part = write(directory.path(), "parts/2.toml", "packet = 1\n")?;
    let ended = check(&[&main])?;
    let expected = format!("chimed: {part}:1:1: unknown key `packet`, ");
    ensure!(ended.code == Some(1) && ended.stderr.starts_with(&expected), "{ended:?}");
    Ok(())
}

/// Those that are shipped can be used, and show something.
pub(crate) fn examples() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no parent")?;
    let mut files = vec![root.join("examples/chimed.toml")];
    for entry in fs::read_dir(root.join("hosted/dist/examples"))? {
        files.push(entry?.path());
    }
    ensure!(files.len() > 4, "{files:?}");
    for file in files {
        let ended = check(&[&file.display().to_string()])?;
        ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{ended:?}");
        let something = ["[[server]]", "[[pool]]", "[[listen]]"];
        ensure!(something.iter().any(|text| ended.stdout.contains(text)), "{ended:?}");
    }
    Ok(())
}

/// The daemon runs it as it stands.
pub(crate) fn ntpd_conf() -> Result<()> {
    let (directory, port) = (scratch()?, free_port()?);
    let path = write(directory.path(), "ntpd.conf", NTPD_CONF)?;
    let ended = check(&[&path])?;
    let expected: String =
        WARNINGS.iter().map(|text| format!("chimed: warning: {path}{text}\n")).collect();
    ensure!(ended.code == Some(0) && ended.stderr == expected, "{ended:?}");
    ensure!(ended.stdout.contains("\"192.0.2.1\"") && ended.stdout.contains("count = 8"));
    // Nothing of it is asked or bound here.
    let (server, listen) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", free_port()?));
    let overrides = ["--clock", "software", "--control", "", "--server", &server];
    let mut command = chimed()?;
    command.args(["-d", "-f", &path, "--listen", &listen]).args(overrides);
    let mut process = Process::start(&mut command)?;
    process.wait_for_line("ntp engine ready", SOON)?;
    for warning in WARNINGS {
        ensure!(process.transcript.count(&format!("warning  {path}{warning}")) == 1, "{warning}");
    }
    process.signal(Signal::SIGTERM)?;
    ensure!(process.wait(SOON)?.code() == Some(0), "it did not end well");
    Ok(())
}

/// What is printed is the same configuration.
pub(crate) fn convert() -> Result<()> {
    let directory = scratch()?;
    let path = write(directory.path(), "ntpd.conf", NTPD_CONF)?;
    let ended = finish(chimectl()?.args(["convert", &path]), SOON)?;
    let expected: String =
        WARNINGS.iter().map(|text| format!("chimectl: warning: {path}{text}\n")).collect();
    ensure!(ended.code == Some(0) && ended.stderr == expected, "{ended:?}");
    let toml = "[[server]]\naddress = \"192.0.2.1\"\ntrust = true\n\n[[pool]]\n\
                address = \"pool.example\"\ncount = 8\n\n[[listen]]\naddress = \"*\"\n";
    ensure!(ended.stdout == toml, "{}", ended.stdout);
    let converted = write(directory.path(), "chimed.toml", toml)?;
    ensure!(check(&[&converted])?.stdout == check(&[&path])?.stdout, "not the same");

    let ended = finish(chimectl()?.args(["--json", "convert", &path]), SOON)?;
    let json: serde_json::Value = serde_json::from_str(&ended.stdout)?;
    ensure!(json["toml"] == toml && json["warnings"][1] == format!("{path}{}", WARNINGS[1]));
    let wrong = write(directory.path(), "wrong", "server a b\n")?;
    let ended = finish(chimectl()?.args(["convert", &wrong]), SOON)?;
    let expected =
        format!("chimectl: {wrong}:1:10: b is unknown: weight and trusted are allowed\n");
    ensure!(ended.code == Some(1) && ended.stderr.starts_with(&expected), "{ended:?}");
    Ok(())
}
