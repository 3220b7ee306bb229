//! The dns engine: looks names up, which may take many seconds, and does nothing else.
//!
//! Not even its root directory is empty: the system's resolver reads its files anew when they change.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use truechimer_core::event::{Event, Level};

use super::channel::{Channel, ChannelError};
use super::leave_terminal;
use super::message::{FromDns, FromHelper, ToDns, ToHelper};
use crate::config::Config;
use crate::log::Log;
use crate::output;
use crate::resolver::look_up;
use crate::sandbox::{Work, confine};
use crate::sys;
use crate::sys::fault::{Call, fault};

/// The end of its pair with the parent.
type Parent = Channel<FromHelper, ToHelper>;
/// The end of its pair with the ntp engine.
type Asker = Channel<FromDns, ToDns>;

pub(super) fn main(parent: OwnedFd, asker: OwnedFd) -> Result<ExitCode, Errno> {
    let (parent, asker) = (Parent::new(parent)?, Asker::new(asker)?);
    let Ok(ToHelper::Start(text, user)) = parent.receive() else {
        return Ok(ExitCode::FAILURE);
    };
    let config = Config::from_toml(&text).unwrap_or_default();
    let log = Log::new(&config.log);
    leave_terminal(&log)?;
    set_priority(&log);
    let confined = confine(&Work::Dns, user.as_ref(), &log);
    let protections = match confined {
        Ok(protections) => protections,
        Err(error) => {
            output::fail("chimed", &format_args!("cannot start: {error}"));
            return Ok(ExitCode::FAILURE);
        }
    };
    let ready = parent.send(&FromHelper::Ready(protections));
    if ready.is_err() || serve(&parent, &asker, &log).is_err() {
        return Ok(ExitCode::FAILURE);
    }
    // Until the ntp engine has ended too, and the parent closes the pair.
    while parent.receive().is_ok() {}
    Ok(ExitCode::SUCCESS)
}

fn set_priority(log: &Log) {
    if sys::set_normal_priority().is_err() {
        log.event(&Event::SetPriorityFailed);
    }
}

