//! Where a database is: `sqlite:PATH`, or `postgres://…`.

use std::path::{Path, PathBuf};

use sqlx::postgres::PgConnectOptions;

/// Why a URL is refused. The URL itself is never repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Neither of the two.
    #[error(
        "the database's URL begins with neither `sqlite:` nor `postgres://`; examples: sqlite:/var/lib/autofarm/autofarm.db, postgres://autofarm@db.example/autofarm"
    )]
    Scheme,
    /// `sqlite:` without a path, or in memory.
    #[error("the database's URL names no file after `sqlite:`")]
    NoPath,
    /// PostgreSQL's is not as it must be.
    #[error("the database's URL is not of the form postgres://user:password@host:port/database")]
    Postgres,
}

/// A parsed URL. Its `Debug` and `Display` hide everything that may be secret.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres(Box<PgConnectOptions>),
}

impl DatabaseUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`UrlError`] says what is wrong, without repeating it.
    pub fn parse(url: &str) -> Result<DatabaseUrl, UrlError> {
        if let Some(rest) = url.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return match path {
                "" | ":memory:" => Err(UrlError::NoPath),
                path => Ok(DatabaseUrl::Sqlite(Path::new(path).to_owned())),
            };
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = url.parse().map_err(|_| UrlError::Postgres)?;
            return Ok(DatabaseUrl::Postgres(Box::new(options)));
        }
        Err(UrlError::Scheme)
    }
}

impl std::fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DatabaseUrl::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            DatabaseUrl::Postgres(options) => write!(
                f,
                "postgres://{}@{}:{}/{}",
                options.get_username(),
                options.get_host(),
                options.get_port(),
                options.get_database().unwrap_or_default(),
            ),
        }
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let url = DatabaseUrl::parse("postgres://farm:s3cret@db.example:5433/fleet").unwrap();
        assert_eq!(url.to_string(), "postgres://farm@db.example:5433/fleet");
        assert!(!format!("{url:?}").contains("s3cret"));
    }

    #[test]
    fn paths_are_as_they_were_given() {
        for (url, path) in [
            ("sqlite:farm.db", "farm.db"),
            ("sqlite:/var/farm.db", "/var/farm.db"),
            ("sqlite:///var/farm.db", "/var/farm.db"),
            ("sqlite://farm.db", "farm.db"),
        ] {
            assert_eq!(
                DatabaseUrl::parse(url).unwrap().to_string(),
                format!("sqlite:{path}")
            );
        }
    }

    #[test]
    fn what_is_no_url_is_refused_without_repeating_it() {
        for (url, error) in [
            ("mysql://root:s3cret@host/db", UrlError::Scheme),
            ("sqlite:", UrlError::NoPath),
            ("sqlite::memory:", UrlError::NoPath),
            ("postgres://farm:s3cret@host:port/db", UrlError::Postgres),
        ] {
            let refused = DatabaseUrl::parse(url).unwrap_err();
            assert_eq!(refused, error);
            assert!(!refused.to_string().contains("s3cret"));
        }
    }
}
