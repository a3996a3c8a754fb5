//! When a feed takes leave of its orchestrator: whenever nobody needs it any more, whatever it has been answered.

use std::time::Duration;

use crate::sample::Sample;
use crate::stream_limits::StreamBounds;
use crate::stream_stage::{Known, Stage};

/// A stage whose feeds linger for no longer than it takes to see that they do.
async fn stage() -> Stage {
    let bounds = StreamBounds {
        feed_linger: Duration::from_millis(50),
        ..StreamBounds::default()
    };
    Stage::new(Sample::weeding(24, 24), bounds).await
}

/// Such feeds once took no leave, and their views were made and sent for ever.
#[tokio::test]
async fn a_feed_takes_leave_though_its_client_left_before_its_subscription_was_answered() {
    let stage = stage().await;
    stage.orchestrator.known().withholds_subscriptions = true;
    let hasty = stage.asking().await;
    let has_asked = |known: &Known| known.asked_hz.len() == 1 && known.leaves == 0;
    stage.orchestrator.until(has_asked).await;
    drop(hasty);
    // Nobody answers, as where a fork replays for long, and the feed gives it up.
    tokio::time::pause();
    stage.orchestrator.until(|known| known.leaves == 1).await;
    tokio::time::resume();
    // Whoever comes next begins anew.
    stage.orchestrator.known().withholds_subscriptions = false;
    let mut next = stage.watch("", "").await;
    assert_eq!(next.json().await["type"], "hello");
    assert_eq!(stage.orchestrator.known().leaves, 1);
}
