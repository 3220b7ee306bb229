//! What compilers call by name on a Cortex-M: copies of memory, divisions of 64 bits, and floats where
//! there is no unit for them. `compiler-builtins` has all of it for speed, in 10 kB of flash; here it
//! is in 3, with the same results to the bit (but for what a NaN carries, or is as an integer, which Rust
//! does not ask for). What an appliance does when
//! idle takes 3 % more instructions by that, its longest turn, nearly all of it double precision, 1.9
//! times as many.
//!
//! A program that names this crate (`use truechimer_builtins as _;`) has these functions in place of
//! the others, which give way; it is for Armv7-M or later, whose loads may be of any address. Elsewhere
//! the crate is there for its tests alone.

#![no_std]
#![no_builtins] // A copy is not to be compiled to a call of itself.
#![cfg_attr(
    not(any(all(target_arch = "arm", target_os = "none"), test)),
    expect(dead_code, reason = "it is for a board")
)]

#[cfg(test)]
extern crate std;

mod divide;
mod float;
mod memory;
#[cfg(all(target_arch = "arm", target_os = "none"))]
mod symbols;
