//! The programs as a person or a service manager runs them: what they print and where, the status
//! that they end with, and what they leave behind.

mod bench;
mod check;
mod configuration;
mod confined;
mod constraint;
mod control;
mod demo;
mod discipline;
mod ending;
mod exporter;
mod filter;
mod group;
mod hardware;
mod kernel;
mod leap;
mod log;
mod messages;
mod metrics;
mod names;
mod output;
mod packaging;
mod privilege;
mod processes;
mod query;
mod reload;
mod service;
mod serving;
mod state;
mod usage;
mod waiting;
mod watch;
mod workers;
mod xdp;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use truechimer_tests::binaries;
use truechimer_tests::peers::Need;
use truechimer_tests::trial::{conclude, trial};

/// The trials wait more than they work.
const THREADS: usize = 6;
/// For what is done at once, on a busy machine.
const SOON: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    truechimer_tests::names::serve_if_asked()?;
    let trials = vec![
        trial("constraint::answers", &[], constraint::answers),
        trial("constraint::bounds_a_liar", &[], constraint::bounds_a_liar),
        trial("constraint::bounds_a_liar_separated", &[], constraint::bounds_a_liar_separated),
        trial("constraint::nobody_answers", &[], constraint::nobody_answers),
        trial("constraint::nobody_answers_separated", &[], constraint::nobody_answers_separated),
        trial("constraint::nobody_has_the_name", &[], constraint::nobody_has_the_name),
        trial("constraint::unprivileged", &[], constraint::unprivileged),
        trial("demo::whole", &[], demo::whole),
        trial("demo::on_a_terminal", &[], demo::on_a_terminal),
        trial("demo::without_colour", &[], demo::without_colour),
        trial("query::reading", &[], query::reading),
        trial("query::one_of_several", &[], query::one_of_several),
        trial("query::rejected", &[], query::rejected),
        trial("query::refused", &[], query::refused),
        trial("query::unanswered", &[], query::unanswered),
        trial("query::not_asked", &[], query::not_asked),
        trial("control::status", &[], control::status),
        trial("control::peers", &[Need::Namespace], control::peers),
        trial("control::json", &[], control::json),
        trial("control::stamps", &[], control::stamps),
        trial("control::accept", &[], control::accept),
        trial("control::step", &[], control::step),
        trial("control::tracking", &[], control::tracking),
        trial("waiting::synced", &[], waiting::synced),
        trial("waiting::too_long", &[], waiting::too_long),
        trial("watch::live", &[], watch::live),
        trial("watch::ending", &[], watch::ending),
        trial("watch::lost", &[], watch::lost),
        trial("watch::without_a_terminal", &[], watch::without_a_terminal),
        trial("waiting::in_vain", &[], waiting::in_vain),
        trial("control::nobody_there", &[], control::nobody_there),
        trial("control::somebody_else", &[], control::somebody_else),
        trial("control::not_allowed", &[Need::Namespace], control::not_allowed),
        trial("group::members_may_ask", &[Need::Root], group::members_may_ask),
        trial("group::unknown", &[], group::unknown),
        trial("group::not_permitted", &[Need::Root], group::not_permitted),
        trial("kernel::reading", &[Need::Namespace], kernel::reading),
        trial("kernel::not_permitted", &[Need::Namespace], kernel::not_permitted),
        trial("kernel::wrong", &[Need::Namespace], kernel::wrong),
        trial("kernel::setting", &[Need::Namespace], kernel::setting),
        trial("state::restart", &[], state::restart),
        trial("state::restart_separated", &[], state::restart_separated),
        trial(
            "state::drift_is_written_only_on_significant_change",
            &[],
            state::drift_is_written_only_on_significant_change,
        ),
        trial("state::damaged", &[], state::damaged),
        trial("state::missing", &[], state::missing),
        trial("discipline::kernel", &[], discipline::kernel),
        trial("discipline::native", &[], discipline::native),
        trial("configuration::unreadable", &[], configuration::unreadable),
        trial("configuration::wrong", &[], configuration::wrong),
        trial("check::effective", &[], check::effective),
        trial("check::precedence", &[], check::precedence),
        trial("check::wrong", &[], check::wrong),
        trial("check::include", &[], check::include),
        trial("check::examples", &[], check::examples),
        trial("check::ntpd_conf", &[], check::ntpd_conf),
        trial("check::convert", &[], check::convert),
        trial("reload::by_signal", &[], reload::by_signal),
        trial("reload::in_place", &[], reload::in_place),
        trial("reload::refused", &[], reload::refused),
        trial("reload::by_the_operator", &[], reload::by_the_operator),
        trial("usage::help", &[], usage::help),
        trial("usage::wrong", &[], usage::wrong),
        trial("packaging::pages", &[Need::Groff], packaging::pages),
        trial("packaging::every_key_is_documented", &[], packaging::every_key_is_documented),
        trial("packaging::completions", &[], packaging::completions),
        trial("packaging::command_lines", &[], packaging::command_lines),
        trial("packaging::user", &[Need::SystemdAnalyze], packaging::user),
        trial("packaging::units", &[Need::SystemdAnalyze], packaging::units),
        trial("filter::calls", &[Need::Strace, Need::SystemdAnalyze], filter::calls),
        trial(
            "filter::calls_of_exporter",
            &[Need::Strace, Need::SystemdAnalyze],
            filter::calls_of_exporter,
        ),
        trial("output::to_a_full_disk", &[], output::to_a_full_disk),
        trial("output::errors_to_a_full_disk", &[], output::errors_to_a_full_disk),
        trial("output::log_to_a_full_disk", &[], output::log_to_a_full_disk),
        trial("output::to_nobody", &[], output::to_nobody),
        trial("log::journal", &[], log::journal),
        trial("log::profiles", &[], log::profiles),
        trial("log::levels", &[], log::levels),
        trial("log::receivers", &[Need::Namespace], log::receivers),
        trial("log::no_receiver", &[Need::Namespace], log::no_receiver),
        trial("log::memory", &[], log::memory),
        trial("log::colour", &[], log::colour),
        trial("messages::each_row", &[], messages::each_row),
        trial("messages::bad_peer", &[], messages::bad_peer),
        trial("privilege::only_watches", &[Need::Namespace], privilege::only_watches),
        trial("privilege::all_only_watch", &[Need::Namespace], privilege::all_only_watch),
        trial("privilege::one_clock_one_daemon", &[Need::Namespace], privilege::one_daemon),
        trial("privilege::of_nobody", &[Need::Root], privilege::of_nobody),
        trial("privilege::one_socket", &[], privilege::one_socket),
        trial("leap::lists", &[], leap::lists),
        trial("leap::lists_separated", &[], leap::lists_separated),
        trial("leap::missing", &[], leap::missing),
        trial("processes::together", &[], processes::together),
        trial("processes::reloaded", &[], processes::reloaded),
        trial("processes::ended_in_order", &[], processes::ended_in_order),
        trial("processes::without_the_ntp_engine", &[], processes::without_the_ntp_engine),
        trial("processes::without_the_dns_engine", &[], processes::without_the_dns_engine),
        trial("processes::without_the_constraint", &[], processes::without_the_constraint),
        trial("processes::without_the_parent", &[], processes::without_the_parent),
        trial("processes::confined", &[Need::Root], processes::confined),
        trial("processes::calls", &[Need::Root, Need::Strace], processes::calls),
        trial("processes::ports_of_root", &[Need::Namespace], processes::ports_of_root),
        trial("confined::one_worker", &[Need::Namespace], confined::one_worker),
        trial("confined::nobody_to_serve", &[], confined::nobody_to_serve),
        trial("processes::nobody_to_be", &[Need::Root], processes::nobody_to_be),
        trial("processes::by_hand", &[], processes::by_hand),
        trial("hardware::not_there", &[], hardware::not_there),
        trial("ending::quit", &[], ending::quit),
        trial("names::never_answered", &[Need::Namespace], names::never_answered),
        trial("names::later", &[Need::Namespace], names::later),
        trial("names::of_a_pool", &[Need::Namespace], names::of_a_pool),
        trial("names::of_a_zone", &[Need::Namespace], names::of_a_zone),
        trial("serving::from_the_address_asked", &[], serving::from_the_address_asked),
        trial("service::notified", &[], service::notified),
        trial("service::of_several_processes", &[], service::of_several_processes),
        trial("service::abstract_socket", &[], service::abstract_socket),
        trial("service::no_manager", &[], service::no_manager),
        trial("serving::each_other", &[], serving::each_other),
        trial("serving::orphans", &[], serving::orphans),
        trial("workers::many_clients", &[], workers::many_clients),
        trial("workers::one_thread", &[], workers::one_thread),
        trial("workers::access", &[], workers::access),
        trial("workers::rate", &[], workers::rate),
        trial("workers::interleaved", &[], workers::interleaved),
        trial("workers::monitoring", &[], workers::monitoring),
        trial("workers::beside_a_client", &[], workers::beside_a_client),
        trial("workers::ending", &[], workers::ending),
        trial("workers::reload", &[], workers::reload),
        trial("workers::address_taken", &[], workers::address_taken),
        trial("xdp::answers", &[Need::Bpf, Need::Namespace], xdp::answers),
        trial("xdp::generic", &[Need::Bpf, Need::Namespace], xdp::generic),
        trial("xdp::reloaded", &[Need::Bpf, Need::Namespace], xdp::reloaded),
        trial("xdp::nowhere", &[Need::Bpf, Need::Namespace], xdp::nowhere),
        trial("exporter::whole", &[], exporter::whole),
        trial("exporter::requests", &[], exporter::requests),
        trial("exporter::bad_clients", &[], exporter::bad_clients),
        trial("exporter::lost", &[], exporter::lost),
        trial("exporter::silent_daemon", &[], exporter::silent_daemon),
        trial("exporter::hostile_texts", &[], exporter::hostile_texts),
        trial("exporter::ending", &[], exporter::ending),
        trial("exporter::confined", &[], exporter::confined),
        trial("exporter::refused", &[], exporter::refused),
        trial("exporter::of_root", &[Need::Root], exporter::of_root),
        trial("metrics::grammar", &[], metrics::grammar),
        trial("bench::of_chimed", &[], bench::of_chimed),
        trial("bench::open_loop", &[], bench::open_loop),
        trial("bench::interleaved", &[], bench::interleaved),
        trial("bench::invalid", &[], bench::invalid),
        trial("bench::nobody_there", &[], bench::nobody_there),
        trial("bench::not_allowed", &[], bench::not_allowed),
        trial("bench::on_a_terminal", &[], bench::on_a_terminal),
    ];
    conclude(trials, THREADS)
}

/// What the environment of whoever runs the tests may change the output with.
const ENVIRONMENT: [&str; 8] = [
    "CI",
    "NO_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "JOURNAL_STREAM",
    "CHIMED_CONFIG",
    "CHIMED_CLOCK",
    "CHIMED_CONTROL",
];

fn chimed() -> Result<Command> {
    Ok(program(binaries::chimed()?))
}

fn chimectl() -> Result<Command> {
    Ok(program(binaries::chimectl()?))
}

fn program(path: PathBuf) -> Command {
    neutral(Command::new(path))
}

fn neutral(mut command: Command) -> Command {
    for name in ENVIRONMENT {
        command.env_remove(name);
    }
    command.env("TERM", "xterm");
    command
}
