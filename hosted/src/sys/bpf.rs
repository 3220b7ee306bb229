//! Programs that the kernel runs where a driver hands it a packet: bpf(2) of Linux, of which neither
//! the C library nor nix has anything.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

use nix::errno::Errno;

// `enum bpf_cmd`, `enum bpf_map_type` and so on of linux/bpf.h.
const MAP_CREATE: libc::c_int = 0;
const PROG_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;
const MAP_TYPE_ARRAY: u32 = 2;
const F_MMAPABLE: u32 = 1 << 10;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
/// What the kernel has to say of a program that it refuses.
const LOG: usize = 1 << 20;
/// The program calls nothing that asks for another one.
const LICENCE: &[u8] = b"Dual MIT/GPL\0";
const NAME: [u8; 16] = *b"chimed\0\0\0\0\0\0\0\0\0\0";

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// What it does.
    pub code: u8,
    /// Its destination and its source, four bits each.
    pub registers: u8,
    /// For jumps in instructions, for memory in octets.
    pub offset: i16,
    /// A constant.
    pub immediate: i32,
}

/// Where on its way a packet meets the program: `XDP_FLAGS_*` of linux/if_link.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Place {
    /// In the driver.
    Driver = 1 << 2,
    /// Behind it, as for drivers that cannot.
    Generic = 1 << 1,
}

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The system's reason.
    #[error("{0}")]
    Os(Errno),
    /// The kernel's verifier does not trust it: its last words.
    #[error("the kernel does not accept the program: {0}")]
    Refused(String),
}

/// Memory that is shared with programs: an array map of one element, all zeros at first.
#[derive(Debug)]
pub struct Memory {
    map: OwnedFd,
    words: NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: the words are atomics that this owns until it is dropped.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// `len` words.
    ///
    /// # Errors
    /// The system has none, or this process may not.
    pub fn new(len: usize) -> Result<Self, Errno> {
        #[repr(C)]
        struct Attributes {
            map_type: u32,
            key_size: u32,
            value_size: u32,
            max_entries: u32,
            map_flags: u32,
            inner_map: u32,
            numa_node: u32,
            map_name: [u8; 16],
        }
        let octets = len * size_of::<u64>();
        // SAFETY: the attributes hold no pointer.
        let map = unsafe {
            bpf(
                MAP_CREATE,
                &Attributes {
                    map_type: MAP_TYPE_ARRAY,
                    key_size: 4,
                    value_size: u32::try_from(octets).map_err(|_| Errno::E2BIG)?,
                    max_entries: 1,
                    map_flags: F_MMAPABLE,
                    inner_map: 0,
                    numa_node: 0,
                    map_name: NAME,
                },
            )
        }?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of whole pages of the map, wherever there is room.
        let mapped = unsafe {
            libc::mmap(ptr::null_mut(), octets, protection, libc::MAP_SHARED, map.as_raw_fd(), 0)
        };
        let words = NonNull::new(mapped).filter(|_| mapped != libc::MAP_FAILED);
        Ok(Self { map, words: words.ok_or_else(Errno::last)?.cast(), len })
    }

    /// What a program finds at its beginning, and the programs write too.
    #[must_use]
    pub const fn words(&self) -> &[AtomicU64] {
        // SAFETY: as many are mapped for as long as `self` lives, at the beginning of a page;
        // whoever writes them does so by whole words.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.len) }
    }
}

impl AsFd for Memory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: what was mapped is unmapped once, and nobody has a reference to it any more.
        unsafe { libc::munmap(self.words.as_ptr().cast(), self.len * size_of::<u64>()) };
    }
}

/// Has the kernel check and compile a program for [`attach`].
///
/// # Errors
/// It does not, or this process may not.
pub fn load(program: &[Instruction]) -> Result<OwnedFd, LoadError> {
    let silent = load_with(program, &mut []);
    match silent {
        Ok(loaded) => Ok(loaded),
        Err(Errno::EACCES | Errno::EINVAL) => {
            let mut log = vec![0; LOG];
            load_with(program, &mut log).map_err(|_| LoadError::Refused(last_words(&log)))
        }
        Err(error) => Err(LoadError::Os(error)),
    }
}

