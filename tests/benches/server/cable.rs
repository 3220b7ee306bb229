//! An answer from a worker's socket beside one from the driver of an interface, over a cable (veth)
//! between two namespaces.
//!
//! What a driver does is charged to whatever runs just then, so that all that takes part is
//! counted: who asks, who answers, and the kernel's threads between them.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use truechimer_tests::binaries;
use truechimer_tests::chimed::Chimed;
use truechimer_tests::namespace::Namespace;
use truechimer_tests::process::{children, finish};

use super::load::{Report, cpu};
use super::{OUTSTANDING, median_of};

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
    ends: [Namespace; 2],
    chimed: Chimed,
    _other: Chimed,
}

/// Prints what both cost in turn, round after round.
pub fn run(rounds: u16, seconds: f64) -> Result<()> {
    let subjects = [Subject::start("workers = 1", "")?, Subject::start("in the driver", XDP)?];
    let mut costs = [Vec::new(), Vec::new()];
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
    let [worker, driver] =
        costs.map(|costs| median_of(costs.iter().map(|cost| cost.whole).collect()));
    println!(
        "the program's answers take {:.2} of the processor time of the worker's",
        driver / worker
    );
    Ok(())
}

impl Subject {
    fn start(name: &'static str, serve: &str) -> Result<Self> {
        let ends = [Namespace::new()?, Namespace::new()?];
        ends[0].join(&ends[1])?;
        for (end, address) in ends.iter().zip(["192.0.2.1/24", "192.0.2.2/24"]) {
            end.ip(&format!("address add {address} dev {}", Namespace::CABLE))?;
        }
        let listen = "[[listen]]\naddress = \"*\"\n[local]\nstratum = 1\n";
        let start = |end, serve| {
            Chimed::start_by_root_in(end, &format!("{listen}[serve]\nworkers = 1\n{serve}"))
        };
        let chimed = start(&ends[0], serve)?;
        // An end of a cable takes nothing from the other's driver unless it has a program too.
        let other = start(&ends[1], XDP)?;
        Ok(Self { name, ends, chimed, _other: other })
    }

    fn load(&self, seconds: f64) -> Result<Cost> {
        let before = self.cpu()?;
        let mut bench = self.ends[1].command(binaries::chimectl()?);
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

    /// Of the daemon and the kernel's threads.
    fn cpu(&self) -> Result<Duration> {
        let engines = children(self.chimed.process.id())?;
        let engines = engines.iter().map(|(id, _)| id.as_raw().cast_unsigned());
        let mut kernel = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            // One that has ended meanwhile is none of them.
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            if name.starts_with("ksoftirqd/") {
                kernel.extend(entry.file_name().to_str().and_then(|id| id.parse::<u32>().ok()));
            }
        }
        engines.chain(kernel).map(cpu).sum()
    }
}
