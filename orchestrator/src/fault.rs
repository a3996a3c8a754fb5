//! What keeps the store from writing, as far as the core does something about it.

/// Why something is not written yet, or never will be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// The database does not answer. What was under way may be committed all the same: it is written
    /// again, as it was, until that is known.
    #[error("the database does not answer")]
    Unavailable,
    /// The database has no room. Nothing of it was written.
    #[error("the database has no room")]
    DiskFull,
    /// Another orchestrator owns the database, or it takes nothing from this build. Nothing more is written.
    #[error("{reason}")]
    Over {
        /// Why, and who owns it now.
        reason: String,
    },
}