/// The line before the one of statistics.
fn last_words(log: &[u8]) -> String {
    let log = String::from_utf8_lossy(log);
    let mut lines = log.trim_end_matches('\0').lines();
    lines.rfind(|line| !line.starts_with("processed ")).unwrap_or("no reason is given").to_owned()
}

fn load_with(program: &[Instruction], log: &mut [u8]) -> Result<OwnedFd, Errno> {
    #[repr(C)]
    struct Attributes {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; 16],
        prog_ifindex: u32,
        expected_attach_type: u32,
    }
    let log_buf = if log.is_empty() { 0 } else { log.as_mut_ptr().expose_provenance() as u64 };
    let attributes = Attributes {
        prog_type: PROG_TYPE_XDP,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr().expose_provenance() as u64,
        license: LICENCE.as_ptr().expose_provenance() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: log.len() as u32,
        log_buf,
        kern_version: 0,
        prog_flags: 0,
        prog_name: NAME,
        prog_ifindex: 0,
        expected_attach_type: ATTACH_XDP,
    };
    // SAFETY: the pointers lead to as many instructions, to a text with its final zero and to as
    // much room as is said, and the kernel keeps none of them.
    unsafe { bpf(PROG_LOAD, &attributes) }
}

/// Has the program see each packet that arrives at an interface, by its number, until what is
/// returned is closed.
///
/// # Errors
/// The driver cannot, another program is there, or this process may not.
pub fn attach(program: BorrowedFd<'_>, interface: u32, place: Place) -> Result<OwnedFd, Errno> {
    #[repr(C)]
    struct Attributes {
        prog_fd: u32,
        target_ifindex: u32,
        attach_type: u32,
        flags: u32,
    }
    let attributes = Attributes {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        target_ifindex: interface,
        attach_type: ATTACH_XDP,
        flags: place as u32,
    };
    // SAFETY: the attributes hold no pointer.
    unsafe { bpf(LINK_CREATE, &attributes) }
}

/// Makes a descriptor.
///
/// # Safety
/// `attributes` are the command's, with no padding, and its pointers lead to what the command
/// expects there.
unsafe fn bpf<T>(command: libc::c_int, attributes: &T) -> Result<OwnedFd, Errno> {
    // SAFETY: the kernel reads the attributes, of which it is told the size.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_ref(attributes), size_of::<T>()) };
    let descriptor = Errno::result(result)? as libc::c_int;
    // SAFETY: it is new, and close-on-exec as all that bpf(2) makes.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

impl From<LoadError> for io::Error {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Os(errno) => errno.into(),
            refused @ LoadError::Refused(_) => Self::other(refused),
        }
    }
}

/// What a program makes of a packet: its verdict, and what the packet is afterwards.
///
/// # Errors
/// This process may not.
#[cfg(test)]
pub fn run(program: BorrowedFd<'_>, packet: &[u8]) -> Result<(u32, Vec<u8>), Errno> {
    const PROG_TEST_RUN: libc::c_int = 10;
    #[repr(C)]
    struct Attributes {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
    }
    let mut after = vec![0; packet.len() + 256];
    let mut attributes = Attributes {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        retval: 0,
        data_size_in: packet.len() as u32,
        data_size_out: after.len() as u32,
        data_in: packet.as_ptr().expose_provenance() as u64,
        data_out: after.as_mut_ptr().expose_provenance() as u64,
        repeat: 1,
        duration: 0,
    };
    // SAFETY: the pointers lead to as many octets as is said; the kernel writes within the second
    // and within the attributes.
    let result = unsafe {
        let attributes = ptr::from_mut(&mut attributes);
        libc::syscall(libc::SYS_bpf, PROG_TEST_RUN, attributes, size_of::<Attributes>())
    };
    Errno::result(result)?;
    after.truncate(attributes.data_size_out as usize);
    Ok((attributes.retval, after))
}
