//! What is asked of the daemon through its control socket.

use truechimer_core::event::Level;
use truechimer_core::hal::AdjustableClock;
use truechimer_core::io::{Input, Output, Request};

use super::reload::Parts;
use super::{Daemon, DaemonError, Peers, status};
use crate::config::{ClockKind, Config};
use crate::control::{Answer, Command, Control, Group};
use crate::log::Log;

impl Daemon {
    /// What follows the configuration, and what it is told by.
    pub(super) fn parts<'a>(
        &'a mut self,
        outputs: &'a mut Vec<Output>,
    ) -> (Parts<'a>, Option<&'a mut Control>) {
        let parts = Parts {
            node: &mut self.node,
            serving: &mut self.serving,
            names: &mut self.names,
            lookups: &mut self.lookups,
            leaps: &mut self.leaps,
            config: &mut self.config,
            superior: &self.superior,
            log: &self.log,
            protections: &self.protections,
            outputs,
        };
        (parts, self.control.as_mut())
    }

    pub(super) fn serve_control(&mut self) {
        let (polls, uptime, floor) = (self.polls, self.started.elapsed(), self.keeper.floor());
        let mut outputs = Vec::new();
        let (mut parts, Some(control)) = self.parts(&mut outputs) else { return };
        let protections = parts.protections;
        control.serve(parts.log, |command| {
            let now = parts.node.clock.now();
            let request = match command {
                Command::Reload => return parts.reload().into(),
                Command::Add(server) => return parts.add(&server.server()).into(),
                Command::Online(server) => {
                    let online = |engine: &mut Peers, now, id| engine.set_online(now, id, true);
                    return parts.each(server.as_ref(), online).into();
                }
                Command::Offline(server) => {
                    let offline = |engine: &mut Peers, now, id| engine.set_online(now, id, false);
                    return parts.each(server.as_ref(), offline).into();
                }
                Command::Burst(server) => return parts.each(server.as_ref(), Peers::burst).into(),
                Command::Remove(server) => return parts.remove(&server.server()).into(),
                Command::Accept => Request::Accept,
                Command::Step => Request::Step,
                Command::Server => return Answer::Server(Box::new(parts.serving.tell(parts.node))),
                // The control socket answers itself what is asked of the log.
                Command::Status | Command::Peers | Command::Log | Command::FollowLog => {
                    let (node, names) = (&*parts.node, &*parts.names);
                    let reporter =
                        status::Reporter { node, names, floor, protections, polls, uptime };
                    return match command {
                        Command::Peers => Answer::Peers(reporter.peers(now)),
                        _ => {
                            let served = parts.serving.counters(node);
                            Answer::Status(Box::new(reporter.status(&served, now)))
                        }
                    };
                }
            };
            let mut answer = Answer::Error("the engine did not answer".into());
            let Parts { node, outputs, .. } = &mut parts;
            node.input(Input::Operator(request), &mut |output| match output {
                Output::Operator(Ok(by)) => answer = Answer::Step(by.as_secs_f64()),
                Output::Operator(Err(refusal)) => answer = Answer::Error(refusal.to_string()),
                other => outputs.push(other),
            });
            answer
        });
        self.take(outputs);
    }
}

/// The control socket, if it is wanted and to be had.
pub(super) fn open_control(config: &Config, log: &Log) -> Result<Option<Control>, DaemonError> {
    let Some(path) = config.control.as_deref() else { return Ok(None) };
    let group = config.control_group.as_deref().map(Group::named).transpose();
    let group = group.map_err(DaemonError::Group)?;
    let error = match Control::open(path, group.as_ref()) {
        Ok(control) => return Ok(Some(control)),
        Err(error) => error,
    };
    if error.is_in_use() && config.clock == ClockKind::Kernel {
        return Err(DaemonError::Running(path.to_owned()));
    }
    let path = path.display().to_string();
    match (error.event(&path), group) {
        (None, Some(group)) => {
            let name = group.name();
            let text = format_args!("{path}: cannot be given to the group {name:?}: {error}");
            log.message(Level::Error, &text);
        }
        (event, _) => {
            event.iter().for_each(|event| log.event(event));
            log.message(Level::Debug, &format_args!("{path}: {error}"));
        }
    }
    Ok(None)
}
