//! Pages of lists: an opaque cursor that is good for the same list with the same filters only.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::{Problem, ProblemKind};
use crate::token::sha256;

/// Items of a page if nothing else is asked for.
pub(crate) const DEFAULT_LIMIT: u32 = 100;
/// Most items of a page.
pub(crate) const MAX_LIMIT: u32 = 1_000;
/// Bytes of a cursor that name its list.
const LIST_BYTES: usize = 8;
/// Bytes of a cursor.
const CURSOR_BYTES: usize = LIST_BYTES + 16;

const _: () = assert!(MAX_LIMIT <= transport::control::MAX_PAGE);

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// Items, in the list's order.
    pub(crate) items: Vec<T>,
    /// To be given as `cursor` for the next page; null on the last one.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
}

/// A list with its filters; its cursors are good for nothing else.
#[derive(Clone, Copy)]
pub(crate) struct List([u8; LIST_BYTES]);

impl List {
    /// The list of a path with filters.
    pub(crate) fn new(path: &str, filters: &impl std::fmt::Debug) -> List {
        let hash = sha256(format!("{path} {filters:?}").as_bytes());
        List(*hash.first_chunk().expect("a hash is longer"))
    }

    /// A cursor behind the item at `place`.
    pub(crate) fn cursor(self, place: u128) -> String {
        let mut bytes = [0; CURSOR_BYTES];
        bytes[..LIST_BYTES].copy_from_slice(&self.0);
        bytes[LIST_BYTES..].copy_from_slice(&place.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place of a cursor.
    ///
    /// # Errors
    /// [`ProblemKind::BadCursor`].
    pub(crate) fn place(self, cursor: &str) -> Result<u128, Problem> {
        let decoded = URL_SAFE_NO_PAD.decode(cursor).ok();
        let bytes: Option<[u8; CURSOR_BYTES]> = decoded.and_then(|bytes| bytes.try_into().ok());
        let place = bytes.and_then(|bytes| {
            let (list, place) = bytes.split_at(LIST_BYTES);
            (list == self.0).then(|| u128::from_be_bytes(place.try_into().expect("the rest")))
        });
        place.ok_or_else(|| Problem {
            field: Some("cursor".to_owned()),
            ..Problem::new(
                ProblemKind::BadCursor,
                "no page of this list with these filters gave this cursor",
            )
        })
    }

    /// The place of a cursor that is a number of 64 bits.
    ///
    /// # Errors
    /// [`ProblemKind::BadCursor`].
    pub(crate) fn place_u64(self, cursor: &str) -> Result<u64, Problem> {
        let place = self.place(cursor)?;
        u64::try_from(place).map_err(|_| Problem {
            field: Some("cursor".to_owned()),
            ..Problem::new(ProblemKind::BadCursor, "the cursor lies beyond every list")
        })
    }
}

/// How many items a page shall have.
///
/// # Errors
/// [`ProblemKind::Invalid`] outside 1..=[`MAX_LIMIT`].
pub(crate) fn limit(asked: Option<u64>) -> Result<u32, Problem> {
    let Some(asked) = asked else {
        return Ok(DEFAULT_LIMIT);
    };
    let limit = u32::try_from(asked).ok();
    let limit = limit.filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| super::range::out_of("limit", asked, 1, u64::from(MAX_LIMIT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_in_its_own_list_only() {
        let list = List::new("/v1/simulations", &Some("running"));
        let cursor = list.cursor(7 << 64);
        assert_eq!(list.place(&cursor).unwrap(), 7 << 64);
        assert!(list.place_u64(&cursor).is_err());
        for other in [
            List::new("/v1/simulations", &Some("paused")),
            List::new("/v1/workers", &Some("running")),
        ] {
            assert_eq!(
                other.place(&cursor).unwrap_err().kind,
                ProblemKind::BadCursor
            );
        }
        for wrong in ["", "x", "%", &cursor[1..], &format!("{cursor}A")] {
            assert!(list.place(wrong).is_err(), "{wrong}");
        }
    }
}
