//! What the programs of the boards have in common: the main loop, the frames of the log, a
//! real-time clock that several of them have; and, where a board is emulated, what its product
//! would keep in its flash.

#![no_std]

#[cfg(all(target_arch = "arm", target_os = "none"))]
use truechimer_builtins as _; // Takes the place of compiler-builtins.

#[cfg(feature = "emulated")]
pub mod flash;
#[cfg(feature = "emulated")]
pub mod host;
#[cfg(feature = "lockstep")]
mod lockstep;
pub mod logger;
pub mod pl011;
pub mod pl031;
pub mod program;
pub mod register;
#[cfg(feature = "emulated")]
pub mod replay;
#[cfg(feature = "emulated")]
pub mod settings;
