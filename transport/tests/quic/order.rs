//! What overtakes what, and what is still delivered at the end.

use transport::frame::Frame;
use transport::header::{Header, Kind};
use transport::link::{Class, DisconnectReason, LinkCommand, LinkEvent};

use crate::loopback::{Pair, disconnected, next, next_frame, pair, transmit};

const MB: usize = 1_000_000;

fn frame(kind: Kind, tick: u64, len: usize) -> Frame {
    let header = Header {
        tick,
        ..Header::new(kind)
    };
    Frame::from_bytes(header, vec![tick as u8; len]).unwrap()
}

/// 40 MB of checkpoints, then 40 MB of views, then a result, all before the first byte leaves: what
/// comes first is what the classes promise, but for the few frames that are under way already.
#[tokio::test]
async fn results_overtake_views_and_views_overtake_checkpoints() {
    let Pair {
        mut server,
        client,
        orchestrator,
        ..
    } = pair().await;
    let send = |class, kind, group, len| {
        let command = transmit(orchestrator, class, group, frame(kind, group, len));
        client.commands.try_send(command).unwrap();
    };
    for group in 0..40 {
        send(Class::Checkpoint, Kind::Checkpoint, group, MB);
    }
    for group in 0..40 {
        send(Class::View, Kind::View, group, MB);
    }
    send(Class::Tick, Kind::Result, 0, 10_000);
    let mut arrived = Vec::new();
    while arrived.len() < 81 {
        arrived.push(next_frame(&mut server).await.header.kind);
    }
    let result = arrived.iter().position(|kind| *kind == Kind::Result);
    assert!(result.unwrap() <= 8, "{arrived:?}");
    let last_view = arrived
        .iter()
        .rposition(|kind| *kind == Kind::View)
        .unwrap();
    let checkpoints = &arrived[..last_view];
    let before = checkpoints.iter().filter(|kind| **kind == Kind::Checkpoint);
    assert!(before.count() <= 8, "{arrived:?}");
}

#[tokio::test]
async fn a_result_overtakes_the_rest_of_one_large_checkpoint() {
    let Pair {
        mut server,
        client,
        orchestrator,
        ..
    } = pair().await;
    let large = frame(Kind::Checkpoint, 1, 30 * MB);
    let small = frame(Kind::Result, 2, 100);
    for (class, frame) in [(Class::Checkpoint, large), (Class::Tick, small)] {
        let command = transmit(orchestrator, class, 1, frame);
        client.commands.try_send(command).unwrap();
    }
    for expected in [Kind::Result, Kind::Checkpoint] {
        assert_eq!(next_frame(&mut server).await.header.kind, expected);
    }
}

/// A registration that was refused was once cut off before its refusal had left.
#[tokio::test]
async fn what_was_queued_before_a_disconnect_arrives_before_its_reason() {
    let Pair {
        mut server,
        worker,
        mut client,
        ..
    } = pair().await;
    for group in 0..8 {
        let checkpoint = frame(Kind::Checkpoint, group, MB);
        let command = transmit(worker, Class::Checkpoint, group, checkpoint);
        server.commands.try_send(command).unwrap();
    }
    let refused = transmit(worker, Class::Control, 0, frame(Kind::Refused, 9, 100));
    server.commands.try_send(refused).unwrap();
    let reason = "another release".to_owned();
    let end = LinkCommand::Disconnect {
        peer: worker,
        reason: reason.clone(),
    };
    server.commands.try_send(end).unwrap();
    let late = transmit(worker, Class::Tick, 0, frame(Kind::Result, 99, 1));
    server.commands.try_send(late).unwrap();

    let mut arrived = Vec::new();
    let theirs = loop {
        match next(&mut client).await {
            LinkEvent::Frame { frame, .. } => arrived.push(frame.header.tick),
            LinkEvent::Disconnected { reason, .. } => break reason,
            other @ LinkEvent::Connected { .. } => panic!("{other:?}"),
        }
    };
    arrived.sort_unstable();
    assert_eq!(arrived, [0, 1, 2, 3, 4, 5, 6, 7, 9]);
    let ours = disconnected(&mut server).await;
    assert_eq!(
        theirs,
        DisconnectReason::Peer {
            reason: reason.clone()
        }
    );
    assert_eq!(ours, DisconnectReason::Local { reason });
}

#[tokio::test]
async fn what_was_queued_before_an_endpoint_is_dropped_arrives() {
    let Pair {
        server,
        worker,
        mut client,
        ..
    } = pair().await;
    for group in 0..8 {
        let command = transmit(worker, Class::Tick, group, frame(Kind::Result, group, MB));
        server.commands.try_send(command).unwrap();
    }
    drop(server);
    for _ in 0..8 {
        next_frame(&mut client).await;
    }
    let reason = disconnected(&mut client).await;
    assert!(matches!(reason, DisconnectReason::Peer { .. }), "{reason}");
}
