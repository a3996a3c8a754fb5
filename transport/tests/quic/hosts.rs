//! Several hosts, of which some are silent or do not exist.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use transport::link::{LinkCommand, LinkEvent, Role};
use transport::pool::FramePool;
use transport::quic::connect_any;

use crate::loopback::{any, bundle, connected, next, serve};
use crate::slow_way::SlowWay;

/// Silence is noticed after 4 s; a host behind silent ones must be reached long before.
const SOON: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_host_that_answers_is_reached_past_silent_ones_and_names_that_are_not_there() {
    let certs = bundle();
    let pool = FramePool::new();
    let (mut server, at) = serve(any(), &certs.identity(Role::Orchestrator), &pool);
    // They take what comes, and never answer.
    let silent = [(); 2].map(|()| UdpSocket::bind(any()).unwrap());
    let mut hosts: Vec<String> = silent
        .iter()
        .map(|socket| socket.local_addr().unwrap().to_string())
        .collect();
    hosts.insert(1, "not-there.invalid:7400".to_owned());
    hosts.push(format!("localhost:{}", at.port()));
    let worker = certs.identity(Role::Worker);
    let begun = Instant::now();
    let mut client = connect_any(&hosts, &worker, Role::Orchestrator, None, &pool).unwrap();
    connected(&mut client).await;
    connected(&mut server).await;
    let took = begun.elapsed();
    assert!(took < SOON, "{took:?}");
}

/// A standby once kept everybody from an owner that was further away than the head start.
#[tokio::test]
async fn a_slow_host_is_reached_past_a_quick_one_that_refuses() {
    let certs = bundle();
    let pool = FramePool::new();
    let orchestrator = certs.identity(Role::Orchestrator);
    let (mut refusing, quick) = serve(any(), &orchestrator, &pool);
    tokio::spawn(async move {
        while let Some(event) = refusing.events.recv().await {
            if let LinkEvent::Connected { peer, .. } = event {
                let reason = "it stands by".to_owned();
                let refusal = LinkCommand::Disconnect { peer, reason };
                refusing.commands.send(refusal).await.unwrap();
            }
        }
    });
    let (mut serving, far) = serve(any(), &orchestrator, &pool);
    let way = SlowWay::to(far, Duration::from_millis(300)).await;
    let hosts = [way.at.to_string(), quick.to_string()];
    let worker = certs.identity(Role::Worker);
    let mut client = connect_any(&hosts, &worker, Role::Orchestrator, None, &pool).unwrap();
    connected(&mut serving).await;
    loop {
        match next(&mut client).await {
            LinkEvent::Connected { name, .. } if name == hosts[0] => break,
            LinkEvent::Connected { .. } | LinkEvent::Disconnected { .. } => {}
            other @ LinkEvent::Frame { .. } => panic!("{other:?}"),
        }
    }
}
