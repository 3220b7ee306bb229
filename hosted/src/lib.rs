//! truechimer for Unix: the daemon `chimed` and its control tool `chimectl`.
//!
//! The judgement is [`truechimer_core`]'s; this binds it to real sockets, to the kernel's clock or
//! to one of its own, and to people.
//!
//! - [`daemon`]: the ntp engine, or all of `chimed -d`: one process on poll(2) around the core's run
//!   loop. [`process`]: `chimed` in several processes. [`sandbox`]: what those give up.
//! - [`clock`], [`net`], [`entropy`]: the core's `hal` traits for this host.
//! - [`config`]: the configuration: its file, or OpenNTPD's, and what goes before it.
//! - [`serve`]: the server's tables, and the workers that serve beside the engine's thread.
//! - [`control`]: the control socket, both ends. [`resolver`]: names and who looks them up.
//!   [`constraint`]: what time HTTPS servers say it is. [`leap`]: the list of leap seconds.
//! - [`log`]: messages on standard error, to syslog or to the journal, and in memory. [`output`]:
//!   results on standard output.
//! - [`cli`]: the command lines.
//! - [`service`]: what systemd is told.
//! - [`query`], [`demo`]: what `chimed` does besides. [`kernel`], [`mod@bench`]: what `chimectl`
//!   does without it. [`mod@watch`], [`table`]: how it shows what `chimed` says.
//! - [`exporter`]: what it says, for Prometheus and for browsers.
//! - [`sys`]: the only `unsafe` code; [`sys::timex`] is the kernel's `ntp_adjtime`.
//!
//! # Dependencies
//!
//! - `nix`, `libc`: the system's calls; nix where it wraps them, libc for `ntp_adjtime`.
//! - `nb`: the core's hardware traits. `heapless`: what is bounded by its type.
//! - `serde`, `toml`, `serde_json`: configuration and control messages. `postcard`: those between
//!   processes.
//! - `caps`, `landlock`, `seccompiler`: what a process gives up on Linux.
//! - `glob`: patterns in `include`.
//! - `rustls`, with RustCrypto's algorithms, which compile for every target without another compiler,
//!   and `webpki-roots`: HTTPS. `httpdate`: its dates.
//! - `sha1`: that of the list of leap seconds.
//! - `clap`: the command lines. `anstream`, `anstyle`: colour where it is wanted.
//! - `hdrhistogram`, `indicatif`: percentiles and progress of `chimectl bench`.
//! - `httparse`, `maud`: requests and pages of the exporter.
//! - `ratatui`: the live view of `chimectl watch`.
//! - `thiserror`, `anyhow`: errors of the library and of its programs.

#![deny(unsafe_code)]

pub mod bench;
pub mod cli;
pub mod clock;
pub mod config;
pub mod constraint;
pub mod control;
pub mod daemon;
pub mod demo;
pub mod entropy;
pub mod exporter;
pub mod kernel;
pub mod leap;
pub mod log;
pub mod net;
pub mod output;
pub mod phc;
pub mod process;
pub mod query;
pub mod resolver;
pub mod sandbox;
pub mod serve;
pub mod service;
pub mod state;
pub mod sys;
pub mod table;
pub mod watch;
