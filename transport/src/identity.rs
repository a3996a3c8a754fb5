//! Who a process is: its certificate, key and the authority it trusts.
//!
//! A role is a name in the certificate, `<role>.autofarm.internal`; whoever holds the key of a
//! certificate with that name, signed by the authority, is of that role.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::link::Role;

/// A certificate, its key, and the authority.
#[derive(Debug)]
pub struct Identity {
    /// The only authority that is trusted.
    pub ca: CertificateDer<'static>,
    /// This process's certificate.
    pub certificate: CertificateDer<'static>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file that is missing, unreadable, or holds no such thing.
    #[error("{}: no {what} can be read from it: {source}; `autofarm certs` makes new ones", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What went wrong.
        source: PemError,
    },
}

impl Identity {
    /// Reads an identity from three PEM files.
    ///
    /// # Errors
    /// [`IdentityError`] names the file.
    pub fn load(ca: &Path, certificate: &Path, key: &Path) -> Result<Identity, IdentityError> {
        Ok(Identity {
            ca: read(
                ca,
                "certificate of an authority",
                CertificateDer::from_pem_file,
            )?,
            certificate: read(certificate, "certificate", CertificateDer::from_pem_file)?,
            key: read(key, "private key", PrivateKeyDer::from_pem_file)?,
        })
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Identity {
            ca: self.ca.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone_key(),
        }
    }
}

fn read<'p, T>(
    path: &'p Path,
    what: &'static str,
    parse: impl FnOnce(&'p Path) -> Result<T, PemError>,
) -> Result<T, IdentityError> {
    let path_owned = || path.to_path_buf();
    parse(path).map_err(|source| IdentityError::Unreadable {
        path: path_owned(),
        what,
        source,
    })
}

/// The name that a role's certificates hold.
#[must_use]
pub fn role_name(role: Role) -> String {
    format!("{role}.autofarm.internal")
}

/// The role a verified certificate stands for; `None` where it names none.
#[must_use]
pub fn role_of(certificate: &CertificateDer<'_>) -> Option<Role> {
    let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
    Role::ALL.into_iter().find(|role| {
        ServerName::try_from(role_name(*role))
            .is_ok_and(|name| parsed.verify_is_valid_for_subject_name(&name).is_ok())
    })
}
