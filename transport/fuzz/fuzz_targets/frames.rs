//! Bytes from a stranger, read as a frame and its payload as every kind of archive.
#![no_main]

use libfuzzer_sys::fuzz_target;
use transport::frame::Frame;
use transport::limits::HEADER_BYTES;
use transport::pool::FramePool;

#[path = "../../tests/frames/readers.rs"]
mod readers;

const CRC_AT: usize = 60;

fuzz_target!(|bytes: &[u8]| {
    let pool = FramePool::new();
    if let Ok(frame) = Frame::parse(&pool, bytes) {
        readers::read_as_every_kind(&pool, frame.payload());
    }
    // A fuzzer finds no checksum: with the right one it gets past the header's door.
    if bytes.len() >= HEADER_BYTES {
        let mut sealed = bytes.to_vec();
        sealed[CRC_AT..HEADER_BYTES].fill(0);
        let crc = crc32c::crc32c(&sealed).to_le_bytes();
        sealed[CRC_AT..HEADER_BYTES].copy_from_slice(&crc);
        let _ = Frame::parse(&pool, &sealed);
    }
    readers::read_as_every_kind(&pool, bytes);
});
