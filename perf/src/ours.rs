//! Ours: the QUIC link with its mutual TLS, and the frames that a worker answers a tick with.
//!
//! One dispatch goes out. Back come a result a partition, each as soon as it is written, and behind
//! the last of them, on a stream of lower priority, a view a partition. The two ends do what
//! orchestrator and worker do, but for the simulation: where the kernel would write its records into
//! a frame, records that exist are copied into it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use transport::certs::CertBundle;
use transport::frame::{self, Frame};
use transport::header::{Header, Kind};
use transport::link::{Class, Endpoint, LinkCommand, LinkEvent, PeerId, Role, Transmit};
use transport::message::{Dispatch, PartitionWork, ResultExtras, ResultFixed, base, want};
use transport::pool::FramePool;
use transport::quic;
use transport::quic_config::Network;
use transport::result::{self, ResultReader};
use transport::view::{View, ViewWriter};

use crate::exchange::Arrival;
use crate::fleet::{Fleet, Machine, checksum, phase_of};
use crate::view::{self, Written};

/// The driver's endpoint before its worker has connected.
pub(crate) struct Listening {
    certificates: CertBundle,
    endpoint: Endpoint,
    pool: FramePool,
    /// Where the worker connects to.
    pub(crate) address: SocketAddr,
}

impl Listening {
    /// Listens on a free loopback port, on the runtime it is called on.
    pub(crate) fn open(certificates: CertBundle) -> anyhow::Result<Listening> {
        let pool = FramePool::new();
        let (endpoint, address) = quic::listen(
            ([127, 0, 0, 1], 0).into(),
            &certificates.identity(Role::Orchestrator),
            &[Role::Worker],
            Network::Local,
            &pool,
        )?;
        Ok(Listening {
            certificates,
            endpoint,
            pool,
            address,
        })
    }

    /// The worker that shall connect here.
    pub(crate) fn worker(&self, fleet: Arc<Fleet>, partition_rows: usize) -> Worker {
        Worker {
            certificates: self.certificates.clone(),
            address: self.address,
            fleet,
            partition_rows,
        }
    }
}

/// What the worker side needs in order to start.
pub(crate) struct Worker {
    certificates: CertBundle,
    address: SocketAddr,
    fleet: Arc<Fleet>,
    partition_rows: usize,
}

