//! The parent: has the privilege for the clock and the files, and does with it what the ntp engine
//! asks for. It starts the others, and when one of them ends it ends all.

mod constraint;

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::{Shutdown, shutdown};
use nix::unistd::geteuid;
use truechimer_core::event::{Event, Level};
use truechimer_core::hal::AdjustableClock;
use truechimer_core::units::{FreqOffset, WallTime};

use self::constraint::Constraint;
use super::Role;
use super::channel::{Channel, ChannelError, pair};
use super::message::{
    Command, Configuration, Failure, FromHelper, Opened, Refused, Start, ToHelper, ToNtp, ToParent,
};
use crate::cli::chimed::DaemonArgs;
use crate::clock::KernelClock;
use crate::config::{Config, ConfigError, DEFAULT_WORKERS, Detail, Loaded};
use crate::leap;
use crate::log::Log;
use crate::phc::{self, Cards};
use crate::sandbox::{Protection, SandboxError, User, UserError, Work, confine};
use crate::service::ServiceManager;
use crate::state::{self, StateFiles};
use crate::sys;
use crate::sys::fault::{Call, fault};

/// How long the ntp engine may take to end once it is told to.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long a child that has closed its pair may take to be gone.
const LAST_BREATH: Duration = Duration::from_secs(1);
/// Between two looks at whether it is, ms.
const LOOK: u8 = 2;

/// Why the daemon could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ParentError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Signals cannot be caught.
    #[error("cannot catch signals: {0}")]
    Signals(io::Error),
    /// There is nobody to be.
    #[error(transparent)]
    User(#[from] UserError),
    /// This process does not give up what it does not need.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// There is no pair of sockets.
    #[error("cannot make a pair of sockets: {0}")]
    Pair(Errno),
    /// There is no further process.
    #[error("cannot start the {0}: {1}")]
    Start(Role, io::Error),
    /// A child process ended that should not.
    #[error("lost the {0}: {1}")]
    Lost(Role, ExitStatus),
    /// One does not say what it should.
    #[error("the {0} cannot be understood: {1}")]
    Senseless(Role, ChannelError),
    /// poll(2) failed.
    #[error("poll failed: {0}")]
    Poll(Errno),
}

/// Runs the daemon until a signal asks it to end.
///
/// # Errors
/// It could not start, or a process was lost.
pub fn run(args: &DaemonArgs) -> Result<(), ParentError> {
    let (config, configuration) = load(args)?;
    let log = Log::new(&config.log);
    let bell = catch_signals().map_err(ParentError::Signals)?;
    let parent = Parent::start(args, &config, configuration, log)?;
    parent.run(&bell)
}

/// What there is to do, for this process and for the ntp engine.
fn load(args: &DaemonArgs) -> Result<(Config, Configuration), ConfigError> {
    let Loaded { mut config, warnings } = args.origin.load()?;
    config.log = args.log_options(&config.log);
    config.serve.workers.get_or_insert(DEFAULT_WORKERS);
    let toml = config.to_toml(Detail::Full);
    Ok((config, Configuration { toml, warnings }))
}

/// What can be read when a signal has come.
fn catch_signals() -> io::Result<UnixStream> {
    let (bell, ringer) = UnixStream::pair()?;
    bell.set_nonblocking(true)?;
    ringer.set_nonblocking(true)?;
    sys::ring_on_signals(ringer.into());
    sys::catch_termination()?;
    sys::catch_reload()?;
    Ok(bell)
}

struct Parent<'a> {
    args: &'a DaemonArgs,
    log: Log,
    ntp: Process<ToNtp, ToParent>,
    dns: Process<ToHelper, FromHelper>,
    /// If there are HTTPS servers to ask.
    constraint: Option<Constraint>,
    service: ServiceManager,
    clock: Option<KernelClock>,
    /// What is kept for the next start.
    files: Option<StateFiles>,
    /// The rate at which the clock is right, if it runs at another one for a while.
    frequency: Option<FreqOffset>,
    /// Where the list of leap seconds is to be.
    leap_list: Option<PathBuf>,
    /// Where the control socket is to be.
    control: Option<PathBuf>,
    /// Whether it is there.
    has_control: bool,
    /// How the children are confined, once they are ready.
    ntp_ready: Option<Vec<Protection>>,
    dns_ready: Option<Vec<Protection>>,
}

