//! What an answer costs beside others: `cargo bench -p truechimer-tests --bench server`.
//!
//! chronyd, ntpd-rs, chimed and a bare loop on a socket ([`bare`]) run at the same time on
//! loopback, idle but for the one that `chimectl bench` loads; they are loaded in turn, round after
//! round, so that what else the machine does concerns all of them. The medians of the rounds are
//! printed. Then chimed is loaded with more than it can answer ([`overload`]), and root sees what
//! answers cost in the driver of an interface ([`cable`]).

mod bare;
mod cable;
mod load;
mod overload;
mod subject;

use anyhow::Result;
use clap::Parser;
use truechimer_tests::peers::Need;

use self::load::{Round, load};
use self::subject::Subject;

/// A server's socket has room for as many at first.
const OUTSTANDING: &str = "128";
/// Requests in a second when nothing is at its limit.
const MODERATE: &str = "20000";
/// And when each has the machine to itself.
const LIGHT: &str = "1000";
/// At most so much of the processor time of others: of chronyd's, ntpd-rs's, the bare loop's.
const TARGETS: [(&str, f64); 3] = [("chronyd", 0.7), ("ntpd-rs", 0.35), ("bare loop", 1.1)];

/// Servers under load.
#[derive(Debug, Parser)]
struct Options {
    /// Rounds, of which the medians are printed.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Length of each load, s.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Length of the overload, s; 0 for none.
    #[arg(long, default_value_t = 5.0)]
    overload: f64,
    /// Without ntpd-rs, which takes minutes to install.
    #[arg(long)]
    without_ntpd_rs: bool,
    /// Is the bare loop, on that port.
    #[arg(long, hide = true)]
    bare: Option<u16>,
    /// Only what answers cost in the driver of an interface.
    #[arg(long)]
    only_cable: bool,
    /// Only the overload.
    #[arg(long, conflicts_with = "only_cable")]
    only_overload: bool,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(port) = options.bare {
        return bare::serve(port);
    }
    if options.only_cable {
        return cable::run(options.rounds, options.seconds);
    }
    if options.only_overload {
        return overload::run(options.overload);
    }
    let subjects = start(&options)?;
    let seconds = options.seconds;
    let closed: &[&str] = &["-o", OUTSTANDING];
    let rounds = compare(&subjects, options.rounds, seconds, closed)?;
    println!("\nClosed loop of {OUTSTANDING} requests, {} rounds of {seconds} s", options.rounds);
    print_costs(&subjects, &rounds);
    judge(&subjects, &rounds);

    let rounds = compare(&subjects, options.rounds, seconds, &["-r", MODERATE])?;
    println!("\nOpen loop of {MODERATE} requests/s");
    print_costs(&subjects, &rounds);

    println!("\nTransmit stamp to arrival, at {LIGHT} requests/s: its error is less");
    println!(
        "{:<22} {:>10} {:>10} {:>11}   {:>11} {:>10} {:>6}",
        "", "basic p50", "p99", "after arr.", "interl. p50", "p99", "share"
    );
    let basic = compare(&subjects, options.rounds, seconds, &["-r", LIGHT])?;
    // As many places for the interleaved mode as there are addresses.
    let arguments = ["-r", LIGHT, "-i", "--addresses"];
    let interleaved = compare(&subjects, options.rounds, seconds, &arguments)?;
    for ((subject, basic), interleaved) in subjects.iter().zip(&basic).zip(&interleaved) {
        let transit = |rounds: &[Round], p99: bool| {
            median(rounds, |round| {
                let transit = round.report.transmit_to_arrival_us;
                if p99 { transit.p99 } else { transit.p50 }
            })
        };
        let share = median(interleaved, |round| round.report.interleaved);
        let late = median(basic, |round| round.report.after_arrival);
        print!(
            "{:<22} {:>7.2} us {:>7.2} us",
            subject.name,
            transit(basic, false),
            transit(basic, true)
        );
        print!(" {:>9.0} %", late * 100.0);
        if share < 0.5 {
            println!("   does not answer in the interleaved mode");
            continue;
        }
        println!(
            "   {:>8.2} us {:>7.2} us {:>4.0} %",
            transit(interleaved, false),
            transit(interleaved, true),
            share * 100.0
        );
    }
    drop(subjects);
    if options.overload > 0.0 && Need::Chronyd.is_met() {
        overload::run(options.overload)?;
    }
    if Need::Root.is_met() && Need::Namespace.is_met() {
        return cable::run(options.rounds, options.seconds);
    }
    println!("in the driver of an interface only root can answer");
    Ok(())
}

