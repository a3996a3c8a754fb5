//! A rival: gRPC with packed columns, a message a partition.
//!
//! Cut like ours, so that encoding, sending and decoding overlap; one message for the whole fleet is
//! slower. Columns have the type that was measured to be fastest: bytes are bytes, and positions four
//! fixed bytes; as varints they are a sixth shorter and take twice the time. As in ours, ids follow from the order of rows and are not sent. The worker keeps its
//! states in messages that are ready to encode, as a simulation that writes straight into them would.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use prost::Message;
use transport::certs::CertBundle;

use crate::exchange::Arrival;
use crate::fleet::{Fleet, Machine, PHASES, checksum, phase_of};
use crate::grpc::{self, Call, Dispatch, Spares};

/// The states of one partition, a column a field.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Columns {
    #[prost(uint32, tag = "1")]
    first_id: u32,
    #[prost(sfixed32, repeated, tag = "2")]
    x_dm: Vec<i32>,
    #[prost(sfixed32, repeated, tag = "3")]
    y_dm: Vec<i32>,
    #[prost(bytes = "vec", tag = "4")]
    heading: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    speed: Vec<u8>,
    #[prost(bytes = "vec", tag = "6")]
    charge: Vec<u8>,
    #[prost(bytes = "vec", tag = "7")]
    state: Vec<u8>,
}

/// Answers on a free port of the runtime it is called on.
pub(crate) fn serve(
    fleet: &Fleet,
    partition_rows: usize,
    tls: Option<&CertBundle>,
) -> anyhow::Result<SocketAddr> {
    let phases: Vec<Vec<Arc<Columns>>> = (0..PHASES)
        .map(|tick| {
            let partitions = fleet.at(tick).chunks(partition_rows);
            partitions
                .map(|machines| Arc::new(Columns::new(machines)))
                .collect()
        })
        .collect();
    let phases = Arc::new(phases);
    let answer = move |dispatch: Dispatch| {
        let (phases, phase) = (phases.clone(), phase_of(dispatch.tick));
        (0..phases[phase].len()).map(move |partition| phases[phase][partition].clone())
    };
    grpc::serve::<Columns, _, _>(answer, tls)
}

/// The driver's end.
pub(crate) struct Packed {
    call: Call<Columns>,
    received: Vec<Columns>,
    spares: Spares<Columns>,
    partitions: usize,
}

impl Packed {
    /// Connects and opens the stream.
    pub(crate) async fn connect(
        address: SocketAddr,
        tls: Option<&CertBundle>,
        fleet: &Fleet,
        partition_rows: usize,
    ) -> anyhow::Result<Packed> {
        let spares = Spares::default();
        Ok(Packed {
            call: Call::open(address, tls, Some(spares.clone())).await?,
            received: Vec::new(),
            spares,
            partitions: fleet.at(0).len().div_ceil(partition_rows),
        })
    }

    /// One tick.
    pub(crate) async fn exchange(&mut self, tick: u64) -> anyhow::Result<Arrival> {
        self.spares
            .lock()
            .expect("never poisoned")
            .append(&mut self.received);
        let start = Instant::now();
        self.call.dispatch(tick).await?;
        for _ in 0..self.partitions {
            self.received.push(self.call.next().await?);
        }
        let readable = start.elapsed();
        let checksum = checksum(self.received.iter().flat_map(Columns::machines));
        let read = start.elapsed();
        let encoded: usize = self.received.iter().map(grpc::framed).sum();
        Ok(Arrival {
            readable,
            read,
            payload_bytes: encoded as u64,
            checksum,
        })
    }
}

impl Columns {
    fn new(machines: &[Machine]) -> Columns {
        Columns {
            first_id: machines[0].id,
            x_dm: machines.iter().map(|m| m.x_dm).collect(),
            y_dm: machines.iter().map(|m| m.y_dm).collect(),
            heading: machines.iter().map(|m| m.heading).collect(),
            speed: machines.iter().map(|m| m.speed).collect(),
            charge: machines.iter().map(|m| m.charge).collect(),
            state: machines.iter().map(|m| m.state).collect(),
        }
    }

    fn machines(&self) -> impl Iterator<Item = Machine> {
        let places = self.x_dm.iter().zip(&self.y_dm);
        let motion = self.heading.iter().zip(&self.speed);
        let rest = self.charge.iter().zip(&self.state);
        places.zip(motion).zip(rest).zip(self.first_id..).map(
            |((((x_dm, y_dm), (heading, speed)), (charge, state)), id)| Machine {
                id,
                x_dm: *x_dm,
                y_dm: *y_dm,
                heading: *heading,
                speed: *speed,
                charge: *charge,
                state: *state,
            },
        )
    }
}