impl Worker {
    /// Connects, and answers until the driver is gone, on the runtime it is called on.
    pub(crate) fn start(self) -> anyhow::Result<()> {
        let pool = FramePool::new();
        let endpoint = quic::connect(
            self.address,
            &self.certificates.identity(Role::Worker),
            Role::Orchestrator,
            Network::Local,
            &pool,
        )?;
        let phases = view::write_all(&self.fleet, self.partition_rows);
        let views = phases[0]
            .iter()
            .map(|Written { blocks, records }| {
                let (blocks, rows) = (u32::try_from(blocks.len())?, u32::try_from(records.len())?);
                ViewWriter::new(&pool, blocks, rows).context("a partition's view")
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let answering = Answering {
            endpoint,
            pool,
            phases,
            views,
            dispatches: 0,
        };
        tokio::spawn(answering.run());
        Ok(())
    }
}

/// The worker's loop.
struct Answering {
    endpoint: Endpoint,
    pool: FramePool,
    /// States by phase and partition.
    phases: Vec<Vec<Written>>,
    /// One a partition.
    views: Vec<ViewWriter>,
    /// Dispatches so far: each is answered on streams of its own.
    dispatches: u64,
}

impl Answering {
    async fn run(mut self) -> anyhow::Result<()> {
        while let Some(event) = self.endpoint.events.recv().await {
            if let LinkEvent::Frame { peer, frame } = event {
                self.answer(peer, &frame)?;
            }
        }
        Ok(())
    }

    fn answer(&mut self, peer: PeerId, dispatch: &Frame) -> anyhow::Result<()> {
        let work = dispatch.decode::<Dispatch>()?.work;
        let last = work.len().checked_sub(1).context("an empty dispatch")?;
        let mut views = Vec::with_capacity(work.len());
        for (n, work) in work.iter().enumerate() {
            let (result, view) = self.write(work)?;
            self.send(peer, Class::Tick, result, n == last)?;
            views.push(view);
        }
        for (n, view) in views.into_iter().enumerate() {
            self.send(peer, Class::View, view, n == last)?;
        }
        self.dispatches += 1;
        Ok(())
    }

    fn write(&mut self, work: &PartitionWork) -> anyhow::Result<(Frame, Frame)> {
        let partition = work.partition as usize;
        let states = &self.phases[phase_of(work.first_tick)];
        let states = states.get(partition).context("no such partition")?;
        let header = Header {
            tick: work.first_tick,
            partition: work.partition,
            ticks: work.ticks,
            ..Header::new(Kind::Result)
        };
        let fixed = ResultFixed {
            stepped: work.ticks,
            ..ResultFixed::default()
        };
        let result = result::write(&self.pool, header, &fixed, &ResultExtras::default())?;
        let view = self.views[partition].write(header, |blocks, records| {
            blocks.copy_from_slice(&states.blocks);
            records.copy_from_slice(&states.records);
        })?;
        Ok((result, view))
    }

    fn send(&self, peer: PeerId, class: Class, frame: Frame, last: bool) -> anyhow::Result<()> {
        let group = self.dispatches;
        send(&self.endpoint, peer, class, group, frame, last)
    }
}

fn send(
    endpoint: &Endpoint,
    peer: PeerId,
    class: Class,
    group: u64,
    frame: Frame,
    last: bool,
) -> anyhow::Result<()> {
    let transmit = Transmit {
        peer,
        class,
        group,
        frame,
        last,
    };
    endpoint
        .commands
        .try_send(LinkCommand::Transmit(transmit))
        .map_err(|_| anyhow::anyhow!("the link takes nothing more"))
}

/// The driver's end.
pub(crate) struct Ours {
    endpoint: Endpoint,
    pool: FramePool,
    peer: PeerId,
    partition_rows: usize,
    dispatches: u64,
    work: Vec<PartitionWork>,
    /// The last tick's, by partition.
    views: Vec<Option<Frame>>,
}

impl Ours {
    /// Waits for the worker.
    pub(crate) async fn accept(
        listening: Listening,
        fleet: &Fleet,
        partition_rows: usize,
    ) -> anyhow::Result<Ours> {
        let Listening {
            mut endpoint, pool, ..
        } = listening;
        let event = endpoint.events.recv().await;
        let Some(LinkEvent::Connected { peer, .. }) = event else {
            bail!("no worker connected: {event:?}");
        };
        let partitions = fleet.at(0).len().div_ceil(partition_rows);
        let work = (0..u32::try_from(partitions)?)
            .map(|partition| PartitionWork {
                partition,
                base: base::HELD,
                ticks: 1,
                wants: want::VIEW,
                ..PartitionWork::default()
            })
            .collect();
        Ok(Ours {
            endpoint,
            pool,
            peer,
            partition_rows,
            dispatches: 0,
            work,
            views: vec![None; partitions],
        })
    }

    /// One tick.
    pub(crate) async fn exchange(&mut self, tick: u64) -> anyhow::Result<Arrival> {
        self.views.fill(None);
        let start = Instant::now();
        self.dispatch(tick)?;
        let mut payload_bytes = 0;
        for _ in 0..2 * self.views.len() {
            payload_bytes += self.take_in().await?;
        }
        let readable = start.elapsed();
        let checksum = self.checksum()?;
        let read = start.elapsed();
        Ok(Arrival {
            readable,
            read,
            payload_bytes,
            checksum,
        })
    }

    fn dispatch(&mut self, tick: u64) -> anyhow::Result<()> {
        for work in &mut self.work {
            (work.first_tick, work.report_from) = (tick, tick);
        }
        let dispatch = Dispatch {
            work: std::mem::take(&mut self.work),
        };
        let header = Header {
            tick,
            ticks: 1,
            ..Header::new(Kind::Dispatch)
        };
        let frame = frame::encode(&self.pool, header, &dispatch)?;
        self.work = dispatch.work;
        self.dispatches += 1;
        let (endpoint, group) = (&self.endpoint, self.dispatches);
        send(endpoint, self.peer, Class::Tick, group, frame, true)
    }

    /// The next frame, validated so that all of it can be read. Answers its length on the wire.
    async fn take_in(&mut self) -> anyhow::Result<u64> {
        let event = self.endpoint.events.recv().await;
        let Some(LinkEvent::Frame { frame, .. }) = event else {
            bail!("the worker is gone: {event:?}");
        };
        let wire_len = frame.wire_len() as u64;
        match frame.header.kind {
            Kind::Result => {
                let result = ResultReader::new(&frame)?;
                anyhow::ensure!(result.fixed.stepped == 1, "a result of another window");
            }
            Kind::View => {
                frame.access::<View>()?;
                let partition = frame.header.partition as usize;
                let place = self.views.get_mut(partition).context("no such partition")?;
                *place = Some(frame);
            }
            other => bail!("a {other:?} frame was not asked for"),
        }
        Ok(wire_len)
    }

    fn checksum(&self) -> anyhow::Result<u64> {
        let mut sum = 0_u64;
        for (partition, view) in self.views.iter().enumerate() {
            let view = view.as_ref().context("a view is missing")?;
            let first_row = u32::try_from(partition * self.partition_rows)?;
            let machines = machines(view.access::<View>()?, first_row + 1);
            sum = sum.wrapping_add(checksum(machines));
        }
        Ok(sum)
    }
}

fn machines(view: &transport::view::ArchivedView, first_id: u32) -> impl Iterator<Item = Machine> {
    let records = view.records.as_slice();
    let records = records.chunks(kernel::view::BLOCK_ROWS as usize);
    view.blocks
        .iter()
        .zip(records)
        .flat_map(move |(block, records)| {
            let block = kernel::view::ViewBlock {
                site: block.site.to_native(),
                first_row: block.first_row.to_native(),
                rows: block.rows.to_native(),
                x0: block.x0.to_native(),
                y0: block.y0.to_native(),
                x1: block.x1.to_native(),
                y1: block.y1.to_native(),
            };
            view::read_block(first_id + block.first_row, block, records)
        })
}
