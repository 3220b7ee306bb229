//! The control socket: a client that writes anything, in pieces, and reads what comes back.
#![no_main]

use std::cell::OnceCell;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use libfuzzer_sys::fuzz_target;
use truechimer::control::{Answer, Command, Control, Request, VERSION};
use truechimer::log::{Log, Options};
use truechimer_fuzz::{Octets, plant};

/// More than an answer has that is made up here, or the log that nothing was written to.
const MAX_ANSWER: usize = 8 * 1_024;

struct Daemon {
    folder: tempfile::TempDir,
    control: Control,
    log: Log,
}

thread_local! {
    static DAEMON: OnceCell<std::cell::RefCell<Daemon>> = const { OnceCell::new() };
}

fuzz_target!(init: plant(seeds()), |data: &[u8]| {
    DAEMON.with(|daemon| ask(&mut daemon.get_or_init(start).borrow_mut(), Octets(data)));
});

fn start() -> std::cell::RefCell<Daemon> {
    let folder = tempfile::tempdir().unwrap();
    let control = Control::open(&folder.path().join("socket"), None).unwrap();
    Daemon { folder, control, log: Log::new(&Options::default()) }.into()
}

fn ask(Daemon { folder, control, log }: &mut Daemon, mut octets: Octets<'_>) {
    let mut client = UnixStream::connect(folder.path().join("socket")).unwrap();
    let (mut written, mut answer, mut asked) = (Vec::new(), Vec::new(), None);
    control.serve(log, |_| unreachable!("nothing was asked"));
    while let Some(piece) = octets.piece() {
        // Nobody is heard once he was answered.
        if client.write_all(piece).is_err() {
            break;
        }
        written.extend(piece);
        control.serve(log, |command| {
            asked = Some(command.clone());
            Answer::Error(format!("{command:?}"))
        });
    }
    client.set_nonblocking(true).unwrap();
    let mut buffer = [0; MAX_ANSWER];
    loop {
        match client.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => answer.extend(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                break;
            }
        }
    }
    drop(client);
    control.serve(log, |_| unreachable!("nobody is there to ask"));
    judge(&written, &answer, asked);
}

/// Only a line that is a request is one, and all who end a line are answered by a line.
fn judge(written: &[u8], answer: &[u8], asked: Option<Command>) {
    assert!(answer.len() < MAX_ANSWER);
    let line = written.split(|&octet| octet == b'\n').next().unwrap();
    let request = serde_json::from_slice::<Request>(line);
    if line.len() == written.len() && line.len() <= 1_024 {
        assert!(answer.is_empty() && asked.is_none());
        return;
    }
    let Some((b'\n', json)) = answer.split_last() else { panic!("{answer:?}") };
    let answer: Answer = serde_json::from_slice(json).unwrap();
    if let Some(command) = asked {
        let request = request.unwrap();
        assert_eq!(request, Request { version: VERSION, command: command.clone() });
        assert_eq!(answer, Answer::Error(format!("{command:?}")));
        let again = serde_json::to_vec(&request).unwrap();
        assert_eq!(serde_json::from_slice::<Request>(&again).unwrap(), request);
    } else if let Answer::Log(_) = answer {
        assert!(matches!(request.unwrap().command, Command::Log | Command::FollowLog));
    } else {
        assert!(matches!(answer, Answer::Error(_)));
        assert!(request.is_err() || request.unwrap().version != VERSION || line.len() > 1_024);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let target = || "[2001:db8::1]:1123".parse().unwrap();
    let commands = [
        Command::Status,
        Command::Log,
        Command::FollowLog,
        Command::Add(target()),
        Command::Online(None),
        Command::Burst(Some(target())),
    ];
    let line = |command| serde_json::to_vec(&Request { version: VERSION, command }).unwrap();
    let lines = commands.into_iter().map(line).chain([vec![b'['; 150]]);
    lines
        .map(|line| {
            let (head, tail) = line.split_at(line.len() / 2);
            [&[head.len() as u8], head, &[tail.len() as u8 + 1], tail, b"\n"].concat()
        })
        .collect()
}
