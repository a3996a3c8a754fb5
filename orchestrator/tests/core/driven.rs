//! The drive loop on a link that is two channels.

use std::time::Duration;

use orchestrator::clock::Origin;
use orchestrator::control::ControlError;
use orchestrator::drive::{self, Handle};
use orchestrator::event::Event;
use orchestrator::{Config, limits};
use tokio::sync::mpsc;
use tokio::time::timeout;
use transport::link::{Endpoint, LinkCommand, LinkEvent};
use transport::pool::FramePool;

use crate::testbed::{SIM, whole};

const PATIENCE: Duration = Duration::from_secs(10);

/// The other end of an orchestrator's link.
struct Link {
    _commands: mpsc::Receiver<LinkCommand>,
    _events: mpsc::Sender<LinkEvent>,
}

fn start(queued_commands: usize) -> (Handle, Link) {
    let (to_link, commands) = mpsc::channel(queued_commands);
    let (events, from_link) = mpsc::channel(limits::MAX_BATCH * 2);
    let endpoint = Endpoint {
        commands: to_link,
        events: from_link,
    };
    let (handle, run) =
        drive::start(Config::default(), FramePool::new(), endpoint, Origin::now()).unwrap();
    tokio::spawn(run);
    let (_commands, _events) = (commands, events);
    (handle, Link { _commands, _events })
}

#[tokio::test]
async fn who_waits_for_a_run_to_settle_learns_that_it_was_deleted() {
    let (handle, _link) = start(64);
    handle.create(whole(1)).await.unwrap();
    let mut events = handle.subscribe().unwrap();
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.settled(SIM).await.map(|info| info.id) }
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
