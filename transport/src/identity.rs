//! Who a process is: its certificate, key and the authority it trusts.
//!
//! A role is a name in the certificate, `<role>.autofarm.internal`; whoever holds the key of a
//! certificate with that name, signed by the authority, is of that role.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

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
    /// A file whose PEM is whole, but not what it holds.
    #[error("{}: this is no {what} that can be used: {source}; `autofarm certs` makes new ones", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What went wrong.
        source: rustls::Error,
    },
    /// A key that belongs to another certificate.
    #[error(
        "{} is not the key of {}; take both from one run of `autofarm certs`",
        key.display(),
        certificate.display()
    )]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
}

/// Why peers with the same authority would refuse a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValidityError {
    /// Its time is over.
    #[error("it expired {} s ago; `autofarm certs` makes a new one", ago.as_secs())]
    Expired {
        /// Since when.
        ago: Duration,
    },
    /// Its time has not come.
    #[error("it is valid only in {} s; check this machine's clock", ahead.as_secs())]
    NotYetValid {
        /// From when on.
        ahead: Duration,
    },
    /// Another authority signed it.
    #[error("the authority did not sign it; take ca.crt and it from one run of `autofarm certs`")]
    OtherAuthority,
    /// It names no role.
    #[error("it names no role of AutoFarm; `autofarm certs` makes ones that do")]
    NoRole,
    /// Anything else.
    #[error("{0}; `autofarm certs` makes a new one")]
    Invalid(webpki::Error),
}

impl Identity {
    /// Reads an identity from three PEM files, and checks that they hold what they should and belong together.
    ///
    /// # Errors
    /// [`IdentityError`] names the file.
    pub fn load(ca: &Path, certificate: &Path, key: &Path) -> Result<Identity, IdentityError> {
        let identity = Identity {
            ca: read(ca, AUTHORITY, CertificateDer::from_pem_file)?,
            certificate: read(certificate, CERTIFICATE, CertificateDer::from_pem_file)?,
            key: read(key, KEY, PrivateKeyDer::from_pem_file)?,
        };
        let malformed = |path: &Path, what| {
            let path = path.to_path_buf();
            move |source| IdentityError::Malformed { path, what, source }
        };
        let mut roots = rustls::RootCertStore::empty();
        let added = roots.add(identity.ca.clone());
        added.map_err(malformed(ca, AUTHORITY))?;
        let parsed = ParsedCertificate::try_from(&identity.certificate);
        parsed.map_err(malformed(certificate, CERTIFICATE))?;
        let signing = rustls::crypto::ring::sign::any_supported_type(&identity.key);
        let signing = signing.map_err(malformed(key, KEY))?;
        let together = CertifiedKey::new(vec![identity.certificate.clone()], signing);
        let (key, certificate) = (key.to_path_buf(), certificate.to_path_buf());
        together
            .keys_match()
            .map_err(|_| IdentityError::KeyMismatch { key, certificate })?;
        Ok(identity)
    }

    /// Checks what a peer with the same authority will check of the certificate.
    ///
    /// # Errors
    /// [`ValidityError`] says what the peer will object to.
    pub fn verify(&self, now: SystemTime) -> Result<(), ValidityError> {
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH);
        let time = UnixTime::since_unix_epoch(since_epoch.unwrap_or_default());
        let authority =
            webpki::anchor_from_trusted_cert(&self.ca).map_err(ValidityError::Invalid)?;
        let parsed = webpki::EndEntityCert::try_from(&self.certificate);
        parsed
            .map_err(ValidityError::Invalid)?
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &[authority],
                &[],
                time,
                webpki::KeyUsage::client_auth(),
                None,
                None,
            )
            .map_err(validity_error)?;
        role_of(&self.certificate).map_or(Err(ValidityError::NoRole), |_| Ok(()))
    }
}

const AUTHORITY: &str = "certificate of an authority";
const CERTIFICATE: &str = "certificate";
const KEY: &str = "private key";

