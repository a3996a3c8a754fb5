//! The QUIC link over real sockets on loopback.

mod bounds;
mod hosts;
mod logs;
mod loopback;
mod order;
mod processes;
mod refusals;
mod slow_way;

use std::sync::atomic::Ordering::Relaxed;

use tokio::time::timeout;
use transport::frame::Frame;
use transport::header::{Header, Kind};
use transport::link::{Class, DisconnectReason, Role};
use transport::pool::FramePool;
use transport::quic::{QuicError, listen};
use transport::quic_config::Network;

use crate::loopback::{
    PATIENCE, any, bundle, connected, dial, disconnected, next_frame, pair, serve, transmit,
};

/// A second copy on either side would be counted, or need a second buffer.
#[tokio::test]
async fn a_payload_is_copied_never_on_sending_and_once_on_receiving_in_both_directions() {
    const LEN: usize = 1_000_000;
    let mut pair = pair().await;
    let ends = [
        (&pair.client, &pair.client_pool, pair.orchestrator),
        (&pair.server, &pair.server_pool, pair.worker),
    ];
    let mut sent = Vec::new();
    for (from, pool, peer) in ends {
        let mut buffer = pool.take(LEN);
        let bytes: Vec<u8> = (0..LEN).map(|n| (n % 251) as u8).collect();
        buffer.bytes.extend_from_slice(&bytes);
        let frame = Frame::from_buffer(Header::new(Kind::Checkpoint), buffer).unwrap();
        sent.push(frame.payload().clone());
        let command = transmit(peer, Class::Checkpoint, 1, frame);
        from.commands.try_send(command).unwrap();
    }
    let ends = [
        (&mut pair.server, &pair.server_pool),
        (&mut pair.client, &pair.client_pool),
    ];
    for ((to, pool), sent) in ends.into_iter().zip(&sent) {
        let frame = next_frame(to).await;
        assert_eq!(frame.payload(), sent);
        let at = frame.payload().as_ptr();
        assert_eq!(at as usize % 64, 0);
        let copies = pool.copies();
        let counted = [&copies.sent, &copies.encoded, &copies.received].map(|c| c.load(Relaxed));
        assert_eq!(counted, [0, 0, LEN as u64]);
        // One buffer for what was sent and one for what came, each the next power of two.
        assert_eq!(copies.allocated.load(Relaxed), 2 << 20);
        drop(frame);
        assert_eq!(
            pool.take(LEN).bytes.as_ptr(),
            at,
            "it is the pool's own buffer"
        );
    }
}

#[tokio::test]
async fn a_client_comes_back_to_a_restarted_server_as_a_new_peer() {
    let certs = bundle();
    let pool = FramePool::new();
    let (mut server, at) = serve(any(), &certs.identity(Role::Orchestrator), &pool);
    let mut client = dial(at, &certs.identity(Role::Worker), &pool);
    connected(&mut server).await;
    let (first, _) = connected(&mut client).await;
    drop(server);
    let reason = disconnected(&mut client).await;
    assert!(matches!(reason, DisconnectReason::Peer { .. }), "{reason}");
    let (mut server, _) = timeout(PATIENCE, async {
        loop {
            // The old endpoint holds the port until its last packets are out.
            match listen(
                at,
                &certs.identity(Role::Orchestrator),
                &[Role::Worker],
                Network::Local,
                &pool,
            ) {
                Ok(open) => return open,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await
    .unwrap();
    connected(&mut server).await;
    assert_ne!(connected(&mut client).await.0, first);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let certs = bundle();
    let pool = FramePool::new();
    let orchestrator = certs.identity(Role::Orchestrator);
    let (_held, at) = serve(any(), &orchestrator, &pool);
    let error = listen(at, &orchestrator, &[Role::Worker], Network::Local, &pool).unwrap_err();
    assert!(
        matches!(error, QuicError::Bind { address, .. } if address == at),
        "{error}"
    );
}
