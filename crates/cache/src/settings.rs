use kernel::Secret;

use crate::KeySpace;

/// The cache of a node, and the Redis that nodes share.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSettings {
    /// Backend for state shared between nodes: `memory:` for a single node, or the URL of a Redis for several nodes,
    /// `redis://user:password@host:6379/0`. Use `rediss://` for an encrypted connection, with `?sslrootcert=FILE` if
    /// the system does not know the authority of the certificate. Use `redis+sentinel://host:26379,host:26379/NAME` for
    /// Redis Sentinel and `redis+cluster://host:6379,host:6379` for Redis Cluster. This is a secret, because it can
    /// contain a password.
    #[schemars(extend("x-secret" = "url"))]
    pub url: Secret<String>,
    /// Name of this deployment among the deployments that share a Redis. All its keys in Redis begin with `ms:NAME:`.
    /// 1–64 letters, digits, `_`, `-`, `.`. The name must be the same on all nodes of a deployment, and different for
    /// each deployment. If it is empty, the server derives such a name from the database and the secret.
    pub namespace: String,
    /// Size of the in-memory cache of a node, in bytes, 0–68719476736. 0 disables it. Without Redis, every caller then
    /// loads the value, even while another caller is loading the same value.
    pub memory_bytes: u64,
    /// How long an operation waits for Redis before it continues without Redis, in milliseconds, 5–5000. It never waits
    /// past its own deadline.
    pub timeout_ms: u64,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            url: Secret::new("memory:".to_owned()),
            namespace: String::new(),
            memory_bytes: 64 << 20,
            timeout_ms: 100,
        }
    }
}

/// The most memory a node may be given: 64 GiB.
const MOST_MEMORY: u64 = 64 << 30;

impl CacheSettings {
    /// These settings, with another place.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: Secret::new(url.into()), ..Self::default() }
    }

    /// Checks what can be checked without opening anything.
    ///
    /// # Errors
    /// What is wrong and what to write instead; never the password.
    pub fn validate(&self) -> Result<(), String> {
        if self.memory_bytes > MOST_MEMORY {
            return Err(format!("`memory_bytes` is {}; it must be from 0 to {MOST_MEMORY}", self.memory_bytes));
        }
        if !(5..=5000).contains(&self.timeout_ms) {
            return Err(format!("`timeout_ms` is {}; it must be from 5 to 5000", self.timeout_ms));
        }
        if !self.namespace.is_empty() {
            KeySpace::new(&self.namespace).map_err(|advice| format!("`namespace` is not acceptable: {advice}"))?;
        }
        match self.place()? {
            CacheLocation::Memory => Ok(()),
            CacheLocation::Redis(url) => check_redis(url),
        }
    }

    pub(crate) fn place(&self) -> Result<CacheLocation<'_>, String> {
        let url = self.url.expose().as_str();
        match url {
            "memory:" => Ok(CacheLocation::Memory),
            _ if SCHEMES.iter().any(|scheme| url.starts_with(scheme)) => Ok(CacheLocation::Redis(url)),
            _ => Err("`url` must be `memory:` or begin with `redis://`, `rediss://`, `redis+sentinel://` or \
                      `redis+cluster://`: `redis://localhost:6379/0`"
                .to_owned()),
        }
    }
}

#[cfg(feature = "redis")]
fn check_redis(url: &str) -> Result<(), String> {
    crate::redis::Topology::new(url).map(drop)
}

#[cfg(not(feature = "redis"))]
fn check_redis(_url: &str) -> Result<(), String> {
    Err("`url` names a Redis, and this program is built without Redis; switch on the feature `redis` of the crate \
         `mainstay`"
        .to_owned())
}

/// What a URL of a Redis begins with.
const SCHEMES: [&str; 4] = ["redis://", "rediss://", "redis+sentinel://", "redis+cluster://"];

