//! Why a request is refused, as whoever asked is told: kind, field, words, and when to try again.

use std::borrow::Cow;

use kernel::config::ConfigError;
use transport::control::{Refusal, RefusalKind};

use crate::control::ControlError;
use crate::limits::RETRY_SOON;

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Refusal {
        let kind = kind(&error);
        let retry = match kind {
            RefusalKind::OverCapacity | RefusalKind::StoreUnavailable | RefusalKind::Ending => {
                RETRY_SOON.as_millis() as u32
            }
            _ => 0,
        };
        Refusal {
            kind,
            field: field(&error).into_owned(),
            allowed: allowed(&error),
            detail: error.to_string(),
            retry_after_ms: retry,
        }
    }
}

fn kind(error: &ControlError) -> RefusalKind {
    match error {
        ControlError::UnknownSimulation { .. }
        | ControlError::UnknownWorker { .. }
        | ControlError::UnknownToken { .. } => RefusalKind::NotFound,
        ControlError::Exists { .. } | ControlError::TokenExists { .. } => RefusalKind::Exists,
        ControlError::InvalidTransition { .. } => RefusalKind::InvalidTransition,
        ControlError::TickPassed { .. } => RefusalKind::TickPassed,
        ControlError::TickNotKept { .. } => RefusalKind::TickNotKept,
        ControlError::TooManySimulations { .. }
        | ControlError::TooManyTokens { .. }
        | ControlError::TooManyCommands { .. }
        | ControlError::TooManyRequests { .. }
        | ControlError::TooManyTickets { .. }
        | ControlError::TooManyUnflushed { .. }
        | ControlError::AnswerTooLong { .. }
        | ControlError::CommandBeingPlaced { .. } => RefusalKind::OverCapacity,
        ControlError::StoreUnavailable | ControlError::NoPlace { .. } => {
            RefusalKind::StoreUnavailable
        }
        ControlError::KeyReused => RefusalKind::KeyReused,
        ControlError::BadTicket => RefusalKind::BadTicket,
        ControlError::NeedsStore | ControlError::NeedsGateway => RefusalKind::NotSupported,
        ControlError::Ended => RefusalKind::Ending,
        ControlError::Config(_)
        | ControlError::TooManyPartitions { .. }
        | ControlError::Uncuttable
        | ControlError::SpeedOutOfRange { .. }
        | ControlError::DigestEveryZero
        | ControlError::MaxTicksOutOfRange { .. }
        | ControlError::StepZero
        | ControlError::UnknownEntity { .. }
        | ControlError::UnknownSite { .. }
        | ControlError::TickBeyondEnd { .. }
        | ControlError::NoEntities
        | ControlError::TooManyEntities { .. }
        | ControlError::NameTooLong { .. }
        | ControlError::PageOutOfRange { .. }
        | ControlError::ViewRateOutOfRange { .. }
        | ControlError::BadIdempotencyKey { .. }
        | ControlError::ParentGiven => RefusalKind::Invalid,
    }
}

/// The field of the request that is wrong; empty where none is.
fn field(error: &ControlError) -> Cow<'static, str> {
    Cow::Borrowed(match error {
        ControlError::UnknownEntity {
            at: Some(place), ..
        } => return Cow::Owned(format!("entities[{place}]")),
        ControlError::Config(error) => config_field(error),
        ControlError::TooManyPartitions { .. } => "partition_rows",
        ControlError::SpeedOutOfRange { .. } => "speed",
        ControlError::DigestEveryZero => "digest_every",
        ControlError::MaxTicksOutOfRange { .. } => "max_ticks",
        ControlError::StepZero => "ticks",
        ControlError::UnknownEntity { .. } => "entity",
        ControlError::UnknownSite { .. } => "site",
        ControlError::TickPassed { .. }
        | ControlError::TickBeyondEnd { .. }
        | ControlError::TickNotKept { .. } => "tick",
        ControlError::NoEntities | ControlError::TooManyEntities { .. } => "entities",
        ControlError::NameTooLong { .. } => "name",
        ControlError::PageOutOfRange { .. } => "limit",
        ControlError::ViewRateOutOfRange { .. } => "rate_hz",
        ControlError::BadIdempotencyKey { .. } | ControlError::KeyReused => "Idempotency-Key",
        ControlError::ParentGiven => "parent",
        ControlError::BadTicket => "ticket",
        _ => "",
    })
}

/// What the field may be; empty where that is not known.
fn allowed(error: &ControlError) -> String {
    match error {
        ControlError::Config(ConfigError::OutOfRange { min, max, .. }) => format!("{min} to {max}"),
        ControlError::SpeedOutOfRange { .. } => "0.1 to 1000, or `max`".to_owned(),
        ControlError::DigestEveryZero | ControlError::StepZero => "1 or more".to_owned(),
        ControlError::MaxTicksOutOfRange { max, .. } => format!("1 to {max}"),
        ControlError::UnknownEntity { entities, .. } => format!("1 to {entities}"),
        ControlError::UnknownSite { last, .. } => format!("0 to {last}"),
        ControlError::TickPassed { next, .. } => format!("{next} or later, or to be left out"),
        ControlError::TickBeyondEnd { last, .. } | ControlError::TickNotKept { last, .. } => {
            format!("up to {last}")
        }
        ControlError::NoEntities => "at least one id".to_owned(),
        ControlError::TooManyEntities { limit } => format!("up to {limit} ids"),
        ControlError::NameTooLong { limit, .. } => format!("up to {limit} bytes"),
        ControlError::PageOutOfRange { max, .. } => format!("1 to {max}"),
        ControlError::ViewRateOutOfRange { max, .. } => format!("up to {max}"),
        ControlError::BadIdempotencyKey { limit } => format!("1 to {limit} bytes"),
        _ => String::new(),
    }
}

fn config_field(error: &ConfigError) -> &'static str {
    match error {
        ConfigError::UnknownScenario { .. } | ConfigError::UnknownScenarioCode { .. } => "scenario",
        ConfigError::OutOfRange { field, .. } => field,
        ConfigError::TickTooLong { .. } => "tick_ms",
        ConfigError::SiteTooLarge { .. } => "entities",
        ConfigError::PartitionTooLarge { .. } => "partition_rows",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Status;

    #[test]
    fn a_refusal_names_kind_field_and_what_is_allowed() {
        let refusal = Refusal::from(ControlError::SpeedOutOfRange { milli: 7 });
        assert_eq!(
            (refusal.kind, &*refusal.field),
            (RefusalKind::Invalid, "speed")
        );
        assert!(refusal.detail.contains("0.1 to 1000"), "{}", refusal.detail);
        assert_eq!(refusal.retry_after_ms, 0);
        let refusal = Refusal::from(ControlError::Config(ConfigError::OutOfRange {
            field: "entities",
            value: 0,
            min: 1,
            max: 2,
        }));
        assert_eq!((&*refusal.field, &*refusal.allowed), ("entities", "1 to 2"));
        let refusal = Refusal::from(ControlError::UnknownEntity {
            entity: 9,
            entities: 4,
            at: Some(1),
        });
        assert_eq!(
            (&*refusal.field, &*refusal.allowed),
            ("entities[1]", "1 to 4")
        );
        let status = Status::Created;
        let request = "pause";
        let refusal = Refusal::from(ControlError::InvalidTransition { request, status });
        assert!(
            refusal.detail.contains("created"),
            "the present state is named"
        );
        let refusal = Refusal::from(ControlError::StoreUnavailable);
        assert!(refusal.retry_after_ms > 0);
    }
}