/// A child.
struct Process<Out, In> {
    role: Role,
    channel: Channel<Out, In>,
    child: Child,
}

impl<Out, In> Process<Out, In> {
    /// How it ended; it is killed if it has not.
    fn end(&mut self) -> io::Result<ExitStatus> {
        let start = Instant::now();
        while start.elapsed() < LAST_BREATH {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            let _ = poll(&mut [], LOOK);
        }
        self.child.kill()?;
        self.child.wait()
    }
}

/// Says what could not be had.
fn new_pair(log: &Log) -> Result<(OwnedFd, OwnedFd), ParentError> {
    pair().map_err(|error| {
        log.event(match error {
            Errno::ENOMEM | Errno::ENOBUFS => &Event::FatalMalloc,
            _ => &Event::FatalSocketpair,
        });
        ParentError::Pair(error)
    })
}

fn spawn<Out, In>(
    role: Role,
    side: Option<OwnedFd>,
    log: &Log,
) -> Result<Process<Out, In>, ParentError> {
    let (ours, theirs) = new_pair(log)?;
    let channel = Channel::new(ours).map_err(ParentError::Pair)?;
    let child = role.start(theirs, side).map_err(|error| {
        log.event(&Event::FatalFork);
        ParentError::Start(role, error)
    })?;
    Ok(Process { role, channel, child })
}

impl<'a> Parent<'a> {
    fn start(
        args: &'a DaemonArgs,
        config: &Config,
        configuration: Configuration,
        log: Log,
    ) -> Result<Self, ParentError> {
        let service = ServiceManager::from_environment().unwrap_or_else(|error| {
            let text = format_args!("cannot notify the service manager: {error}");
            log.message(Level::Warning, &text);
            ServiceManager::default()
        });
        let user = config.user.as_deref().filter(|_| geteuid().is_root());
        let user = user.map(User::named).transpose()?;
        let (asker, answerer) = new_pair(&log)?;
        let dns: Process<ToHelper, _> = spawn(Role::Dns, Some(answerer), &log)?;
        let ntp: Process<ToNtp, _> = spawn(Role::Ntp, Some(asker), &log)?;
        let constraint = Constraint::start(config, user.as_ref(), &log)?;
        let (files, past) = state::open(config, &log);
        let parent = Self {
            args,
            log,
            ntp,
            dns,
            constraint,
            service,
            clock: None,
            files,
            frequency: None,
            leap_list: config.leap_list.clone(),
            control: config.control.clone(),
            has_control: false,
            ntp_ready: None,
            dns_ready: None,
        };
        let for_helpers = Config { log: config.log, ..Config::default() };
        let helper = ToHelper::Start(for_helpers.to_toml(Detail::Brief), user.clone());
        let (notify, beat) = (parent.service.is_there(), parent.service.beat());
        let (kept, rtc) = (past.state.into(), past.rtc.map(Into::into));
        let Cards { interfaces: hardware, clocks } = phc::open(&config.hardware, &parent.log);
        let start = Start { configuration, user, notify, beat, kept, rtc, hardware };
        // Who is gone already is found out when it is listened to.
        parent.tell_with(&ToNtp::Start(start.into()), &clocks);
        let _ = parent.dns.channel.try_send(&helper);
        Ok(parent)
    }

    fn run(mut self, bell: &UnixStream) -> Result<(), ParentError> {
        let outcome = self.serve(bell);
        self.end();
        if outcome.is_err() {
            self.log.event(&Event::FatalExiting);
        }
        self.log.event(&Event::Terminating);
        outcome
    }

    /// Until a signal asks for an end.
    fn serve(&mut self, bell: &UnixStream) -> Result<(), ParentError> {
        while !sys::termination_requested() {
            if sys::take_reload_request() {
                self.tell(&ToNtp::Reload);
            }
            self.wait(Some(bell), PollTimeout::NONE)?;
            let mut rung = bell;
            let _ = io::Read::read(&mut rung, &mut [0; 64]);
            self.serve_ntp()?;
            match (self.dns_says()?, &mut self.constraint) {
                (Some(FromHelper::Ready(protections)), _) => self.dns_ready = Some(protections),
                (Some(FromHelper::HostDns(found)), Some(constraint)) => {
                    constraint.resolved((*found).into());
                }
                (_, _) => {}
            }
            self.serve_constraint()?;
            self.go()?;
        }
        Ok(())
    }

