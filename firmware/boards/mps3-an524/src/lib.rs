//! Arm's MPS3 board with image AN524: its devices and vectors.

#![no_std]

#[cfg(feature = "i2c-rtc")]
pub mod i2c;
pub mod lan9118;
pub mod timer;
pub mod uart;
pub mod vectors;
