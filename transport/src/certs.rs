//! Makes an authority and one certificate a role, for a machine, a test or a cluster.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::identity::{Identity, role_name};
use crate::link::Role;

/// How long new certificates are valid.
pub const DEFAULT_VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct CertifiedRole {
    /// The role it names.
    pub role: Role,
    /// The certificate.
    pub certificate_pem: String,
    /// The key.
    pub key_pem: String,
}

/// An authority and a certificate for every role.
#[derive(Clone)]
pub struct CertBundle {
    /// The authority's certificate, in PEM.
    pub ca_pem: String,
    /// By [`Role::ALL`].
    pub roles: Vec<CertifiedRole>,
}

/// Why certificates cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// Key or certificate could not be made.
    #[error("making a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// A file could not be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

/// Makes an authority, whose key is forgotten, and a certificate a role, valid from `from` on.
///
/// # Errors
/// [`CertError::Generate`].
pub fn generate(from: SystemTime, valid_for: Duration) -> Result<CertBundle, CertError> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::default();
    ca.distinguished_name
        .push(DnType::CommonName, "AutoFarm authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    ca.not_before = from.into();
    ca.not_after = (from + valid_for).into();
    let ca_pem = ca.self_signed(&ca_key)?.pem();
    let issuer = Issuer::new(ca, ca_key);
    let mut roles = Vec::new();
    for role in Role::ALL {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![role_name(role)])?;
        params
            .distinguished_name
            .push(DnType::CommonName, role.name());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.not_before = from.into();
        params.not_after = (from + valid_for).into();
        let certificate_pem = params.signed_by(&key, &issuer)?.pem();
        roles.push(CertifiedRole {
            role,
            certificate_pem,
            key_pem: key.serialize_pem(),
        });
    }
    Ok(CertBundle { ca_pem, roles })
}

impl CertBundle {
    /// A role's identity, for a process that keeps it in memory.
    ///
    /// # Panics
    /// Where the PEM texts were changed by hand.
    #[must_use]
    pub fn identity(&self, role: Role) -> Identity {
        let certified = self
            .roles
            .iter()
            .find(|c| c.role == role)
            .expect("one a role");
        Identity {
            ca: CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).expect("own PEM"),
            certificate: CertificateDer::from_pem_slice(certified.certificate_pem.as_bytes())
                .expect("own PEM"),
            key: PrivateKeyDer::from_pem_slice(certified.key_pem.as_bytes()).expect("own PEM"),
        }
    }

    /// Writes `ca.crt`, and `<role>.crt` and `<role>.key` for every role; keys are for the owner alone.
    ///
    /// # Errors
    /// [`CertError::Write`] names the file.
    pub fn write_to(&self, directory: &Path) -> Result<(), CertError> {
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| CertError::Write { path, source }
        };
        std::fs::create_dir_all(directory).map_err(failed(directory))?;
        let mut files = vec![("ca.crt".to_owned(), &self.ca_pem)];
        for certified in &self.roles {
            files.push((
                format!("{}.crt", certified.role),
                &certified.certificate_pem,
            ));
            files.push((format!("{}.key", certified.role), &certified.key_pem));
        }
        for (name, text) in files {
            let path = directory.join(name);
            write_private(&path, text).map_err(failed(&path))?;
        }
        Ok(())
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}
