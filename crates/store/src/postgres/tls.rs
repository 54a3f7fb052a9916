//! Encrypted connections: what the URL asks for, in the words of libpq (PostgreSQL's manual, section 34.19), and what makes
//! them. The crates for it come with the feature `tls`.

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// What a URL says of encryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    mode: Mode,
    /// The file of `sslrootcert`; without it the system's certificates are believed.
    root: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disable,
    /// Where the server has it.
    Prefer,
    /// Any server, unverified.
    Require,
    /// The server's certificate is one of somebody we believe.
    VerifyCa,
    /// And is for the host in the URL.
    VerifyFull,
}

/// Takes what is said of encryption out of a URL, since the driver does not know all of it.
pub(crate) fn take(url: &str) -> Result<(String, Option<Asked>), String> {
    let Some((before, options)) = url.split_once('?') else { return Ok((url.to_owned(), None)) };
    let (mut mode, mut root, mut rest) = (None, None, Vec::new());
    for option in options.split('&') {
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        match option.split_once('=') {
            Some(("sslmode", value)) => {
                mode = Some(match value {
                    "disable" => Mode::Disable,
                    "allow" | "prefer" => Mode::Prefer,
                    "require" => Mode::Require,
                    "verify-ca" => Mode::VerifyCa,
                    "verify-full" => Mode::VerifyFull,
                    _ => {
                        return Err(
                            "`url` has an `sslmode` that does not exist; write `disable`, `prefer`, `require`, \
                                    `verify-ca` or `verify-full`"
                                .to_owned(),
                        );
                    }
                });
            }
            Some(("sslrootcert", value)) => root = Some(decoded(value)),
            _ => rest.push(option),
        }
    }
    let url = if rest.is_empty() { before.to_owned() } else { format!("{before}?{}", rest.join("&")) };
    // As libpq: a URL that names an authority wants it checked, and the system's authorities verify a name.
    let mode = match (mode, root.as_deref()) {
        (None | Some(Mode::Require), Some("system")) => Some(Mode::VerifyFull),
        (Some(Mode::Require), Some(_)) => Some(Mode::VerifyCa),
        (None, Some(_)) => Some(Mode::VerifyFull),
        (mode, _) => mode,
    };
    Ok((url, mode.map(|mode| Asked { mode, root: root.filter(|root| root != "system") })))
}

impl Asked {
    /// Where nothing is asked for: whatever the server has, but on this machine, where nobody listens in.
    pub(crate) fn or_usual(asked: Option<Self>, config: &Config) -> Self {
        let is_here = |host: &Host| match host {
            Host::Tcp(name) => ["localhost", "127.0.0.1", "::1", "[::1]"].contains(&name.as_str()),
            #[cfg(unix)]
            Host::Unix(_) => true,
        };
        asked.unwrap_or_else(|| {
            let are_here = config.get_hosts().iter().all(is_here)
                && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback);
            let mode = if are_here || !cfg!(feature = "tls") { Mode::Disable } else { Mode::Prefer };
            Self { mode, root: None }
        })
    }

    /// Tells the driver.
    pub(crate) fn apply(&self, config: &mut Config) {
        config.ssl_mode(match self.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        });
    }

    /// Whether this program can do it. Reads no certificates yet.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.mode {
            Mode::Disable | Mode::Prefer => Ok(()),
            _ if cfg!(feature = "tls") => Ok(()),
            _ => Err("`url` asks for an encrypted connection, and this program was built without; switch the feature \
                      `tls` of the crate `mainstay` on in its Cargo.toml, or leave `sslmode` out"
                .to_owned()),
        }
    }

    /// What makes such connections; none where they are not encrypted.
    #[cfg(not(feature = "tls"))]
    pub(crate) fn connector(&self) -> Result<Option<Connector>, String> {
        self.check().map(|()| None)
    }
}

/// There is none without the feature.
#[cfg(not(feature = "tls"))]
#[derive(Debug, Clone)]
pub(crate) enum Connector {}

#[cfg(not(feature = "tls"))]
impl<S> tokio_postgres::tls::MakeTlsConnect<S> for Connector {
    type Stream = tokio_postgres::tls::NoTlsStream;
    type TlsConnect = tokio_postgres::NoTls;
    type Error = std::convert::Infallible;

    fn make_tls_connect(&mut self, _: &str) -> Result<Self::TlsConnect, Self::Error> {
        match *self {}
    }
}

#[cfg(feature = "tls")]
pub(crate) use self::with_rustls::Connector;

#[cfg(feature = "tls")]
mod with_rustls {
    use std::sync::Arc;

    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{
        CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, crypto,
    };

    use super::{Asked, Mode};

    pub(crate) type Connector = tokio_postgres_rustls::MakeRustlsConnect;

