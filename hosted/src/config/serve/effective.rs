//! `[serve]` as a file that says the same.

use toml::{Table, Value};
use truechimer_core::server::{Beyond, Config as Policy, Prefix, RateLimit, Shape, Smear};
use truechimer_core::units::Span;

use super::Serve;
use crate::config::effective::Row;

impl Serve {
    pub(in crate::config) fn rows(&self) -> Vec<Row> {
        let Self { workers, xdp, allow, deny, monitoring, clients, policy } = self;
        let Policy { interleaved, rate, kiss_one_in, max_error, beyond, orphan, smear } = policy;
        let mut rows: Vec<Row> = Vec::new();
        rows.extend(workers.map(|workers| ("workers", i64::from(workers).into())));
        let interfaces = || xdp.iter().map(|name| name.as_str().into()).collect();
        rows.extend((!xdp.is_empty()).then(|| ("xdp", Value::Array(interfaces()))));
        for (key, list) in [("allow", allow), ("deny", deny), ("monitoring", monitoring)] {
            // An empty list says what none says.
            rows.extend((!list.is_empty()).then(|| (key, prefixes(list))));
        }
        rows.push(("clients", i64::from(*clients).into()));
        rows.push(("interleaved", (*interleaved).into()));
        rows.push(("rate", rate.as_ref().map_or_else(|| "off".into(), of_rate)));
        rows.push(("kiss_one_in", i64::from(*kiss_one_in).into()));
        rows.push(("max_error", secs(*max_error)));
        let beyond = match beyond {
            Beyond::Unsynchronised => "unsynchronised",
            Beyond::Silence => "silence",
        };
        rows.push(("beyond", beyond.into()));
        if let Some(orphan) = orphan {
            rows.push(("orphan", i64::from(orphan.stratum).into()));
            rows.push(("orphan_wait", secs(orphan.wait)));
        }
        rows.extend(smear.as_ref().map(|smear| ("smear", of_smear(smear))));
        rows
    }
}

fn secs(span: Span) -> Value {
    span.as_secs_f64().into()
}

fn prefixes(list: &[Prefix]) -> Value {
    Value::Array(list.iter().map(|prefix| prefix.to_string().into()).collect())
}

fn table<const ROWS: usize>(rows: [(&str, Value); ROWS]) -> Value {
    Value::Table(Table::from_iter(rows.map(|(key, value)| (key.to_owned(), value))))
}

fn of_rate(rate: &RateLimit) -> Value {
    let RateLimit { interval, burst, leak_one_in, ipv4_bits, ipv6_bits } = *rate;
    table([
        ("interval", secs(interval)),
        ("burst", i64::from(burst).into()),
        ("leak_one_in", i64::from(leak_one_in).into()),
        ("ipv4_bits", i64::from(ipv4_bits).into()),
        ("ipv6_bits", i64::from(ipv6_bits).into()),
    ])
}

fn of_smear(smear: &Smear) -> Value {
    let kind = match smear.shape {
        Shape::Linear => "linear",
        Shape::Cosine => "cosine",
    };
    table([("kind", kind.into()), ("window", secs(smear.window))])
}
