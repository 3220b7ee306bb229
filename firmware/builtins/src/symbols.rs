//! The names that are left of those by which compilers call these functions (Arm's *Run-time ABI*, and
//! C's for memory): the same for other types, in another order, or of addresses that are aligned.
//! Floats come and go in integers' registers, whatever unit there is.

use core::arch::global_asm;

use crate::float::{
    UNORDERED, add, compare, compare_single, divide, from_integer, multiply, narrow, single,
    subtract, to_integer, widen,
};
use crate::memory;

// SAFETY, of all names here and in the other files: the function is what the name stands for.

#[unsafe(no_mangle)]
extern "C" fn __aeabi_fadd(a: u32, b: u32) -> u32 {
    single(a, b, add)
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_fsub(a: u32, b: u32) -> u32 {
    single(a, b, subtract)
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_fmul(a: u32, b: u32) -> u32 {
    single(a, b, multiply)
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_fdiv(a: u32, b: u32) -> u32 {
    single(a, b, divide)
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_dcmpeq(a: u64, b: u64) -> bool {
    compare(a, b) == 0
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_dcmplt(a: u64, b: u64) -> bool {
    compare(a, b) < 0
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_dcmple(a: u64, b: u64) -> bool {
    compare(a, b) <= 0
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_dcmpge(a: u64, b: u64) -> bool {
    compare(b, a) <= 0
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_dcmpgt(a: u64, b: u64) -> bool {
    compare(b, a) < 0
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_dcmpun(a: u64, b: u64) -> bool {
    compare(a, b) == UNORDERED
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_fcmpeq(a: u32, b: u32) -> bool {
    compare_single(a, b) == 0
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_fcmplt(a: u32, b: u32) -> bool {
    compare_single(a, b) < 0
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_fcmple(a: u32, b: u32) -> bool {
    compare_single(a, b) <= 0
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_fcmpge(a: u32, b: u32) -> bool {
    compare_single(b, a) <= 0
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_fcmpgt(a: u32, b: u32) -> bool {
    compare_single(b, a) < 0
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_fcmpun(a: u32, b: u32) -> bool {
    compare_single(a, b) == UNORDERED
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_i2d(integer: i32) -> u64 {
    from_integer(integer.into())
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_ui2d(integer: u32) -> u64 {
    from_integer(integer.into())
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_i2f(integer: i32) -> u32 {
    narrow(from_integer(integer.into()))
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_ui2f(integer: u32) -> u32 {
    narrow(from_integer(integer.into()))
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_d2iz(double: u64) -> i32 {
    to_integer(double).clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

#[unsafe(no_mangle)]
extern "C" fn __aeabi_f2iz(single: u32) -> i32 {
    __aeabi_d2iz(widen(single))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: as it asks of its own caller.
    unsafe { memory::copy(to, from, count) };
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: as it asks of its own caller.
    unsafe { memory::displace(to, from, count) };
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, octet: i32, count: usize) -> *mut u8 {
    // SAFETY: as it asks of its own caller.
    unsafe { memory::fill(to, count, octet) };
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    // SAFETY: as it asks of its own caller.
    unsafe { memory::compare(one, other, count) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __aeabi_memclr(to: *mut u8, count: usize) {
    // SAFETY: as it asks of its own caller.
    unsafe { memory::fill(to, count, 0) }
}

// Aligned addresses are nothing special here. In a build of several units of code, in which an alias does
// not find what it stands for, they are compiler-builtins' own.
global_asm!(
    ".global __aeabi_memcpy4, __aeabi_memcpy8, __aeabi_memmove4, __aeabi_memmove8",
    ".global __aeabi_memset4, __aeabi_memset8, __aeabi_memclr4, __aeabi_memclr8",
    ".thumb_set __aeabi_memcpy4, __aeabi_memcpy",
    ".thumb_set __aeabi_memcpy8, __aeabi_memcpy",
    ".thumb_set __aeabi_memmove4, __aeabi_memmove",
    ".thumb_set __aeabi_memmove8, __aeabi_memmove",
    ".thumb_set __aeabi_memset4, __aeabi_memset",
    ".thumb_set __aeabi_memset8, __aeabi_memset",
    ".thumb_set __aeabi_memclr4, __aeabi_memclr",
    ".thumb_set __aeabi_memclr8, __aeabi_memclr",
);
