//! What the parent says of calls that fail and of children that are not what they should be.

use clap::Parser;

use super::*;
use crate::cli::chimed::Cli;
use crate::constraint;
use crate::process::codec::Message;
use crate::process::leave_terminal;
use crate::process::message::{FromConstraint, ToConstraint};
use crate::resolver::Answer;
use crate::sys::fault::inject;

fn texts(log: &Log) -> Vec<String> {
    log.since(0).0.into_iter().map(|line| line.text.as_str().to_owned()).collect()
}

/// A child that is some program, and the other end of its pair.
fn process<Out: Message, In: Message>(
    role: Role,
    program: &str,
) -> (Process<Out, In>, Channel<In, Out>) {
    let (ours, theirs) = pair().unwrap();
    let child = std::process::Command::new(program).spawn().unwrap();
    let channel = Channel::new(ours).unwrap();
    (Process { role, channel, child }, Channel::new(theirs).unwrap())
}

/// What a parent logs whose children are such programs, and who does something with their ends.
fn logged(act: impl FnOnce(&mut Parent<'_>, Channel<ToParent, ToNtp>)) -> Vec<String> {
    let args = Cli::parse_from(["chimed", "-f", "/nowhere/chimed.toml"]).daemon;
    let (ntp, end) = process(Role::Ntp, "true");
    let (dns, _dns_end) = process(Role::Dns, "true");
    let mut parent = Parent {
        args: &args,
        log: Log::in_memory(),
        ntp,
        dns,
        constraint: None,
        service: ServiceManager::default(),
        clock: None,
        files: None,
        frequency: None,
        leap_list: Some("/nowhere/list".into()),
        control: None,
        has_control: false,
        ntp_ready: None,
        dns_ready: None,
    };
    act(&mut parent, end);
    texts(&parent.log)
}

#[test]
fn what_cannot_be_had_to_start_a_child_is_told() {
    for (error, text) in [(Errno::EMFILE, "fatal: socketpair"), (Errno::ENOMEM, "fatal: malloc")] {
        let (log, _fault) = (Log::in_memory(), inject(Call::Socketpair, error));
        assert!(matches!(new_pair(&log), Err(ParentError::Pair(told)) if told == error));
        assert_eq!(texts(&log), [text]);
    }
    let (log, _fault) = (Log::in_memory(), inject(Call::Fork, Errno::EAGAIN));
    let started = spawn::<ToHelper, FromHelper>(Role::Dns, None, &log);
    assert!(matches!(started, Err(ParentError::Start(Role::Dns, _))));
    assert_eq!(texts(&log), ["fatal: cannot fork"]);
    drop(_fault);
    let (log, _fault) = (Log::in_memory(), inject(Call::Setsid, Errno::EPERM));
    assert_eq!(leave_terminal(&log), Err(Errno::EPERM));
    assert_eq!(texts(&log), ["fatal: setsid"]);
}

#[test]
fn a_child_that_is_gone_is_told() {
    let lines = logged(|parent, end| {
        end.close();
        parent.tell(&ToNtp::Reload);
        assert!(matches!(parent.serve_ntp(), Err(ParentError::Lost(Role::Ntp, _))));
    });
    let all = [
        "pipe write error (to child)",
        "dispatch_imsg in main: pipe closed",
        "Lost child: ntp engine exited",
    ];
    assert_eq!(lines, all);
}

#[test]
fn a_child_that_talks_nonsense_is_told() {
    let lines = logged(|parent, _end| {
        let (ours, theirs) = pair().unwrap();
        parent.ntp.channel = Channel::new(ours).unwrap();
        let nonsense = Channel::<ToNtp, ToNtp>::new(theirs).unwrap();
        nonsense.send(&ToNtp::Run(Vec::new())).unwrap();
        assert!(matches!(parent.serve_ntp(), Err(ParentError::Senseless(Role::Ntp, _))));
    });
    assert_eq!(lines, ["invalid IMSG_ADJTIME received"]);
}

#[test]
fn a_poll_that_fails_is_told() {
    let lines = logged(|parent, _end| {
        let _fault = inject(Call::Poll, Errno::EFAULT);
        assert!(matches!(parent.wait(None, PollTimeout::ZERO), Err(ParentError::Poll(_))));
    });
    assert_eq!(lines, ["poll error"]);
}

/// Before the clock was opened nobody can have it set.
#[test]
fn what_is_asked_is_answered() {
    let lines = logged(|parent, end| {
        parent.serve_ntp().unwrap();
        end.send(&ToParent::Clock(Command::Step(1))).unwrap();
        end.send(&ToParent::Read).unwrap();
        parent.serve_ntp().unwrap();
        assert_eq!(end.receive(), Ok(ToNtp::Done(Refused::NotPermitted.into())));
        let Ok(ToNtp::Configuration(Err(error))) = end.receive() else { panic!("no error") };
        assert!(error.contains("/nowhere/chimed.toml: cannot be read"), "{error}");
        end.send(&ToParent::LeapSeconds).unwrap();
        parent.serve_ntp().unwrap();
        let Ok(ToNtp::LeapSeconds(Err(error))) = end.receive() else { panic!("no error") };
        assert!(error.starts_with("/nowhere/list: cannot read it: "), "{error}");
        // All run when all are ready.
        end.send(&ToParent::Ready { control: true, protections: Vec::new() }).unwrap();
        parent.serve_ntp().unwrap();
        parent.go().unwrap();
        assert_eq!(end.try_receive(), Ok(None));
    });
    assert!(lines.is_empty(), "{lines:?}");
}

/// When the ntp engine is lost the clock is left at its last frequency, but not if it has that by its own
/// loop, whose last offset is on its way.
#[test]
fn the_frequency_to_leave_the_clock_at() {
    let lines = logged(|parent, end| {
        let mut after = |command: Command| {
            end.send(&ToParent::Clock(command)).unwrap();
            parent.serve_ntp().unwrap();
            assert!(matches!(end.receive(), Ok(ToNtp::Done(_))));
            parent.frequency.map(FreqOffset::as_ppm)
        };
        let status = Command::Status { synced: true, max_error: 1, estimated_error: 1 };
        let lock = Command::Lock { frequency: None, offset: 1_000, poll: 6 };
        assert_eq!(after(status), None, "nothing was changed");
        assert_eq!(after(Command::Adjust { frequency: 12.5, slew: 80.0 }), Some(12.5));
        assert_eq!(after(Command::Step(1)), Some(12.5));
        assert_eq!(after(lock), None);
        assert_eq!(after(status), None);
        assert_eq!(after(Command::Adjust { frequency: -3.0, slew: 0.0 }), Some(-3.0));
        end.close();
        assert!(matches!(parent.serve_ntp(), Err(ParentError::Lost(Role::Ntp, _))));
        assert_eq!(parent.frequency.map(FreqOffset::as_ppm), Some(-3.0));
    });
    assert_eq!(lines, ["dispatch_imsg in main: pipe closed", "Lost child: ntp engine exited"]);
}

/// The servers are asked when all names are known, and who was not asked has nothing to say.
#[test]
fn https_servers() {
    let text = "[[constraint]]\nurl = \"https://a.example:8443/\"\n[[constraint]]\nurl = \
                \"https://[::1]/\"\n[[constraint]]\nurl = \"https://b.example/\"\naddresses = \
                [\"192.0.2.1\"]";
    let config = Config::from_toml(text).unwrap();
    let lines = logged(|parent, end| {
        let (ours, theirs) = pair().unwrap();
        parent.dns.channel = Channel::new(ours).unwrap();
        let dns = Channel::<FromHelper, ToHelper>::new(theirs).unwrap();
        let (process, its) = process(Role::Constraint, "true");
        parent.constraint = Some(Constraint::new(process, config.constraints));
        end.send(&ToParent::Constrain).unwrap();
        end.send(&ToParent::Constrain).unwrap();
        parent.serve_ntp().unwrap();
        let Ok(ToHelper::HostDns(question)) = dns.receive() else { panic!("no question") };
        assert_eq!((question.name.as_str(), question.port), ("a.example", 8_443));
        assert_eq!(dns.try_receive(), Ok(None), "one is asked for once");
        assert_eq!(its.try_receive(), Ok(None), "a name is not known yet");
        let found = |id| Answer { id, outcome: Ok(["192.0.2.9:1".parse().unwrap()].into()) };
        for id in [1, 9, 0] {
            parent.constraint.as_mut().unwrap().resolved(found(id));
        }
        let ips = ["192.0.2.9", "::1", "192.0.2.1"].map(|ip| Ok(vec![ip.parse().unwrap()]));
        assert_eq!(its.receive(), Ok(ToConstraint::Query(ips.into())));
        let answer = constraint::Answer { readings: Vec::new(), failures: vec!["no".into()] };
        its.send(&FromConstraint::Result(answer.clone())).unwrap();
        parent.serve_constraint().unwrap();
        assert_eq!(end.receive(), Ok(ToNtp::Constrained(answer.clone())));
        its.send(&FromConstraint::Result(answer)).unwrap();
        let outcome = parent.serve_constraint();
        assert!(matches!(outcome, Err(ParentError::Senseless(Role::Constraint, _))));
    });
    assert_eq!(lines, ["invalid IMSG_CONSTRAINT_RESULT received"]);
}
