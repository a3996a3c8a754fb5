//! The text of tokens and tickets: what is told once, and what is kept of it.
//!
//! A token is `af_<id>_<secret>`: its number in hex and 32 random bytes in base64url. Only the SHA-256 of
//! the secret is kept anywhere. None of the text is ever logged; [`Secret`] has no form to be printed in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;
use transport::control::Token;

/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;
/// What the text of a token begins with.
const PREFIX: &str = "af_";
/// What the text of a ticket begins with.
const TICKET_PREFIX: &str = "aft_";
/// Longest text that is looked at: prefix, 16 digits of hex, an underscore and 43 of base64url, with room to spare.
const MAX_TEXT_BYTES: usize = 96;

/// Bytes that only their owner knows.
pub struct Secret([u8; SECRET_BYTES]);

/// The system gives no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandom;

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// [`NoRandom`].
    pub fn draw() -> Result<Secret, NoRandom> {
        let mut bytes = [0; SECRET_BYTES];
        fill(&mut bytes)?;
        Ok(Secret(bytes))
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(&self.0)
    }

    /// The text of the token of this number, told to its owner once.
    #[must_use]
    pub fn token_text(&self, id: u64) -> String {
        format!("{PREFIX}{id:016x}_{}", URL_SAFE_NO_PAD.encode(self.0))
    }

    /// The text of the ticket, told to its owner once.
    #[must_use]
    pub fn ticket_text(&self) -> String {
        format!("{TICKET_PREFIX}{}", URL_SAFE_NO_PAD.encode(self.0))
    }

    /// The number and secret of a token's text.
    #[must_use]
    pub fn of_token(text: &str) -> Option<(u64, Secret)> {
        let text = bounded(text)?.strip_prefix(PREFIX)?;
        // base64url may hold underscores itself.
        let (id, secret) = text.split_once('_')?;
        let is_hex = id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit());
        let id = is_hex.then(|| u64::from_str_radix(id, 16).ok())??;
        Some((id, secret_of(secret)?))
    }

    /// The secret of a ticket's text.
    #[must_use]
    pub fn of_ticket(text: &str) -> Option<Secret> {
        secret_of(bounded(text)?.strip_prefix(TICKET_PREFIX)?)
    }
}

/// A number for a new token: random, so that no gateway has to ask for the next one; never 0.
///
/// # Errors
/// [`NoRandom`].
pub fn draw_id() -> Result<u64, NoRandom> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes).max(1))
}

/// The token whose text this is. The secret is compared in constant time; that a number is unknown may be seen.
#[must_use]
pub fn find<'a>(tokens: &'a [Token], text: &str) -> Option<&'a Token> {
    let (id, secret) = Secret::of_token(text)?;
    let token = tokens.iter().find(|token| token.id == id)?;
    let same: bool = token.secret_hash.ct_eq(&secret.hash()).into();
    same.then_some(token)
}

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let hash = digest(&SHA256, bytes);
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn bounded(text: &str) -> Option<&str> {
    (text.len() <= MAX_TEXT_BYTES).then_some(text)
}

fn secret_of(text: &str) -> Option<Secret> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(Secret(bytes.try_into().ok()?))
}

fn fill(bytes: &mut [u8]) -> Result<(), NoRandom> {
    SystemRandom::new().fill(bytes).map_err(|_| NoRandom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use transport::control::Access;

    fn token(id: u64, secret: &Secret) -> Token {
        Token {
            id,
            name: "x".to_owned(),
            access: Access::Viewer,
            secret_hash: secret.hash(),
            created_at_us: 0,
        }
    }

    #[test]
    fn a_token_is_found_by_its_text_alone() {
        let (mine, other) = (Secret::draw().unwrap(), Secret::draw().unwrap());
        let tokens = [token(7, &mine), token(8, &other)];
        let text = mine.token_text(7);
        assert!(text.starts_with("af_0000000000000007_"));
        assert_eq!(find(&tokens, &text), Some(&tokens[0]));
        // The right secret of the wrong number, and the other way round.
        assert_eq!(find(&tokens, &mine.token_text(8)), None);
        assert_eq!(find(&tokens, &other.token_text(7)), None);
        assert_eq!(find(&tokens, &mine.token_text(9)), None);
        assert_eq!(find(&[], &text), None);
    }

    #[test]
    fn a_text_that_is_none_is_no_token() {
        let secret = Secret::draw().unwrap();
        let text = secret.token_text(7);
        for wrong in [
            "",
            "af_",
            "af_7_",
            &text[..text.len() - 1],
            &text.replace("af_", "AF_"),
            &text.replacen("0000", "+000", 1),
            &format!("{text}A"),
            &"af_".repeat(100),
            &secret.ticket_text(),
        ] {
            assert!(Secret::of_token(wrong).is_none(), "{wrong}");
        }
        assert!(Secret::of_ticket(&text).is_none());
        let back = Secret::of_ticket(&secret.ticket_text()).unwrap();
        assert_eq!(back.hash(), secret.hash());
    }
}
