//! What is held at a bound, and is let go beyond it.

use transport::limits::Bounds;
use transport::link::{LinkCommand, Role};
use transport::pool::FramePool;
use transport::quic::listen_within;
use transport::quic_config::Network;

use crate::logs::Log;
use crate::loopback::{any, bundle, connected, dial, disconnected};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_peer_beyond_the_bound_is_refused_and_let_in_when_another_has_gone() {
    let certs = bundle();
    let pool = FramePool::new();
    let bounds = Bounds {
        peers: 2,
        ..Bounds::default()
    };
    let identity = certs.identity(Role::Orchestrator);
    let roles = [Role::Worker];
    let (mut server, at) =
        listen_within(bounds, any(), &identity, &roles, Network::Local, &pool).unwrap();
    let worker = certs.identity(Role::Worker);
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(dial(at, &worker, &pool));
        connected(&mut server).await;
    }
    // The third has a thread of its own, and so a log of its own.
    let log = Log::default();
    let third = std::thread::spawn({
        let log = log.clone();
        move || {
            let _guard = log.capture();
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(async {
                let mut third = dial(at, &worker, &FramePool::new());
                connected(&mut third).await
            })
        }
    });
    let refused = log.clone();
    let waiting = move || refused.wait_for(&["the peer takes no more connections: it is full"]);
    tokio::task::spawn_blocking(waiting).await.unwrap();
    assert!(server.events.try_recv().is_err(), "two are connected");

    let (peer, _) = connected(held.last_mut().unwrap()).await;
    let reason = "a place for another".to_owned();
    let end = LinkCommand::Disconnect { peer, reason };
    let last = held.pop().unwrap();
    last.commands.try_send(end).unwrap();
    drop(last);
    disconnected(&mut server).await;
    connected(&mut server).await;
    third.join().unwrap();
}
