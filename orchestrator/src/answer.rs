//! Answers as they are kept beside an idempotency key, and what is answered before it is done.

use rkyv::rancor;
use rkyv::util::AlignedVec;
use store::write::State;
use transport::control::{Answer, Refusal, RefusalKind, SimulationInfo, Spec};

use crate::lifecycle::Move;

/// The bytes of an answer, for the store.
///
/// # Panics
/// Never: an answer fits memory.
pub(crate) fn encode(answer: &Answer) -> Vec<u8> {
    let bytes = rkyv::to_bytes::<rancor::Error>(answer);
    bytes.expect("an answer is encoded into memory").to_vec()
}

/// The answer of such bytes. Those of another release may mean nothing to this one.
pub(crate) fn decode(bytes: &[u8]) -> Answer {
    let mut aligned = AlignedVec::<16>::with_capacity(bytes.len());
    aligned.extend_from_slice(bytes);
    rkyv::from_bytes::<Answer, rancor::Error>(&aligned).unwrap_or_else(|_| {
        Answer::Refused(Refusal {
            kind: RefusalKind::KeyReused,
            field: "Idempotency-Key".to_owned(),
            allowed: "a key that was never used".to_owned(),
            detail: "Idempotency-Key: it was used before, and what was answered then was kept by another \
                     release; look whether it was done, and use a new key"
                .to_owned(),
            retry_after_ms: 0,
        })
    })
}

/// What can be read of a simulation that will stand as `state` says.
pub(crate) fn foreseen(mut info: SimulationInfo, state: &State) -> SimulationInfo {
    info.status = state.status;
    info.cause = state.cause;
    info.spec.name.clone_from(&state.name);
    info.spec.speed = state.speed;
    info.created_at_us = state.created_at_us;
    info.started_at_us = state.started_at_us;
    info.ended_at_us = state.ended_at_us;
    info
}

/// What is answered to a move: to one that makes a run stand, the tick at which it does, though the window that leads there
/// may be in flight.
pub(crate) fn moved(mut info: SimulationInfo, movement: &Move, state: &State) -> SimulationInfo {
    if movement.halts() {
        info.tick = state.step_until.unwrap_or(info.tick);
    }
    info
}

/// What can be read of a simulation that will be created.
pub(crate) fn new_info(spec: &Spec, state: &State) -> SimulationInfo {
    let info = SimulationInfo {
        spec: spec.clone(),
        status: state.status,
        cause: state.cause,
        tick: 0,
        digest: None,
        aggregate: kernel::aggregate::Aggregate::default(),
        achieved_speed_milli: 0,
        late_ticks: 0,
        dilated_ms: 0,
        created_at_us: 0,
        started_at_us: None,
        ended_at_us: None,
        settled: false,
        replaying_to: None,
        history_lag_ticks: 0,
    };
    foreseen(info, state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_back_and_what_is_none_is_refused() {
        let answer = Answer::Stamp(transport::control::CommandStamp { seq: 7, tick: 9 });
        let mut bytes = encode(&answer);
        assert_eq!(decode(&bytes), answer);
        // Read at any alignment, as a database gives it.
        bytes.insert(0, 0);
        assert_eq!(decode(&bytes[1..]), answer);
        assert!(matches!(decode(&[1, 2, 3]), Answer::Refused(_)));
    }
}