    impl Asked {
        pub(crate) fn connector(&self) -> Result<Option<Connector>, String> {
            let provider = Arc::new(crypto::aws_lc_rs::default_provider());
            let verifier: Arc<dyn ServerCertVerifier> = match self.mode {
                Mode::Disable => return Ok(None),
                Mode::Prefer | Mode::Require => Arc::new(Lenient { provider: provider.clone(), authorities: None }),
                Mode::VerifyCa | Mode::VerifyFull => {
                    let roots = Arc::new(self.roots()?);
                    let known = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                        .build()
                        .map_err(|error| format!("the certificates of `sslrootcert` are of no use: {error}"))?;
                    match self.mode {
                        Mode::VerifyFull => known,
                        _ => Arc::new(Lenient { provider: provider.clone(), authorities: Some(known) }),
                    }
                }
            };
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|error| format!("TLS cannot be set up: {error}"))?
                .dangerous()
                .with_custom_certificate_verifier(verifier)
                .with_no_client_auth();
            Ok(Some(Connector::new(config)))
        }

        fn roots(&self) -> Result<RootCertStore, String> {
            let mut roots = RootCertStore::empty();
            let Some(path) = &self.root else {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    return Err(
                        "the system has no certificates to verify the server by; install `ca-certificates`, or \
                                name a file in `sslrootcert`"
                            .to_owned(),
                    );
                }
                return Ok(roots);
            };
            let broken = |why: String| format!("the file `{path}` of `sslrootcert` cannot be read: {why}");
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| broken(error.to_string()))? {
                let certificate = certificate.map_err(|error| broken(error.to_string()))?;
                roots.add(certificate).map_err(|error| broken(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(broken("there is no certificate in it".to_owned()));
            }
            Ok(roots)
        }
    }

    /// Believes more than a browser would: any certificate (`sslmode=require`, which is against who listens in, and not
    /// against who steps between), or any name that a believed authority certified (`verify-ca`).
    #[derive(Debug)]
    struct Lenient {
        provider: Arc<CryptoProvider>,
        authorities: Option<Arc<WebPkiServerVerifier>>,
    }

    impl ServerCertVerifier for Lenient {
        fn verify_server_cert(
            &self,
            certificate: &CertificateDer<'_>,
            between: &[CertificateDer<'_>],
            name: &ServerName<'_>,
            ocsp: &[u8],
            now: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            let Some(authorities) = &self.authorities else { return Ok(ServerCertVerified::assertion()) };
            match authorities.verify_server_cert(certificate, between, name, ocsp, now) {
                // The name is looked at last.
                Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) => Ok(ServerCertVerified::assertion()),
                verdict => verdict,
            }
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.provider.signature_verification_algorithms.supported_schemes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_what_is_asked_for() {
        use Mode::{Disable, Prefer, Require, VerifyCa, VerifyFull};
        for (options, rest, mode, root) in [
            ("", "", None, None),
            ("?application_name=x", "?application_name=x", None, None),
            ("?sslmode=disable", "", Some(Disable), None),
            ("?a=b&sslmode=prefer&c=d", "?a=b&c=d", Some(Prefer), None),
            ("?sslmode=require", "", Some(Require), None),
            ("?sslmode=require&sslrootcert=%2Fa%20b.pem", "", Some(VerifyCa), Some("/a b.pem")),
            ("?sslrootcert=/ca.pem", "", Some(VerifyFull), Some("/ca.pem")),
            ("?sslrootcert=system", "", Some(VerifyFull), None),
            ("?sslmode=verify-ca&sslrootcert=system", "", Some(VerifyCa), None),
            ("?sslmode=verify-full", "", Some(VerifyFull), None),
        ] {
            let (url, asked) = take(&format!("postgres://u@h/d{options}")).unwrap();
            assert_eq!(url, format!("postgres://u@h/d{rest}"));
            let expected = mode.map(|mode| Asked { mode, root: root.map(str::to_owned) });
            assert_eq!(asked, expected, "{options}");
        }
        for wrong in ["?sslmode=yes", "?sslmode="] {
            assert!(take(&format!("postgres://u@h/d{wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn on_this_machine_nothing_is_encrypted_unasked() {
        let usual = |url: &str| Asked::or_usual(None, &url.parse().unwrap()).mode;
        for here in ["postgres://u@localhost/d", "postgres://u@127.0.0.1:1,[::1]:2/d", "postgres:///d?host=/run/x"] {
            assert_eq!(usual(here), Mode::Disable, "{here}");
        }
        let elsewhere = if cfg!(feature = "tls") { Mode::Prefer } else { Mode::Disable };
        for url in ["postgres://u@db.example.com/d", "postgres://u@localhost,db/d"] {
            assert_eq!(usual(url), elsewhere, "{url}");
        }
    }
}