    fn wait(&self, bell: Option<&UnixStream>, timeout: PollTimeout) -> Result<(), ParentError> {
        let ends = [self.ntp.channel.as_fd(), self.dns.channel.as_fd()];
        let constraint = self.constraint.iter().map(|it| it.process.channel.as_fd());
        let ends = ends.into_iter().chain(constraint).chain(bell.map(AsFd::as_fd));
        let mut ends: Vec<_> = ends.map(|end| PollFd::new(end, PollFlags::POLLIN)).collect();
        match fault(Call::Poll).and_then(|()| poll(&mut ends, timeout)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => {
                self.log.event(&Event::PollError);
                Err(ParentError::Poll(error))
            }
        }
    }

    /// All that the ntp engine has asked for.
    fn serve_ntp(&mut self) -> Result<(), ParentError> {
        loop {
            match self.ntp.channel.try_receive() {
                Ok(Some(message)) => self.obey(message),
                Ok(None) => return Ok(()),
                Err(error) => {
                    if error == ChannelError::Closed {
                        self.log.event(&Event::MainPipeClosed);
                    }
                    return Err(lost(&mut self.ntp, error, &self.log));
                }
            }
        }
    }

    fn dns_says(&mut self) -> Result<Option<FromHelper>, ParentError> {
        let said = self.dns.channel.try_receive();
        said.map_err(|error| lost(&mut self.dns, error, &self.log))
    }

    fn obey(&mut self, message: ToParent) {
        match message {
            ToParent::Open { control } => {
                let opened = self.open_clock(control);
                self.tell(&ToNtp::Opened(opened));
            }
            ToParent::Clock(command) => {
                let done = match &mut self.clock {
                    Some(clock) => command.carry_out(clock),
                    None => Refused::NotPermitted.into(),
                };
                match command {
                    Command::Adjust { frequency, .. } => {
                        self.frequency = Some(FreqOffset::from_ppm_f64(frequency));
                    }
                    // The clock's own loop has it, and what it corrects comes to an end.
                    Command::Lock { .. } => self.frequency = None,
                    Command::Step(_) | Command::Status { .. } | Command::Leap { .. } => {}
                }
                self.tell(&ToNtp::Done(done));
            }
            ToParent::Read => {
                let loaded = load(self.args).map(|(config, configuration)| {
                    self.leap_list = config.leap_list;
                    configuration
                });
                let loaded = loaded.map_err(|error| error.to_string());
                self.tell(&ToNtp::Configuration(loaded));
            }
            ToParent::Ready { control, protections } => {
                (self.has_control, self.ntp_ready) = (control, Some(protections));
            }
            ToParent::Constrain => {
                if let Some(constraint) = &mut self.constraint {
                    constraint.begin(&self.dns.channel);
                }
            }
            ToParent::LeapSeconds => {
                self.tell(&ToNtp::LeapSeconds(leap::load(self.leap_list.as_deref())));
            }
            ToParent::Log(severity, text) => self.log.relay(severity, &text),
            ToParent::Notice(notice) => self.service.tell(notice),
            ToParent::Keep(kept, (secs, nanos)) => {
                if let Some(files) = &mut self.files {
                    files.save(&kept.into(), WallTime::from_unix(secs, nanos), &self.log);
                }
            }
        }
    }

    fn open_clock(&mut self, control: bool) -> Result<Opened, Refused> {
        let mut clock = KernelClock::open()?;
        let controlled = if control { clock.try_control().map_err(Into::into) } else { Ok(()) };
        let (rate, synced) = (clock.rate().as_ppm(), clock.was_synced());
        let failures = Failure::take(&mut clock);
        if control && controlled.is_ok() {
            self.clock = Some(clock);
        }
        Ok(Opened { rate, synced, controlled, failures })
    }

