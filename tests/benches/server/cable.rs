//! Answers from sockets, of others too, beside those from the driver of an interface, over a cable
//! (veth) between two namespaces.
//!
//! What a driver does is charged to whatever runs just then, so that all that takes part is
//! counted: who asks, who answers, and the kernel's threads between them.

use std::any::Any;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use truechimer_tests::binaries;
use truechimer_tests::chimed::Chimed;
use truechimer_tests::namespace::Namespace;
use truechimer_tests::peers::{Chronyd, Need};
use truechimer_tests::process::{children, finish};

use super::load::{Report, cpu};
use super::subject::NtpdRs;
use super::{OUTSTANDING, TARGETS, median_of};

const XDP: &str = "xdp = [\"cable\"]\n";

/// What one costs, and of which who asks takes so much; us.
#[derive(Debug, Clone, Copy)]
struct Cost {
    rate: f64,
    whole: f64,
    asker: f64,
    p50: f64,
}

struct Subject {
    name: &'static str,
    asker: Namespace,
    /// The processes of the server.
    pids: Vec<u32>,
    _running: [Box<dyn Any>; 3],
}

/// Prints what each costs in turn, round after round.
pub fn run(rounds: u16, seconds: f64) -> Result<()> {
    let mut subjects = Vec::new();
    if Need::Chronyd.is_met() {
        subjects.push(Subject::start("chronyd", |server| {
            let chronyd = Chronyd::serve_in(server)?;
            Ok((vec![chronyd.id()], Box::new(chronyd)))
        })?);
    }
    if Need::NtpdRs.is_met() {
        subjects.push(Subject::start("ntpd-rs", |server| {
            let ntpd_rs = NtpdRs::serve(server, "0.0.0.0:123")?;
            Ok((vec![ntpd_rs.process.id()], Box::new(ntpd_rs)))
        })?);
    }
    subjects.push(Subject::start("chimed, workers = 1", |server| Subject::chimed(server, ""))?);
    subjects.push(Subject::start("chimed, in the driver", |server| Subject::chimed(server, XDP))?);
    let mut costs = vec![Vec::new(); subjects.len()];
    for _ in 0..rounds {
        for (subject, costs) in subjects.iter().zip(&mut costs) {
            costs.push(subject.load(seconds)?);
        }
    }
    println!(
        "\nOver a cable, closed loop of {OUTSTANDING} requests, {rounds} rounds of {seconds} s"
    );
    println!(
        "{:<22} {:>9} {:>20} {:>14} {:>10}",
        "", "answers/s", "us CPU, all together", "of who asks", "p50"
    );
    for (subject, costs) in subjects.iter().zip(&costs) {
        let of = |figure: fn(&Cost) -> f64| median_of(costs.iter().map(figure).collect());
        let [rate, whole] = [of(|cost| cost.rate), of(|cost| cost.whole)];
        let [asker, p50] = [of(|cost| cost.asker), of(|cost| cost.p50)];
        println!("{:<22} {rate:>9.0} {whole:>20.2} {asker:>14.2} {p50:>7.1} us", subject.name);
    }
    let wholes = costs.iter().map(|costs| median_of(costs.iter().map(|cost| cost.whole).collect()));
    let wholes: Vec<_> = subjects.iter().map(|subject| subject.name).zip(wholes).collect();
    let (_, driver) = wholes.last().context("no subject")?;
    for (name, whole) in wholes.iter().rev().skip(1).rev() {
        let target = TARGETS.iter().find(|(other, _)| other == name);
        let target = target.map_or(String::new(), |(_, target)| {
            let met = if driver / whole <= *target { "met" } else { "MISSED" };
            format!(", target {target} {met}")
        });
        println!("the driver's take {:.2} of the processor time of {name}{target}", driver / whole);
    }
    Ok(())
}

impl Subject {
    fn start(
        name: &'static str,
        serve: impl FnOnce(&Namespace) -> Result<(Vec<u32>, Box<dyn Any>)>,
    ) -> Result<Self> {
        let [server, asker] = [Namespace::new()?, Namespace::new()?];
        server.join(&asker)?;
        for (end, address) in [(&server, "192.0.2.1/24"), (&asker, "192.0.2.2/24")] {
            end.ip(&format!("address add {address} dev {}", Namespace::CABLE))?;
        }
        let (pids, running) = serve(&server)?;
        // An end of a cable takes nothing from the other's driver unless it has a program too.
        let (_, other) = Self::chimed(&asker, XDP)?;
        Ok(Self { name, asker, pids, _running: [running, other, Box::new(server)] })
    }

    fn chimed(end: &Namespace, serve: &str) -> Result<(Vec<u32>, Box<dyn Any>)> {
        let chimed = Chimed::start_by_root_in(
            end,
            &format!(
                "[[listen]]\naddress = \"*\"\n[local]\nstratum = 1\n[serve]\nworkers = 1\n{serve}"
            ),
        )?;
        let engines = children(chimed.process.id())?;
        let pids = engines.iter().map(|(id, _)| id.as_raw().cast_unsigned()).collect();
        Ok((pids, Box::new(chimed)))
    }

    fn load(&self, seconds: f64) -> Result<Cost> {
        let before = self.cpu()?;
        let mut bench = self.asker.command(binaries::chimectl()?);
        bench.args(["--json", "bench", "192.0.2.1", "--permitted", "-o", OUTSTANDING, "-t"]);
        let ended =
            finish(bench.arg(seconds.to_string()), Duration::from_secs_f64(seconds + 30.0))?;
        let took = self.cpu()?.saturating_sub(before);
        ensure!(ended.code == Some(0), "{}: {}", self.name, ended.stderr);
        let report: Report = serde_json::from_str(&ended.stdout).context("the report")?;
        let answers = report.responses();
        let asker = report.own_cpu_us * report.sent as f64 / answers;
        let whole = asker + took.as_secs_f64() * 1e6 / answers;
        Ok(Cost { rate: report.answers_per_second, whole, asker, p50: report.latency_us.p50 })
    }

    /// Of the server and the kernel's threads.
    fn cpu(&self) -> Result<Duration> {
        let mut kernel = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            // One that has ended meanwhile is none of them.
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            if name.starts_with("ksoftirqd/") {
                kernel.extend(entry.file_name().to_str().and_then(|id| id.parse::<u32>().ok()));
            }
        }
        self.pids.iter().copied().chain(kernel).map(cpu).sum()
    }
}