/// Those that are there.
fn start(options: &Options) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    match Subject::chronyd()? {
        Some(chronyd) => subjects.push(chronyd),
        None => println!("chronyd is missing: ./tests/run fetches it"),
    }
    match Subject::ntpd_rs()? {
        _ if options.without_ntpd_rs => println!("ntpd-rs is left out as asked for"),
        Some(ntpd_rs) => subjects.push(ntpd_rs),
        None => println!("ntpd-rs is left out: ./tests/run fetches it, and it wants a namespace"),
    }
    subjects.push(Subject::chimed()?);
    subjects.push(Subject::bare()?);
    Ok(subjects)
}

/// Each in turn, round after round: the rounds of each.
fn compare(
    subjects: &[Subject],
    rounds: u16,
    seconds: f64,
    arguments: &[&str],
) -> Result<Vec<Vec<Round>>> {
    let mut results = vec![Vec::new(); subjects.len()];
    for _ in 0..rounds {
        for (subject, results) in subjects.iter().zip(&mut results) {
            results.push(load(subject, seconds, arguments)?);
        }
    }
    Ok(results)
}

fn print_costs(subjects: &[Subject], rounds: &[Vec<Round>]) {
    let of = |name: &str| cost_of(subjects, rounds, name);
    let (chronyd, bare) = (of("chronyd"), of("bare loop"));
    println!(
        "{:<22} {:>9} {:>15} {:>9} {:>9} {:>8} {:>10} {:>10} {:>10}",
        "", "answers/s", "s CPU/1M", "/chronyd", "/bare", "loss", "p50", "p99", "own CPU"
    );
    for (subject, rounds) in subjects.iter().zip(rounds) {
        let cpu = cost(rounds);
        let ratio = |to: Option<f64>| to.map_or("-".into(), |to| format!("{:.2}", cpu / to));
        let of = |figure: fn(&Round) -> f64| median(rounds, figure);
        // With the spread, by which the noise can be judged.
        let costs: Vec<_> = rounds.iter().map(|round| round.cpu_us).collect();
        let least = costs.iter().copied().fold(f64::INFINITY, f64::min);
        let most = costs.iter().copied().fold(0.0, f64::max);
        println!(
            "{:<22} {:>9.0} {:>15} {:>9} {:>9} {:>6.3} % {:>7.1} us {:>7.1} us {:>7.2} us",
            subject.name,
            of(|round| round.report.answers_per_second),
            format!("{cpu:.2} ({least:.1}-{most:.1})"),
            ratio(chronyd),
            ratio(bare),
            of(|round| round.report.loss) * 100.0,
            of(|round| round.report.latency_us.p50),
            of(|round| round.report.latency_us.p99),
            of(|round| round.report.own_cpu_us)
        );
        let wanted = rounds.iter().map(|round| round.report.sent + round.report.held_back);
        let useless = of(|round| round.report.useless());
        if useless > 0.001 {
            println!("{:<22} {:.1} % of the responses are of no use", "", useless * 100.0);
        }
        let held_back: u64 = rounds.iter().map(|round| round.report.held_back).sum();
        if held_back * 100 > wanted.sum() {
            println!("{:<22} {held_back} requests were not sent: the machine was too busy", "");
        }
    }
}

fn judge(subjects: &[Subject], rounds: &[Vec<Round>]) {
    let Some(own) =
        subjects.iter().zip(rounds).find(|(subject, _)| subject.name.contains("chimed"))
    else {
        return;
    };
    for (name, target) in TARGETS {
        if let Some(other) = cost_of(subjects, rounds, name) {
            let ratio = cost(own.1) / other;
            let met = if ratio <= target { "met" } else { "MISSED" };
            println!("target: at most {target} of the processor time of {name}: {ratio:.2}, {met}");
        }
    }
}

fn cost_of(subjects: &[Subject], rounds: &[Vec<Round>], name: &str) -> Option<f64> {
    let place = subjects.iter().position(|subject| subject.name == name)?;
    rounds.get(place).map(|rounds| cost(rounds))
}

fn cost(rounds: &[Round]) -> f64 {
    median(rounds, |round| round.cpu_us)
}

fn median(rounds: &[Round], figure: impl Fn(&Round) -> f64) -> f64 {
    median_of(rounds.iter().map(figure).collect())
}

fn median_of(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
