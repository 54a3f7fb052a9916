use std::time::Duration;

use mainstay::SettingsOf;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Algorithms for signing access tokens (RFC 7518, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SigningAlgorithm {
    /// Ed25519: the smallest and fastest.
    EdDSA,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 and 2048 bits, for clients that can verify nothing else.
    RS256,
}

impl SigningAlgorithm {
    /// The name in a token's header, and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EdDSA => "EdDSA",
            Self::ES256 => "ES256",
            Self::RS256 => "RS256",
        }
    }

    /// The algorithm of this name, exactly.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::EdDSA, Self::ES256, Self::RS256].into_iter().find(|a| a.name() == name)
    }
}

/// Accounts, passwords and tokens.
#[mainstay::settings]
#[derive(Debug, Clone, PartialEq)]
pub struct AuthSettings {
    /// Whether anyone can register an account. If `false`, only `mainstay admin create` can create accounts.
    pub registration_open: bool,
    /// Minimum length of a new password in characters, 8–128. NIST SP 800-63B-4 requires 15 if the password is the only
    /// factor. Set 15 unless that would keep your users out. NIST's lowest value is 8. It is the default here because a
    /// block list and password hashing give further protection.
    pub password_min_characters: u32,
    /// Maximum number of passwords hashed at the same time. Each uses `hash_memory_kib` of memory and one core. 0 means
    /// one per core.
    pub hash_permits: usize,
    /// Maximum number of requests that wait to hash a password. If the queue is full, one request is answered 503 at
    /// once. It is a request of the network with the most waiting requests, so that one network cannot block the
    /// others.
    pub hash_queue: usize,
    /// Memory of one argon2id hash, in KiB, 19456 or more (OWASP's minimum).
    pub hash_memory_kib: u32,
    /// Number of argon2id passes over its memory, 2–100.
    pub hash_passes: u32,
    /// Parallelism of each password hash (`p` of argon2id), 1–16.
    pub hash_lanes: u32,
    /// Lifetime of an access token, in seconds, 30–3600.
    pub access_token_s: u64,
    /// Maximum idle time of a session, in seconds. A session that is not refreshed within this time ends.
    pub refresh_idle_s: u64,
    /// Maximum lifetime of a session, in seconds. It ends even if it is refreshed.
    pub refresh_absolute_s: u64,
    /// How long a used refresh token still returns the same successor token, in seconds, 0–60, as long as the successor
    /// is unused. This helps when two browser tabs refresh at the same time or a response is lost. With 0, the session
    /// ends as soon as a used token is sent again.
    pub refresh_grace_s: u64,
    /// Maximum number of sessions of one account, 1–10000. If a new session would exceed it, the least recently used
    /// session ends.
    pub sessions_per_account: u32,
    /// Algorithm of new signing keys: `EdDSA`, `ES256` or `RS256`.
    pub signing_algorithm: SigningAlgorithm,
    /// How long the server publishes a new signing key before it signs with the key, in seconds. In this time, clients
    /// that cache the key set learn the new key.
    pub key_publish_lead_s: u64,
    /// Maximum age of this process's copy of the key set, in seconds. It is also the minimum time between two lookups
    /// of an unknown key, regardless of what clients send.
    pub key_reload_s: u64,
    /// Number of verified tokens kept in memory, 1–10000000. Each uses about 1 KB.
    pub token_cache_entries: usize,
    /// How long this node may still accept a session that another node ended, in seconds, 0–60. With 0, the server asks
    /// the database on each request.
    pub session_recheck_s: u64,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            registration_open: true,
            password_min_characters: 8,
            hash_permits: 0,
            hash_queue: 64,
            hash_memory_kib: 19 * 1024,
            hash_passes: 2,
            hash_lanes: 1,
            access_token_s: 15 * 60,
            refresh_idle_s: 14 * 24 * 3600,
            refresh_absolute_s: 30 * 24 * 3600,
            refresh_grace_s: 10,
            sessions_per_account: 100,
            signing_algorithm: SigningAlgorithm::EdDSA,
            key_publish_lead_s: 3600,
            key_reload_s: 10,
            token_cache_entries: 10_000,
            session_recheck_s: 2,
        }
    }
}

