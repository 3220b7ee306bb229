//! The replay on a board: what comes out goes into a file of the host.

use static_cell::ConstStaticCell;

use super::replay;
use crate::host::{self, File};

static LINE: ConstStaticCell<[u8; 256]> = ConstStaticCell::new([0; 256]);

/// Runs it and ends the emulator; the file is what the command line says, and each value in it
/// eight octets, the highest first.
pub fn run() -> ! {
    let Some(mut file) = File::update(host::arguments(LINE.take())) else { host::fail() };
    let mut offset = 0;
    replay::<false>(&mut |value| {
        if file.write(offset, &value.to_be_bytes()).is_err() {
            host::fail();
        }
        offset += 8;
    });
    host::succeed()
}
