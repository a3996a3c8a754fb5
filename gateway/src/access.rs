//! Who may do what: tokens and roles, and which pages and host names are trusted.
