//! Why a QUIC connection ended or never stood, in words for both logs.
//!
//! In TLS 1.3 a client counts as connected before the server has seen its certificate, and hears of a
//! refusal by a close whose code is a TLS alert. The alert says what to check.

use quinn::ConnectionError;

use crate::limits::MAX_REASON_BYTES;
use crate::link::DisconnectReason;

/// Codes from here on are QUIC's for TLS alerts (RFC 9001, section 4.8).
const CRYPTO_CODES: std::ops::RangeInclusive<u64> = 0x100..=0x1ff;
/// QUIC's code for a server that takes no connection (RFC 9000, section 20.1).
const CONNECTION_REFUSED: u64 = 2;

/// The event that tells the role of a connection's end.
pub(crate) fn reason_of(error: &ConnectionError) -> DisconnectReason {
    match error {
        ConnectionError::ApplicationClosed(close) => DisconnectReason::Peer {
            reason: readable(&close.reason),
        },
        other => DisconnectReason::Lost {
            error: explain(other),
        },
    }
}

/// What happened, and where it can be mended, what to check.
pub(crate) fn explain(error: &ConnectionError) -> String {
    match error {
        ConnectionError::TransportError(local) => {
            let refused = refusal(
                "this side refuses the peer",
                local.code.into(),
                &local.reason,
            );
            refused.unwrap_or_else(|| error.to_string())
        }
        ConnectionError::ConnectionClosed(close) => {
            let (code, reason) = (close.error_code.into(), readable(&close.reason));
            if code == CONNECTION_REFUSED {
                return "the peer takes no more connections: it is full, or it is ending"
                    .to_owned();
            }
            let refused = refusal("the peer refuses this side", code, &reason);
            refused.unwrap_or_else(|| format!("aborted by peer: {} {reason}", close.error_code))
        }
        ConnectionError::ApplicationClosed(close) => {
            format!("closed by the peer: {}", readable(&close.reason))
        }
        ConnectionError::Reset => {
            "reset by the peer: it was started anew and knows nothing of this connection".to_owned()
        }
        ConnectionError::TimedOut => {
            "timed out: nothing was heard of the peer; check that it runs, its \
            address and port (UDP), and that both sides agree on the network, local or routed"
                .to_owned()
        }
        other => other.to_string(),
    }
}

fn refusal(who: &str, code: u64, reason: &str) -> Option<String> {
    if !CRYPTO_CODES.contains(&code) {
        return None;
    }
    let check = match code & 0xff {
        // bad_certificate, unsupported_certificate, certificate_unknown
        42 | 43 | 46 => "check which role's .crt and .key each side was started with",
        // certificate_expired, which also stands for one that is not yet valid
        45 => "compare both clocks with the certificate's dates; `autofarm certs` makes new ones",
        // unknown_ca, and decrypt_error, where another authority has the same name
        48 | 51 => "both sides must use the ca.crt and certificates of one run of `autofarm certs`",
        // certificate_required
        116 => "start it with the certificate and key of its role",
        _ => "check the certificates of both sides",
    };
    Some(format!("{who}: {reason}; {check}"))
}

/// As much of a reason as is sent with a close.
pub(crate) fn cut(reason: &str) -> &[u8] {
    &reason.as_bytes()[..reason.floor_char_boundary(MAX_REASON_BYTES)]
}

/// A stranger's reason as a log may hold it: short, and without control characters.
fn readable(reason: &[u8]) -> String {
    let reason = &reason[..reason.len().min(MAX_REASON_BYTES)];
    let text = String::from_utf8_lossy(reason);
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_at_a_character_and_a_strangers_is_cleaned() {
        let long = "\u{e9}".repeat(MAX_REASON_BYTES);
        assert_eq!(cut(&long).len(), MAX_REASON_BYTES);
        let odd = format!("x{long}");
        assert_eq!(cut(&odd).len(), MAX_REASON_BYTES - 1);
        assert_eq!(readable(b"one\n\x1b[31mtwo\xff"), "one  [31mtwo\u{fffd}");
        assert!(readable(&[b'x'; 5_000]).len() == MAX_REASON_BYTES);
    }
}
