#![no_std]
#![forbid(unsafe_code)]
#![doc = "The judgement of an NTP system."]

pub mod event;
pub mod timex;
pub mod units;
pub mod wire;
