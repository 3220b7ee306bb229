//! Who gets the packets.

use anyhow::{Result, ensure};
use truechimer_tests::sim::{Link, Oscillator, Queueing, Server, World};

/// A server far away is asked less often beside one on the local network than alone, and the one on
/// the local network more often.
pub fn run() -> Result<()> {
    let lan = Server::new(Link::new(1e-4, Queueing::Exponential(1e-5)));
    let far = Server::new(Link::new(2e-2, Queueing::Exponential(1e-3)));
    let sent = |world: World| {
        let crystal = Oscillator { frequency: 1e-5, wander: 1e-8, ..Oscillator::default() };
        let report = world.oscillator(crystal).duration(86_400.0, 7_200.0).run();
        report.servers.iter().map(|server| server.counters.sent).collect::<Vec<_>>()
    };
    let alone = [&lan, &far].map(|server| sent(World::new(server.clone()))[0]);
    let together = sent(World::new(lan).server(far));
    let [lan, far] = [0, 1].map(|place| together[place] as f64 / alone[place] as f64);
    ensure!(lan > 1.1, "{lan:.2} of the packets to the near server: {together:?}, alone {alone:?}");
    ensure!(far < 0.8, "{far:.2} of the packets to the far server: {together:?}, alone {alone:?}");
    Ok(())
}
