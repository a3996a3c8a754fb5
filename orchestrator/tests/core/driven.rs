//! The drive loop on a link that is two channels.

use std::time::Duration;

use orchestrator::clock::Origin;
use orchestrator::control::{ControlError, WorkerId};
use orchestrator::drive;
use orchestrator::event::Event;
use orchestrator::handle::Handle;
use orchestrator::{Config, limits};
use tokio::sync::mpsc;
use tokio::time::timeout;
use transport::frame;
use transport::header::{Header, Kind};
use transport::link::{Endpoint, LinkCommand, LinkEvent, PeerId, Role};
use transport::memory;
use transport::pool::FramePool;

use crate::fake_worker::registration;
use crate::testbed::{SIM, whole};

const PATIENCE: Duration = Duration::from_secs(10);

/// The other end of an orchestrator's link.
struct Link {
    commands: mpsc::Receiver<LinkCommand>,
    events: mpsc::Sender<LinkEvent>,
}

fn start(queued_commands: usize) -> (Handle, Link) {
    let (to_link, commands) = mpsc::channel(queued_commands);
    let (events, from_link) = mpsc::channel(limits::MAX_BATCH * 2);
    // Only where the link ends is the memory link's.
    let (endpoint, _) = memory::hub(Role::Orchestrator, "test");
    let endpoint = Endpoint {
        commands: to_link,
        events: from_link,
        ..endpoint
    };
    let (handle, run) =
        drive::start(Config::default(), FramePool::new(), endpoint, Origin::now()).unwrap();
    tokio::spawn(run);
    (handle, Link { commands, events })
}

#[tokio::test]
async fn who_waits_for_a_run_to_settle_learns_that_it_was_deleted() {
    let (handle, _link) = start(64);
    handle.create(whole(1)).await.unwrap();
    let mut events = handle.subscribe().unwrap();
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.settled(SIM).await.map(|info| info.spec.id) }
    });
    // On this one thread the task above has asked by the time that this is answered.
    handle.snapshot().await.unwrap();
    handle.delete(SIM).await.unwrap();
    let event = timeout(PATIENCE, events.recv()).await;
    let event = event.expect("nothing is said").unwrap();
    assert!(matches!(*event, Event::Deleted { .. }), "{event:?}");
    let answer = timeout(PATIENCE, waiting).await.expect("it waits for ever");
    assert_eq!(answer.unwrap(), Err(ControlError::Ended));
}

#[tokio::test]
async fn a_peer_for_which_the_link_takes_nothing_more_is_lost() {
    let (handle, mut link) = start(1);
    let mut events = handle.subscribe().unwrap();
    let pool = FramePool::new();
    for peer in [PeerId(1), PeerId(2)] {
        let (role, name) = (Role::Worker, String::new());
        let connected = LinkEvent::Connected { peer, role, name };
        link.events.send(connected).await.unwrap();
        let frame = frame::encode(&pool, Header::new(Kind::Register), &registration()).unwrap();
        let frame = LinkEvent::Frame { peer, frame };
        link.events.send(frame).await.unwrap();
    }
    // The first one's welcome fills the queue, so the second one's is lost, and that worker with it.
    loop {
        let event = timeout(PATIENCE, events.recv()).await.expect("it is kept");
        if let Event::WorkerLost { worker, .. } = &*event.unwrap() {
            assert_eq!(*worker, WorkerId(2));
            break;
        }
    }
    let first = link.commands.recv().await.unwrap();
    assert!(matches!(first, LinkCommand::Transmit(t) if t.peer == PeerId(1)));
    // It is told with the next thing that happens.
    handle.snapshot().await.unwrap();
    let second = timeout(PATIENCE, link.commands.recv()).await.expect("kept");
    assert!(matches!(second, Some(LinkCommand::Disconnect { peer, .. }) if peer == PeerId(2)));
}