/// Where the URL points.
#[derive(Debug)]
pub(crate) enum CacheLocation<'a> {
    Memory,
    Redis(&'a str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_with_advice() {
        assert_eq!(CacheSettings::default().validate(), Ok(()));
        for (url, says) in [
            ("", "must be `memory:`"),
            ("memory", "must be `memory:`"),
            ("memcached://h", "must be `memory:`"),
            ("redis://u:hunter2@h:notaport/0", "redis"),
        ] {
            let error = CacheSettings::at(url).validate().unwrap_err();
            assert!(error.contains(says) && !error.contains("hunter2"), "{url}: {error}");
        }
        let at = |timeout_ms| CacheSettings { timeout_ms, ..CacheSettings::default() };
        assert!(at(4).validate().unwrap_err().contains("timeout_ms"));
        assert!(at(5001).validate().unwrap_err().contains("timeout_ms"));
        let named = |namespace: &str| CacheSettings { namespace: namespace.to_owned(), ..CacheSettings::default() };
        assert_eq!(named("shop-production").validate(), Ok(()));
        assert!(named("shop:production").validate().unwrap_err().contains("`namespace`"));
        let large = CacheSettings { memory_bytes: MOST_MEMORY + 1, ..CacheSettings::default() };
        assert!(large.validate().unwrap_err().contains("memory_bytes"));
    }

    #[cfg(not(feature = "redis"))]
    #[test]
    fn a_program_without_redis_says_so() {
        for scheme in SCHEMES {
            let error = CacheSettings::at(format!("{scheme}h")).validate().unwrap_err();
            assert!(error.contains("switch on the feature `redis`"), "{error}");
        }
    }

    #[cfg(feature = "redis")]
    #[test]
    fn every_kind_of_redis_is_read_and_mistakes_in_it_are_told() {
        for url in [
            "redis://localhost",
            "redis://user:p%40ss@localhost:6379/3",
            "redis://[::1]:6379",
            "redis+sentinel://a:26379,b/main",
            "redis+sentinel://user:secret@a:26379,b:26379/main?db=2",
            "redis+cluster://a,b:7000",
            "redis+cluster://user:secret@a:7000",
        ] {
            assert_eq!(CacheSettings::at(url).validate(), Ok(()), "{url}");
        }
        for (url, says) in [
            ("redis://", "names no host"),
            ("redis://h/x", "database"),
            ("redis://h/-1", "database"),
            ("redis://h?protocol=resp3", "after `?`"),
            ("redis://a,b", "redis+cluster"),
            ("redis+sentinel://a:26379", "name of the master"),
            ("redis+sentinel://a:26379/", "name of the master"),
            ("redis+sentinel:///main", "names no host"),
            ("redis+sentinel://u:hunter2@a,,b/main", "names no host"),
            ("redis+sentinel://a/main?db=x", "database"),
            ("redis+sentinel://a/main?x=1", "after `?`"),
            ("redis+cluster://", "names no host"),
            ("redis+cluster://a/2", "database"),
            ("redis://h?sslrootcert=x", "after `?`"),
            ("redis://u:hunter2@x@h", "%40"),
            ("redis://u:hunter2/x@h", "%40"),
            ("redis+sentinel://u:hun/ter2@a/main", "%40"),
            ("redis+cluster://u:hunter2?x@h", "%40"),
        ] {
            let error = CacheSettings::at(url).validate().unwrap_err();
            assert!(error.contains(says) && !error.contains("hunter2"), "{url}: {error}");
        }
        let encrypted = CacheSettings::at("rediss://h").validate();
        assert_eq!(encrypted.is_ok(), cfg!(feature = "tls"), "{encrypted:?}");
        let blind = CacheSettings::at("rediss://h#insecure").validate().unwrap_err();
        assert!(blind.contains(if cfg!(feature = "tls") { "#insecure" } else { "`tls`" }), "{blind}");
    }

    #[test]
    fn settings_do_not_print_the_password() {
        let settings = CacheSettings::at("redis://u:hunter2@h");
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&settings).unwrap().contains("hunter2"));
    }
}