const YEAR_S: u64 = 365 * 24 * 3600;

impl SettingsOf for AuthSettings {
    fn validate(&self) -> Result<(), String> {
        let ranges: [(&str, u64, u64, u64); 12] = [
            ("password_min_characters", self.password_min_characters.into(), 8, 128),
            ("hash_permits", self.hash_permits as u64, 0, 1024),
            ("hash_queue", self.hash_queue as u64, 0, 100_000),
            ("hash_memory_kib", self.hash_memory_kib.into(), 19 * 1024, 4 * 1024 * 1024),
            ("hash_passes", self.hash_passes.into(), 2, 100),
            ("hash_lanes", self.hash_lanes.into(), 1, 16),
            ("access_token_s", self.access_token_s, 30, 3600),
            ("refresh_grace_s", self.refresh_grace_s, 0, 60),
            ("sessions_per_account", self.sessions_per_account.into(), 1, 10_000),
            ("token_cache_entries", self.token_cache_entries as u64, 1, 10_000_000),
            ("session_recheck_s", self.session_recheck_s, 0, 60),
            ("key_reload_s", self.key_reload_s, 1, 3600),
        ];
        for (name, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(format!("{name} is {value}; it must be from {least} to {most}"));
            }
        }
        if self.refresh_idle_s < self.access_token_s {
            return Err(format!(
                "refresh_idle_s is {}, shorter than access_token_s ({}): a session would end before its access token. \
                 Make it longer.",
                self.refresh_idle_s, self.access_token_s
            ));
        }
        if self.refresh_absolute_s < self.refresh_idle_s || self.refresh_absolute_s > YEAR_S {
            return Err(format!(
                "refresh_absolute_s is {}; it must be from refresh_idle_s ({}) to a year ({YEAR_S})",
                self.refresh_absolute_s, self.refresh_idle_s
            ));
        }
        if self.key_publish_lead_s < 2 * self.key_reload_s || self.key_publish_lead_s > YEAR_S {
            return Err(format!(
                "key_publish_lead_s is {}; it must be from twice key_reload_s ({}), so that every node knows a key \
                 before it signs, to a year",
                self.key_publish_lead_s,
                2 * self.key_reload_s
            ));
        }
        Ok(())
    }
}

impl AuthSettings {
    pub(crate) const fn access_token(&self) -> Duration {
        Duration::from_secs(self.access_token_s)
    }

    pub(crate) const fn refresh_grace(&self) -> Duration {
        Duration::from_secs(self.refresh_grace_s)
    }

    pub(crate) const fn refresh_idle(&self) -> Duration {
        Duration::from_secs(self.refresh_idle_s)
    }

    pub(crate) const fn refresh_absolute(&self) -> Duration {
        Duration::from_secs(self.refresh_absolute_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_come_with_advice() {
        let default = AuthSettings::default;
        assert_eq!(default().validate(), Ok(()));
        for (settings, says) in [
            (AuthSettings { password_min_characters: 7, ..default() }, "password_min_characters is 7"),
            (AuthSettings { hash_memory_kib: 1024, ..default() }, "hash_memory_kib is 1024"),
            (AuthSettings { refresh_idle_s: 60, ..default() }, "Make it longer"),
            (AuthSettings { refresh_absolute_s: 3600, ..default() }, "refresh_absolute_s is 3600"),
            (AuthSettings { key_publish_lead_s: 5, ..default() }, "twice key_reload_s"),
            (AuthSettings { refresh_grace_s: 61, ..default() }, "refresh_grace_s is 61"),
            (AuthSettings { sessions_per_account: 0, ..default() }, "sessions_per_account is 0"),
            (AuthSettings { token_cache_entries: 0, ..default() }, "token_cache_entries is 0"),
        ] {
            let error = settings.validate().unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