fn validity_error(error: webpki::Error) -> ValidityError {
    let between = |early: UnixTime, late: UnixTime| {
        Duration::from_secs(late.as_secs().saturating_sub(early.as_secs()))
    };
    match error {
        webpki::Error::CertExpired { time, not_after } => ValidityError::Expired {
            ago: between(not_after, time),
        },
        webpki::Error::CertNotValidYet { time, not_before } => ValidityError::NotYetValid {
            ahead: between(time, not_before),
        },
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            ValidityError::OtherAuthority
        }
        other => ValidityError::Invalid(other),
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
    parse(path).map_err(|source| IdentityError::Unreadable {
        path: path.to_path_buf(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::{CertBundle, generate};

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    fn bundle() -> CertBundle {
        generate(SystemTime::now() - DAY, 2 * DAY).unwrap()
    }

    /// What is said where a file holds `text` instead of what it should.
    fn error_with(file: &str, text: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        bundle().write_to(directory.path()).unwrap();
        let path = |name: &str| directory.path().join(name);
        let load = || Identity::load(&path("ca.crt"), &path("worker.crt"), &path("worker.key"));
        load().expect("untouched, they are fine");
        std::fs::write(path(file), text).unwrap();
        let error = load().expect_err("refused").to_string();
        assert!(error.contains(&path(file).display().to_string()), "{error}");
        assert!(error.contains("`autofarm certs`"), "{error}");
        error
    }

    #[test]
    fn a_file_that_holds_no_pem_is_named() {
        for text in [
            "",
            "nonsense",
            "-----BEGIN CERTIFICATE-----\nMIIB",
            "\u{0}\u{1}",
        ] {
            for (file, what) in [
                ("ca.crt", "no certificate of an authority can be read"),
                ("worker.crt", "no certificate can be read"),
                ("worker.key", "no private key can be read"),
            ] {
                let error = error_with(file, text);
                assert!(error.contains(what), "{error}");
            }
        }
    }

    #[test]
    fn a_pem_that_holds_something_else_is_named() {
        let other = bundle();
        let worker = other.roles.iter().find(|c| c.role == Role::Worker).unwrap();
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for (file, text, expected) in [
            (
                "ca.crt",
                certificate,
                "no certificate of an authority that can be used",
            ),
            ("worker.crt", certificate, "no certificate that can be used"),
            ("worker.key", key, "no private key that can be used"),
            (
                "worker.crt",
                worker.key_pem.as_str(),
                "no certificate can be read",
            ),
            (
                "worker.key",
                worker.certificate_pem.as_str(),
                "no private key can be read",
            ),
            ("worker.key", worker.key_pem.as_str(), "is not the key of"),
            (
                "worker.crt",
                worker.certificate_pem.as_str(),
                "is not the key of",
            ),
        ] {
            let error = error_with(file, text);
            assert!(error.contains(expected), "{file}: {error}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let none = Path::new("none.crt");
        let error = Identity::load(none, none, none).unwrap_err();
        let IdentityError::Unreadable { path, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(path, none);
    }

    #[test]
    fn what_a_peer_will_object_to_is_known_before() {
        let now = SystemTime::now();
        let identity = bundle().identity(Role::Worker);
        assert_eq!(identity.verify(now), Ok(()));
        let later = identity.verify(now + 3 * DAY).unwrap_err();
        assert!(
            matches!(later, ValidityError::Expired { ago } if ago > DAY),
            "{later}"
        );
        let earlier = identity.verify(now - 3 * DAY).unwrap_err();
        assert!(
            matches!(earlier, ValidityError::NotYetValid { ahead } if ahead > DAY),
            "{earlier}"
        );
        let stranger = Identity {
            ca: bundle().identity(Role::Worker).ca,
            ..identity
        };
        assert_eq!(stranger.verify(now), Err(ValidityError::OtherAuthority));
    }
}
