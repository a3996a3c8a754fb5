//! The floor: the bytes of our frames, ready to send, over one plain TCP connection, behind a length.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use kernel::view::{RECORD_BYTES, ViewBlock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::exchange::Arrival;
use crate::fleet::{Fleet, Machine, checksum, phase_of};
use crate::view::{self, Written};

const LENGTH_BYTES: usize = 4;
const BLOCK_BYTES: usize = 28;
/// What our frames hold beside blocks and records: two headers, a result, the view's own archive.
const OVERHEAD_BYTES: usize = 512;

/// Answers on a free port of the runtime it is called on.
pub(crate) async fn serve(fleet: Arc<Fleet>, partition_rows: usize) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let phases = view::write_all(&fleet, partition_rows);
    let phases: Vec<Vec<Vec<u8>>> = (phases.iter())
        .map(|partitions| partitions.iter().map(encode).collect())
        .collect();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        answer(stream, &phases).await
    });
    Ok(address)
}

async fn answer(mut stream: TcpStream, phases: &[Vec<Vec<u8>>]) -> anyhow::Result<()> {
    loop {
        let tick = stream.read_u64_le().await?;
        for frame in &phases[phase_of(tick)] {
            stream.write_all(frame).await?;
        }
    }
}

fn payload_bytes(rows: usize) -> usize {
    OVERHEAD_BYTES + view::blocks_of(rows) * BLOCK_BYTES + rows * RECORD_BYTES
}

fn encode(Written { blocks, records }: &Written) -> Vec<u8> {
    let payload = payload_bytes(records.len());
    let mut frame = Vec::with_capacity(LENGTH_BYTES + payload);
    frame.extend(
        u32::try_from(payload)
            .expect("a partition is small")
            .to_le_bytes(),
    );
    for b in blocks {
        frame.extend(
            [b.site, b.first_row, b.rows]
                .map(u32::to_le_bytes)
                .as_flattened(),
        );
        frame.extend(
            [b.x0, b.y0, b.x1, b.y1]
                .map(i32::to_le_bytes)
                .as_flattened(),
        );
    }
    frame.extend(records.as_flattened());
    frame.resize(LENGTH_BYTES + payload, 0);
    frame
}

fn decode_block(bytes: &[u8; BLOCK_BYTES]) -> ViewBlock {
    let (words, _) = bytes.as_chunks::<4>();
    let unsigned = |n: usize| u32::from_le_bytes(words[n]);
    let signed = |n: usize| i32::from_le_bytes(words[n]);
    ViewBlock {
        site: unsigned(0),
        first_row: unsigned(1),
        rows: unsigned(2),
        x0: signed(3),
        y0: signed(4),
        x1: signed(5),
        y1: signed(6),
    }
}

/// The driver's end.
pub(crate) struct RawTcp {
    stream: TcpStream,
    payloads: Vec<Vec<u8>>,
    entities: usize,
    partition_rows: usize,
}

impl RawTcp {
    /// Connects.
    pub(crate) async fn connect(
        address: SocketAddr,
        fleet: &Fleet,
        partition_rows: usize,
    ) -> anyhow::Result<RawTcp> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let entities = fleet.at(0).len();
        let partitions = entities.div_ceil(partition_rows);
        let payloads = vec![vec![0; payload_bytes(partition_rows)]; partitions];
        Ok(RawTcp {
            stream,
            payloads,
            entities,
            partition_rows,
        })
    }

    /// One tick.
    pub(crate) async fn exchange(&mut self, tick: u64) -> anyhow::Result<Arrival> {
        let start = Instant::now();
        self.stream.write_u64_le(tick).await?;
        let mut bytes = 0;
        for payload in &mut self.payloads {
            let length = self.stream.read_u32_le().await? as usize;
            anyhow::ensure!(length <= payload.len(), "a frame of {length} bytes");
            self.stream.read_exact(&mut payload[..length]).await?;
            bytes += LENGTH_BYTES + length;
        }
        let readable = start.elapsed();
        let checksum = checksum(self.machines());
        let read = start.elapsed();
        Ok(Arrival {
            readable,
            read,
            payload_bytes: bytes as u64,
            checksum,
        })
    }

    fn machines(&self) -> impl Iterator<Item = Machine> {
        let partitions = self.payloads.iter().enumerate();
        partitions.flat_map(move |(partition, payload)| {
            let first_row = partition * self.partition_rows;
            let rows = self.partition_rows.min(self.entities - first_row);
            let (blocks, rest) = payload.split_at(view::blocks_of(rows) * BLOCK_BYTES);
            let (blocks, _) = blocks.as_chunks::<BLOCK_BYTES>();
            let (records, _) = rest[..rows * RECORD_BYTES].as_chunks::<RECORD_BYTES>();
            let records = records.chunks(kernel::view::BLOCK_ROWS as usize);
            blocks
                .iter()
                .zip(records)
                .flat_map(move |(block, records)| {
                    let block = decode_block(block);
                    let first_id =
                        u32::try_from(first_row).expect("rows are u32") + block.first_row + 1;
                    view::read_block(first_id, block, records)
                })
        })
    }
}
