//! All files in one: a tar archive in the ustar format (POSIX.1-1988), which every system opens.

use super::File;
use crate::time::Millis;

const BLOCK: usize = 512;

/// Files as a tar archive, readable by their owner only, because they may hold the password.
pub fn tar(files: &[File], made: Millis) -> Vec<u8> {
    let mut archive = Vec::new();
    for file in files {
        archive.extend(header(&file.name, file.text.len(), made));
        archive.extend(file.text.as_bytes());
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    // Two empty blocks end it.
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

fn header(name: &str, size: usize, made: Millis) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        for (place, byte) in block.iter_mut().skip(at).zip(bytes) {
            *place = *byte;
        }
    };
    // Our names have less than a hundred ASCII characters; a test holds them to it.
    put(0, name.as_bytes());
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(
        136,
        format!("{:011o}\0", made.seconds().clamp(0, 0o777_7777_7777)).as_bytes(),
    );
    // The checksum counts its own place as blanks.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let sum = format!("{sum:06o}\0 ");
    for (place, byte) in block.iter_mut().skip(148).zip(sum.bytes()) {
        *place = byte;
    }
    block
}