/// Answers until one of the others ends. Nothing is wrong here if that is the ntp engine: the parent
/// finds that out itself, and is to see this process go after it.
///
/// # Errors
/// It cannot go on; that has been logged.
fn serve(parent: &Parent, asker: &Asker, log: &Log) -> Result<(), ()> {
    loop {
        let mut descriptors =
            [parent.as_fd(), asker.as_fd()].map(|end| PollFd::new(end, PollFlags::POLLIN));
        match fault(Call::Poll).and_then(|()| poll(&mut descriptors, PollTimeout::NONE)) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(_) => {
                log.event(&Event::PollError);
                return Err(());
            }
        }
        match parent.try_receive() {
            Ok(Some(ToHelper::HostDns(question))) => {
                let found = FromHelper::HostDns(Box::new(look_up(&question).into()));
                if parent.send(&found).is_err() {
                    return Ok(());
                }
            }
            Ok(None) => {}
            // It ends, or has ended.
            _ => return Ok(()),
        }
        let ToDns::HostDns(question) = match asker.try_receive() {
            Ok(Some(message)) => message,
            Ok(None) => continue,
            Err(ChannelError::Invalid(invalid)) => {
                log.event(&Event::InvalidMessage { message: invalid.0 });
                return Err(());
            }
            Err(_) => {
                log.event(&Event::DnsEnginePipeClosed);
                return Ok(());
            }
        };
        if let Err(error) = asker.send(&FromDns::HostDns(look_up(&question).into())) {
            log.event(&Event::PipeWriteToNtpEngine);
            log.message(Level::Debug, &error);
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::process::channel::pair;
    use crate::process::resolver::DnsEngine;
    use crate::resolver::{Question, Resolver};
    use crate::sys::fault::inject;

    fn ends<Out, In>() -> (Channel<Out, In>, Channel<In, Out>) {
        let (one, other) = pair().unwrap();
        (Channel::new(one).unwrap(), Channel::new(other).unwrap())
    }

    fn question(name: &str) -> Question {
        Question { id: 7, name: name.try_into().unwrap(), port: 123 }
    }

    fn texts(log: &Log) -> Vec<String> {
        log.since(0).0.into_iter().map(|line| line.text.as_str().to_owned()).collect()
    }

    /// What it logs that serves such ends.
    fn served(parent: &Parent, asker: &Asker) -> (Result<(), ()>, Vec<String>) {
        let log = Log::in_memory();
        (serve(parent, asker, &log), texts(&log))
    }

    #[test]
    fn both_ends() {
        let (ours, parent) = ends::<ToHelper, FromHelper>();
        let (asking, asker) = ends();
        let mut resolver = DnsEngine::new(asking);
        let serving = thread::spawn(move || {
            let served = served(&parent, &asker);
            asker.close();
            served
        });
        assert!(resolver.ask(question("127.0.0.1")) && resolver.ask(question("no such name")));
        let mut next = || loop {
            if let Some(answer) = resolver.answer() {
                break answer;
            }
        };
        assert_eq!(next().outcome.unwrap().as_slice(), ["127.0.0.1:123".parse().unwrap()]);
        let answer = next();
        assert!(answer.id == 7 && answer.outcome.is_err());
        ours.close();
        assert_eq!(
            serving.join().unwrap(),
            (Ok(()), Vec::new()),
            "the end of the parent is its own"
        );
        assert!(resolver.answer().is_none() && resolver.is_due());
        let failure = resolver.failure().unwrap();
        assert_eq!(failure.to_string(), "ntp_dispatch_imsg in ntp engine: pipe closed");
        assert!(!resolver.is_due() && resolver.descriptor().is_none());
    }

    #[test]
    fn a_dns_engine_that_is_gone_is_told_once() {
        let (asking, asker) = ends();
        asker.close();
        let mut resolver = DnsEngine::new(asking);
        assert!(!resolver.ask(question("localhost")));
        let failure = resolver.failure().unwrap();
        assert_eq!(failure.to_string(), "pipe write error (to dns engine)");
        assert!(!resolver.ask(question("localhost")) && resolver.failure().is_none());
    }

    #[test]
    fn what_ends_it_is_told() {
        let (_ours, parent) = ends();
        let (asking, asker) = ends::<ToDns, _>();
        drop(asking);
        let lines = ["dns_dispatch_imsg in dns engine: pipe closed".to_owned()];
        assert_eq!(served(&parent, &asker), (Ok(()), lines.to_vec()));

        let (asking, asker) = ends::<ToDns, _>();
        asking.send(&ToDns::HostDns(question("127.0.0.1"))).unwrap();
        drop(asking);
        let (outcome, lines) = served(&parent, &asker);
        assert_eq!((outcome, lines[0].as_str()), (Ok(()), "pipe write error (to ntp engine)"));

        let (one, other) = pair().unwrap();
        let (askee, asker) = (Channel::<FromHelper, ToDns>::new(one).unwrap(), Channel::new(other));
        askee.send(&FromHelper::Ready(Vec::new())).unwrap();
        let lines = ["invalid IMSG_HOST_DNS received".to_owned()];
        assert_eq!(served(&parent, &asker.unwrap()), (Err(()), lines.to_vec()));

        let (_asking, asker) = ends();
        let _fault = inject(Call::Poll, Errno::EFAULT);
        assert_eq!(served(&parent, &asker), (Err(()), vec!["poll error".to_owned()]));
    }

    #[test]
    fn a_priority_that_cannot_be_had_is_told() {
        let log = Log::in_memory();
        let _fault = inject(Call::SetPriority, Errno::EACCES);
        set_priority(&log);
        assert_eq!(texts(&log), ["could not set priority"]);
    }
}
