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
    /// What follows `?max_page_count=` is no number of pages.
    #[error("the database's URL has no number of pages, 1 and more, after `?max_page_count=`")]
    PageCount,
    /// PostgreSQL's is not as it must be.
    #[error("the database's URL is not of the form postgres://user:password@host:port/database")]
    Postgres,
}

/// A SQLite file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteFile {
    /// Where it is.
    pub path: PathBuf,
    /// It never grows beyond so many pages of 4 KiB, by `?max_page_count=`; `None` for as far as the disk has room.
    pub max_page_count: Option<u32>,
}

/// A parsed URL. Its `Debug` and `Display` hide everything that may be secret.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A file.
    Sqlite(SqliteFile),
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
            let rest = rest.strip_prefix("//").unwrap_or(rest);
            let (path, max_page_count) = match rest.split_once("?max_page_count=") {
                Some((path, pages)) => {
                    (path, Some(pages.parse().map_err(|_| UrlError::PageCount)?))
                }
                None => (rest, None),
            };
            return match path {
                "" | ":memory:" => Err(UrlError::NoPath),
                path => Ok(DatabaseUrl::Sqlite(SqliteFile {
                    path: Path::new(path).to_owned(),
                    max_page_count,
                })),
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
            DatabaseUrl::Sqlite(file) => write!(f, "sqlite:{}", file.path.display()),
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
            ("sqlite:farm.db?max_page_count=256", "farm.db"),
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
            ("sqlite:farm.db?max_page_count=many", UrlError::PageCount),
            ("postgres://farm:s3cret@host:port/db", UrlError::Postgres),
        ] {
            let refused = DatabaseUrl::parse(url).unwrap_err();
            assert_eq!(refused, error);
            assert!(!refused.to_string().contains("s3cret"));
        }
    }
}