    /// Once all are ready: confines itself too, and lets the ntp engine run.
    fn go(&mut self) -> Result<(), ParentError> {
        let constraint = self.constraint.as_mut().map(|it| (Role::Constraint, &mut it.ready));
        let ready = [(Role::Ntp, &mut self.ntp_ready), (Role::Dns, &mut self.dns_ready)];
        let mut ready: Vec<_> = ready.into_iter().chain(constraint).collect();
        if ready.iter().any(|(_, protections)| protections.is_none()) {
            return Ok(());
        }
        let taken = ready.iter_mut().map(|(role, ready)| (role.to_string(), ready.take()));
        let mut all: Vec<_> =
            taken.map(|(role, protections)| (role, protections.unwrap_or_default())).collect();
        let parent = confine(&Work::Parent(self.folders()), None, &self.log)?;
        all.insert(0, ("parent".to_owned(), parent));
        self.tell(&ToNtp::Run(all));
        Ok(())
    }

    /// Where it makes and removes files from here on.
    fn folders(&self) -> Vec<PathBuf> {
        let control = self.control.as_ref().and_then(|path| path.parent());
        let here = |folder: &Path| match folder.as_os_str().is_empty() {
            true => ".".into(),
            false => folder.into(),
        };
        let state = self.files.as_ref().map(StateFiles::folder);
        control.into_iter().chain(state).map(here).collect()
    }

    /// That it could not be told is found out again when it is listened to.
    fn tell(&self, message: &ToNtp) {
        self.tell_with(message, &[]);
    }

    fn tell_with(&self, message: &ToNtp, descriptors: &[OwnedFd]) {
        if self.ntp.channel.try_send_with(message, descriptors).is_err() {
            self.log.event(&Event::PipeWriteToChild);
        }
    }

    /// In order: the ntp engine has the clock left at its frequency, without a slew. If it cannot
    /// any more, that is done for it.
    fn end(&mut self) {
        let _ = self.dns.channel.try_send(&ToHelper::Stop);
        let _ = self.ntp.channel.try_send(&ToNtp::Stop);
        let start = Instant::now();
        while start.elapsed() < LAST_WORDS {
            match self.ntp.channel.try_receive() {
                Ok(Some(message)) => self.obey(message),
                Ok(None) => {
                    let left = LAST_WORDS.saturating_sub(start.elapsed());
                    let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
                    let mut end = [PollFd::new(self.ntp.channel.as_fd(), PollFlags::POLLIN)];
                    let _ = poll(&mut end, left);
                }
                Err(_) => break,
            }
        }
        let _ = self.ntp.end();
        let _ = shutdown(self.dns.channel.as_fd().as_raw_fd(), Shutdown::Both);
        let _ = self.dns.end();
        if let Some(Constraint { process, .. }) = &mut self.constraint {
            let _ = shutdown(process.channel.as_fd().as_raw_fd(), Shutdown::Both);
            let _ = process.end();
        }
        self.leave_clock();
        if let Some(path) = self.control.as_ref().filter(|_| self.has_control) {
            let _ = fs::remove_file(path);
        }
    }

    fn leave_clock(&mut self) {
        let (Some(clock), Some(frequency)) = (&mut self.clock, self.frequency) else { return };
        if clock.adjust(frequency, FreqOffset::ZERO).is_err() {
            self.log.event(&Event::ResetAdjtimeFailed);
        }
    }
}

/// What became of a process that was to be listened to.
fn lost<Out, In>(process: &mut Process<Out, In>, error: ChannelError, log: &Log) -> ParentError {
    if let ChannelError::Invalid(invalid) = error {
        log.event(&Event::InvalidMessage { message: invalid.0 });
    }
    if error != ChannelError::Closed {
        return ParentError::Senseless(process.role, error);
    }
    let name = process.role.to_string();
    let status = match process.end() {
        Ok(status) => status,
        Err(error) => return ParentError::Start(process.role, error),
    };
    log.event(&match status.signal() {
        Some(number) => {
            let signal = Signal::try_from(number).map_or("unknown", Signal::as_str);
            Event::LostChildSignalled { process: &name, signal: number, name: signal }
        }
        None => Event::LostChildExited { process: &name },
    });
    ParentError::Lost(process.role, status)
}

#[cfg(test)]
mod tests;
