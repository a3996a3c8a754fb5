//! Where state is kept: a database's URL, or a file in the data directory.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::config_file::without_password;
use crate::failure::wrong_input;
use crate::value_parser::UrlParser;

/// Name of the SQLite file in the data directory.
const FILE: &str = "autofarm.db";

/// Flags of whatever uses the database, and may keep it in a file of its own.
#[derive(clap::Args)]
pub(crate) struct DatabaseArgs {
    /// Database: postgres://USER:PASSWORD@HOST/NAME or sqlite:FILE [default: a SQLite file in the data
    /// directory].
    #[arg(
        long,
        env = "AUTOFARM_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true,
        value_parser = UrlParser
    )]
    database_url: Option<String>,
    /// Directory of the SQLite file; made if it is not there [default: ~/.local/share/autofarm].
    #[arg(long, env = "AUTOFARM_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl DatabaseArgs {
    /// Whether one is named.
    pub(crate) fn is_given(&self) -> bool {
        self.database_url.is_some() || self.data_dir.is_some()
    }

    /// The database's URL, and the directory of its file, where it is one in the data directory.
    ///
    /// # Errors
    /// Where both are given, or the home directory is not known.
    pub(crate) fn url(&self) -> anyhow::Result<(String, Option<PathBuf>)> {
        match (&self.database_url, &self.data_dir) {
            (Some(_), Some(_)) => Err(wrong_input(
                "data-dir: give it or database-url, not both: a database elsewhere needs no directory",
            )),
            (Some(url), None) => Ok((url.clone(), None)),
            (None, Some(directory)) => Ok((file_url(directory)?, Some(directory.clone()))),
            (None, None) => {
                let directory = default_directory()?;
                Ok((file_url(&directory)?, Some(directory)))
            }
        }
    }

    /// The flags by which another command finds the same database, each with a blank before it. A password is hidden.
    pub(crate) fn as_flags(&self) -> String {
        let flag = |name: &str, value: &str| format!(" --{name} {}", quoted(value));
        match (&self.database_url, &self.data_dir) {
            (Some(url), _) => flag("database-url", &without_password(url)),
            (None, Some(directory)) => flag("data-dir", &directory.to_string_lossy()),
            (None, None) => String::new(),
        }
    }

    /// The database's URL, its directory there and written to.
    ///
    /// # Errors
    /// Where the directory cannot be made or written, naming it.
    pub(crate) fn prepare(&self) -> anyhow::Result<String> {
        let (url, directory) = self.url()?;
        if let Some(directory) = directory {
            make_writable(&directory)?;
        }
        Ok(url)
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@=%+,".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

fn file_url(directory: &Path) -> anyhow::Result<String> {
    let path = directory.join(FILE);
    let text = path.to_str().ok_or_else(|| {
        wrong_input(format!(
            "data-dir: {} is not UTF-8; give another",
            directory.display()
        ))
    })?;
    Ok(format!("sqlite:{text}"))
}

/// By the convention of the XDG base directories.
fn default_directory() -> anyhow::Result<PathBuf> {
    let of = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    of("XDG_DATA_HOME")
        .or_else(|| Some(of("HOME")?.join(".local/share")))
        .map(|data| data.join("autofarm"))
        .ok_or_else(|| {
            wrong_input(
                "data-dir: neither XDG_DATA_HOME nor HOME is set; name a directory with --data-dir",
            )
        })
}

/// Makes the directory, for its owner alone, and shows that it can be written.
fn make_writable(directory: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    let unusable = |source: std::io::Error| {
        wrong_input(format!(
            "data-dir: {}: {source}; name a directory that can be written with --data-dir",
            directory.display()
        ))
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(unusable)?;
    // Modes do not tell: of a read-only file system, say.
    let trial = tempfile::Builder::new()
        .prefix(".writable")
        .tempfile_in(directory)
        .map_err(unusable)?;
    trial
        .close()
        .context("a file that was just made cannot be removed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_name_the_same_database_to_a_shell_and_no_password() {
        let flags = |url: Option<&str>, directory: Option<&str>| {
            let args = DatabaseArgs {
                database_url: url.map(str::to_owned),
                data_dir: directory.map(PathBuf::from),
            };
            args.as_flags()
        };
        assert_eq!(flags(None, None), "");
        assert_eq!(flags(None, Some("/var/farm")), " --data-dir /var/farm");
        assert_eq!(
            flags(None, Some("it's here")),
            " --data-dir 'it'\\''s here'"
        );
        assert_eq!(
            flags(Some("postgres://farm:s3cret@db/farm"), None),
            " --database-url 'postgres://farm:(hidden)@db/farm'"
        );
    }
}
