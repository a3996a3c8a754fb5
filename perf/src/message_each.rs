//! A rival: gRPC with a message an entity.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use prost::Message;
use transport::certs::CertBundle;

use crate::exchange::Arrival;
use crate::fleet::{Fleet, Machine, checksum};
use crate::grpc::{self, Call, Dispatch};

/// One machine's state, in whole numbers because they encode shorter and faster than floats.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Entity {
    #[prost(uint32, tag = "1")]
    id: u32,
    #[prost(sint32, tag = "2")]
    x_dm: i32,
    #[prost(sint32, tag = "3")]
    y_dm: i32,
    #[prost(uint32, tag = "4")]
    heading: u32,
    #[prost(uint32, tag = "5")]
    speed: u32,
    #[prost(uint32, tag = "6")]
    charge: u32,
    #[prost(uint32, tag = "7")]
    state: u32,
}

/// Answers on a free port of the runtime it is called on.
pub(crate) fn serve(fleet: Arc<Fleet>, tls: Option<&CertBundle>) -> anyhow::Result<SocketAddr> {
    let answer = move |dispatch: Dispatch| {
        let (fleet, tick) = (fleet.clone(), dispatch.tick);
        (0..fleet.at(tick).len()).map(move |row| Entity::from(&fleet.at(tick)[row]))
    };
    grpc::serve::<Entity, _, _>(answer, tls)
}

/// The driver's end.
pub(crate) struct MessageEach {
    call: Call<Entity>,
    received: Vec<Entity>,
}

impl MessageEach {
    /// Connects and opens the stream.
    pub(crate) async fn connect(
        address: SocketAddr,
        tls: Option<&CertBundle>,
        fleet: &Fleet,
    ) -> anyhow::Result<MessageEach> {
        Ok(MessageEach {
            call: Call::open(address, tls, None).await?,
            received: vec![Entity::default(); fleet.at(0).len()],
        })
    }

    /// One tick.
    pub(crate) async fn exchange(&mut self, tick: u64) -> anyhow::Result<Arrival> {
        let start = Instant::now();
        self.call.dispatch(tick).await?;
        for entity in &mut self.received {
            *entity = self.call.next().await?;
        }
        let readable = start.elapsed();
        let checksum = checksum(self.received.iter().map(Machine::from));
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

impl From<&Machine> for Entity {
    fn from(m: &Machine) -> Entity {
        Entity {
            id: m.id,
            x_dm: m.x_dm,
            y_dm: m.y_dm,
            heading: m.heading.into(),
            speed: m.speed.into(),
            charge: m.charge.into(),
            state: m.state.into(),
        }
    }
}

impl From<&Entity> for Machine {
    fn from(e: &Entity) -> Machine {
        Machine {
            id: e.id,
            x_dm: e.x_dm,
            y_dm: e.y_dm,
            heading: e.heading as u8,
            speed: e.speed as u8,
            charge: e.charge as u8,
            state: e.state as u8,
        }
    }
}
