//! Who may use the API: every valid token, by id.

use std::collections::BTreeMap;

use transport::control::{MAX_LABEL_BYTES, Token, Tokens as Frame};

use crate::control::ControlError;
use crate::limits::MAX_TOKENS;

/// The tokens.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    by_id: BTreeMap<u64, Token>,
}

impl Tokens {
    /// Begins with those that are kept.
    pub(crate) fn load(&mut self, tokens: Vec<Token>) {
        self.by_id = tokens.into_iter().map(|t| (t.id, t)).collect();
    }

    /// Checks one that is to be added.
    ///
    /// # Errors
    /// [`ControlError`] names what is wrong with it.
    pub(crate) fn check(&self, token: &Token) -> Result<(), ControlError> {
        let bytes = token.name.len();
        if bytes > MAX_LABEL_BYTES {
            let limit = MAX_LABEL_BYTES;
            return Err(ControlError::NameTooLong { bytes, limit });
        }
        // 0 stands for a local user.
        if token.id == 0 || self.by_id.contains_key(&token.id) {
            return Err(ControlError::TokenExists { id: token.id });
        }
        if self.by_id.len() >= MAX_TOKENS {
            let limit = MAX_TOKENS;
            return Err(ControlError::TooManyTokens { limit });
        }
        Ok(())
    }

    /// Adds one.
    pub(crate) fn insert(&mut self, token: Token) {
        self.by_id.insert(token.id, token);
    }

    /// Whether there is one.
    pub(crate) fn contains(&self, id: u64) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Revokes one; `false` where there is none.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        self.by_id.remove(&id).is_some()
    }

    /// All of them, as gateways are told.
    pub(crate) fn frame(&self) -> Frame {
        Frame {
            tokens: self.by_id.values().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use transport::control::Access;

    #[test]
    fn a_token_is_added_once_and_never_as_the_local_user() {
        let token = |id| Token {
            id,
            name: "n".to_owned(),
            access: Access::Admin,
            secret_hash: [1; 32],
            created_at_us: 0,
        };
        let mut tokens = Tokens::default();
        assert!(tokens.check(&token(0)).is_err());
        tokens.check(&token(4)).unwrap();
        tokens.insert(token(4));
        assert_eq!(
            tokens.check(&token(4)),
            Err(ControlError::TokenExists { id: 4 })
        );
        assert!(tokens.remove(4) && !tokens.remove(4));
        assert!(tokens.frame().tokens.is_empty());
    }
}
